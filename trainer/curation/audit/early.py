"""Detects data dated before it happened: sessions, symbols or volumes that lead the market.

Entry point: `early_moves`. A close, a bar or a volume that bears the date of the session before is a look into the
future that no cross-validation notices. What one file can show of it, without a second source:

* a name that moves a session before the market: its correlation with the other names' mean return of the session after
  is a material share of that with the mean of its own session;
* closes that are ahead of the opens: the gap to the next open is undone by that session, name for name. In one session
  nearly exactly, in a file of which every close is early a material share on average, and volumes then lag the moves;
* volumes that swell with the size of the next session's moves more than with that of their own, or know their sign.

A file whose every figure is dated one session early shows nothing: that takes a second vendor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Bars, Floats
from signals.scoring.scores import rank_ic

LAGS = (-1, 0, 1)
FEWEST_SESSIONS = 60  # of a name; fewer say nothing about lags
FEWEST_NAMES = 10  # of a session
LEAD_SHARE = 0.25  # of the correlation at lag 0 that the one at lag +1 may be
LEAD_Z = 4.0  # and standard errors that it must be away from 0
UNDONE = -0.9  # correlation of gap and session beyond which the close was that of the session after
USUALLY_UNDONE = -0.35  # mean of that correlation over the sessions beyond which every close is early
VOLUME_IC = 0.05  # mean rank correlation of volumes with the next return beyond which they know it
VOLUME_LEAD = 1.0  # of their correlation with their own session's moves that the one with the next one's may be
WINDOW = 20
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Early:
    """Names and sessions that move early.

    Attributes
    ----------
    names : tuple of (str, float, float)
        Names that lead the market, with the correlations at lags 0 and +1.
    sessions : tuple of date
        Sessions whose closes are those of the session after.
    market : tuple of float
        Median over names of the correlation with the market at lags -1, 0 and +1.
    undone : float
        Mean rank correlation, name for name, of the gap at the open with the session that follows it.
    volume_moves : tuple of float
        Mean rank correlation of volumes with the size of moves at lags -1, 0 and +1.
    volume_ic : float
        Mean rank correlation of volumes with the next session's return.
    """

    names: tuple[tuple[str, float, float], ...]
    sessions: tuple[date, ...]
    market: tuple[float, ...]
    undone: float
    volume_moves: tuple[float, ...]
    volume_ic: float

    @property
    def closes_lead(self) -> bool:
        """Whether closes as a whole are ahead of opens or volumes."""
        before, own, _ = self.volume_moves
        return self.undone < USUALLY_UNDONE or (before > VOLUME_LEAD * abs(own) and before > VOLUME_IC)

    @property
    def volumes_lead(self) -> bool:
        """Whether volumes go with the next session's moves rather than with their own, or know their sign."""
        _, own, ahead = self.volume_moves
        return abs(self.volume_ic) > VOLUME_IC or (ahead > VOLUME_LEAD * abs(own) and ahead > VOLUME_IC)

    def document(self) -> Mapping[str, object]:
        """Return the findings as JSON values."""
        return {
            **vars(self),
            "names": [{"symbol": name, "lag_0": own, "lag_1": ahead} for name, own, ahead in self.names],
            "sessions": [str(day) for day in self.sessions],
            "closes_lead": self.closes_lead,
            "volumes_lead": self.volumes_lead,
        }

    def sentences(self) -> list[str]:
        """Say what moves early; empty where nothing does."""
        found = []
        if self.names:
            shown = ", ".join(f"{name} {own:.2f} and {ahead:.2f}" for name, own, ahead in self.names[:SHOWN])
            found.append(
                f"{len(self.names)} names move a session before the market (correlation with it at its own session and "
                f"at the one after: {shown})"
            )
        if self.sessions:
            shown = ", ".join(str(day) for day in self.sessions[:SHOWN])
            found.append(f"the closes of {len(self.sessions)} sessions are those of the session after ({shown})")
        if self.closes_lead:
            before, own, _ = self.volume_moves
            found.append(
                f"closes are ahead of the opens: gaps and the sessions after them have a rank correlation of "
                f"{self.undone:+.2f}, volumes go with the moves of the session before ({before:.3f}) and of their own "
                f"({own:.3f})"
            )
        if self.volumes_lead:
            _, own, ahead = self.volume_moves
            found.append(
                f"volumes know the next session: rank correlation with its return {self.volume_ic:+.3f}, with the size "
                f"of its moves {ahead:.3f} next to {own:.3f} of their own session's"
            )
        return found


SHOWN = 3


