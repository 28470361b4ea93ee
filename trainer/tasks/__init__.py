"""Tasks: what is learned, and how it is judged. `TASKS` is the register."""

from signals.plugins import PluginTable
from trainer.tasks.bar_pattern.task import BAR_PATTERN
from trainer.tasks.barrier_classes.task import BARRIER_CLASSES
from trainer.tasks.base import Task
from trainer.tasks.event_arms import EVENT_ARMS
from trainer.tasks.event_gate import EVENT_GATE
from trainer.tasks.event_quantiles import EVENT_QUANTILES
from trainer.tasks.event_score import EVENT_SCORE
from trainer.tasks.hedged_pnl import HEDGED_PNL
from trainer.tasks.rank_return import RANK_RETURN
from trainer.tasks.series_return import SERIES_RETURN
from trainer.tasks.triple_barrier import TRIPLE_BARRIER
from trainer.tasks.volatility.task import VOLATILITY

_OF_RETURNS = (RANK_RETURN, TRIPLE_BARRIER, SERIES_RETURN, HEDGED_PNL)
_OF_EVENTS = (EVENT_GATE, EVENT_QUANTILES, EVENT_ARMS, EVENT_SCORE)
TASKS: PluginTable[Task] = PluginTable(
    "trademl.tasks",
    Task,  # type: ignore[type-abstract]  # only asked whether a plug-in is one
    {task.name: task for task in (*_OF_RETURNS, VOLATILITY, BARRIER_CLASSES, *_OF_EVENTS, BAR_PATTERN)},
)
