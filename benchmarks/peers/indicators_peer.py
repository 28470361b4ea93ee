"""One peer of `benchmarks/indicators.py`: indicators over history, and of one new bar. Prints one line of JSON.

    python indicators_peer.py SIDE BARS.npz NEW_BARS

Runs in an environment of its own: numpy, and the peer's library.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import numpy as np

NEEDED = 420  # bars of warm-up that a side without state is given for a new bar


def talib_outputs(o, h, l, c, v):  # noqa: E741
    import talib as t

    out = [t.SMA(c, n) for n in (5, 10, 20, 50, 100, 200)] + [t.EMA(c, n) for n in (5, 9, 12, 20, 26, 50, 100)]
    out += [t.WMA(c, 20), t.DEMA(c, 20), t.TEMA(c, 20), t.TRIMA(c, 20), t.KAMA(c, 30), t.MIDPRICE(h, l, 14)]
    out += [t.LINEARREG_SLOPE(c, n) for n in (14, 30, 60)] + [t.LINEARREG(c, n) for n in (14, 30)]
    out += [t.ROCP(c, n) for n in (1, 5, 20, 60)] + [t.RSI(c, n) for n in (7, 14, 21)] + [t.CMO(c, 14), *t.MACD(c), t.APO(c)]
    out += [*t.STOCH(h, l, c), *t.STOCHRSI(c, 14), t.WILLR(h, l, c, 14), t.WILLR(h, l, c, 28), t.CCI(h, l, c, 14), t.CCI(h, l, c, 20)]
    out += [t.MFI(h, l, c, v, 14), t.ULTOSC(h, l, c), t.TRIX(c, 15), t.BOP(o, h, l, c), *t.AROON(h, l, 14), t.AROONOSC(h, l, 14)]
    out += [t.PLUS_DI(h, l, c, 14), t.MINUS_DI(h, l, c, 14), t.DX(h, l, c, 14), t.ADX(h, l, c, 14), t.ADX(h, l, c, 28), t.ADXR(h, l, c, 14)]
    out += [t.NATR(h, l, c, n) for n in (7, 14, 28)] + [*t.BBANDS(c, 20), *t.BBANDS(c, 50), t.CORREL(h, l, 30), t.BETA(h, l, 5)]
    return [*out, t.OBV(c, v), t.ADOSC(h, l, c, v), t.AD(h, l, c, v)]


def classic_outputs(o, h, l, c, v):  # noqa: E741
    import pandas as pd
    import pandas_ta_classic as t

    o, h, l, c, v = (pd.Series(x, index=pd.date_range("2020-01-01", periods=len(x), freq="5min")) for x in (o, h, l, c, v))  # noqa: E741
    out = [t.sma(c, n, talib=False) for n in (5, 10, 20, 50, 100, 200)] + [t.ema(c, n, talib=False) for n in (5, 9, 12, 20, 26, 50, 100)]
    out += [t.wma(c, 20, talib=False), t.dema(c, 20, talib=False), t.tema(c, 20, talib=False), t.hma(c, 16, talib=False), t.zlma(c, 20)]
    out += [t.rsi(c, n, talib=False) for n in (7, 14, 21)] + [t.cmo(c, 14, talib=False), t.macd(c, talib=False), t.stoch(h, l, c)]
    out += [t.willr(h, l, c, 14, talib=False), t.cci(h, l, c, 14, talib=False), t.mfi(h, l, c, v, 14, talib=False), t.trix(c, 15)]
    out += [t.aroon(h, l, 14, talib=False), t.adx(h, l, c, 14), t.natr(h, l, c, 14, talib=False), t.bbands(c, 20, talib=False)]
    out += [t.obv(c, v, talib=False), t.cmf(h, l, c, v), t.roc(c, 5, talib=False), t.donchian(h, l), t.vortex(h, l, c), t.chop(h, l, c)]
    return [column for one in out for column in (one.to_numpy().T if one.ndim == 2 else [one.to_numpy()])]


def ml4t_outputs(o, h, l, c, v):  # noqa: E741
    import polars as pl
    from ml4t.engineer import compute_features

    frame = pl.DataFrame({"open": o, "high": h, "low": l, "close": c, "volume": v})
    asked = ["sma", "ema", "wma", "dema", "tema", "rsi", "cmo", "macd", "stochastic", "willr", "cci", "mfi", "trix", "adx", "natr", "atr"]
    asked += ["bollinger_bands", "obv", "roc", "mom", "aroon", "plus_di", "minus_di", "dx", "ultosc", "bop", "kama", "trima", "ad", "adosc"]
    made = compute_features(frame, asked, calendar=None)
    return [made[name].to_numpy() for name in made.columns[5:]]


def talipp_streams():
    from talipp import indicators as t

    closes = [t.SMA(20), t.EMA(20), t.WMA(20), t.DEMA(20), t.TEMA(20), t.KAMA(14, 2, 30), t.HMA(16), t.RSI(14), t.MACD(12, 26, 9)]
    closes += [t.ROC(5), t.TRIX(15), t.BB(20, 2), t.StdDev(20), t.StochRSI(14, 14, 3, 3)]
    bars = [t.ATR(14), t.NATR(14), t.ADX(14, 14), t.CCI(14), t.Stoch(14, 3), t.Williams(14), t.UO(7, 14, 28), t.OBV(), t.AccuDist()]
    return closes, [*bars, t.ChaikinOsc(3, 10), t.Aroon(14), t.VTX(14), t.CHOP(14), t.DonchianChannels(20), t.BOP(), t.ForceIndex(13)]


def timed(work):
    begin = time.process_time()
    done = work()
    return time.process_time() - begin, done


def talipp(bars, new):
    from talipp.ohlcv import OHLCV

    closes, whole = talipp_streams()
    rows = [OHLCV(*row) for row in np.column_stack(bars)[:3000]]

    def feed(some):
        for row in some:
            for stream in closes:
                stream.add(row.close)
            for stream in whole:
                stream.add(row)

    count = len(closes) + len(whole)
    history, _ = timed(lambda: feed(rows[:-new]))
    bar, _ = timed(lambda: feed(rows[-new:]))
    return history / (count * (len(rows) - new)), bar / (count * new), count


def main() -> None:
    side, path, new = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with np.load(path) as file:
        bars = [np.ascontiguousarray(file[name].T.ravel()) for name in ("open", "high", "low", "close", "volume")]
    if side == "talipp":
        value, bar, count = talipp(bars, new)
    else:
        outputs = {"talib": talib_outputs, "pandas_ta_classic": classic_outputs, "ml4t_engineer": ml4t_outputs}[side]
        outputs(*(x[:1000] for x in bars))  # imports, and what is compiled at the first call
        spent, made = timed(lambda: outputs(*bars))
        count = len(made)
        value = spent / (count * len(bars[0]))
        spent, _ = timed(lambda: [outputs(*(x[row : row + NEEDED] for x in bars)) for row in range(new)])
        bar = spent / (count * new)
    name = {"talib": "ta-lib", "ml4t_engineer": "ml4t-engineer", "pandas_ta_classic": "pandas-ta-classic"}.get(side, side)
    print(json.dumps({"value_ns": value * 1e9, "bar_us": bar * 1e6, "outputs": count, "version": f"{name} {version(name)}"}))


if __name__ == "__main__":
    main()
