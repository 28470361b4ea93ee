"""Columns of bars, and what several indicators share: series derived once, windows folded and averages smoothed together.

`IndicatorBars` is what every indicator receives. Column c and row t of whatever it holds depend on column c up to row t, to the bit.

Where the newest rows alone are asked for, an indicator receives those and `REACH` rows before them, as the end of what all rows
give: a formula may look back as far on its own. What looks back further, or counts or carries something down the column, is
formed of all rows under a name, by `kept`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from signals.indicators.recurrence import Smoothing, shifted, smoothed
from signals.indicators.stacked import Stacked, Widths
from signals.market.bars import Floats
from signals.minutes.stretch import Stretch

S = TypeVar("S")
REACH = 20  # rows before the first asked for that a formula may read
DIRECTIONAL = tuple(f"{name}_{n}" for n in (14, 28) for name in ("plus", "minus", "true"))
BUILT_ON = ("ema_15", "ema_20", "ema_26", "macd_fast", "spread_9", "rise_14", "fall_14", *DIRECTIONAL)
"""Averages that others are made of: needed at every row, also where the newest rows alone are asked for."""


class shared(Generic[S]):  # a decorator, as property is
    """A value that is computed once; of the newest rows it is the end of that of all rows."""

    def __init__(self, make: Callable[[Any], S]) -> None:
        self._make, self.__doc__ = make, make.__doc__

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    def __get__(self, bars: IndicatorBars, _: type) -> S:
        value = self._make(bars) if bars.whole is None else _end(getattr(bars.whole, self._name), bars.rows)
        bars.__dict__[self._name] = value
        return value


def _end(value: Any, rows: int) -> Any:
    """The last rows of an array, of windows, or of each of several."""
    if isinstance(value, np.ndarray):
        return value[..., -rows:, :]
    if isinstance(value, Stacked):
        return value.last(rows)
    if isinstance(value, dict):
        return {name: _end(one, rows) for name, one in value.items()}
    return [_end(one, rows) for one in value]


def of_all_rows(formula: Callable[[IndicatorBars, int], S]) -> Callable[[IndicatorBars, int], S]:
    """Have a formula that reads further back than `REACH`, or carries something down the column, formed of all rows (`kept`)."""

    @wraps(formula)
    def found(bars: IndicatorBars, n: int) -> S:
        return bars.kept((formula, n), lambda whole: formula(whole, n))

    return found


@dataclass(frozen=True, eq=False)
class IndicatorBars:
    """Bars [bar, column] and the series that indicators share.

    Attributes
    ----------
    open, high, low, close, volume : float64, shape (T, C)
    traded : float64, shape (T, C)
        Share of a bar's minutes with a trade.
    warm_up : int
        Rows before the session's open.
    ends, left : int64, shape (T, C)
        Minutes from the open to a bar's END, and from there to the close.
    weekday : float64, shape (C,)
        0 Monday to 6 Sunday.
    full_session : int
        Bars of a session of the usual length.
    quotes : mapping
        bid, ask, bid_size, ask_size at each bar's END, shape (T, C), where there are quotes.
    regime : float64, shape (3, C)
        P(wild), sign of the trend and sessions since it changed, at the close before (`signals.indicators.regimes`).
    rows : int
        Rows at the end of which windows are formed.
    whole : IndicatorBars, optional
        All rows, where these are the newest.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    traded: Floats
    warm_up: int
    ends: NDArray[np.int64]
    left: NDArray[np.int64]
    weekday: Floats
    full_session: int
    quotes: Mapping[str, Floats] = field(default_factory=dict)
    regime: Floats | None = None
    rows: int = 0
    whole: IndicatorBars | None = None
    _kept: dict[Hashable, object] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        stretch: Stretch,
        columns: slice = slice(None),
        *,
        full_session: int | None = None,
        regime: Floats | None = None,
        first: int = 0,
    ) -> Self:
        """Return the chosen columns of a stretch, contiguous in memory; a full session is as long as the stretch's rows unless named.

        Values are right from row `first` on; where that leaves out enough to be worth it, the rows before it are not formed.
        """
        height = len(stretch.close)
        rows = height - first + REACH

        def cut(array: NDArray[np.float64]) -> Floats:
            return np.ascontiguousarray(array[:, columns])

        whole = cls(
            open=cut(stretch.open),
            high=cut(stretch.high),
            low=cut(stretch.low),
            close=cut(stretch.close),
            volume=cut(stretch.volume),
            traded=cut(stretch.traded),
            warm_up=stretch.warm_up,
            ends=stretch.ends[:, columns],
            left=stretch.left[:, columns],
            full_session=height - stretch.warm_up if full_session is None else full_session,
            weekday=((stretch.sessions[columns].astype("datetime64[D]").astype(np.int64) + 3) % 7).astype(np.float64),
            quotes={name: cut(array) for name, array in stretch.quotes.items()},
            regime=None if regime is None else regime[:, columns],
            rows=rows if rows < height else height,
        )
        if rows >= height:
            return whole
        fields = ("open", "high", "low", "close", "volume", "traded", "ends", "left", "quotes")
        return replace(whole, whole=whole, **{name: _end(getattr(whole, name), rows) for name in fields})

    @property
    def newest_only(self) -> int:
        """How many of the newest rows are asked for, where not all of them are; else 0."""
        return self.rows - REACH if self.rows < len(self.close) else 0

    @property
    def nothing(self) -> Floats:
        """NaN everywhere: an indicator whose inputs are not there."""
        return np.full_like(self.close, np.nan)

    def kept(self, name: Hashable, make: Callable[[IndicatorBars], S]) -> S:
        """Return what `make` forms of all rows, computed once under `name`; of the newest rows its end."""
        if name not in self._kept:
            self._kept[name] = make(self) if self.whole is None else _end(self.whole.kept(name, make), self.rows)
        found: Any = self._kept[name]
        return found  # type: ignore[no-any-return]

    def windows(
        self,
        series: Mapping[str, Floats],
        widths: tuple[int, ...],
        partners: Mapping[str, Floats] | Floats | None = None,
        *,
        further: int = 0,
    ) -> Stacked:
        """Windows of those widths of series of all rows; `further` rows before those that are read are formed too."""
        return Stacked(series, partners, rows=self.rows + further if self.rows < len(self.close) else 0, widths=widths)

    # -- series ------------------------------------------------------------------------------------------------------

    @shared
    def row(self) -> Floats:
        """Number of each row, shape (T, 1)."""
        return np.arange(len(self.close), dtype=np.float64)[:, None]

    @shared
    def before(self) -> Floats:
        """Close of the bar before."""
        return shifted(self.close, 1)

    @shared
    def high_before(self) -> Floats:
        """High of the bar before."""
        return shifted(self.high, 1)

    @shared
    def low_before(self) -> Floats:
        """Low of the bar before."""
        return shifted(self.low, 1)

    @shared
    def change(self) -> Floats:
        """Close less the close before."""
        return self.close - self.before

    @shared
    def log_close(self) -> Floats:
        """Natural logarithm of the close."""
        return np.log(self.close)

    @shared
    def returns(self) -> Floats:
        """Log return of each bar."""
        return self.log_close - shifted(self.log_close, 1)

    @shared
    def spread(self) -> Floats:
        """High less low."""
        return self.high - self.low

    @shared
    def log_range(self) -> Floats:
        """ln(high / low)."""
        return np.log(self.high) - np.log(self.low)

    @shared
    def true_range(self) -> Floats:
        """Range of the bar and the close before it."""
        return np.maximum(self.high, self.before) - np.minimum(self.low, self.before)

    @shared
    def typical(self) -> Floats:
        """(high + low + close) / 3."""
        return (self.high + self.low + self.close) / 3.0

    @shared
    def median(self) -> Floats:
        """(high + low) / 2."""
        return (self.high + self.low) / 2.0

    @shared
    def log_volume(self) -> Floats:
        """Natural logarithm of the volume; missing where nothing was traded."""
        return np.where(self.volume > 0, np.log(np.where(self.volume > 0, self.volume, 1.0)), np.nan)

    @shared
    def signed_volume(self) -> Floats:
        """Volume times the sign of the change of the close (the tick rule on bars)."""
        return np.sign(self.change) * self.volume

    @shared
    def money_flow(self) -> Floats:
        """Volume times the place of the close in the bar's range, -1 to 1; 0 where there is no range."""
        position = np.where(self.spread == 0.0, 0.0, (2.0 * self.close - self.low - self.high) / self.spread)
        return position * self.volume

    # -- windows -----------------------------------------------------------------------------------------------------

    @shared
    def closes(self) -> Stacked:
        """Means of the close."""
        return self.windows({"close": self.close}, (5, 10, 12, 20, 26, 50, 100, 200), further=10)

    @shared
    def prices(self) -> Stacked:
        """Means of the typical and the median price."""
        return self.windows({"typical": self.typical, "median": self.median}, (5, 14, 20, 34))

    @shared
    def extremes(self) -> Stacked:
        """Highest high, lowest low (negated), highest and lowest (negated) close."""
        series = {"high": self.high, "-low": -self.low, "close": self.close, "-close": -self.close}
        return self.windows(series, (5, 9, 14, 15, 16, 20, 26, 28, 30, 60, 64, 120), further=63)

    def middle(self, width: Widths) -> tuple[Floats, Floats]:
        """(highest high, lowest low) of the window."""
        return self.extremes.highest("high", width), -self.extremes.highest("-low", width)

    @shared
    def paces(self) -> Stacked:
        """Squares of returns, volume and signed volume, of which many windows are asked."""
        asked = {"square": self.returns**2, "volume": self.volume, "signed": self.signed_volume}
        return self.windows(asked, (5, 10, 20, 60, 120, 240), further=59)

    @shared
    def ranges(self) -> Stacked:
        """Series that oscillators of 7 to 30 bars sum."""
        move = self.typical - shifted(self.typical, 1)
        flow = self.typical * self.volume
        usual = self.paces.mean("volume", 20)
        rows = len(usual)
        eased = (self.median / shifted(self.median, 1) - 1.0) * self.spread / self.median
        return self.windows(
            {
                "true": self.true_range,
                "up": np.abs(self.high - self.low_before),
                "down": np.abs(self.low - self.high_before),
                "bought": np.where(move > 0, flow, 0.0 * move * flow),
                "sold": np.where(move < 0, flow, 0.0 * move * flow),
                "pressure": self.close - np.minimum(self.low, self.before),
                "eased": eased[-rows:] * usual / self.volume[-rows:],
            },
            (7, 14, 28, 30),
        )

    @shared
    def flows(self) -> Stacked:
        """Series that are averaged over 20 and 60 bars."""
        r, log_open, log_high, log_low = self.returns, np.log(self.open), np.log(self.high), np.log(self.low)
        body, before = self.log_close - log_open, shifted(r, 1)
        rising, rose = r > 0, before > 0
        guard = 0.0 * r * before
        return self.windows(
            {
                "parkinson": self.log_range**2,
                "garman_klass": 0.5 * self.log_range**2 - (2.0 * np.log(2.0) - 1.0) * body**2,
                "rogers_satchell": (log_high - self.log_close) * (log_high - log_open) + (log_low - self.log_close) * (log_low - log_open),
                "bipower": np.abs(r * before),
                "loss": np.where(r < 0, r * r, 0.0 * r),
                "path": np.abs(self.change),
                "size": np.abs(r),
                "range": self.spread,
                "money_flow": self.money_flow,
                "typical_volume": self.typical * self.volume,
                "illiquidity": np.abs(r) / self.volume,
                "imbalance": np.abs(5.0 * self.paces.mean("signed", 5)),
                "spread": self.high_low_spread,
                "untraded": 1.0 - self.traded,
                "up_up": (rising & rose) + guard,
                "up_down": (rising & ~rose) + guard,
                "down_up": (~rising & rose) + guard,
                **{f"square_{k}": (self.log_close - shifted(self.log_close, k)) ** 2 for k in (2, 5, 10)},
            },
            (20, 60),
        )

    @shared
    def high_low_spread(self) -> Floats:
        """Spread of two bars, a share of the price, not below 0; Corwin and Schultz 2012, eqs. 14 and 18."""
        beta = self.log_range**2 + shifted(self.log_range, 1) ** 2
        both = np.log(np.maximum(self.high, self.high_before)) - np.log(np.minimum(self.low, self.low_before))
        root = 3.0 - 2.0 * np.sqrt(2.0)
        alpha = np.exp((np.sqrt(2.0 * beta) - np.sqrt(beta)) / root - np.sqrt(both**2 / root))
        return np.asarray(np.maximum(2.0 * (alpha - 1.0) / (1.0 + alpha), 0.0))

    @shared
    def levels(self) -> Stacked:
        """Moments of the close, the log volume, and the night's and the bar's own part of a return."""
        log_open = np.log(self.open)
        gap, body = log_open - shifted(self.log_close, 1), self.log_close - log_open
        return self.windows({"close": self.close, "log_volume": self.log_volume, "gap": gap, "body": body}, (20, 50, 60))

    @shared
    def shape(self) -> Stacked:
        """Four moments of the returns."""
        return self.windows({"returns": self.returns}, (60, 120))

    @shared
    def lines(self) -> Stacked:
        """The close against the number of its row."""
        return self.windows({"close": self.close}, (8, 14, 16, 20, 30, 60), self.row)

    @shared
    def pairs(self) -> Stacked:
        """Returns against their own past, the signed volume and the change of the log volume."""
        r = self.returns
        partners = {f"lag_{k}": shifted(r, k) for k in (1, 2, 5)}
        partners |= {"signed": self.signed_volume, "volume": self.log_volume - shifted(self.log_volume, 1)}
        return self.windows(dict.fromkeys(partners, r), (20, 60), partners)

    @shared
    def sides(self) -> Stacked:
        """High against low, and their returns against one another."""
        high, low = self.high / self.high_before - 1.0, self.low / self.low_before - 1.0
        return self.windows({"level": self.high, "return": high}, (5, 30), {"level": self.low, "return": low})

    # -- averages that forget ----------------------------------------------------------------------------------------

    @shared
    def averages(self) -> dict[str, Floats]:
        """First averages, all of them in one recurrence."""
        up, down = self.high - self.high_before, self.low_before - self.low
        rise, fall = np.maximum(self.change, 0.0), np.maximum(-self.change, 0.0)
        plus = np.where((up > down) & (up > 0), up, 0.0 * up * down)
        minus = np.where((down > up) & (down > 0), down, 0.0 * up * down)
        seen = np.add.accumulate(np.isfinite(self.close), axis=0)
        asked: dict[str, tuple[Floats, Smoothing]] = {
            f"ema_{n}": (self.close, Smoothing.ema(n)) for n in (5, 9, 12, 15, 20, 26, 50, 100, 200)
        }
        asked["macd_fast"] = np.where(seen > 14, self.close, np.nan), Smoothing.ema(12)  # both of MACD's averages start at bar 26
        asked["zero_lag"] = 2.0 * self.close - shifted(self.close, 9), Smoothing.ema(20)
        asked["spread_9"] = self.spread, Smoothing.ema(9)
        asked["force"] = self.returns * self.volume, Smoothing.ema(13)
        asked["volume"] = self.volume + 0.0 * self.returns, Smoothing.ema(13)
        asked |= {f"atr_{n}": (self.true_range, Smoothing.wilder(n)) for n in (7, 10, 14, 28)}
        asked |= {f"rise_{n}": (rise, Smoothing.wilder(n)) for n in (7, 14, 21)}
        asked |= {f"fall_{n}": (fall, Smoothing.wilder(n)) for n in (7, 14, 21)}
        for n in (14, 28):
            for name, series in (("plus", plus), ("minus", minus), ("true", self.true_range)):
                asked[f"{name}_{n}"] = series, Smoothing.wilder_sum(n)
        for n in (3, 10):  # gap between a running total of the flow and its average: the total itself never has to be formed
            decay = (n - 1.0) / (n + 1.0)
            asked[f"flow_{n}"] = self.money_flow, Smoothing(1, 0.0, decay, decay)
        if not self.newest_only:
            return _all_smoothed(asked)
        return _all_smoothed({name: asked.pop(name) for name in BUILT_ON}) | _all_smoothed(asked, self.newest_only)

    def average(self, name: str, n: Widths) -> Floats:
        """The average of that name and length, or of each length."""
        return self.averages[f"{name}_{n}"] if isinstance(n, int) else np.stack([self.averages[f"{name}_{one}"] for one in n])

    @of_all_rows
    def directional(self, length: int) -> list[Floats]:
        """+DI, -DI and DX, shares of one (Wilder 1978)."""
        total = self.averages[f"true_{length}"]
        first = np.add.accumulate(np.isfinite(total), axis=0) > 1  # the seed itself is not shown
        plus, minus = (np.where(first, self.averages[f"{side}_{length}"] / total, np.nan) for side in ("plus", "minus"))
        return [plus, minus, np.abs(plus - minus) / (plus + minus)]

    @shared
    def second(self) -> dict[str, Floats]:
        """Averages of averages."""
        first = self.averages
        return _all_smoothed(
            {
                **{f"ema_{n}": (first[f"ema_{n}"], Smoothing.ema(n)) for n in (20, 15)},
                "spread_9": (first["spread_9"], Smoothing.ema(9)),
                "macd": (first["macd_fast"] - first["ema_26"], Smoothing.ema(9)),
                **{f"adx_{n}": (self.directional(n)[2], Smoothing.wilder(n)) for n in (14, 28)},
            }
        )

    @shared
    def third(self) -> dict[str, Floats]:
        """Averages of averages of averages."""
        second = self.second
        return _all_smoothed({f"ema_{n}": (second[f"ema_{n}"], Smoothing.ema(n)) for n in (15, 20)})

    def relative_strength(self, length: Widths) -> Floats:
        """Wilder's average rise over that of rise and fall, 0 to 1."""
        rise, fall = self.average("rise", length), self.average("fall", length)
        return rise / (rise + fall)


def _all_smoothed(asked: Mapping[str, tuple[Floats, Smoothing]], last: int = 0) -> dict[str, Floats]:
    made = smoothed(np.stack([series for series, _ in asked.values()]), tuple(how for _, how in asked.values()), last)
    return dict(zip(asked, made, strict=True))
