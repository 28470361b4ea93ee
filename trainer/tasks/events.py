"""The base class of the tasks on events, the report's lines about rows that such a task wants, and sums of its values by session."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from signals.events.clusters import LiquidityThird
from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from trainer.recipes.base import RecipeConfig
from trainer.recipes.event_trades import AnalogTrade
from trainer.runs.evidence import Evidence
from trainer.runs.picture_bank import analogs_of
from trainer.samples.samples import Samples
from trainer.search.trial_log import Series
from trainer.tasks.base import Task

NEEDS = ("event_side", "event_strength")
WANTED_ROWS = 2_000_000  # of a gate, quantiles or offsets that are to be trusted: a history of the whole market, or bars within the day


class EventTask(Task):
    """A task whose rows are events or pictures, which is judged by its own bars and not by a book."""

    needs: ClassVar[tuple[str, ...]] = NEEDS
    min_names = 1
    is_traded: ClassVar[bool] = False
    wanted_rows: ClassVar[int] = WANTED_ROWS

    @abstractmethod
    def lines(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the task's own figures."""

    def joined(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Mapping[str, Floats]:
        """Return what past events like each one made, where the recipe names a net of pictures."""
        return analogs_of(config.label, bars, actions) if isinstance(config.label, AnalogTrade) else {}

    def rows(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the report."""
        from trainer.reports.training import provenance

        counts = ("Trials that count", str(known.trials.n_trials))
        return [*self.lines(known), *rows_lines(known, self.wanted_rows), counts, *provenance(known)]


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
    sessions, place = np.unique(rows.t0[seen], return_inverse=True)
    return Series(rows.sessions[sessions], np.bincount(place, values[seen], len(sessions)).astype(np.float64))
