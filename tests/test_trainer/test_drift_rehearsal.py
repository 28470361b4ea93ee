"""The rehearsal of the drift rules in small: an invented market, a linear model, each corruption at one session."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signals.features.panel import FeaturePanel
from signals.monitoring.continuity import ContinuityLimits, StepLimits
from signals.monitoring.drift import reference
from tests.campaigns.drift import RULES, SLEEVE, Lived, World, live, plant
from tests.fakes.bars import synthetic_bars
from tests.fakes.corruptions import CORRUPTIONS, Corruption

FIRST, LEARNED, BEGUN = 330, 630, 640  # sessions: look-backs are full, limits are known, the corruption begins


class Linear:
    """Scores that are ranks of two slow features; each keeps its names in order for weeks."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.columns = [names.index(f"rank_{name}") for name in ("momentum_126", "volatility_60")]

    def predict(self, features: np.ndarray) -> np.ndarray:
        scores: np.ndarray = np.nan_to_num(features[:, self.columns], nan=0.5).sum(axis=1, dtype=np.float64)
        return scores


@pytest.fixture(scope="module")
def world() -> World:
    bars = synthetic_bars(7, sessions=660, symbols=80, missing=0.0)
    panel = SLEEVE.panel(bars)
    model = Linear(panel.names)
    past = slice(FIRST, LEARNED)
    seen = FeaturePanel(panel.sessions[past], panel.symbols, panel.names, panel.values[past], panel.eligible[past])
    scores = np.full(seen.eligible.shape, np.nan)
    scores[seen.eligible] = model.predict(seen.values[seen.eligible])
    return World(2022, bars, panel, range(LEARNED, 660), reference(seen, scores), model)


@pytest.mark.parametrize("kind", CORRUPTIONS, ids=lambda kind: kind.name)
def test_each_corruption_stops_one_of_its_first_three_evenings(kind: Corruption, world: World) -> None:
    changed = kind.bars is not None or kind.turns_scores
    if not changed:
        read = kind.read(world.panel, BEGUN, BEGUN, np.random.default_rng(1))
        changed = not np.array_equal(read, world.panel.values[BEGUN], equal_nan=True)
    assert changed, "the corruption is there"
    assert plant(world, kind, BEGUN)["all"]


def test_honest_evenings_are_not_stopped(world: World) -> None:
    lived = Lived()
    for rule in ("all", *RULES):
        live(world, rule, lived)
    assert lived.skips.total() == lived.halts.total() == 0 and len(world.known) == 30


def test_what_arrives_wrong_is_seen_by_the_step_alone_and_another_program_by_the_recomputation_too(world: World) -> None:
    for kind in CORRUPTIONS:
        stopped = plant(world, kind, BEGUN)
        assert stopped["DRIFT_RECOMPUTED"] == kind.is_in_program, kind.name


def test_without_its_limits_a_corruption_passes(world: World) -> None:
    """The rules switched off one after another: what is caught is caught by them."""
    blind = World(2022, world.bars, world.panel, world.rows, replace(world.reference, continuity=without_limits(world)), world.model)
    for kind in CORRUPTIONS:
        assert plant(blind, kind, BEGUN)["all"] == kind.is_in_program, kind.name


def without_limits(world: World) -> ContinuityLimits:
    return replace(world.table, steps=dict.fromkeys(world.table.steps, StepLimits({}, {}, {})), relations={})
