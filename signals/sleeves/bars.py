"""The sleeve `bars`: direction of one instrument over the next bars, from indicators of its own minutes.

The strategy says what a decision sees: `single` the training timeframe alone; `indicators` also a short list of every other rung
of the ladder, as `<name>@<minutes>`; `ingestion` the raw channels of every rung, for networks that look at windows of them. Every
rung shows its last closed bar. Warm-ups are part of the specification, and so are hours and timeframe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from signals.errors import DataNotUsable, FixInput
from signals.features.panel import FeaturePanel, FeatureSpec
from signals.indicators.catalogue import BY_NAME, Indicator, indicators, rows_of
from signals.indicators.regimes import BARS_SESSIONS, known_before
from signals.market.bars import Bars, Floats
from signals.minutes.bars import MinuteBars
from signals.minutes.grid import Hours
from signals.minutes.stretch import RUNGS, DecisionBars, Stretch, as_of, decision_bars, in_rows, stretch
from signals.sleeves.base import Sleeve

MINUTE_BARS = "minute_bars"
WARM_UP, RUNG_WARM_UP = 400, 120
UNIT = "natr_14"
USUAL_MINUTES = 390
SHAPE = re.compile(r"; ([1-9]\d{0,3}) min, (rth|eth|both) of ([1-9]\d{0,3}), after \d+ bars of ([1-9]\d{0,3})")
TABLE = (
    *(f"return_{n}" for n in (1, 2, 3, 5, 10, 20, 60)),
    *("ema_gap_9", "ema_gap_20", "ema_gap_50", "ema_cross_20", "line_slope_30", "rsi_7", "rsi_14", "macd_histogram", "stoch_k_14"),
    *("cci_14", "mfi_14", "adx_14", "plus_di_14", "minus_di_14", "efficiency_20", "efficiency_60", "streak", "bollinger_z_20"),
    *("donchian_20", "donchian_60", "natr_14", "realised_20", "realised_ratio_20", "realised_120", "parkinson_20", "skewness_60"),
    *("autocorrelation_1_20", "variance_ratio_5_60", "volume_z_20", "volume_ratio_5_60", "volume_level_20", "volume_level_78"),
    *("session_vwap_gap", "vwap_gap_20", "signed_share_20", "illiquidity_20", "body", "upper_wick", "lower_wick", "range_ratio_20"),
    *("session_return", "overnight_gap", "time_left", "clock_sine", "clock_cosine"),
)
SHORT = (
    *("return_5", "ema_gap_20", "rsi_14", "adx_14", "natr_14", "bollinger_z_20", "donchian_20", "macd_histogram", "stoch_k_14"),
    *("realised_20", "cci_14", "volume_ratio_5_60"),
)
CHANNELS = ("return_z_60", "range_ratio_20", "body", "volume_z_20", "vwap_gap_20")
CLOCK = ("time_left", "clock_sine", "clock_cosine")


class Strategy(StrEnum):
    """Kind of decision, by the part of the ladder that it reads."""

    SINGLE = "single"
    INDICATORS = "indicators"
    INGESTION = "ingestion"


@dataclass(frozen=True)
class BarsSleeve(Sleeve):
    """A sleeve over one instrument's minutes.

    Attributes
    ----------
    timeframe : int
        Minutes of a decision's bar.
    indicators : tuple of str
        Of the training timeframe, names of the catalogue.
    length : int
        Minutes of the bars that come in: rungs finer than these are left out.
    session_minutes : int
        Of a session of the usual length.
    """

    timeframe: int = 5
    strategy: Strategy = Strategy.SINGLE
    hours: Hours = Hours.RTH
    indicators: tuple[str, ...] = TABLE
    length: int = 1
    session_minutes: int = USUAL_MINUTES

    @cached_property
    def rungs(self) -> dict[int, tuple[Indicator, ...]]:
        """Indicators by rung, the training timeframe first."""
        if self.timeframe % self.length:
            raise FixInput(f"bars of {self.length} minutes do not make bars of {self.timeframe}", where="timeframe", fix="Choose another")
        own = (*CHANNELS, UNIT, *CLOCK) if self.strategy is Strategy.INGESTION else self.indicators
        other = {Strategy.SINGLE: (), Strategy.INDICATORS: SHORT, Strategy.INGESTION: CHANNELS}[self.strategy]
        others = [m for m in RUNGS if m != self.timeframe and m % self.length == 0] if other else []
        return {self.timeframe: rows_of(own), **{m: rows_of(other) for m in others}}

    @cached_property
    def spec(self) -> tuple[tuple[str, str, int], ...]:
        """Ordered (name, units with timeframe, hours and warm-up, look-back in sessions)."""
        rows = []
        for m, table in self.rungs.items():
            warm_up = self._warm_up(m)
            words = f"{m} min, {self.hours} of {self.session_minutes}, after {warm_up} bars of {self.length}"
            lookback = 1 - (-warm_up * m // self.session_minutes)
            for row in table:
                own = max(lookback, BARS_SESSIONS + 1) if row.family == "regime" else lookback
                rows.append((row.name if m == self.timeframe else f"{row.name}@{m}", f"{row.units}; {words}", own))
        return tuple(rows)

    @property
    def reach(self) -> int:
        """Bars of the training timeframe over which a decision looks back, the warm-ups of all rungs included."""
        return max(-(-self._warm_up(m) * m // self.timeframe) for m in self.rungs)

    def _warm_up(self, m: int) -> int:
        return WARM_UP if m == self.timeframe else RUNG_WARM_UP

    def shaped_as(self, spec: FeatureSpec) -> BarsSleeve:
        """Return the sleeve in the shape that has this specification, as recipes shape it; itself where no shape has it."""
        own = tuple(name for name, _, _ in spec if "@" not in name)
        said = SHAPE.search(spec[0][1]) if spec else None
        if said is None or not set(own) <= set(BY_NAME) or int(said[1]) % int(said[4]):
            return self
        shape = replace(self, timeframe=int(said[1]), hours=Hours(said[2]), session_minutes=int(said[3]), length=int(said[4]))
        shapes = (replace(shape, strategy=one, indicators=TABLE if one is Strategy.INGESTION else own) for one in Strategy)
        return next((one for one in shapes if one.spec == spec), self)

    def intraday(self, minutes: MinuteBars) -> tuple[DecisionBars, FeaturePanel]:
        """Bars of the training timeframe, and the features of every one of them; the axis of both is the bars' END.

        A bar can be scored where it has a price and its session's warm-up is whole on every rung.
        """
        own = stretch(minutes, self.timeframe, self._warm_up(self.timeframe))
        session = (1.0 + minutes.overnight) * minutes.last_close / minutes.first_open - 1.0
        parts = [self._values(own, self.rungs[self.timeframe], own.warm_up, known_before(session))]
        complete, moments = own.complete, own.ends[own.warm_up :]
        for m, table in list(self.rungs.items())[1:]:
            rung = stretch(minutes, m, self._warm_up(m))
            parts.append(np.take_along_axis(self._values(rung, table, 0), as_of(rung, moments)[..., None], axis=0))
            complete = complete & rung.complete
        sigma = self._values(own, rows_of((UNIT,)), own.warm_up)[..., 0]
        bars = decision_bars(minutes, self.timeframe, sigma.T)
        by_session = np.moveaxis(np.concatenate(parts, axis=2), 0, 1)
        values: NDArray[np.float32] = in_rows(minutes, self.timeframe, by_session).astype(np.float32)[:, None]
        values[~np.isfinite(values)] = np.nan
        eligible = bars.eligible & complete[bars.session] & (bars.sigma > 0.0)
        return bars, FeaturePanel(bars.sessions, bars.symbols, self.names, values, eligible)

    def _values(self, rung: Stretch, table: tuple[Indicator, ...], first: int, regime: Floats | None = None) -> Floats:
        return indicators(rung, table, full_session=-(-self.session_minutes // rung.timeframe), first=first, regime=regime)

    def newest(self, minutes: MinuteBars, bars: int = 1) -> FeaturePanel:
        """Features of the last `bars` decisions: the newest bar is the last one whose END the minutes reach.

        Raises
        ------
        FixInput
            The minutes are of another length.
        DataNotUsable
            No bar has ended.
        """
        if minutes.length != self.length:
            what = f"bars of {minutes.length} minutes, not of {self.length}"
            raise FixInput(what, where=minutes.symbol, fix="Give bars as in the training")
        known = int(np.flatnonzero(np.isfinite(minutes.close[-1]))[-1]) + 1
        reached = minutes.opens[-1] + np.timedelta64(min(known * minutes.length, int(minutes.minutes[-1])), "m")
        panel = self.intraday(minutes)[1]
        end = int(np.searchsorted(panel.sessions, reached, side="right"))
        if not end:
            raise DataNotUsable(f"no bar of {self.timeframe} minutes has ended", where=minutes.symbol, fix="Give earlier minutes too")
        seen = slice(max(0, end - bars), end)
        return replace(panel, sessions=panel.sessions[seen], values=panel.values[seen], eligible=panel.eligible[seen])

    def panel(self, bars: Bars) -> FeaturePanel:
        """Raise `DataNotUsable`: what the sleeve reads are minutes (`intraday`)."""
        raise DataNotUsable(f"the sleeve {self.name} reads minutes, not daily bars", fix="Score minutes: `trainer outlook --bars FILE`")

    def features(self, bars: Bars, asof: date, sessions: int = 1) -> FeaturePanel:
        """Raise `DataNotUsable`, as `panel`."""
        return self.panel(bars)


def clock_alone(panel: FeaturePanel) -> FeaturePanel:
    """Return the panel with what the clock says and nothing else."""
    return panel.only(CLOCK)


BARS = BarsSleeve("bars", (MINUTE_BARS,), (), 20)
