"""Windows of 127 generated bars whose last one ends a known shape, or none: what a net of pictures is taught and judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signals.events.detectors import detect
from signals.events.images import WINDOW, images
from signals.events.panel import EventBars, Kind
from signals.market.bars import Floats
from trainer.learners.pictures import target_of

UNIT = 0.01  # an average true range, of the price
BACK = 0.12  # how much of its distance from the middle a plain bar goes back


@dataclass(frozen=True, eq=False)
class Windows:
    """Bars, float64 (127, n); the shape that was planted at the last one, and the pole of a flag in ATR as the detector measures it."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    number: np.ndarray
    pole: Floats

    def pictures(self) -> np.ndarray:
        return images(self.open, self.high, self.low, self.close)

    @property
    def target(self) -> Floats:
        return target_of(self.number, self.pole)


def windows(seed: int, count: int, shares: tuple[float, ...]) -> Windows:
    """Windows in these shares of none, flag, wedge, blow-off and wick; those whose last bar the rules name otherwise are drawn again."""
    rng = np.random.default_rng(seed)
    wanted = rng.choice(len(shares), count, p=shares)
    bars, pole = np.zeros((4, WINDOW, count)), np.full(count, np.nan)
    open_ones = np.arange(count)
    while open_ones.size:
        drawn = _drawn(rng, wanted[open_ones])
        o, h, lo, c = drawn
        found = detect(EventBars(o, h, lo, c, np.full_like(c, np.nan), np.zeros(c.shape, np.bool_)))
        kind = found.kind[-1]
        good = np.where(kind == Kind.BREAKOUT, 0, kind) == wanted[open_ones]
        bars[:, :, open_ones[good]] = drawn[:, :, good]
        pole[open_ones[good]] = np.where(kind == Kind.FLAG, found.pole_katr[-1].astype(np.float64), np.nan)[good]
        open_ones = open_ones[~good]
    return Windows(*bars, wanted, pole)


def _drawn(rng: np.random.Generator, wanted: np.ndarray) -> Floats:
    """Bars of one attempt each, (4, 127, n): a plain past, and the shape at its end, or some bars before a plain end."""
    n = len(wanted)
    steps, wicks = 0.55 * rng.standard_normal((WINDOW, n)), rng.exponential(0.18, (2, WINDOW, n))
    close = np.zeros((WINDOW, n))
    for t in range(1, WINDOW):
        close[t] = (1.0 - BACK) * close[t - 1] + steps[t]
    opened = np.vstack([close[:1], close[:-1]])
    high, low = np.maximum(opened, close) + wicks[0], np.minimum(opened, close) - wicks[1]
    before = (wanted == 0) & (rng.random(n) < 0.5)  # a plain end after a shape: where it ended must be seen
    shown = np.where(before, rng.integers(1, 5, n), wanted)
    for column in range(n):
        if shown[column]:
            made = SHAPES[int(shown[column])](rng)
            end = WINDOW - (int(rng.integers(12, 40)) if before[column] else 0)
            _put(column, end, made, opened, high, low, close)
    up = rng.random(n) < 0.5
    bars = np.stack([opened, np.where(up, high, -low), np.where(up, low, -high), close])
    bars[0], bars[3] = np.where(up, opened, -opened), np.where(up, close, -close)
    found: Floats = 100.0 * np.exp(UNIT * bars)
    return found


def _put(column: int, end: int, made: Floats, *panels: Floats) -> None:
    """Lay bars (4, m), which begin at the close before them, so that the last is row `end` - 1, and move what follows along."""
    opened, high, low, close = panels
    first = end - made.shape[1]
    level = close[first - 1, column]
    moved = level + made[3, -1] - close[end - 1, column]
    for panel, rows in zip((opened, high, low, close), made, strict=True):
        panel[first:end, column] = level + rows
        panel[end:, column] += moved


def _bars(close: Floats, upper: Floats, lower: Floats) -> Floats:
    opened = np.concatenate([[0.0], close[:-1]])
    return np.stack([opened, np.maximum(opened, close) + upper, np.minimum(opened, close) - lower, close])


def _run(rng: np.random.Generator, bars: int, length: float) -> Floats:
    parts = rng.dirichlet(np.full(bars, 6.0))
    return length * np.cumsum(parts)


def _flag(rng: np.random.Generator) -> Floats:
    length = rng.uniform(4.5, 9.0)
    pole, back = _run(rng, 10, length), length * rng.uniform(0.05, 0.3)
    pause = length - np.linspace(0.0, back, 5) - rng.uniform(0.0, 0.1, 5)
    return _bars(np.concatenate([pole, pause]), rng.uniform(0.0, 0.1, 15), rng.uniform(0.0, 0.1, 15))


def _wedge(rng: np.random.Generator) -> Floats:
    """Bars that rise and narrow: both lines rise, and what is left of the gap is a fifth."""
    wide, share = rng.uniform(1.8, 2.6), rng.uniform(0.08, 0.25)
    gap = np.linspace(wide, share * wide, 20) * rng.uniform(0.95, 1.05, 20)
    middle = np.linspace(0.0, rng.uniform(1.8, 3.0) + wide * (1.0 - share) / 2.0, 20)
    close = middle + 0.3 * gap * rng.uniform(-1.0, 1.0, 20)
    opened = np.concatenate([[0.0], close[:-1]])
    return np.stack(
        [
            opened,
            np.maximum(middle + gap / 2.0, np.maximum(opened, close)),
            np.minimum(middle - gap / 2.0, np.minimum(opened, close)),
            close,
        ]
    )


def _blow_off(rng: np.random.Generator) -> Floats:
    close = np.concatenate([_run(rng, 9, rng.uniform(3.0, 5.0)), [0.0]])
    last = rng.uniform(2.6, 4.5)
    close[-1] = close[-2] + last * rng.uniform(0.75, 1.0)
    made = _bars(close, rng.uniform(0.0, 0.15, 10), rng.uniform(0.0, 0.15, 10))
    made[1, -1] = max(made[1, -1], close[-2] + last)
    return made


def _wick(rng: np.random.Generator) -> Floats:
    close = np.concatenate([_run(rng, 9, rng.uniform(1.0, 2.2)), [0.0]])
    size, share = rng.uniform(2.0, 3.2), rng.uniform(0.68, 0.88)
    close[-1] = close[-2] + size * (1.0 - share) * rng.uniform(-0.4, 0.9)
    made = _bars(close, rng.uniform(0.0, 0.15, 10), rng.uniform(0.0, 0.1, 10))
    made[1, -1] = max(made[0, -1], close[-1]) + size * share
    return made


SHAPES = {1: _flag, 2: _wedge, 3: _blow_off, 4: _wick}
