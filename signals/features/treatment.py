"""Winsorises features within a session and smooths them over their own past, where a feature set declares it.

Winsorising clips a feature, session by session, to limits of the eligible names that have it:

    mean +- c sd        or        quantiles q and 1 - q

with the population's deviation, and quantiles interpolated between neighbours. A session without such a name has no limits. Then
the exponentially weighted mean over the trailing w = 6 h sessions, h the half-life (older ones would weigh 1/64 together):

    s_t = sum_{j < w} d^j x_{t-j} / sum_{j < w} d^j        d = 2^(-1/h)        over the sessions that have a value

It is NaN where the session itself has none, or where those that have one weigh less than 80 % of the window. Features that are the
same for every name of a session are left as they are; ranks are taken of treated values.

Invariants
----------
1. Limits of a session come from that session, and a smoothed value from the w sessions that end at it: nothing later enters.
2. Every session of a panel and the newest sessions alone give the same bits, whatever the order of the names and however many
   ineligible ones are among them.
3. The declaration is part of the specification, at the end of a feature's units; no other words are read as one.
"""

import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from signals.features.panel import Feature, FeatureSpec
from signals.features.windows import MIN_VALID_PERCENT, Observations
from signals.market.bars import Flags, Floats

HALF_LIVES = 6
CHUNK_SESSIONS, CHUNK_CELLS = 64, 1 << 16
SD, QUANTILE, SESSIONS = (1.0, 10.0), (0.0001, 0.25), (1, 20)
DECLARED = re.compile(r"(?:; winsorised at (?:(\S+) sd|quantile (\S+)))?(?:; half-life (\d+))?$")


