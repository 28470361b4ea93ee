"""`bar-image/1` painted pixel by pixel, from its description: what the product's painter is held against."""

from __future__ import annotations

from itertools import pairwise
from math import log
from typing import Any

import numpy as np

Bars = list[list[float]]


def averaged(values: list[float], first: int, gain: float) -> list[float]:
    """Mean of the first `first` values, then a x + (1 - a) y; NaN before."""
    out = [float("nan")] * (first - 1) + [sum(values[:first]) / first]
    for value in values[first:]:
        out.append(gain * value + (1.0 - gain) * out[-1])
    return out


def naive_image(opened: Any, high: Any, low: Any, close: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Picture of one window of 127 bars; uint8, shape (3, 64, 64)."""
    o, h, lo, c = (list(map(float, x)) for x in (opened, high, low, close))
    moves = [b - a for a, b in pairwise(c)]
    ranges = [max(h[i], c[i - 1]) - min(lo[i], c[i - 1]) for i in range(1, 127)]
    ema = averaged(c, 21, 2.0 / 22.0)
    atr, rise, fall = (
        [float("nan"), *averaged(x, 14, 1.0 / 14.0)] for x in (ranges, [max(m, 0.0) for m in moves], [max(-m, 0.0) for m in moves])
    )
    rsi = [0.5 if up + down == 0.0 else up / (up + down) for up, down in zip(rise, fall, strict=True)]
    top, bottom = max(h[63:]), min(lo[63:])
    picture = np.zeros((3, 64, 64), np.uint8)

    def level(price: float) -> int:
        return round(31.5 if top == bottom else (top - price) * (63.0 / (top - bottom)))

    for bar in range(64):
        i = 63 + bar
        for place in range(level(h[i]), level(lo[i]) + 1):
            picture[0, bar, place] = 85
        for place in range(level(max(o[i], c[i])), level(min(o[i], c[i])) + 1):
            picture[0, bar, place] = 255 if c[i] >= o[i] else 170
        d = 0.0 if atr[i] == 0.0 else max(-1.0, min(1.0, log(c[i] / ema[i]) / (3.0 * atr[i] / c[i])))
        end = round(31.0 - 31.0 * d)
        for place in range(min(31, end), max(31, end) + 1):
            picture[1, bar, place] = 255
        brightness = round(127.0 + 128.0 * min(1.0, 4.0 * abs(rsi[i] - rsi[i - 1])))
        for place in range(round(63.0 * (1.0 - rsi[i])), 64):
            picture[2, bar, place] = brightness
    return picture
