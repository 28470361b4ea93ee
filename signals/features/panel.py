"""The feature panel: a dense float32 array [session, symbol, feature] with its axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken, NotASession
from signals.features.history import FeatureInputs
from signals.files import sha256_of
from signals.market.bars import Bars, Days, Floats

FeatureSpec = tuple[tuple[str, str, int], ...]
"""Ordered (name, units, look-back in sessions) of features."""


@dataclass(frozen=True)
class Feature:
    """One row of a sleeve's feature table.

    Attributes
    ----------
    units : str
        "ratio", "log USD", "z", "rank", ...
    lookback_sessions : int
        Sessions read, the current one included: the value at t depends on bars in [t - lookback + 1, t] only.
    formula : callable
        History of T sessions and N symbols -> float64 (T, N); NaN where the window has too few valid observations.
    is_cross_sectional : bool
        Whether other symbols' bars enter (ranks, beta, residual volatility, market-relative figures).
    is_ranked : bool
        Whether its per-session cross-sectional rank is added as the feature `rank_<name>`.
    is_calendar : bool
        The same for every symbol of a session; excluded from drift.
    reads : str
        Figure of a classification table that it needs (`signals.market.bars.CLASSIFIED`); empty for none.
    """

    name: str
    units: str
    lookback_sessions: int
    formula: Callable[[FeatureInputs], Floats]
    is_cross_sectional: bool = False
    is_ranked: bool = True
    is_calendar: bool = False
    reads: str = ""

    def compute(self, bars: Bars) -> Floats:
        """Values at every session of `bars`; float64, shape (T, N), not yet rounded to float32."""
        history = FeatureInputs.of(bars)
        with np.errstate(all="ignore"):
            values = self.formula(history)
            return np.where(np.isfinite(self._delivered(values, history)), values, np.nan)

    def evaluate(self, history: FeatureInputs) -> NDArray[np.float32]:
        """Values at the sessions that `history` wants, as the model receives them; shape (T, N)."""
        with np.errstate(all="ignore"):
            return self._delivered(self.formula(history), history)

    def _delivered(self, values: Floats, history: FeatureInputs) -> NDArray[np.float32]:
        """Round to float32; NaN for what it cannot hold and, but for calendar features, for a name without a bar."""
        delivered = values.astype(np.float32)
        usable = np.isfinite(delivered)
        if not self.is_calendar:
            usable &= history.has_bar
        np.copyto(delivered, np.float32(np.nan), where=~usable)
        return delivered


@dataclass(frozen=True, eq=False)
class FeaturePanel:
    """Features of a run of sessions, as the model receives them.

    Attributes
    ----------
    sessions : datetime64[D], shape (T,)
    symbols : tuple of str, length N
    names : tuple of str, length F, in the model's order
    values : float32, shape (T, N, F)
        NaN where a feature is undefined; infinite never.
    eligible : bool, shape (T, N)
        Names that may be scored; the others' values are not to be read.
    """

    sessions: Days
    symbols: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    eligible: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = (len(self.sessions), len(self.symbols), len(self.names))
        if self.values.shape != shape or self.values.dtype != np.float32:
            raise InvariantBroken(f"feature values are {self.values.dtype} {self.values.shape}, not float32 {shape}")
        if self.eligible.shape != shape[:2]:
            raise InvariantBroken(f"eligible has shape {self.eligible.shape}, not {shape[:2]}")
        self.values.setflags(write=False)
        self.eligible.setflags(write=False)

    def at(self, day: date) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Eligible symbols of the session `day` and their rows, shape (n, F)."""
        position = int(np.searchsorted(self.sessions, np.datetime64(day, "D")))
        if position == len(self.sessions) or self.sessions[position] != np.datetime64(day, "D"):
            raise NotASession(f"no features for {day}", where=f"{self.sessions[0]} to {self.sessions[-1]}")
        chosen = np.flatnonzero(self.eligible[position])
        return tuple(self.symbols[c] for c in chosen), self.values[position, chosen]

    def only(self, names: Sequence[str]) -> FeaturePanel:
        """Return these features, in this order."""
        values = np.ascontiguousarray(self.values[..., [self.names.index(name) for name in names]])
        return FeaturePanel(self.sessions, self.symbols, tuple(names), values, self.eligible)

    def newest(self) -> FeaturePanel:
        """Return the newest session alone."""
        return FeaturePanel(self.sessions[-1:], self.symbols, self.names, self.values[-1:], self.eligible[-1:])


def spec_hash(rows: list[tuple[str, str, int]]) -> str:
    """SHA-256 over ordered (name, units, look-back) rows: a bundle and a device agree on features or do not score."""
    return sha256_of("\n".join(f"{name}|{units}|{lookback}" for name, units, lookback in rows).encode())
