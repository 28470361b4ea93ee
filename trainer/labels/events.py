"""Labels of events: the outcomes of their trades, on the axes of the bars that they were found on."""

from collections.abc import Iterable

import numpy as np

from signals.events.detectors import detect
from signals.events.outcomes import OutcomeRules, Outcomes, outcomes
from signals.events.panel import EventBars, EventTable
from signals.market.actions import Action
from signals.market.bars import Bars, Floats, departures
from trainer.labels.horizon import Labels, Rows

BPS = 1e-4


def played(bars: Bars, actions: Iterable[Action], *rules: OutcomeRules) -> tuple[EventTable, tuple[Outcomes, ...]]:
    """Find the events of the eligible names and play their trades by each of the rules."""
    levels = EventBars.daily(bars)
    table, gone = detect(levels).table(bars.eligible), tuple(departures(bars, actions))
    return table, tuple(outcomes(levels, table, one, gone) for one in rules)


def rows_in(table: EventTable, bars: Bars, row: Rows, column: Rows) -> Rows:
    """Return the places in the table of the events of these bars and columns."""
    place = np.full(bars.close.shape, -1)
    place[table.row, table.column] = np.arange(len(table))
    found: Rows = place[row, column]
    return found


def cost_r(bars: Bars, table: EventTable, cost_bps: float, stop_atr: float) -> Floats:
    """Return what a way in and out of each event's trade costs, in R."""
    share = table.atr / EventBars.daily(bars).close[table.row, table.column]
    found: Floats = cost_bps * BPS / (stop_atr * share)
    return found


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
