"""What past events like an event made, as figures that it is forecast by: of outcomes that were known then, and of no others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from signals.errors import BundleRefused, FixInput
from signals.events.analogs import APART, read_bank
from signals.events.outcomes import outcomes
from signals.events.panel import EventBars, EventTable
from signals.events.recorded import ANALOGS, RULES
from signals.market.bars import Bars
from signals.sleeves.events import EVENTS
from tests.fakes import curated
from tests.fakes.bars import synthetic_bars
from tests.fakes.picture_nets import run
from trainer.__main__ import app
from trainer.runs.artefacts import FORM
from trainer.runs.picture_bank import SeenEvents, analog_figures, figures_by, net_of, seen_events
from trainer.samples.samples import Samples
from trainer.tasks.event_gate import EVENT_GATE, GateLabel, GateRecipe
from trainer.tasks.event_quantiles import TARGETS, target_figures
from trainer.tasks.events import AnalogTrade
from trainer.validation.clustered import auc

TRADE = AnalogTrade(kind="event_gate")


@pytest.fixture(scope="module")
def bars() -> Bars:
    return synthetic_bars(11, sessions=320, symbols=16, missing=0.0)


def test_the_figures_are_those_of_the_fifty_nearest_events_that_were_over_before(bars: Bars, tmp_path: Path) -> None:
    folder = run(tmp_path / "net")
    found, seen = analog_figures(folder, bars, ()), seen_events(bars, *net_of(folder, bars))
    made, unit = outcomes(EventBars.of(bars), seen.table, RULES), seen.vectors / np.linalg.norm(seen.vectors, axis=1, keepdims=True)
    row, column, checked = seen.table.row, seen.table.column, 0
    for i in range(0, len(row), 7):
        may = (made.t1 >= 0) & (made.t1 < row[i]) & ((column != column[i]) | (np.abs(row - row[i]) > APART))
        if may.sum() < 60:
            continue
        cosine = unit.astype(np.float16).astype(np.float64) @ unit[i]
        best = np.flatnonzero(may)[np.argsort(-cosine[may], kind="stable")[:50]]
        sim, percentile = seen.quality[best].mean() * cosine[best].mean(), np.quantile(made.realised_r[best], 0.65)
        assert found["sim_conf"][row[i], column[i]] == pytest.approx(sim, rel=1e-4)
        assert found["hist_rr_pct"][row[i], column[i]] == pytest.approx(percentile, abs=0.05)
        checked += 1
    assert checked > 20
    none = np.ones(bars.close.shape, bool)
    none[row, column] = False
    assert all(np.isnan(values[none]).all() and np.isfinite(values).any() for values in found.values())


def test_nothing_of_a_later_session_enters_the_figures_of_an_earlier_one(bars: Bars, tmp_path: Path) -> None:
    folder = run(tmp_path / "net")
    whole, short = analog_figures(folder, bars, ()), analog_figures(folder, bars.rows(0, 260), ())
    for name in ANALOGS:
        np.testing.assert_array_equal(whole[name][:260], short[name])


@pytest.mark.parametrize(("known", "least", "most"), [(20, 0.35, 0.65), (1, 0.95, 1.0)])
def test_a_planted_leak_is_what_the_rule_of_known_outcomes_keeps_out(bars: Bars, known: int, least: float, most: float) -> None:
    """Each event has a twin two bars later in another name, with its picture and its outcome, which is known 20 bars on.

    A bank that says so ranks no outcome; one that takes each outcome as known at the next bar gives every twin its own.
    """
    rng, pairs = np.random.default_rng(3), 150
    first = np.sort(rng.choice(280, pairs, replace=False))
    row = np.concatenate([first, first + 2])
    order = np.argsort(row, kind="stable")
    unit = rng.normal(size=(pairs, 64))
    unit = np.tile(unit / np.linalg.norm(unit, axis=1, keepdims=True), (2, 1))[order]
    made, column, row = np.tile(rng.choice([-1.0, 1.0], pairs), 2)[order], np.repeat([0, 1], pairs)[order], row[order]
    one = np.ones(2 * pairs)
    seen = SeenEvents(EventTable(*[one.astype(np.int8)] * 2, *[one.astype(np.float32)] * 2, one, row, column), unit, one)
    days = bars.sessions[row], bars.sessions[row + known]
    stored = {"vectors": unit, "quality": one, "realised_r": made, "symbol": column + 9.0}
    asof, ended = (x.astype("datetime64[D]").astype(np.float64) for x in days)
    figures = figures_by(read_bank({**stored, "asof": asof, "known": ended}, bars.sessions), seen, bars, k=1)["hist_rr_pct"][row, column]
    twin = (order >= pairs) & np.isfinite(figures)
    assert twin.sum() > 100 and least <= auc(figures[twin], made[twin] > 0, row[twin], row[twin]).mean <= most


def test_a_recipe_without_a_net_asks_for_nothing_and_a_folder_that_is_none_is_refused(bars: Bars, tmp_path: Path) -> None:
    assert not EVENT_GATE.joined(bars, GateRecipe(), ()) and "analogs" not in TRADE.model_dump()
    assert [one.name for one in EVENTS.given(ANALOGS).table[-2:]] == list(ANALOGS)
    with pytest.raises(FixInput, match="no run of the sleeve patterns"):
        EVENT_GATE.joined(bars, GateRecipe(label=GateLabel(analogs=str(tmp_path))), ())


def test_a_target_is_judged_against_two_r_in_pairs_and_with_and_without_analogs(bars: Bars) -> None:
    """Forecasts of 1 and 4 R where those trades made 1 and -1 R and trades to 2 R -1 and 2: uplifts of 2 and -3 R."""
    played = np.zeros((len(TARGETS), 2))
    played[TARGETS.index(1.0)], played[TARGETS.index(2.0)], played[TARGETS.index(4.0)] = (1.0, 0.0), (-1.0, 2.0), (0.0, -1.0)
    n, came = np.arange(2), np.array([3.0, 4.0])
    panel = EVENTS.panel(replace(bars, joined={name: np.ones(bars.close.shape) for name in EVENTS.joined}))
    found = target_figures(Samples(panel, n, n + 1, n, came, came, np.ones(2)), np.array([1.0, 4.0]), played, came)
    assert found.uplift.mean == pytest.approx(-0.5) and found.smape == pytest.approx((2.0 * 2.0 / 4.0 + 0.0) / 2)
    assert found.analogs.mean == pytest.approx(-0.6)  # 2 R missed at the level 0.6, in one of two sessions


def test_a_training_with_analogs_learns_from_them_and_prints_what_they_save(tmp_path: Path) -> None:
    data, folder, config = curated.curate(tmp_path / "data"), tmp_path / "run", tmp_path / "recipe.yml"
    label = {"kind": "event_quantiles", "analogs": str(run(tmp_path / "net"))}
    cpcv = {"groups": 3, "test_groups": 1, "embargo_sessions": 2, "holdout_sessions": 40}
    config.write_text(yaml.safe_dump({"label": label, "lightgbm": {"trees": 8, "min_data_in_leaf": 20}, "cpcv": cpcv}))
    done = CliRunner().invoke(app, ["train", "--sleeve", "events", "--data", str(data), "--run", str(folder), "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert "pinball that sim_conf and hist_rr_pct save" in done.output and "R above a fixed 2 R" in done.output
    names = [row["name"] for row in json.loads((folder / "feature_list.json").read_text())["features"]]
    assert names[-2:] == list(ANALOGS)
    known = json.loads((folder / "evidence.json").read_text())
    assert len((known.get("others") or known)["analogs_sha256"]) == 64


def test_a_run_of_another_kind_is_refused_in_words(bars: Bars, tmp_path: Path) -> None:
    folder = run(tmp_path / "net")
    form = json.loads((folder / FORM).read_text())
    renamed = {**form, "heads": [{**line, "name": line["name"].replace("score", "said")} for line in form["heads"]]}
    uncalibrated = {**form, "heads": [{**line, "calibration": None} for line in form["heads"]]}
    for other in (renamed, uncalibrated, {"heads": "none"}):
        (folder / FORM).write_text(json.dumps(other))
        with pytest.raises((FixInput, BundleRefused), match=r"no run of the sleeve patterns|heads: Input should be"):
            net_of(folder, bars)
