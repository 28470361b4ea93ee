"""Recipe and labels of the task `bar_pattern`: the rules of the detectors name the shapes, and over them a person who looked."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from signals.config import Config, parse
from signals.errors import FixInput, TooLittleHistory
from signals.events.detectors import detect
from signals.events.panel import EventBars, Kind
from signals.market.bars import Bars, Flags, Floats
from signals.sleeves.patterns import pictured
from signals.text.wording import clean, reason_of
from signals.views.sample_views import BarImageView
from trainer.labels.horizon import EntryPrice
from trainer.recipes.base import AnyView, CpcvConfig, LabelConfig, RecipeConfig


class PatternLabel(LabelConfig):
    """Which pictures are learned from, and who says what they show.

    Attributes
    ----------
    plain_share : float
        Share of the bars without a shape that is drawn; in every figure each of them stands for all that were left out.
    least : int
        Pictures of each class without which nothing is learned.
    checked : str
        Path of a CSV of examples that a person looked at (symbol, timeframe, bar, label), which override the rules; empty for none.
    pseudo : float
        Probability from which a shape that a first net sees where no rule holds is learned by a second one; 0 for no second one.
    """

    kind: Literal["bar_pattern"] = "bar_pattern"
    k: int = Field(default=1, ge=1, le=1)
    entry: Literal[EntryPrice.OPG] = EntryPrice.OPG
    plain_share: float = Field(default=0.1, gt=0.0, le=1.0)
    least: int = Field(default=1_000, ge=0)
    checked: str = ""
    pseudo: float = Field(default=0.0, ge=0.0, lt=1.0)


class PatternRecipe(RecipeConfig):
    """A recipe that learns to see shapes."""

    label: PatternLabel = PatternLabel()
    learner: str = "bar_cnn"
    view: AnyView = BarImageView()
    cpcv: CpcvConfig = CpcvConfig(groups=3, test_groups=1)


CLASSES = tuple(kind.name.lower() for kind in (Kind.NONE, Kind.FLAG, Kind.WEDGE, Kind.BLOW_OFF, Kind.WICK))
MOST_BYTES = 64 * 2**20
Place = tuple[str, np.datetime64]


@dataclass(frozen=True, eq=False)
class Shapes:
    """What the bars show, on their axes.

    Attributes
    ----------
    number : int64, shape (T, N)
        Of `CLASSES`; a breakout is no shape, for no picture needs one.
    pole : float64, shape (T, N)
        Of a flag, in average true ranges; NaN elsewhere.
    chosen : bool, shape (T, N)
        Bars that have a picture and are looked at: every shape, every checked one, and the drawn share of the rest.
    is_checked : bool, shape (T, N)
    changed : int
        Checked bars that the rules named otherwise.
    """

    number: NDArray[np.int64]
    pole: Floats
    chosen: Flags
    is_checked: Flags
    changed: int

    def counts(self) -> dict[str, int]:
        """Pictures of each class."""
        return dict(zip(CLASSES, np.bincount(self.number[self.chosen], minlength=len(CLASSES)).tolist(), strict=True))


def shapes_of(bars: Bars, label: PatternLabel) -> Shapes:
    """Name what every bar shows; raise `FixInput` where the file of checked examples cannot be read."""
    found = detect(EventBars.of(bars))
    number = np.where(found.kind < len(CLASSES), found.kind, 0).astype(np.int64)
    is_checked = np.zeros(number.shape, dtype=np.bool_)
    seen, changed = pictured(bars), 0
    for (symbol, day), named in read_checked(Path(label.checked)).items() if label.checked else ():
        row = int(np.searchsorted(bars.sessions, day))
        if symbol in bars.symbols and row < len(bars.sessions) and bars.sessions[row] == day:
            place = row, bars.column(symbol)
            changed += int(seen[place] and number[place] != named)
            number[place], is_checked[place] = named, True
    pole = np.where(number == Kind.FLAG, found.pole_katr.astype(np.float64), np.nan)
    chosen = seen & ((number > 0) | is_checked | _drawn(bars, label.plain_share))
    return Shapes(number, pole, chosen, is_checked & seen, changed)


def require_enough(shapes: Shapes, least: int) -> None:
    """Raise `TooLittleHistory` naming how many pictures each class lacks."""
    counts = shapes.counts()
    lacking = [f"{name} has {count} of {least}, {least - count} missing" for name, count in counts.items() if count < least]
    if lacking:
        fix = "Train on a longer range or more names, check examples by hand, or lower label.least for a small run"
        raise TooLittleHistory(f"too few pictures of {len(lacking)} classes: {'; '.join(lacking)}", where="label.least", fix=fix)


class CheckedBar(Config):
    """A daily bar that a person looked at, and the class that it shows."""

    symbol: str
    timeframe: Literal["day"]
    bar: date
    label: Literal["none", "flag", "wedge", "blow_off", "wick"]


def read_checked(path: Path) -> Mapping[Place, int]:
    """Read a CSV of checked examples: (symbol, session) to the number of the class.

    One that cannot be read, a row that is none of daily bars or names no class, and two labels of a bar are `FixInput`.
    """
    try:
        size = path.stat().st_size
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            names, rows = tuple(reader.fieldnames or ()), list(reader) if size <= MOST_BYTES else []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FixInput(f"checked examples cannot be read: {reason_of(error)}", where=str(path), fix="Correct label.checked") from None
    if size > MOST_BYTES or names != tuple(CheckedBar.model_fields):
        what = f"checked examples are no CSV with the columns {', '.join(CheckedBar.model_fields)} of at most {MOST_BYTES} bytes"
        raise FixInput(what, where=str(path), fix="Begin with that line")
    found: dict[Place, int] = {}
    for line, row in enumerate(rows, start=2):
        one = parse(row, CheckedBar, where=f"{path}, line {line}")
        number = CLASSES.index(one.label)
        if found.setdefault((one.symbol, np.datetime64(one.bar, "D")), number) != number:
            what = f"{clean(one.symbol)[:40]} of {one.bar} has two labels"
            raise FixInput(what, where=f"{path}, line {line}", fix="Leave one of them out")
    return found


def _drawn(bars: Bars, share: float) -> Flags:
    """Share of the bars, the same bars whatever history they stand in."""
    names = np.array([crc32(symbol.encode()) for symbol in bars.symbols], dtype=np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = bars.sessions.astype(np.int64).astype(np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15) ^ names
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0x94D049BB133111EB)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53 < share
