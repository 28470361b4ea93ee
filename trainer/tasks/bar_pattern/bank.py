"""The bank of a bundle of pictures: the embeddings of past events, and what their trades realised."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.bundle.calibration import TemperatureMap
from signals.events.analogs import stored
from signals.events.outcomes import OutcomeRules, outcomes
from signals.events.panel import EventBars
from signals.features.panel import FeaturePanel
from signals.market.actions import Action
from signals.market.bars import Bars
from signals.market.holding import departures
from signals.sleeves.patterns import pictured
from signals.views import View
from trainer.learners.base import Model
from trainer.samples.samples import Gathered
from trainer.tasks.bar_pattern.config import PatternLabel
from trainer.tasks.bar_pattern.labels import CLASSES, Shapes
from trainer.tasks.bar_pattern.learner import OF_CLASSES, outputs_of

MOST_ROWS = 240_000  # the newest ones


@dataclass(frozen=True, eq=False)
class Banked:
    """The net whose embeddings are kept, its map, and what its pictures are gathered from."""

    model: Model
    known: TemperatureMap
    panel: FeaturePanel
    view: View


def bank_of(net: Banked, bars: Bars, actions: tuple[Action, ...], shapes: Shapes, label: PatternLabel) -> dict[str, NDArray[np.floating]]:
    """Return the arrays of the bank: every event with a picture whose trade is over, its quality the net's highest probability."""
    table = shapes.found.table(pictured(bars))
    rules = OutcomeRules(label.stop_atr, label.target_r, label.patience)
    made = outcomes(EventBars.daily(bars), table, rules, departures(bars, actions))
    over = np.flatnonzero((made.t1 >= 0) & np.isfinite(made.realised_r))[-MOST_ROWS:]
    row, column = table.row[over], table.column[over]
    said = outputs_of(net.model, Gathered(net.panel, net.view, row, column), np.arange(len(over)))
    quality = OF_CLASSES.probabilities(net.known.logits(said[:, : len(CLASSES)])).max(axis=1)
    symbols = [bars.symbols[c] for c in column.tolist()]
    vectors = said[:, len(CLASSES) + 1 :]
    return stored(vectors, quality, made.realised_r[over], symbols, bars.sessions[row], bars.sessions[made.t1[over]])
