"""Offsets of the entry: what each arm makes is played, a planted offset is found, and without one the default stays."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from signals.events.outcomes import Exit, outcomes
from signals.events.panel import EventBars, EventTable
from signals.events.recorded import OutcomeRules
from tests.fakes import curated
from tests.fakes.event_market import judged_arms
from trainer.__main__ import app
from trainer.learners.parameters import LightGbmConfig
from trainer.tasks.event_arms import ARMS, ArmsFigures, above_default, arms_figures
from trainer.validation.clustered import low

TREES = LightGbmConfig(trees=40, num_leaves=4, min_data_in_leaf=100, learning_rate=0.1)


def trade(entry_atr: float, high: float, low: float, side: int = 1) -> tuple[Exit, float]:
    """One event, ATR 1, entered at an open of 100; the bar after it goes to `high` and `low` and closes at 100, the next one at 101."""
    prices = np.array([[100.0] * 4, [100.0, high, low, 100.0], [100.0, 101.5, 99.9, 101.0], [101.0] * 4])
    if side < 0:
        prices = 200.0 - prices[:, [0, 2, 1, 3]]
    opened, highs, lows, closes = (prices[:, [i]] for i in range(4))
    bars = EventBars(opened, highs, lows, closes, np.zeros((4, 1)), np.zeros((4, 1), bool))
    place, unit, kind = np.zeros(1, np.int64), np.ones(1), np.ones(1, np.int8)
    one = EventTable(kind, kind * side, unit.astype(np.float32), unit.astype(np.float32), unit, place, place)
    made = outcomes(bars, one, OutcomeRules(1.0, 1.0, 2, entry_atr))
    return Exit(made.exit[0]), float(made.realised_r[0])


@pytest.mark.parametrize("side", [1, -1])
def test_an_offset_is_entered_where_the_bar_comes_to_it_and_played_from_there(side: int) -> None:
    """At -0.25 the entry is 99.75: its target 100.75 is met in the second bar, not in the bar of the entry, whose order is not known."""
    assert trade(0.0, 100.2, 99.7, side) == (Exit.TARGET, 1.0)
    assert trade(-0.25, 100.2, 99.8, side)[0] is Exit.NOT_ENTERED
    assert trade(-0.25, 100.9, 99.7, side) == (Exit.TARGET, pytest.approx(1.0))
    assert trade(-0.25, 100.2, 98.7, side) == (Exit.STOP, -1.0)
    assert trade(0.25, 100.2, 99.8, side)[0] is Exit.NOT_ENTERED
    assert trade(0.25, 100.3, 99.8, side) == (Exit.TARGET, pytest.approx(1.0))


def test_a_planted_offset_is_found_and_without_one_the_default_stays() -> None:
    """A small slice of `make events-campaign`: loud breakouts first go 0.3 ATR against their side, so that a better price comes."""
    found, chosen, where = judged_arms(1, 100, 800, 0.3, TREES)
    better = ARMS.index(-0.25)
    assert where.sum() > 500 and (chosen[where] == better).mean() > 0.9
    assert not found.keeps_default and low(found.uplift) > 0.02
    nothing, chosen, where = judged_arms(1, 100, 800, 0.0, TREES)
    assert nothing.keeps_default and abs(nothing.uplift.mean) < 0.05
    assert (chosen[where] == better).mean() < 0.6
    assert nothing.arms[0].met == 1.0 and all(0.4 < arm.met < 1.0 for arm in nothing.arms[1:])


def test_the_default_is_taken_where_arms_are_expected_to_be_worth_the_same() -> None:
    said, net = np.array([[0.0, 0.1, 0.1], [0.0] * 3, [0.0, 0.2, np.nan], [0.0, 0.2, 0.2], [0.0] * 3]), np.arange(1.0, 6.0)[:, None]
    np.testing.assert_array_equal(above_default(said, np.tile(net, 3)), [0.0, 2.0, np.nan])
    assert ArmsFigures().keeps_default


def test_styles_and_fills_of_the_chosen_arms_are_counted() -> None:
    """Arms 0, -0.25, -0.15, 0.15, 0.25. Chosen -0.15, 0.25, 0 and 0.15; best -0.25, 0, 0 and 0.15; the second is not met."""
    net = np.array([[0.0, 1.0, 1.0, 0.0], [2.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    said, met = np.zeros((5, 5)), np.ones((5, 5), bool)
    for event, arm in enumerate((2, 4, 0, 3)):
        said[arm, event] = 1.0
    said[:, 4] = np.nan  # no model spoke of it
    met[4, 1] = False
    found, gained = arms_figures(said, np.column_stack([net, np.full(5, 9.0)]), met, np.arange(5), np.arange(5))
    assert (found.right_style, found.commonest_style, found.met) == (0.75, 0.5, 0.75)
    assert found.price_atr == pytest.approx((-0.15 + 0.0 + 0.15) / 3.0)
    np.testing.assert_array_equal(gained, [1.0, -1.0, 0.0, 3.0, np.nan])


def test_a_training_says_which_arm_is_taken_and_keeps_every_arm_as_a_head(tmp_path: Path) -> None:
    data, run, config = curated.curate(tmp_path / "data"), tmp_path / "run", tmp_path / "recipe.yml"
    cpcv = {"groups": 3, "test_groups": 1, "embargo_sessions": 2, "holdout_sessions": 40}
    config.write_text(yaml.safe_dump({"label": {"kind": "event_arms"}, "lightgbm": {"trees": 8, "min_data_in_leaf": 20}, "cpcv": cpcv}))
    done = CliRunner().invoke(app, ["train", "--sleeve", "events", "--data", str(data), "--run", str(run), "--config", str(config)])
    assert done.exit_code == 0, done.output
    shown = ("R above the default arm's", "Arm -0.25 ATR", "Arm +0.25 ATR", "Arm that is taken", "Style of entry", "Entries that are met")
    for line in (*shown, "Rows wanted and present", "Events by third of liquidity"):
        assert line in done.output and line in (run / "report.md").read_text()
    assert [one["name"] for one in json.loads((run / "model.json").read_text())["heads"]][:2] == ["score", "arm_minus_25"]
    known = json.loads((run / "evidence.json").read_text())
    told = known.get("arms") or known["others"]["arms"]
    assert len(told["arms"]) == 5 and told["arms"][0]["above_default"]["mean"] == 0.0
    assert date.fromisoformat(known["last_label_session"]) > date.fromisoformat(known["last_training_session"])
