"""Quantiles of what follows an event: they hold what they say on sessions that no model saw, and ascend on the device."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from signals.bundle.manifest import ModelForm
from signals.events.panel import EventBars
from signals.models.inference import FEATURES, GraphMember, infer
from signals.sleeves.events import EVENTS, event_figures
from signals.text.documents import to_json
from tests.fakes import curated
from tests.fakes.bars import synthetic_bars
from tests.fakes.event_market import known_panel
from trainer.__main__ import app
from trainer.learners.parameters import LightGbmConfig
from trainer.promotion.bars.config import Case, PromotionConfig
from trainer.runs.evidence import Evidence
from trainer.samples.samples import Samples, samples
from trainer.tasks import event_quantiles
from trainer.tasks.event_quantiles import (
    LevelFigures,
    OutcomeQuantiles,
    coverage_bar,
    forecasts_of,
    judged,
    level_figures,
    pinball_bar,
    walked,
    warnings,
)
from trainer.tasks.events import played
from trainer.validation.ic import Mean

TREES = LightGbmConfig(trees=60, num_leaves=4, min_data_in_leaf=300, learning_rate=0.08)


def test_shares_and_losses_by_hand() -> None:
    """Outcomes 0 and 2 under a forecast of 1 and a constant of 3, at the 0.9 level: half below; losses 0.1, 0.9 against 0.3, 0.1."""
    outcome, forecast, against = np.array([[0.0, 2.0]] * 3), np.ones((3, 2)), np.full((3, 2), 3.0)
    found = level_figures(outcome, forecast, against, 0.9, OutcomeQuantiles("return_1", "return", 1, (0.9,)))
    assert found.share.mean == 0.5 and found.advantage.mean == pytest.approx(0.2 - 0.5)
    assert found.gain == pytest.approx(-1.5) and np.isnan(found.low)


def test_outcomes_are_those_of_the_bars_and_known_when_their_bars_are_over() -> None:
    """Of 4 bars the adverse move, of 6 the return, each in ATR from the next open; both end where their last bar does."""
    bars = synthetic_bars(11, sessions=200, symbols=20, missing=0.0)
    levels = EventBars.of(bars)
    table, _ = played(bars, ())
    asked = {one.name: one.labels(bars, (), 1.0) for one in forecasts_of(6)}
    checked = 0
    for t, c, side, atr in zip(table.row.tolist(), table.column.tolist(), table.side.tolist(), table.atr.tolist(), strict=True):
        path = slice(t + 1, t + 7)
        if t + 8 >= len(bars.sessions) or np.isnan(levels.close[path, c]).any() or levels.is_broken[path, c].any():
            continue
        entry = levels.open[t + 1, c]
        assert asked["return_6"].values[t, c] == pytest.approx(side * (levels.close[t + 6, c] - entry) / atr, rel=1e-9, abs=1e-9)
        worst = (entry - levels.low[t + 1 : t + 5, c].min()) if side > 0 else (levels.high[t + 1 : t + 5, c].max() - entry)
        assert asked["stop_4"].values[t, c] == pytest.approx(max(worst, 0.0) / atr, rel=1e-9, abs=1e-9)
        assert (asked["return_6"].ends[t, c], asked["stop_4"].ends[t, c]) == (t + 6, t + 4)
        checked += 1
    assert checked > 100


def test_quantiles_hold_what_they_say_on_sessions_that_no_model_saw_and_beat_a_constant() -> None:
    """A small slice of `make events-campaign`: within two points, on a market whose volume tells the drift."""
    bars, _ = known_panel(1, 100, 800, 0.6)
    bars = replace(bars, joined=event_figures(bars))
    features = EVENTS.panel(bars)
    for asked in (one for one in forecasts_of(6) if one.name in ("return_1", "stop_4")):
        rows = samples(features, asked.labels(bars, (), 1.0), min_names=1)
        found = judged(asked, rows, walked(asked, rows, config=TREES, groups=3, seed=1, workers=2, step=lambda _: None), 3)
        for level in found:
            assert level.miss <= 0.02, (asked.name, level)
            assert 0.0 <= level.low < level.level < level.high <= 1.0
            assert level.gain > 0.0 and level.advantage.t > 2.0, (asked.name, level)


def test_the_bars_refuse_a_level_that_is_missed_and_one_that_a_constant_matches() -> None:
    def figures(share: float, gain: float, *, is_asked: bool = True) -> LevelFigures:
        better = Mean(gain, 0.01, gain / 0.01, 100)
        return LevelFigures("return_6", is_asked, 0.9, Mean(share, 0.01, 90.0, 100), 0.5, 1.0, gain, better)

    def case(*found: LevelFigures) -> Case:
        return cast("Case", type("Known", (), {"evidence": replace(Evidence(), others={"quantiles": to_json(found)})}))

    fixed: Any = PromotionConfig()
    good, missed, idle = figures(0.885, 0.05), figures(0.87, 0.05), figures(0.9, 0.01)
    assert coverage_bar(case(good), fixed).passed and pinball_bar(case(good), fixed).passed
    assert not coverage_bar(case(good, missed), fixed).passed and coverage_bar(case(good, figures(0.6, 0.05, is_asked=False)), fixed).passed
    assert not pinball_bar(case(good, idle), fixed).passed
    assert coverage_bar(case(), fixed).why == pinball_bar(case(), fixed).why == "no evidence"
    assert warnings([good]) == [] and "87.0%" in warnings([missed])[0] and "constant" in warnings([idle])[0]


def test_a_training_prints_coverage_and_exports_heads_whose_levels_ascend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged_to: list[str] = []

    def spied(asked: OutcomeQuantiles, rows: Samples, **more: Any) -> np.ndarray:
        judged_to.append(str(rows.sessions[rows.t1].max())[:10])
        return walked(asked, rows, **more)

    monkeypatch.setattr(event_quantiles, "walked", spied)
    data, run, config = curated.curate(tmp_path / "data"), tmp_path / "run", tmp_path / "recipe.yml"
    cpcv = {"groups": 3, "test_groups": 1, "embargo_sessions": 2, "holdout_sessions": 40}
    config.write_text(
        yaml.safe_dump({"label": {"kind": "event_quantiles"}, "lightgbm": {"trees": 8, "min_data_in_leaf": 20}, "cpcv": cpcv})
    )
    done = CliRunner().invoke(app, ["train", "--sleeve", "events", "--data", str(data), "--run", str(run), "--config", str(config)])
    assert done.exit_code == 0, done.output
    shown = ("10 % quantile of the return over 6 bars, ATR", "70 % quantile of the stop over 24 bars", "60 % quantile of the target")
    for line in (*shown, "the stop is hit in", "of trades, said 30%", "Rows wanted and present", "Events by third of liquidity"):
        assert line in done.output and line in (run / "report.md").read_text()
    form = ModelForm.model_validate_json((run / "model.json").read_bytes())
    assert [line.name for line in form.heads] == ["score", "return_1", "return_6", "stop_4", "stop_24", "target_30"]
    with np.load(run / "golden.npz") as held:
        rows, wanted = held[FEATURES], held["return_6"]
    found = infer([GraphMember((run / "return_6.onnx").read_bytes(), {"return_6": 2})], {FEATURES: rows})["return_6"]
    np.testing.assert_array_equal(found, wanted)
    assert (found[:, 0] <= found[:, 1]).all() and np.ptp(found) > 0.0
    known = json.loads((run / "evidence.json").read_text())
    assert len(judged_to) == 5 and max(judged_to) < known["holdout"]["first"], "no head is judged on sealed sessions of the run"
    told = known.get("quantiles") or known["others"]["quantiles"]
    assert [one["is_asked"] for one in told] == [True, True, True, True, True, False, False]
