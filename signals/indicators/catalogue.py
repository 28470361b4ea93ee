"""The catalogue of indicators: one table, a row each, and the function that computes them.

1. A value depends on its own column up to its own row: one session alone gives what all give together, to the bit, and a
   restart changes nothing, since nothing is carried.
2. Values are dimensionless (or returns): prices times a constant, or volumes times another, change none of them.
3. What is not defined (an empty range, too few bars, no quotes) is NaN, never 0; NaN is confined to the bars whose window
   holds too few values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from signals.errors import FixInput
from signals.indicators import dependence as de
from signals.indicators import momentum as mo
from signals.indicators import session as se
from signals.indicators import trend as tr
from signals.indicators import volatility as vo
from signals.indicators import volume as vl
from signals.indicators import wavelets as wa
from signals.indicators.columns import IndicatorBars
from signals.indicators.stacked import together
from signals.market.bars import Floats
from signals.minutes.stretch import Stretch

Formula = Callable[[IndicatorBars, int], Floats] | together
BLOCK_CELLS = 8_000  # of [bar, column]: what a block's stacks hold stays in the cache


@dataclass(frozen=True)
class Indicator:
    """One column of the catalogue.

    Attributes
    ----------
    name, family, units : str
        Units: ratio (0 is neutral), share (of 1), return, volatility, z, count.
    window : int
        Bars of its longest window; an exponential average forgets more slowly.
    formula : (IndicatorBars, window) -> float64 (T, C)
    level : int
        Of a wavelet, which its formula is given in the place of the window.
    reference : str
        The function of TA-Lib that gives the same; empty where there is none.
    """

    name: str
    family: str
    units: str
    window: int
    formula: Formula
    reference: str = ""
    level: int = 0

    @property
    def argument(self) -> int:
        """What its formula is given."""
        return self.level or self.window

    @property
    def text(self) -> str:
        """What it is, in a sentence."""
        return (self.formula.__doc__ or "").strip().splitlines()[0]


def _rows(family: str, *lines: tuple[str, str, Sequence[int], Formula, str]) -> tuple[Indicator, ...]:
    """One row for each window of each line (name, units, windows, formula, reference); `{n}` in a name is the window."""
    return tuple(
        Indicator(name.replace("{n}", str(n)), family, units, n, formula, reference)
        for name, units, windows, formula, reference in lines
        for n in windows
    )


CATALOGUE: tuple[Indicator, ...] = (
    *_rows(
        "averages",
        ("sma_gap_{n}", "ratio", (5, 10, 20, 50, 100, 200), tr.sma_gap, "SMA"),
        ("ema_gap_{n}", "ratio", (5, 9, 12, 20, 26, 50, 100), tr.ema_gap, "EMA"),
        ("ema_cross_{n}", "ratio", (20, 50, 200), tr.ema_cross, "EMA"),
        ("wma_gap_{n}", "ratio", (20,), tr.wma_gap, "WMA"),
        ("dema_gap_{n}", "ratio", (20,), tr.dema_gap, "DEMA"),
        ("tema_gap_{n}", "ratio", (20,), tr.tema_gap, "TEMA"),
        ("trima_gap_{n}", "ratio", (20,), tr.trima_gap, "TRIMA"),
        ("kama_gap_{n}", "ratio", (30,), tr.kama_gap, "KAMA"),
        ("hull_gap_{n}", "ratio", (16,), tr.hull_gap, "WMA"),
        ("zero_lag_gap_{n}", "ratio", (20,), tr.zero_lag_gap, ""),
        ("midprice_gap_{n}", "ratio", (14,), tr.middle_gap, "MIDPRICE"),
        ("line_slope_{n}", "return", (14, 30, 60), tr.line_slope, "LINEARREG_SLOPE"),
        ("line_residual_{n}", "return", (14, 30), tr.line_residual, "LINEARREG"),
    ),
    *_rows(
        "momentum",
        ("return_{n}", "return", (1, 2, 3, 5, 10, 20, 30, 60, 120, 240), mo.log_return, "ROCP"),
        ("rsi_{n}", "share", (7, 14, 21), mo.rsi, "RSI"),
        ("cmo_{n}", "share", (14,), mo.cmo, "CMO"),
        ("macd_line", "return", (26,), mo.macd_line, "MACD"),
        ("macd_signal", "return", (26,), mo.macd_signal, "MACD"),
        ("macd_histogram", "return", (26,), mo.macd_histogram, "MACD"),
        ("apo_{n}", "return", (26,), mo.apo, "APO"),
        ("stoch_k_{n}", "share", (5, 14), mo.stochastic(3, 1), "STOCH"),
        ("stoch_d_{n}", "share", (5, 14), mo.stochastic(3, 2), "STOCH"),
        ("stoch_rsi_k_{n}", "share", (14,), mo.stochastic_rsi(1), "STOCHRSI"),
        ("stoch_rsi_d_{n}", "share", (14,), mo.stochastic_rsi(3), "STOCHRSI"),
        ("williams_r_{n}", "share", (14, 28), mo.williams_r, "WILLR"),
        ("cci_{n}", "ratio", (14, 20), mo.cci, "CCI"),
        ("mfi_{n}", "share", (14,), mo.mfi, "MFI"),
        ("ultimate_{n}", "share", (28,), mo.ultimate, "ULTOSC"),
        ("trix_{n}", "return", (15,), mo.trix, "TRIX"),
        ("balance_of_power", "share", (1,), mo.balance_of_power, "BOP"),
        ("aroon_up_{n}", "share", (14,), mo.aroon_up, "AROON"),
        ("aroon_down_{n}", "share", (14,), mo.aroon_down, "AROON"),
        ("aroon_difference_{n}", "share", (14,), mo.aroon_difference, "AROONOSC"),
        ("know_sure_thing", "return", (44,), mo.know_sure_thing, "ROC, SMA"),
        ("fisher_{n}", "z", (10,), mo.fisher, ""),
        ("awesome_{n}", "return", (34,), mo.awesome, "SMA"),
        ("streak", "count", (1,), mo.streak, ""),
    ),
    *_rows(
        "trend",
        ("plus_di_{n}", "share", (14,), tr.plus_di, "PLUS_DI"),
        ("minus_di_{n}", "share", (14,), tr.minus_di, "MINUS_DI"),
        ("dx_{n}", "share", (14,), tr.dx, "DX"),
        ("adx_{n}", "share", (14, 28), tr.adx, "ADX"),
        ("adxr_{n}", "share", (14,), tr.adxr, "ADXR"),
        ("vortex_up_{n}", "ratio", (14,), tr.vortex_up, ""),
        ("vortex_down_{n}", "ratio", (14,), tr.vortex_down, ""),
        ("mass_{n}", "ratio", (25,), tr.mass, "EMA, SMA"),
        ("efficiency_{n}", "share", (20, 60), tr.efficiency, ""),
        ("choppiness_{n}", "share", (14, 30), tr.choppiness, ""),
        ("chandelier_long_{n}", "return", (20,), tr.chandelier_long, "MAX, ATR"),
        ("chandelier_short_{n}", "return", (20,), tr.chandelier_short, "MIN, ATR"),
        ("tenkan_gap_{n}", "ratio", (9,), tr.middle_gap, "MIDPRICE"),
        ("kijun_gap_{n}", "ratio", (26,), tr.middle_gap, "MIDPRICE"),
        ("tenkan_kijun_{n}", "ratio", (26,), tr.middle_cross, "MIDPRICE"),
    ),
    *_rows(
        "volatility",
        ("natr_{n}", "volatility", (7, 14, 28), vo.natr, "NATR"),
        ("realised_{n}", "volatility", (5, 10, 20, 60, 120, 240), vo.realised, ""),
        ("realised_ratio_{n}", "ratio", (20, 120), vo.realised_ratio, ""),
        ("parkinson_{n}", "volatility", (20, 60), vo.parkinson, ""),
        ("garman_klass_{n}", "volatility", (20, 60), vo.garman_klass, ""),
        ("rogers_satchell_{n}", "volatility", (20, 60), vo.rogers_satchell, ""),
        ("yang_zhang_{n}", "volatility", (20, 60), vo.yang_zhang, ""),
        ("bipower_{n}", "volatility", (20, 60), vo.bipower, ""),
        ("jump_share_{n}", "share", (20, 60), vo.bipower_share, ""),
        ("range_over_realised_{n}", "ratio", (20, 60), vo.volatility_of_range, ""),
        ("bollinger_z_{n}", "z", (20, 50), vo.bollinger_z, "BBANDS"),
        ("bollinger_width_{n}", "ratio", (20, 50), vo.bollinger_width, "BBANDS"),
        ("keltner_{n}", "z", (20,), vo.keltner, "EMA, ATR"),
        ("donchian_{n}", "share", (20, 60, 120), vo.donchian, "MIN, MAX"),
        ("drawdown_{n}", "return", (20, 60, 120), vo.drawdown, "MAX"),
        ("skewness_{n}", "z", (60, 120), vo.skewness, ""),
        ("kurtosis_{n}", "z", (60, 120), vo.kurtosis, ""),
        ("loss_share_{n}", "share", (20, 60), vo.loss_share, ""),
    ),
    *_rows(
        "dependence",
        ("autocorrelation_1_{n}", "share", (20, 60), de.autocorrelation(1), ""),
        ("autocorrelation_2_{n}", "share", (60,), de.autocorrelation(2), ""),
        ("autocorrelation_5_{n}", "share", (60,), de.autocorrelation(5), ""),
        ("variance_ratio_2_{n}", "ratio", (60,), de.variance_ratio(2), ""),
        ("variance_ratio_5_{n}", "ratio", (60,), de.variance_ratio(5), ""),
        ("variance_ratio_10_{n}", "ratio", (60,), de.variance_ratio(10), ""),
        ("hurst_{n}", "share", (64,), de.hurst, ""),
        ("sign_entropy_{n}", "share", (60,), de.sign_entropy, ""),
        ("return_z_{n}", "z", (60,), de.return_z, ""),
        ("high_low_correlation_{n}", "share", (30,), de.high_low_correlation, "CORREL"),
        ("high_low_beta_{n}", "ratio", (5,), de.high_low_beta, "BETA"),
    ),
    *_rows(
        "volume",
        ("balance_slope_{n}", "ratio", (20,), vl.balance_slope, "OBV, LINEARREG_SLOPE"),
        ("accumulation_{n}", "ratio", (10,), vl.accumulation, "ADOSC"),
        ("money_flow_{n}", "share", (20, 60), vl.money_flow, "AD"),
        ("volume_z_{n}", "z", (20, 60), vl.volume_z, ""),
        ("vwap_gap_{n}", "ratio", (20, 60), vl.vwap_gap, "SMA"),
        ("session_vwap_gap", "ratio", (1,), vl.session_vwap_gap, ""),
        ("force_{n}", "return", (13,), vl.force, "EMA"),
        ("ease_{n}", "ratio", (14,), vl.ease, ""),
        ("price_volume_correlation_{n}", "share", (20, 60), vl.price_volume_correlation, ""),
        ("volume_ratio_5_{n}", "ratio", (60,), vl.volume_ratio, "SMA"),
        ("volume_level_{n}", "ratio", (20, 78), vl.volume_level, ""),
        ("signed_share_{n}", "share", (20, 60), vl.signed_share, ""),
    ),
    *_rows(
        "microstructure",
        ("roll_{n}", "return", (20, 60), vl.roll, ""),
        ("high_low_spread_{n}", "return", (20, 60), vl.high_low_spread, ""),
        ("illiquidity_{n}", "return", (20, 60), vl.illiquidity, ""),
        ("impact_{n}", "return", (20, 60), vl.impact, ""),
        ("toxicity_{n}", "share", (20, 60), vl.toxicity, ""),
        ("untraded_{n}", "share", (60,), vl.untraded, ""),
        ("quoted_spread", "return", (1,), vl.quoted_spread, ""),
        ("book_imbalance", "share", (1,), vl.book_imbalance, ""),
        ("order_flow_{n}", "ratio", (10,), vl.order_flow, ""),
        ("microprice_gap", "return", (1,), vl.microprice_gap, ""),
        ("first_bar", "share", (1,), vl.first_bar, ""),
        ("last_bar", "share", (1,), vl.last_bar, ""),
    ),
    *_rows(
        "session",
        ("body", "share", (1,), se.body, "BOP"),
        ("upper_wick", "share", (1,), se.upper_wick, ""),
        ("lower_wick", "share", (1,), se.lower_wick, ""),
        ("range_ratio_{n}", "ratio", (20,), se.range_ratio, ""),
        ("session_return", "return", (1,), se.session_return, ""),
        ("overnight_gap", "return", (1,), se.overnight_gap, ""),
        ("opening_range", "share", (1,), se.opening_range, ""),
        ("time_left", "share", (1,), se.time_left, ""),
        ("clock_sine", "share", (1,), se.clock_sine, ""),
        ("clock_cosine", "share", (1,), se.clock_cosine, ""),
        ("weekday", "share", (1,), se.weekday, ""),
    ),
    *(
        row
        for wavelet in ("haar", "db2")
        for level in range(1, wa.LEVELS + 1)
        for row in (
            Indicator(f"{wavelet}_detail_{level}", "wavelets", "z", wa.DETAIL_BARS, wa.DETAIL[wavelet], level=level),
            Indicator(f"{wavelet}_energy_{level}", "wavelets", "share", wa.ENERGY_BARS, wa.ENERGY[wavelet], level=level),
        )
    ),
    *_rows(
        "regime",
        ("wild", "share", (60,), se.wild, ""),
        ("rising", "share", (60,), se.rising, ""),
        ("since_change", "count", (60,), se.since_change, ""),
    ),
)
BY_NAME = {row.name: row for row in CATALOGUE}
TRANSFORMER_RAW = (
    "return_1",
    "body",
    "upper_wick",
    "lower_wick",
    "range_ratio_20",
    "volume_z_20",
    "vwap_gap_20",
    "session_vwap_gap",
    "realised_20",
    "clock_sine",
    "clock_cosine",
    "time_left",
)  # what a network that looks at windows is given to make its own features of


def rows_of(names: Sequence[str]) -> tuple[Indicator, ...]:
    """Rows of the catalogue by name.

    Raises
    ------
    FixInput
        There is no such indicator.
    """
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise FixInput(f"no indicator is named {', '.join(unknown)}", where="features", fix="Take names of docs/features.md")
    return tuple(BY_NAME[name] for name in names)


def indicators(
    stretch: Stretch,
    rows: Sequence[Indicator] = CATALOGUE,
    *,
    full_session: int | None = None,
    regime: Floats | None = None,
    first: int = 0,
) -> Floats:
    """Every indicator of `rows` at every bar of the stretch from row `first` on, float64 (T - first, C, F).

    Parameters
    ----------
    full_session : int, optional
        Bars of a session of the usual length; that of the stretch unless named.
    regime : float64 (3, C), optional
        As in `IndicatorBars`.
    """
    height, width = stretch.close.shape
    out = np.empty((len(rows), height - first, width))
    block = max(1, BLOCK_CELLS // max(height, 1))
    places: dict[Formula, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.formula, []).append(place)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for begin in range(0, width, block):
            columns = slice(begin, begin + block)
            bars = IndicatorBars.of(stretch, columns, full_session=full_session, regime=regime, first=first)
            own = out[:, :, columns]
            for formula, its in places.items():
                arguments = tuple(rows[place].argument for place in its)
                if isinstance(formula, together) and bars.newest_only and len(its) > 1:
                    own[its] = formula(bars, arguments)[:, first - height :]
                    continue
                for place, argument in zip(its, arguments, strict=True):
                    own[place] = formula(bars, argument)[first - height :]
    out[~np.isfinite(out)] = np.nan
    return np.moveaxis(out, 0, -1)
