"""The catalogue against TA-Lib and PyWavelets, which no product code imports."""

from __future__ import annotations

import numpy as np
import pytest

from signals.indicators.catalogue import BY_NAME, CATALOGUE, indicators
from signals.indicators.wavelets import LEVELS, SCALING, details
from tests.fakes.stretches import synthetic_stretch

talib = pytest.importorskip("talib", reason="TA-Lib is an oracle of the development environment")
pywt = pytest.importorskip("pywt", reason="PyWavelets is an oracle of the development environment")


def reference() -> dict[str, np.ndarray]:
    """What TA-Lib makes of the same column, each on our scale."""
    t = talib
    o, h, l, c, v = bars()  # noqa: E741  # open, high, low, close, volume
    middle, typical, r = (h + l) / 2.0, (h + l + c) / 3.0, np.diff(np.log(c))
    spread = t.EMA(h - l, 9)
    stoch, slow, srsi, macd, aroon = (
        t.STOCH(h, l, c),
        t.STOCH(h, l, c, 14, 3, 0, 3, 0),
        t.STOCHRSI(c, 14, 14, 3),
        t.MACD(c),
        t.AROON(h, l, 14),
    )
    smooth_range = np.concatenate([np.full(8, np.nan), t.EMA(spread[8:], 9)])
    ratio = (spread / smooth_range)[16:]
    atr, flow = t.ATR(h, l, c, 10), t.AD(h, l, c, v)

    def ago(x: np.ndarray, n: int) -> np.ndarray:
        return np.concatenate([np.full(n, np.nan), x[:-n]])

    return {
        **{f"sma_gap_{n}": c / t.SMA(c, n) - 1 for n in (5, 10, 20, 50, 100, 200)},
        **{f"ema_gap_{n}": c / t.EMA(c, n) - 1 for n in (5, 9, 12, 20, 26, 50, 100)},
        **{f"ema_cross_{n}": t.EMA(c, fast) / t.EMA(c, n) - 1 for n, fast in ((20, 5), (50, 20), (200, 50))},
        "wma_gap_20": c / t.WMA(c, 20) - 1,
        "dema_gap_20": c / t.DEMA(c, 20) - 1,
        "tema_gap_20": c / t.TEMA(c, 20) - 1,
        "trima_gap_20": c / t.TRIMA(c, 20) - 1,
        "kama_gap_30": c / t.KAMA(c, 30) - 1,
        "hull_gap_16": c / t.WMA(2 * t.WMA(c, 8) - t.WMA(c, 16), 4) - 1,
        "midprice_gap_14": c / t.MIDPRICE(h, l, 14) - 1,
        **{f"line_slope_{n}": t.LINEARREG_SLOPE(c, n) * n / c for n in (14, 30, 60)},
        **{f"line_residual_{n}": (c - t.LINEARREG(c, n)) / c for n in (14, 30)},
        **{f"return_{n}": np.log1p(t.ROCP(c, n)) for n in (1, 2, 3, 5, 10, 20, 30, 60, 120, 240)},
        **{f"rsi_{n}": t.RSI(c, n) / 100 for n in (7, 14, 21)},
        "cmo_14": t.CMO(c, 14) / 100,
        **{name: line / c for name, line in zip(("macd_line", "macd_signal", "macd_histogram"), macd, strict=True)},
        "apo_26": t.APO(c, 12, 26, matype=0) / c,
        "stoch_k_5": stoch[0] / 100,
        "stoch_d_5": stoch[1] / 100,
        "stoch_k_14": slow[0] / 100,
        "stoch_d_14": slow[1] / 100,
        "stoch_rsi_k_14": srsi[0] / 100,
        "stoch_rsi_d_14": srsi[1] / 100,
        **{f"williams_r_{n}": t.WILLR(h, l, c, n) / 100 for n in (14, 28)},
        **{f"cci_{n}": t.CCI(h, l, c, n) / 100 for n in (14, 20)},
        "mfi_14": t.MFI(h, l, c, v, 14) / 100,
        "ultimate_28": t.ULTOSC(h, l, c) / 100,
        "trix_15": t.TRIX(c, 15) / 100,
        "balance_of_power": t.BOP(o, h, l, c),
        "aroon_down_14": aroon[0] / 100,
        "aroon_up_14": aroon[1] / 100,
        "aroon_difference_14": t.AROONOSC(h, l, 14) / 100,
        "know_sure_thing": sum(k * t.SMA(t.ROCP(c, n), m) for k, n, m in ((1, 10, 10), (2, 15, 10), (3, 20, 10), (4, 30, 15))),
        "awesome_34": (t.SMA(middle, 5) - t.SMA(middle, 34)) / c,
        "plus_di_14": t.PLUS_DI(h, l, c, 14) / 100,
        "minus_di_14": t.MINUS_DI(h, l, c, 14) / 100,
        "dx_14": t.DX(h, l, c, 14) / 100,
        **{f"adx_{n}": t.ADX(h, l, c, n) / 100 for n in (14, 28)},
        "adxr_14": t.ADXR(h, l, c, 14) / 100,
        "mass_25": np.concatenate([np.full(16, np.nan), t.SMA(ratio, 25)]),
        "chandelier_long_20": (c - t.MAX(h, 20) + 3 * atr) / c,
        "chandelier_short_20": (c - t.MIN(l, 20) - 3 * atr) / c,
        "tenkan_gap_9": c / t.MIDPRICE(h, l, 9) - 1,
        "kijun_gap_26": c / t.MIDPRICE(h, l, 26) - 1,
        "tenkan_kijun_26": t.MIDPRICE(h, l, 9) / t.MIDPRICE(h, l, 26) - 1,
        **{f"natr_{n}": t.NATR(h, l, c, n) / 100 for n in (7, 14, 28)},
        **{f"bollinger_z_{n}": (c - t.SMA(c, n)) / t.STDDEV(c, n) for n in (20, 50)},
        **{f"bollinger_width_{n}": (upper - lower) / mid for n in (20, 50) for upper, mid, lower in [t.BBANDS(c, n)]},
        "keltner_20": (c - t.EMA(c, 20)) / (2 * atr),
        **{f"donchian_{n}": (c - t.MIN(l, n)) / (t.MAX(h, n) - t.MIN(l, n)) for n in (20, 60, 120)},
        **{f"drawdown_{n}": c / t.MAX(c, n) - 1 for n in (20, 60, 120)},
        "high_low_correlation_30": t.CORREL(h, l, 30),
        "high_low_beta_5": t.BETA(h, l, 5),
        "balance_slope_20": t.LINEARREG_SLOPE(t.OBV(c, v), 20) / t.SMA(v, 20),
        "accumulation_10": t.ADOSC(h, l, c, v) / t.SMA(v, 20),
        **{f"money_flow_{n}": (flow - ago(flow, n)) / n / t.SMA(v, n) for n in (20, 60)},
        **{f"vwap_gap_{n}": c * t.SMA(v, n) / t.SMA(typical * v, n) - 1 for n in (20, 60)},
        "force_13": np.append(np.nan, t.EMA(r * v[1:], 13) / t.EMA(v[1:], 13)),
        "volume_ratio_5_60": t.SMA(v, 5) / t.SMA(v, 60),
        "body": t.BOP(o, h, l, c),
    }


