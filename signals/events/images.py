r"""`bar-image/1`: 64 bars as a picture of 3 channels, 64 bars wide and 64 levels high, bytes.

    channel 0  candles     wick 85, body 255 where close >= open, else 170; price p at level rint(63 (H - p) / (H - L)) with H and L
                           the highest high and lowest low of the 64 bars
    channel 1  distance    255 from level 31 to rint(31 - 31 d), d = ln(close / EMA21) / (3 ATR14 / close), limited to +-1
    channel 2  strength    rint(127 + 128 min(1, 4 |slope|)) from level rint(63 (1 - RSI14)) to 63, RSI a share and slope its change
                           since the bar before

Level 0 is the top. EMA, ATR and RSI (Wilder's) begin at the window's first bar, 63 bars before the first that is painted, so
that the picture depends on 127 bars and nothing else. Where all prices are one, they and the distance are at the middle; an RSI
without moves is a half. Painting looks columns of 64 bytes up in tables: no loop over pixels, none over bars.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.events.recorded import FALLING, RISING, SIZE, WICK, to_png
from signals.indicators.recurrence import Smoothing, shifted, smoothed
from signals.market.bars import Floats

NAME = "bar-image/1"
WARM_UP = 63
WINDOW = SIZE + WARM_UP
DISTANCE = 255
MIDDLE = 31
DARKEST, LIGHTS = 127, 129
DISTANCES = SIZE * SIZE  # rows of the table of columns before those of distances, and of strengths
STRENGTHS = DISTANCES + SIZE
TOGETHER = 256

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
HOW = (Smoothing.ema(21), Smoothing.wilder(14), Smoothing.wilder(14), Smoothing.wilder(14))


def read(opened: Floats, high: Floats, low: Floats, close: Floats) -> tuple[Places, Places]:
    """Return which columns show windows of 127 bars, float64, shape (127, n), whose prices can be compared.

    They are rows of the two tables: (n, 3, 64) of wicks, distances and strengths, and (n, 64) of bodies.
    Of another shape, or with a price that is missing or not above zero, a window has no picture: `InvariantBroken`.
    """
    prices = (opened, high, low, close)
    if any(x.ndim != 2 or x.shape != (WINDOW, close.shape[1]) for x in prices):
        raise InvariantBroken(f"{NAME} is painted of windows of {WINDOW} bars, shape ({WINDOW}, n)")
    if not all((np.isfinite(x) & (x > 0.0)).all() for x in prices):
        raise InvariantBroken(f"{NAME} needs {WINDOW} bars of prices above zero; choose windows that have them")
    before = shifted(close, 1)
    change = close - before
    true_range = np.maximum(high, before) - np.minimum(low, before)
    series = np.stack([close, true_range, np.maximum(change, 0.0), np.maximum(-change, 0.0)])
    ema, atr, rise, fall = smoothed(series, HOW)[:, WARM_UP - 1 :]
    o, h, lo, c = (x[WARM_UP:] for x in prices)
    highest = h.max(axis=0)
    scale = highest - lo.min(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        per_level = np.where(scale > 0.0, 63.0 / scale, np.nan)
        distance = np.where(atr[1:] > 0.0, np.log(c / ema[1:]) / (3.0 * atr[1:] / c), 0.0)
        rsi = np.where(rise + fall > 0.0, rise / (rise + fall), 0.5)

    def level(price: Floats) -> Places:
        return _whole(np.where(scale > 0.0, (highest - price) * per_level, 31.5))

    body = ((c >= o) * SIZE + level(np.maximum(o, c))) * SIZE + level(np.minimum(o, c))
    brightness = _whole(DARKEST + (LIGHTS - 1) * np.minimum(1.0, 4.0 * np.abs(rsi[1:] - rsi[:-1])))
    distances = DISTANCES + _whole(31.0 - 31.0 * distance.clip(-1.0, 1.0))
    strengths = STRENGTHS + _whole(63.0 * (1.0 - rsi[1:])) * LIGHTS + brightness - DARKEST
    return np.stack([level(h) * SIZE + level(lo), distances, strengths]).transpose(2, 0, 1), body.T


def paint(place: Places, body: Places) -> Bytes:
    """Return the pictures of columns that `read` chose; uint8, shape (n, 3, 64 bars, 64 levels)."""
    columns, bodies = _tables()
    out = np.take(columns, place, axis=0, mode="clip")
    np.maximum(out[:, 0], np.take(bodies, body, axis=0, mode="clip"), out=out[:, 0])
    return out


def images(opened: Floats, high: Floats, low: Floats, close: Floats) -> Bytes:
    """Return pictures of windows of 127 bars, shape (127, n) each; uint8, shape (n, 3, 64 bars, 64 levels). A net sees them over 255."""
    parts = [slice(first, first + TOGETHER) for first in range(0, max(close.shape[1], 1), TOGETHER)]
    return np.concatenate([paint(*read(*(np.ascontiguousarray(x[:, part]) for x in (opened, high, low, close)))) for part in parts])


def png(picture: Bytes) -> bytes:
    """Return one picture, uint8 (3, 64 bars, 64 levels), as a PNG."""
    return to_png(picture.transpose(2, 1, 0).tobytes())


def _whole(x: Floats) -> Places:
    return np.rint(x).astype(np.int64)


@cache
def _tables() -> tuple[Bytes, Bytes]:
    """Columns of 64 levels: wicks by first and last level, distances, strengths by level and brightness; and bodies by the two levels."""
    level = np.arange(SIZE)
    first, last = level[:, None, None], level[None, :, None]
    run = ((level >= first) & (level <= last)).reshape(-1, SIZE).astype(np.uint8)
    distance = (level >= np.minimum(level[:, None], MIDDLE)) & (level <= np.maximum(level[:, None], MIDDLE))
    strength = (level >= level[:, None])[:, None] * np.arange(DARKEST, DARKEST + LIGHTS)[None, :, None]
    columns = np.concatenate([WICK * run, DISTANCE * distance.astype(np.uint8), strength.reshape(-1, SIZE).astype(np.uint8)])
    return columns, np.concatenate([FALLING * run, RISING * run])
