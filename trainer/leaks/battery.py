"""The leak battery run by every training: data checks, score checks and a second vendor.

Entry point: `battery`. Its result stands in the evidence; the bar `leak` of a promotion refuses a run of which a check
failed, until a person answers for it.

A second vendor's returns, gaps and volumes are compared with ours: what one file cannot show, a file that is dated
early as a whole or volumes that were touched a little, two files do. Compared are seeded name-sessions that both have.
A return agrees at the lag at which the other vendor has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Bars, Floats
from signals.sleeves.base import Sleeve
from trainer.curation.audit.early import early_moves
from trainer.curation.lags import agrees, at_lag
from trainer.leaks.checks import Fitting, LeakSubject, entry_profile, lagged_features, replaced_session, shifted_labels
from trainer.recipes.leak_limits import LeakConfig
from trainer.runs.evidence import LeakCheck, LeakFindings

LAGS = (-1, 0, 1)
LEAST_MOVE = 2e-3  # a smaller return agrees with any other
USUAL_VOLUME = np.log(1.25)  # how far from a name's usual ratio a session's may be
NAME = "second vendor"


@dataclass(frozen=True, eq=False)
class Compared:
    """Shares of the compared name-sessions that agree.

    Attributes
    ----------
    closes : tuple of float
        Close-to-close returns that are the other vendor's at lags -1, 0 and +1.
    gaps : float
        Overnight returns that agree.
    volumes : float
        Volumes whose ratio is within 25 % of the name's usual one.
    """

    count: int
    closes: tuple[float, ...]
    gaps: float
    volumes: float

    def document(self) -> Mapping[str, object]:
        """Return the shares as JSON values."""
        lags = {f"lag_{lag:+d}": share for lag, share in zip(LAGS, self.closes, strict=True)}
        return {"name_sessions": self.count, "closes": lags, "gaps": self.gaps, "volumes": self.volumes}


def compared(ours: Bars, theirs: Bars, count: int, seed: int) -> Compared:
    """Compare `count` seeded name-sessions of both panels; fewer where they have fewer in common."""
    names = sorted(set(ours.symbols) & set(theirs.symbols))
    days, mine, other = np.intersect1d(ours.sessions, theirs.sessions, return_indices=True)
    if len(names) == 0 or len(days) < len(LAGS):
        return Compared(0, (0.0,) * len(LAGS), 0.0, 0.0)
    a, b = (_common(bars, rows, names) for bars, rows in ((ours, mine), (theirs, other)))
    usable = np.isfinite(a["total"]) & np.isfinite(a["gap"]) & (np.abs(a["total"]) > LEAST_MOVE)
    for lag in LAGS:
        usable &= np.isfinite(at_lag(b["total"], lag))
    usable &= np.isfinite(b["gap"])
    cells = np.argwhere(usable)
    chosen = cells[np.random.default_rng(seed).permutation(len(cells))[:count]]
    if not len(chosen):
        return Compared(0, (0.0,) * len(LAGS), 0.0, 0.0)
    at = (chosen[:, 0], chosen[:, 1])
    closes = tuple(float(agrees(a["total"][at], at_lag(b["total"], lag)[at]).mean()) for lag in LAGS)
    gaps = float(agrees(a["gap"][at], b["gap"][at]).mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(a["volume"] / b["volume"])
    ratio[~np.isfinite(ratio)] = np.nan
    usual = np.array([np.nanmedian(ratio[:, c]) if np.isfinite(ratio[:, c]).any() else np.nan for c in range(len(names))])
    off = np.abs(ratio - usual)[at]
    return Compared(len(chosen), closes, gaps, float((off <= USUAL_VOLUME).mean()))


def second_vendor(ours: Bars, theirs: Bars, config: LeakConfig, seed: int) -> tuple[LeakCheck, Compared]:
    """Return the check of a second vendor and its figures."""
    found = compared(ours, theirs, config.compared, seed)
    before, same, after = found.closes
    figures = f"closes {before:.0%}, {same:.0%}, {after:.0%} at lags -1, 0, +1; gaps {found.gaps:.0%}"
    words = f"{figures}; volumes {found.volumes:.0%} of {found.count} name-sessions agree"
    if found.count < config.min_compared:
        words = f"{found.count} name-sessions in common are too few: name a dataset of the same names and sessions"
        return LeakCheck(NAME, False, None, config.min_agreement, words), found
    least = min(same, found.gaps, found.volumes)
    return LeakCheck(NAME, least >= config.min_agreement, least, config.min_agreement, words), found


def _common(bars: Bars, rows: NDArray[np.int64], names: list[str]) -> dict[str, Floats]:
    part = bars.select(tuple(names))
    return {"total": part.total_return[rows], "gap": part.overnight_return[rows], "volume": part.volume[rows]}


FITS = 2  # steps: features lagged, labels shifted


def battery(subject: LeakSubject, sleeve: Sleeve, fitting: Fitting, config: LeakConfig, *, seed: int, second: Bars | None) -> LeakFindings:
    """Run every check and return what was found.

    Parameters
    ----------
    second : Bars or None
        Another vendor's bars of the same names; None where there are none.
    """
    early = early_moves(subject.bars)
    words = early.sentences()
    moves = LeakCheck("early moves", not words, float(len(words)), 0.0, "; ".join(words) or "no name, session or volume moves early")
    checks = [
        moves,
        *entry_profile(subject, config),
        lagged_features(subject, fitting, config),
        shifted_labels(subject, fitting, config),
        replaced_session(subject, sleeve, config, seed),
    ]
    beside = None
    if second is not None:
        check, beside = second_vendor(subject.bars, second, config, seed)
        checks.append(check)
    return LeakFindings(
        limits=config.model_dump(mode="json"),
        checks=tuple(checks),
        early=early.document(),
        second_vendor=None if beside is None else beside.document(),
    )
