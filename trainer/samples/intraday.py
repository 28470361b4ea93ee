"""One instrument's minutes as material to learn from: every bar of the training timeframe is a row of the axis that days have elsewhere."""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import cast

import numpy as np

from signals.errors import FixInput
from signals.features.panel import FeaturePanel
from signals.indicators.catalogue import BY_NAME
from signals.market.bars import Floats
from signals.market.dataset import FileRole, read_manifest, read_table
from signals.market.manifest import Manifest
from signals.minutes.bars import MinuteBars
from signals.minutes.grid import default_hours
from signals.minutes.stretch import DecisionBars
from signals.sleeves.bars import BarsSleeve
from trainer.labels.panel import Rows
from trainer.recipes.base import CpcvConfig, RecipeConfig
from trainer.recipes.minutes import MinutesConfig
from trainer.samples.minutes import load_minutes

WHOLE_DAY, EMBARGO_BARS, EMBARGO_SESSIONS = 1440, 1440, 5


@dataclass(frozen=True, eq=False)
class Intraday:
    """The dataset, the sleeve and the recipe as the data settle them, the minutes, the decisions and their features."""

    manifest: Manifest
    sleeve: BarsSleeve
    config: RecipeConfig
    minutes: MinuteBars
    bars: DecisionBars
    panel: FeaturePanel


def read_intraday(
    sleeve: BarsSleeve,
    config: RecipeConfig,
    data: Path,
    symbols: tuple[str, ...],
    span: tuple[date | None, date | None],
    version: int | None,
) -> Intraday:
    """Read one symbol's minutes and compute the features of every decision.

    Raises
    ------
    FixInput
        No symbol, or more than one, is meant.
    """
    manifest, wish = read_manifest(data, version), cast(MinutesConfig, config.minutes)
    hours = wish.hours or default_hours(manifest.calendar.name)
    minutes = load_minutes(data, manifest, _one(data, manifest, symbols), hours, *span)
    lengths, counts = np.unique(minutes.minutes, return_counts=True)
    usual = wish.session_minutes or int(lengths[np.argmax(counts)])
    settled = wish.model_copy(update={"hours": hours, "length": wish.length or minutes.length, "session_minutes": usual})
    chosen = shaped(sleeve, settled)
    bars, panel = chosen.intraday(minutes)
    return Intraday(manifest, chosen, config.model_copy(update={"minutes": settled}), minutes, bars, panel)


def shaped(sleeve: BarsSleeve, wish: MinutesConfig) -> BarsSleeve:
    """Return the sleeve as a recipe wants it; what the data say is as the sleeve has it where the recipe leaves it open."""
    return replace(
        sleeve,
        timeframe=wish.timeframe,
        strategy=wish.strategy,
        hours=wish.hours or sleeve.hours,
        indicators=tuple(BY_NAME) if wish.features else wish.indicators,
        length=wish.length or sleeve.length,
        session_minutes=wish.session_minutes or sleeve.session_minutes,
    )


def split_of(config: RecipeConfig, minutes: MinuteBars, t0: Rows) -> CpcvConfig:
    """Return what is sealed and kept apart, in bars: the share of the labelled decisions, and the rule of the embargo."""
    wish = cast(MinutesConfig, config.minutes)
    if not wish.test_share:
        return config.cpcv
    per_session = -(-int(minutes.minutes.max()) // wish.timeframe)
    is_whole_day = int(np.median(minutes.minutes)) >= WHOLE_DAY
    embargo = EMBARGO_BARS if is_whole_day else min(EMBARGO_BARS, EMBARGO_SESSIONS * per_session)
    return config.cpcv.model_copy(update={"holdout_sessions": round(wish.test_share * len(np.unique(t0))), "embargo_sessions": embargo})


def evenings(bars: DecisionBars, panel: FeaturePanel, scores: Floats) -> tuple[FeaturePanel, Floats]:
    """Return features and scores as drift compares them: a session a row, its decisions next to one another.

    `panel` and `scores` are a run of the rows of `bars`.
    """
    start = int(np.searchsorted(bars.sessions, panel.sessions[0]))
    session = bars.session[start : start + len(panel.sessions), 0]
    row = session - session[0]
    first = np.flatnonzero(np.diff(row, prepend=-1))
    place = np.arange(len(row)) - np.repeat(first, np.diff(np.append(first, len(row))))
    shape = (int(row[-1]) + 1, int(place.max()) + 1)
    values = np.full((*shape, len(panel.names)), np.nan, dtype=np.float32)
    eligible, dense = np.zeros(shape, dtype=bool), np.full(shape, np.nan)
    values[row, place], eligible[row, place], dense[row, place] = panel.values[:, 0], panel.eligible[:, 0], scores[:, 0]
    days = panel.sessions[np.append(first[1:], len(row)) - 1].astype("datetime64[D]")
    return FeaturePanel(days, tuple(f"{number:04d}" for number in range(shape[1])), panel.names, values, eligible), dense


def _one(data: Path, manifest: Manifest, symbols: tuple[str, ...]) -> str:
    if len(symbols) == 1:
        return symbols[0]
    records = manifest.of_role(FileRole.MINUTE_SESSIONS)
    known = sorted(set(read_table(data, records[0], ["symbol"]).column("symbol").to_pylist())) if records else []
    if not symbols and len(known) == 1:
        return str(known[0])
    raise FixInput(f"{len(symbols or known)} symbols may be meant", where=str(data), fix="Name one: --symbol X")
