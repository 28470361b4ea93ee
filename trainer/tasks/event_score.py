"""The task `event_score`: a daily score of the names with an event, what its trade is worth beyond the usual one, signed by its side.

    target = side x (R of the trade - mean R of the trades known by then)

It ranks the names with an event of an evening, and is judged like any ranking of returns, by those over k sessions; the other names have
no score and get the blend's mean.
"""

from dataclasses import replace
from typing import Literal, cast

import numpy as np
from pydantic import Field

from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from trainer.labels.horizon import Labels, Rows, horizon_labels
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import RecipeConfig
from trainer.runs.evidence import Evidence
from trainer.tasks.events import NEEDS, TREES, WANTED_ROWS, EventTrade, event_labels, played, rows_lines
from trainer.tasks.rank_return import RankReturn


class ScoreLabel(EventTrade):
    """The trade whose worth is learned, and the sessions over which the score is judged and held."""

    kind: Literal["event_score"] = "event_score"
    k: int = Field(default=5, ge=1, le=252)


class ScoreRecipe(RecipeConfig):
    """A recipe that learns a daily score of events."""

    label: ScoreLabel = ScoreLabel()
    lightgbm: LightGbmConfig = TREES


class EventScore(RankReturn):
    """The signed worth of an event's trade."""

    name = kind = "event_score"
    config = ScoreRecipe
    needs = NEEDS
    has_metrics = True
    min_names = 2

    def extra_lines(self, known: Evidence) -> tuple[tuple[str, str], ...]:
        """How many events there are, of those that a model of them wants."""
        return tuple(rows_lines(known, WANTED_ROWS))

    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label the names with an event by the return over k sessions; the signed worth of the trade is what is learned."""
        own = cast(ScoreRecipe, config).label
        table, (made,) = played(bars, actions, own.rules)
        usual = known_mean(made.realised_r, made.t1, len(bars.sessions))[table.row]
        worth = event_labels(bars, table, table.side * (made.realised_r - usual), made.t1)
        found = horizon_labels(bars, own.k, delistings=actions, entry=own.entry)
        known = (found.ends >= 0) & (worth.ends >= 0)
        return replace(
            found,
            values=np.where(known, found.values, np.nan),
            ends=np.where(known, np.maximum(found.ends, worth.ends), -1),
            target=np.where(known, worth.values, np.nan),
        )


def known_mean(realised_r: Floats, t1: Rows, sessions: int) -> Floats:
    """Mean R of the trades that had ended by each session, shape (T,); 0 before the first."""
    known = (t1 >= 0) & np.isfinite(realised_r)
    total, count = (np.cumsum(np.bincount(t1[known], weights, sessions)) for weights in (realised_r[known], None))
    return np.asarray(total / np.maximum(count, 1))


EVENT_SCORE = EventScore()
