"""Detectors of events: rules over a bar and the bars before it, in average true ranges.

docs/events.md has each rule with its numbers and its side. The ATR of a rule about a bar is that of the bar before it. Rules read no
volume, so that a picture of prices can show all that they see. Where several hold, the rarest names the event.

1. Row t depends on rows up to t, to the bit, and on `LONGEST` rows at most.
2. Each column depends on itself alone.
"""

from dataclasses import dataclass

import numpy as np

from signals.events.panel import EventBars, EventPanel, Kind, any_of
from signals.indicators.recurrence import filtered, shifted
from signals.indicators.stacked import Stacked
from signals.market.bars import Flags, Floats

EXTREME, RUN = 20, 10
POLE_BARS, PAUSE_BARS, POLE_ATR, GIVEN_BACK, GONE_BEYOND = 10, 5, 3.0, 0.5, 0.1
WEDGE_BARS, LINE_ATR, NARROWED = 20, 1.0, 0.4
CLIMAX_RUN_ATR, CLIMAX_ATR = 4.0, 2.0
WICK_RUN_ATR, WICK_BAR_ATR, WICK_SHARE = 2.0, 1.5, 0.6
LONGEST = 40
TINY = 1e-9  # ATR, or a share: what a longer history rounds otherwise. Prices of whole cents meet a limit exactly, and have met it


@dataclass(frozen=True, eq=False)
class Detected:
    """Side of one kind at each bar, 0 where its rule does not hold, and its figures."""

    side: Floats
    strength: Floats
    pole: Floats | None = None


class Measures:
    """Series that the rules share: ATR up to the bar and up to the one before, and whether the bar makes the extreme of 20."""

    def __init__(self, bars: EventBars) -> None:
        self.bars, self.open, self.high, self.low, self.close = bars, bars.open, bars.high, bars.low, bars.close
        self.extremes = Stacked({"high": bars.high, "-low": -bars.low})
        self.atr = bars.atr()
        self.atr_before = shifted(self.atr, 1)
        tie = TINY * self.atr
        self.new_high, self.new_low = bars.high >= self.highest(EXTREME) - tie, bars.low <= self.lowest(EXTREME) + tie

    def highest(self, width: int) -> Floats:
        """Highest high of the window."""
        return self.extremes.highest("high", width)

    def lowest(self, width: int) -> Floats:
        """Lowest low of the window."""
        return -self.extremes.highest("-low", width)


def breakouts(m: Measures) -> Detected:
    """First close beyond the extreme of 20 bars; strength is how far, in ATR."""
    above, below = (m.close - shifted(m.highest(EXTREME), 1)) / m.atr_before, (shifted(m.lowest(EXTREME), 1) - m.close) / m.atr_before
    up, down = (above > TINY) & ~(shifted(above, 1) > TINY), (below > TINY) & ~(shifted(below, 1) > TINY)
    return Detected(_sided(up, down), np.where(up, above, below))


def flags(m: Measures) -> Detected:
    """Pole and pause; strength is the share of the pole that the pause keeps."""
    end = shifted(m.close, PAUSE_BARS)
    move = end - shifted(m.close, PAUSE_BARS + POLE_BARS)
    length, is_up = np.abs(move), move > 0
    pole = length / shifted(m.atr, PAUSE_BARS + POLE_BARS)
    over, under = m.highest(PAUSE_BARS) - end, end - m.lowest(PAUSE_BARS)
    back, beyond = np.where(is_up, under, over) / length, np.where(is_up, over, under) / length
    holds = (pole >= POLE_ATR - TINY) & (back <= GIVEN_BACK + TINY) & (beyond <= GONE_BEYOND + TINY)
    return Detected(_sided(holds & is_up, holds & (move < 0)), 1.0 - np.maximum(back, 0.0), pole)


def wedges(m: Measures) -> Detected:
    """Lines that converge while both rise, or both fall; strength is the share of the gap that closed."""
    upper, top = _line(m.high, WEDGE_BARS)
    lower, bottom = _line(m.low, WEDGE_BARS)
    ends = top - bottom
    narrowed = ends / (ends - (upper - lower))
    least = LINE_ATR * shifted(m.atr, 1)
    holds = (ends >= 0.0) & (narrowed >= 0.0) & (narrowed <= NARROWED)
    rising, falling = holds & (upper >= least) & (lower >= least), holds & (upper <= -least) & (lower <= -least)
    return Detected(_sided(falling, rising), 1.0 - narrowed)


def blow_offs(m: Measures) -> Detected:
    """Climax of a run; strength is the bar's range in ATR."""
    run = (m.close - shifted(m.close, RUN)) / shifted(m.atr, RUN)
    size = (m.high - m.low) / m.atr_before
    is_climax = size >= CLIMAX_ATR - TINY
    up = (run >= CLIMAX_RUN_ATR - TINY) & is_climax & m.new_high
    down = (run <= -CLIMAX_RUN_ATR + TINY) & is_climax & m.new_low
    return Detected(_sided(down, up), size)


def wicks(m: Measures) -> Detected:
    """Refused extreme after a move; strength is the wick's share of the bar's range."""
    size, before = m.high - m.low, shifted(m.close, RUN)
    top, bottom = (m.high - np.maximum(m.open, m.close)) / size, (np.minimum(m.open, m.close) - m.low) / size
    is_large, far = size >= (WICK_BAR_ATR - TINY) * m.atr_before, (WICK_RUN_ATR - TINY) * m.atr_before
    up = is_large & m.new_high & (top >= WICK_SHARE - TINY) & (m.high - before >= far)
    down = is_large & m.new_low & (bottom >= WICK_SHARE - TINY) & (before - m.low >= far)
    return Detected(_sided(down, up), np.where(up, top, bottom))


# the rarest, which names a bar where several hold, first
DETECTORS = {Kind.WICK: wicks, Kind.BLOW_OFF: blow_offs, Kind.FLAG: flags, Kind.WEDGE: wedges, Kind.BREAKOUT: breakouts}


def detect(bars: EventBars) -> EventPanel:
    """Find the events of every bar of every symbol.

    There is none where the bar is missing, has no average true range above zero, or `LONGEST` bars cannot be compared.
    """
    shape, m = bars.close.shape, Measures(bars)
    kind, side = np.zeros(shape, np.int8), np.zeros(shape, np.int8)
    pole, strength = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    can = np.isfinite(bars.close) & (m.atr > 0.0) & ~any_of(bars.is_broken, LONGEST)
    with np.errstate(invalid="ignore", divide="ignore"):
        for one, detector in DETECTORS.items():
            result = detector(m)
            names = can & (result.side != 0) & np.isfinite(result.strength) & (kind == Kind.NONE)
            kind[names], side[names], strength[names] = one, result.side[names], result.strength[names]
            if result.pole is not None:
                pole[names] = result.pole[names]
    return EventPanel(kind, side, pole, strength, m.atr)


def _sided(long: Flags, short: Flags) -> Floats:
    return long.astype(np.float64) - short


def _line(x: Floats, bars: int) -> tuple[Floats, Floats]:
    """(Rise over the window, value at its end) of the least-squares line through the last `bars` values; NaN where one is missing."""
    ago = np.arange(bars, dtype=np.float64)
    off = ago.mean() - ago
    per_bar = off / (off**2).sum()
    rise = filtered(x, list(per_bar)) * (bars - 1)
    mean = filtered(x, [1.0 / bars] * bars)
    rise[: bars - 1] = mean[: bars - 1] = np.nan
    return rise, mean + rise / 2.0