class _Strict:
    """Has a recipe's `yes` refused as a figure, without pydantic itself: computing features loads none of it."""

    def __get_pydantic_core_schema__(self, source: Any, read: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return read(source) | {"strict": True}


_STRICT = _Strict()


@dataclass(frozen=True)
class Treatment:
    """What a feature set declares; None is not done.

    Attributes
    ----------
    winsorise_sd : float or None
        Deviations from the mean, 1 to 10.
    winsorise_quantile : float or None
        The lower of the two quantiles, 0.0001 to 0.25.
    half_life_sessions : int or None
        1 to 20.

    Raises
    ------
    ValueError
        A figure is outside its bounds, both limits are given, or nothing is declared.
    """

    # A recipe that holds one refuses keys that it does not know, here as elsewhere.
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    winsorise_sd: Annotated[float, _STRICT] | None = None
    winsorise_quantile: Annotated[float, _STRICT] | None = None
    half_life_sessions: Annotated[int, _STRICT] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        for (name, figure), (least, most) in zip(vars(self).items(), (SD, QUANTILE, SESSIONS), strict=True):
            if figure is not None and (isinstance(figure, bool) or not least <= figure <= most):
                raise ValueError(f"{name} is from {least:g} to {most:g}")
        if self.winsorise_sd is not None and self.winsorise_quantile is not None:
            raise ValueError("features are winsorised at deviations or at quantiles, not at both")
        if all(figure is None for figure in vars(self).values()):
            raise ValueError("a treatment winsorises, smooths or does both; leave it out for neither")

    @property
    def window(self) -> int:
        """Sessions of a feature that one treated value is made of, its own included."""
        return 1 if self.half_life_sessions is None else HALF_LIVES * self.half_life_sessions

    @property
    def words(self) -> str:
        """The declaration as the units of a treated feature end with it."""
        limits = "" if self.winsorise_sd is None else f"; winsorised at {float(self.winsorise_sd)!r} sd"
        limits += "" if self.winsorise_quantile is None else f"; winsorised at quantile {float(self.winsorise_quantile)!r}"
        return limits + ("" if self.half_life_sessions is None else f"; half-life {self.half_life_sessions}")

    def of(self, feature: Feature) -> Feature:
        """Return the row of a feature table as the treated feature has it."""
        if feature.is_calendar:
            return feature
        is_clipped = self.winsorise_sd is not None or self.winsorise_quantile is not None
        return replace(
            feature,
            units=feature.units + self.words,
            lookback_sessions=feature.lookback_sessions + self.window - 1,
            is_cross_sectional=feature.is_cross_sectional or is_clipped,
        )

    def applied(self, values: NDArray[np.float32], eligible: Flags) -> NDArray[np.float32]:
        """Treat one feature.

        Parameters
        ----------
        values : float32, shape (T, N)
            NaN where undefined; the first `window` - 1 sessions are there to be looked back at.
        eligible : bool, shape (T, N)
            Whose values make the limits.

        Returns
        -------
        float32, shape (T, N)
            NaN where `values` are, and as the module's header says.
        """
        found = np.empty_like(values)
        for first in range(0, len(values), CHUNK_SESSIONS):
            chunk = slice(first, first + CHUNK_SESSIONS)
            found[chunk] = self._clipped(values[chunk], eligible[chunk])
        if self.half_life_sessions is not None:
            width = max(1, CHUNK_CELLS // len(values))
            for first in range(0, values.shape[1], width):
                block = slice(first, first + width)
                found[:, block] = _smoothed(found[:, block].astype(np.float64), self.half_life_sessions, self.window)
        return found

    def _clipped(self, values: NDArray[np.float32], eligible: Flags) -> NDArray[np.float32]:
        if self.winsorise_sd is None and self.winsorise_quantile is None:
            return values
        counted = eligible & np.isfinite(values)
        names = np.count_nonzero(counted, axis=1)
        some = np.flatnonzero(names)
        # From the smallest to the largest, so that neither the order of the names nor ineligible ones among them change a bit.
        rising = np.sort(np.where(counted, values, np.nan)[some].astype(np.float64), axis=1)
        if self.winsorise_quantile is not None:
            low, high = (_quantile(rising, names[some], q) for q in (self.winsorise_quantile, 1.0 - self.winsorise_quantile))
        else:
            mean = _total(rising, names[some]) / names[some]
            reach = float(self.winsorise_sd or 0.0) * np.sqrt(_total((rising - mean[:, None]) ** 2, names[some]) / names[some])
            low, high = mean - reach, mean + reach
        found = values.copy()
        found[some] = np.clip(values[some].astype(np.float64), low[:, None], high[:, None])
        return found


def declared_in(spec: FeatureSpec) -> Treatment | None:
    """Return the treatment that a specification's units declare; None where they declare none, or one that cannot be done."""
    for _, units, _ in spec:
        said = DECLARED.search(units)
        sd, quantile, half_life = said.groups() if said else (None, None, None)
        if sd or quantile or half_life:
            with suppress(ValueError):
                return Treatment(float(sd) if sd else None, float(quantile) if quantile else None, int(half_life) if half_life else None)
            return None
    return None


def _total(rising: Floats, names: NDArray[np.intp]) -> Floats:
    """Sum of the first `names` entries of each row, added one after the other."""
    return np.cumsum(rising, axis=1)[np.arange(len(rising)), names - 1]


def _quantile(rising: Floats, names: NDArray[np.intp], q: float) -> Floats:
    """Quantile of the first `names` entries of each sorted row, interpolated between neighbours."""
    place = (names - 1) * q
    below = np.floor(place).astype(np.int64)
    row, above = np.arange(len(rising)), np.minimum(below + 1, names - 1)
    found: Floats = rising[row, below] + (place - below) * (rising[row, above] - rising[row, below])
    return found


def _smoothed(values: Floats, half_life: int, window: int) -> Floats:
    """Exponentially weighted mean over the trailing window, shape (T, N)."""
    decay = math.exp2(-1.0 / half_life)
    observed = Observations(np.isfinite(values))
    total, weight = observed.decayed(values, decay).window(window)
    whole = (1.0 - decay**window) / (1.0 - decay)
    is_known = observed.valid & (weight * 100.0 >= MIN_VALID_PERCENT * whole)
    return np.where(is_known, total / np.where(is_known, weight, 1.0), np.nan)