def at_lag(values: Floats, lag: int) -> Floats:
    """Row t holds what `values`, shape (T, N), has at t + lag; NaN beyond the ends."""
    result = np.full_like(values, np.nan)
    if lag > 0:
        result[:-lag] = values[lag:]
    elif lag < 0:
        result[-lag:] = values[:lag]
    else:
        result[:] = values
    return result


def early_moves(bars: Bars) -> Early:
    """Compare names' moves with the market's at lags -1, 0 and +1, sessions' gaps with their moves, and volumes."""
    lags = _market_lags(bars.total_return)
    known = np.isfinite(lags).all(axis=1)
    count = np.isfinite(bars.total_return).sum(axis=0)
    leads = known & (lags[:, 2] > LEAD_SHARE * np.abs(lags[:, 1])) & (lags[:, 2] * np.sqrt(np.maximum(count, 1)) > LEAD_Z)
    order = np.flatnonzero(leads)[np.argsort(-lags[leads, 2], kind="stable")]
    median = np.median(lags[known], axis=0) if known.any() else np.full(len(LAGS), np.nan)
    volumes = _surprise(bars.volume)
    undone, sessions = _undone(bars)
    return Early(
        names=tuple((bars.symbols[c], float(lags[c, 1]), float(lags[c, 2])) for c in order),
        sessions=tuple(bars.sessions[row].astype(object) for row in sessions),
        market=tuple(float(value) for value in median),
        undone=undone,
        volume_moves=tuple(_mean_ic(volumes, at_lag(np.abs(_own(bars.total_return)), lag)) for lag in LAGS),
        volume_ic=_mean_ic(volumes, at_lag(bars.total_return, 1)),
    )


def _market_lags(returns: Floats) -> Floats:
    """Correlation of each name's return with the mean of the others' at lags -1, 0, +1; (N, 3), NaN if unknown."""
    known = np.isfinite(returns)
    filled = np.where(known, np.clip(returns, -0.5, 0.5), 0.0)
    total, number = filled.sum(axis=1, keepdims=True), known.sum(axis=1, keepdims=True)
    others = np.where(number > known, (total - filled) / np.maximum(number - known, 1), np.nan)
    result = np.full((returns.shape[1], len(LAGS)), np.nan)
    for place, lag in enumerate(LAGS):
        moved = at_lag(others, lag)
        for column in range(returns.shape[1]):
            both = known[:, column] & np.isfinite(moved[:, column])
            if both.sum() >= FEWEST_SESSIONS:
                own, market = filled[both, column], moved[both, column]
                if np.ptp(own) > 0 and np.ptp(market) > 0:
                    result[column, place] = np.corrcoef(own, market)[0, 1]
    return result


def _undone(bars: Bars) -> tuple[float, Rows]:
    """Mean correlation of gaps with the sessions that follow, and the rows before those of which it is nearly -1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.log1p(bars.overnight_return)
        session = np.log1p(bars.total_return) - gap
    gap, session = (np.where(np.isfinite(part) & (gap != 0), part, np.nan) for part in (gap, session))
    series = rank_ic(gap, session, min_names=FEWEST_NAMES)
    rows = np.flatnonzero(np.nan_to_num(series) < UNDONE) - 1
    mean = float(np.nanmean(series)) if np.isfinite(series).any() else 0.0
    return mean, rows[rows >= 0].astype(np.int64)


def _own(returns: Floats) -> Floats:
    """Return less the session's median."""
    known = np.isfinite(returns).sum(axis=1) >= FEWEST_NAMES
    result = np.full_like(returns, np.nan)
    result[known] = returns[known] - np.nanmedian(returns[known], axis=1, keepdims=True)
    return result


def _surprise(volume: Floats) -> Floats:
    """Log of volume over its mean of the 20 sessions before; NaN where one of them is missing or 0."""
    level = np.log(np.where(volume > 0, volume, np.nan))
    sums = np.cumsum(np.where(np.isfinite(level), level, 0.0), axis=0)
    counts = np.cumsum(np.isfinite(level), axis=0)
    result = np.full_like(level, np.nan)
    full = counts[WINDOW:-1] - counts[: -WINDOW - 1] == WINDOW if len(level) > WINDOW + 1 else np.zeros((0, level.shape[1]))
    usual = (sums[WINDOW:-1] - sums[: -WINDOW - 1]) / WINDOW if len(level) > WINDOW + 1 else np.zeros((0, level.shape[1]))
    result[WINDOW + 1 :] = np.where(full, level[WINDOW + 1 :] - usual, np.nan)
    return result


def _mean_ic(values: Floats, outcome: Floats) -> float:
    series = rank_ic(values, outcome)
    return float(np.nanmean(series)) if np.isfinite(series).any() else 0.0
