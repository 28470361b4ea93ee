"""Events as a device records and shows them, with the rules of their trades and the words of what bundles say.

Nothing here computes on arrays: a process that only shows events, for days, loads no numpy for it.
"""

import struct
import zlib
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import exp, isfinite
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from signals.errors import InvariantBroken

if TYPE_CHECKING:
    from signals.market.bars import Floats

COST_BPS, BPS = 10.0, 1e-4  # of the value traded, for a way in and out: spread and impact together
Number = TypeVar("Number", float, "Floats")


@dataclass(frozen=True)
class OutcomeRules:
    """Distance of the stop in ATR (that is R), of the target in R, patience in bars, and offset of the entry in ATR."""

    stop_atr: float = 1.0
    target_r: float = 1.0
    patience: int = 30
    entry_atr: float = 0.0

    def __post_init__(self) -> None:
        numbers = all(map(isfinite, (self.stop_atr, self.target_r, self.entry_atr)))
        if not (numbers and self.stop_atr > 0 and self.target_r > 0 and self.patience >= 1):
            raise InvariantBroken(
                "outcomes need a stop and a target at positive distances, a patience of one bar or more, and a finite offset"
            )

    def cost_r(self, atr_share: Number, cost_bps: float = COST_BPS) -> Number:
        """Return what a way in and out costs, in R; `atr_share` is the ATR as a share of the price.

        Examples
        --------
        >>> OutcomeRules().cost_r(0.02)
        0.05
        """
        return cost_bps * BPS / (self.stop_atr * atr_share)

    def least_probability(self, cost_r: Number) -> Number:
        """Return the P(target first) beyond which a trade pays: p `target_r` - (1 - p) > cost; that time ends one counts as a loss."""
        return (1.0 + cost_r) / (1.0 + self.target_r)


RULES = OutcomeRules()


@dataclass(frozen=True)
class DailyEvent:
    """One event of a symbol at the close of a session.

    Attributes
    ----------
    kind, third : str
        Words of `Kind` and of `LiquidityThird`.
    side : int
        Proposed: 1 long, -1 short.
    pole_katr : float or None
        Of a flag.
    atr : float
        Mean true range as a share of the close: the same whatever level the prices are restated to.
    """

    asof: date
    symbol: str
    kind: str
    side: int
    strength: float
    pole_katr: float | None
    atr: float
    third: str


@dataclass(frozen=True)
class DailyOutcome:
    """What became of an event's trade (`signals.events.outcomes.Outcomes`); None where it is not known.

    Attributes
    ----------
    known, seen_to : date or None
        Sessions at which the trade, and the whole patience, were known.
    is_final : bool
        Whether nothing of it is still to come.
    """

    asof: date
    symbol: str
    exit: str
    realised_r: float | None
    runup_r: float | None
    drawdown_r: float | None
    mfe_atr: float | None
    mae_atr: float | None
    mfe_r: float | None
    mae_r: float | None
    bars_to_target: int | None
    bars_to_stop: int | None
    is_tie: bool
    known: date | None
    seen_to: date | None
    is_final: bool


SEEN_BY = "patterns"  # the sleeve of nets that see pictures
SHOWN = ("event_gate", "event_quantiles", "event_arms")  # named by the labels that their runs learn
TARGET_FIRST = "the target is met before the stop"  # the event of a gate's map
STOP, TARGET = "stop_4", "target_30"  # heads of quantiles: the adverse move of 4 bars in ATR, the favourable one of 30 in R
OFFSETS = {"score": 0.0, "arm_minus_25": -0.25, "arm_minus_15": -0.15, "arm_plus_15": 0.15, "arm_plus_25": 0.25}  # ATR; the default first
ANALOGS = ("sim_conf", "hist_rr_pct")  # of past events like this one, where a recipe names a net of pictures (`signals.events.analogs`)
HEADS, FLAG, LONGEST_POLE = ("score", "pole", "embedding"), "flag", 50.0  # the last a logarithm


@dataclass(frozen=True)
class SeenShape:
    """The likeliest class of a picture, its probability, and the pole of a flag in average true ranges."""

    shape: str
    quality: float
    pole_katr: float | None

    def __str__(self) -> str:
        """Return shape and probability in words."""
        return f"{self.shape} {self.quality:.0%}"


def shape_of(classes: Sequence[str], probabilities: Sequence[float], log_pole: float) -> SeenShape:
    """Return what the outputs of one picture say."""
    best = max(range(len(classes)), key=probabilities.__getitem__)
    pole = exp(min(log_pole, LONGEST_POLE)) if classes[best] == FLAG else None
    return SeenShape(classes[best], probabilities[best], pole)


SIZE = 64  # of a picture: bars and levels
WICK, RISING, FALLING = 85, 255, 170  # inks of its candles


def to_png(pixels: bytes) -> bytes:
    """Return the pixels of a picture, 3 bytes each, line by line, as a PNG of 64 x 64: its channels are red, green and blue."""
    lines = b"".join(b"\0" + pixels[3 * SIZE * line : 3 * SIZE * (line + 1)] for line in range(SIZE))
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(x)) + t + x + struct.pack(">I", zlib.crc32(t + x)) for t, x in parts)


class Candle(NamedTuple):
    """Levels of one bar in its picture, 0 the highest, and whether its close is not under its open."""

    high: int
    top: int
    bottom: int
    low: int
    is_rising: bool


def candles(picture: str) -> list[Candle]:
    """Return the 64 candles of a picture in base64, as `to_png` writes it, oldest first; none of text that is no such picture."""
    try:
        lines = zlib.decompressobj().decompress(b64decode(picture, validate=True)[41:-16], SIZE * (3 * SIZE + 1))
    except (ValueError, zlib.error):
        return []
    found = []
    for bar in range(SIZE):
        red = lines[1 + 3 * bar :: 3 * SIZE + 1]
        inked = [level for level, ink in enumerate(red) if ink]
        body = [level for level in inked if red[level] != WICK]
        if not body:
            return []
        found.append(Candle(inked[0], body[0], body[-1], inked[-1], red[body[0]] == RISING))
    return found
