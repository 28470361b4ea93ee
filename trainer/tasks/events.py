"""Settings, labels, base class and report lines that the tasks of events (gate, quantiles, arms) have in common."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from signals.events.detectors import detect
from signals.events.outcomes import Outcomes, outcomes
from signals.events.panel import EventBars, EventTable, LiquidityThird
from signals.events.recorded import COST_BPS, OutcomeRules
from signals.files import sha256_of_file
from signals.market.actions import Action
from signals.market.bars import Bars, Floats, departures
from trainer.labels.horizon import EntryPrice, Labels, Rows
from trainer.learners.parameters import LightGbmConfig, Objective
from trainer.recipes.base import LabelConfig, RecipeConfig
from trainer.runs.evidence import Evidence
from trainer.runs.picture_bank import NET, analog_figures
from trainer.samples.peers import peer_figures
from trainer.samples.samples import Samples
from trainer.search.trial_log import Series
from trainer.tasks.base import Task

TREES = LightGbmConfig(objective=Objective.REGRESSION, trees=80, num_leaves=7, min_data_in_leaf=300)


class EventTrade(LabelConfig):
    """The trade of an event: entry at the next open, stop in ATR, target in R, k sessions of patience.

    `cost_bps` is what a way in and out costs, spread and impact together, of the value traded.
    """

    k: int = Field(default=30, ge=1, le=252)
    entry: Literal[EntryPrice.OPG] = EntryPrice.OPG
    stop_atr: float = Field(default=1.0, gt=0.0)
    target_r: float = Field(default=1.0, gt=0.0)
    cost_bps: float = Field(default=COST_BPS, ge=0.0)

    @property
    def rules(self) -> OutcomeRules:
        """As outcomes are played."""
        return OutcomeRules(self.stop_atr, self.target_r, self.k)


class AnalogTrade(EventTrade):
    """An event's trade that is forecast with what past events like it made, and what funds and its sector say of the name.

    `analogs` is the folder of a run of the sleeve `patterns`, whose net says what is alike; empty for none. `peers`: `OF_PEERS` are read.
    """

    analogs: str = ""
    peers: bool = False

    def net(self) -> dict[str, str]:
        """Return the hash of that run's net, for the evidence; nothing where there is none."""
        return {"analogs_sha256": sha256_of_file(Path(self.analogs) / NET)} if self.analogs else {}

    @model_serializer(mode="wrap")
    def _without_default(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out what is not asked for: recipes from before it keep their hash."""
        document: dict[str, object] = write(self)
        return {key: value for key, value in document.items() if key not in ("analogs", "peers") or value}


def played(bars: Bars, actions: Iterable[Action], *rules: OutcomeRules) -> tuple[EventTable, tuple[Outcomes, ...]]:
    """Find the events of the eligible names and play their trades by each of the rules."""
    levels = EventBars.of(bars)
    table, gone = detect(levels).table(bars.eligible), tuple(departures(bars, actions))
    return table, tuple(outcomes(levels, table, one, gone) for one in rules)


def rows_in(table: EventTable, bars: Bars, row: Rows, column: Rows) -> Rows:
    """Return the places in the table of the events of these bars and columns."""
    place = np.full(bars.close.shape, -1)
    place[table.row, table.column] = np.arange(len(table))
    return np.asarray(place[row, column])


def event_labels(bars: Bars, table: EventTable, values: Floats, ends: Rows, target: Floats | None = None) -> Labels:
    """Return labels of the events whose outcome is known: `values`, `ends` (-1 unknown) and `target`, one an event."""
    known = (ends >= 0) & np.isfinite(values)
    row, column = table.row[known], table.column[known]

    def dense(of: Floats) -> Floats:
        panel = np.full(bars.close.shape, np.nan)
        panel[row, column] = of[known]
        return panel

    last = np.full(bars.close.shape, -1, dtype=np.int64)
    last[row, column] = ends[known]
    return Labels(bars.sessions, bars.symbols, dense(values), last, dense(values if target is None else target))


NEEDS = ("event_side", "event_strength")
WANTED_ROWS = 2_000_000  # of a gate, quantiles or offsets that are to be trusted: a history of the whole market, or bars within the day


class EventTask(Task):
    """A task whose rows are events or pictures, which is judged by its own bars and not by a book."""

    needs: ClassVar[tuple[str, ...]] = NEEDS
    min_names = 1
    is_traded: ClassVar[bool] = False
    has_metrics: ClassVar[bool] = True
    wanted_rows: ClassVar[int] = WANTED_ROWS

    @abstractmethod
    def lines(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the task's own figures."""

    def joined(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Mapping[str, Floats]:
        """Return what past events like each one made, where the recipe names a net of pictures, and what peers say if it asks."""
        label = config.label if isinstance(config.label, AnalogTrade) else AnalogTrade()
        made = analog_figures(Path(label.analogs), bars, actions) if label.analogs else {}
        return {**made, **(peer_figures(bars) if label.peers else {})}

    def rows(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the report."""
        from trainer.reports.training import explained, provenance

        counts = ("Trials that count", str(known.trials.n_trials))
        return [*self.lines(known), *explained(known), *rows_lines(known, self.wanted_rows), counts, *provenance(known)]


def rows_lines(known: Evidence, wanted: int) -> list[tuple[str, str]]:
    """Lines about how many rows a model of this kind wants, and there are, by third of liquidity where that is known."""
    rows, thirds = known.training.rows, known.part("thirds", dict[str, float], {})
    lacking = f"{wanted - rows:,} are missing" if rows < wanted else "none is missing"
    lines = [("Rows wanted and present", f"{wanted:,} and {rows:,}: {lacking}")]
    if thirds:
        lines.append(("Events by third of liquidity", ", ".join(f"{name} {share:.1%}" for name, share in thirds.items())))
    return lines


def thirds(rows: Samples) -> dict[str, float]:
    """Share of the rows in each third of liquidity."""
    found = np.nan_to_num(rows.features[:, rows.names.index("event_third")])
    return {one.name.lower(): round(float((found == one).mean()), 6) for one in LiquidityThird}


def session_sums(rows: Samples, values: Floats) -> Series:
    """Sums of values, shape (n,), by session of the events that have one, not NaN."""
    seen = np.isfinite(values)
    day, place = np.unique(rows.day[seen], return_inverse=True)
    return Series(rows.days[day], np.bincount(place, values[seen], len(day)).astype(np.float64))