def bars() -> tuple[np.ndarray, ...]:
    stretch = synthetic_stretch(columns=1)
    return tuple(np.ascontiguousarray(getattr(stretch, name)[:, 0]) for name in ("open", "high", "low", "close", "volume"))


def test_a_hundred_outputs_are_talib_s_within_1e_10() -> None:
    """Wherever TA-Lib has a value, ours is that value; every row of the table that names a reference is among them."""
    theirs, ours = reference(), indicators(synthetic_stretch(columns=1))[:, 0]
    assert len(theirs) >= 100 and set(theirs) == {row.name for row in CATALOGUE if row.reference}
    for place, row in enumerate(CATALOGUE):
        if row.name in theirs:
            known = np.isfinite(theirs[row.name])
            assert np.count_nonzero(known) > 200
            assert np.abs(ours[known, place] - theirs[row.name][known]).max() <= 1e-10, row.name


def test_details_are_those_of_pywavelets_filters_down_the_past_alone() -> None:
    """W_j is the convolution of the past with the cascade of PyWavelets' filters, scaled by 2^(-j/2)."""
    returns = np.random.default_rng(5).normal(0.0, 1e-3, 300)
    for wavelet in SCALING:
        filters = pywt.Wavelet(wavelet)
        assert np.allclose(SCALING[wavelet], filters.rec_lo, atol=1e-15)
        smooth = np.ones(1)
        for level, found in enumerate(details(returns[:, None], wavelet), start=1):

            def spread(taps: list[float], step: int = 2 ** (level - 1)) -> np.ndarray:
                out = np.zeros((len(taps) - 1) * step + 1)
                out[::step] = np.array(taps) / np.sqrt(2.0)
                return out

            impulse = np.convolve(smooth, spread(filters.rec_hi))
            smooth = np.convolve(smooth, spread(filters.rec_lo))
            expected = np.convolve(returns, impulse)[: len(returns)]
            known = np.isfinite(found[:, 0])
            assert np.count_nonzero(~known) == len(impulse) - 1
            assert np.abs(np.abs(found[known, 0]) - np.abs(expected[known])).max() < 1e-15
            assert np.sum(impulse**2) == pytest.approx(2.0**-level)  # the energy that a level of the transform holds
    assert level == LEVELS and "db2_detail_5" in BY_NAME
