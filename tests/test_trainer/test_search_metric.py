"""A search by a task's own metric: it finds what was planted, says so of noise, and a metric turned round would show."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import yaml
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from signals.errors import FixInput
from signals.sleeves.events import EVENTS, event_figures
from tests.fakes.curated import curate
from tests.fakes.event_market import known_panel
from trainer.__main__ import app
from trainer.learners.base import EachTarget, FitDevice
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import CpcvConfig, SearchConfig, learner_of
from trainer.reports.training import search_lines
from trainer.runs.trials import SearchFigures
from trainer.samples.samples import Material, Samples, samples
from trainer.search import trial_log
from trainer.search.arena import Arena, area, log_loss
from trainer.search.counting import Counted, counting
from trainer.search.judgement import SearchEvidence, judge_search
from trainer.search.run import CONFIGURED, Found, SearchPlan, figures, search
from trainer.search.trial_log import SEARCH, TRAIN, Series
from trainer.tasks import TASKS
from trainer.tasks.base import Task
from trainer.tasks.event_arms import at_rows
from trainer.tasks.event_gate import EVENT_GATE, GateRecipe
from trainer.validation.clustered import auc
from trainer.validation.ic import persistent_mean
from trainer.validation.splits.oof import walk_forward

NAMES, SESSIONS, GROUPS = 40, 600, 4
DAYS = np.busday_offset(np.datetime64("2020-01-01"), np.arange(252), roll="forward")
STUMP = LightGbmConfig(trees=1, num_leaves=2, min_data_in_leaf=200, learning_rate=0.05)
CONFIG = GateRecipe(
    lightgbm=STUMP,
    cpcv=CpcvConfig(groups=GROUPS, holdout_sessions=0),
    search=SearchConfig(startup_trials=4, lightgbm={"trees": (1, 20), "num_leaves": (2, 6), "min_child_weight": (1.0, 20.0)}),
)


@cache
def market(kind: str, strength: float) -> tuple[Samples, Material, Any]:
    """Rows of the events of a generated market by the task of that kind, its material, and the recipe."""
    task = next(task for task in TASKS.values() if task.kind == kind)
    bars, _ = known_panel(2, NAMES, SESSIONS, strength)
    bars = replace(bars, joined=event_figures(bars))
    config = CONFIG if kind == "event_gate" else task.config(cpcv=CONFIG.cpcv)
    rows = samples(EVENTS.panel(bars), task.labels(bars, config, ()), min_names=1)
    return rows, cast(Material, SimpleNamespace(source=SimpleNamespace(bars=bars, actions=()), rows=rows)), config


def searched(folder: Path, strength: float) -> tuple[Found, SearchFigures, Arena]:
    rows, material, config = market("event_gate", strength)
    arena = Arena(rows, EVENT_GATE.metric(material, config, rows), EVENT_GATE.learner)
    plan = SearchPlan(folder, folder, 4, 1, FitDevice.CPU, 1)
    found = search(config, arena, {"sleeve": "events"}, plan, lambda _: None)
    known = figures(folder, found.study, found.best.key, rows)
    assert known is not None
    return found, known, arena


def test_a_search_of_a_gate_finds_a_setting_that_ranks_targets_better_than_the_recipe_and_says_so(tmp_path: Path) -> None:
    """The AUC is the library's of a walk-forward that the search did not make: a metric turned round would choose the worst."""
    found, known, arena = searched(tmp_path, 0.6)
    scores = [
        walk_forward(arena.rows, learner_of(config, 1, FitDevice.CPU), groups=GROUPS, workers=1, step=lambda _: None)
        for config in (found.config, CONFIG)
    ]
    seen = np.isfinite(scores[0])
    best, plain = (roc_auc_score(arena.rows.target[seen], one[seen]) for one in scores)
    assert best > plain + 0.02 and known.value == pytest.approx(best - 0.5) and known.configured == pytest.approx(plain - 0.5)
    assert known.is_better and known.gain == pytest.approx(best - plain) and known.p is not None and known.p < 0.05
    study = found.history.studies[found.study]
    assert study.metric == arena.metric.name and study.identity["bins"] is None and set(study.baselines) == {CONFIGURED, "ridge"}
    assert known.n_trials == len(study.trials) == 4 and not known.pbo.applicable


def test_on_noise_the_verdict_is_that_none_is_better_than_the_recipe(tmp_path: Path) -> None:
    _, known, _ = searched(tmp_path, 0.0)
    assert not known.is_better and known.low is not None and known.low < 0.0 and known.n_trials == 4


def test_the_area_s_series_has_the_area_as_its_mean_and_its_clustered_error() -> None:
    rows, _, _ = market("event_gate", 0.6)
    score = np.where(rows.day > rows.day.max() // 2, np.random.default_rng(1).random(len(rows)), np.nan)
    seen, came = np.isfinite(score), rows.target > 0.5
    series = area("AUC", rows, came).series(score)
    known = auc(score[seen], came[seen], rows.day[seen], rows.day[seen])
    place = np.searchsorted(rows.days, series.days)
    spread = np.full(place[-1] - place[0] + 1, np.nan)
    spread[place - place[0]] = series.net
    assert series.net.mean() == pytest.approx(roc_auc_score(came[seen], score[seen]) - 0.5)
    assert persistent_mean(spread, 5).standard_error == pytest.approx(
        known.standard_error, rel=0.01
    )  # which counts sessions without events


@pytest.mark.parametrize("kind", ["event_gate", "event_quantiles", "event_arms"])
def test_what_knows_the_outcome_is_worth_more_than_nothing_and_what_says_its_contrary_less(kind: str) -> None:
    rows, material, config = market(kind, 0.6)
    task = next(task for task in TASKS.values() if task.kind == kind)
    metric = task.metric(material, config, rows)
    truth = metric.rows(rows).target if kind != "event_quantiles" else rows.label
    worth = [metric.worth(metric.series(said).net) for said in (truth, -truth)]
    assert worth[0] > 0.0 > worth[1]
    if kind == "event_arms":
        net, _ = at_rows(rows, material.source.bars, config.label, ())
        assert worth[0] == pytest.approx((net.max(axis=0) - net[0]).sum() / len(np.unique(rows.day)))
        learner = metric.learner(task.learner(config.model_copy(update={"lightgbm": STUMP}), 1, FitDevice.CPU))
        assert isinstance(learner, EachTarget)
        scores = walk_forward(metric.rows(rows), learner, groups=GROUPS, workers=1, step=lambda _: None)
        assert scores.shape == truth.shape and len(metric.series(scores).net) > 300


def test_the_log_loss_of_classes_is_what_is_saved_against_equal_shares() -> None:
    rows, _, _ = market("event_gate", 0.6)
    number = np.arange(len(rows)) % 3
    metric = log_loss("log loss", rows, number, np.ones(len(rows)))
    sure = np.where(np.arange(3) == number[:, None], np.log(8.0), 0.0)  # 8 : 1 : 1, said of the class that came
    columns = np.column_stack([sure, np.full(len(rows), 99.0)])  # what is behind the classes is no class
    assert metric.worth(metric.series(columns).net) == pytest.approx(np.log(3.0 * 8.0 / 10.0))
    assert metric.worth(metric.series(0.0 * columns).net) == pytest.approx(0.0)
    half = metric.series(np.where(rows.day[:, None] > 300, columns, np.nan))
    assert set(half.days.tolist()) == set(rows.days[rows.day[rows.day > 300]].tolist())


@pytest.mark.slow
@pytest.mark.parametrize(("sleeve", "kind"), [("risk", "volatility"), ("events", "event_quantiles"), ("events", "event_arms")])
def test_tasks_without_a_book_are_searched_by_what_they_forecast(sleeve: str, kind: str, tmp_path: Path) -> None:
    trees = {"trees": 10, "num_leaves": 7, "min_data_in_leaf": 30}
    document = {
        "label": {"kind": kind},
        "learner": "lightgbm",
        "lightgbm": trees,
        "cpcv": {"groups": 4, "test_groups": 1, "embargo_sessions": 2, "holdout_sessions": 40},
        "search": {"startup_trials": 2, "lightgbm": {"num_leaves": [3, 7], "trees": [5, 10]}},
    }
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(document))
    data = curate(tmp_path / "data")
    words = ["search", "--sleeve", sleeve, "--data", str(data), "--config", str(tmp_path / "recipe.yml"), "--to", str(tmp_path / "s")]
    done = CliRunner().invoke(app, [*words, "--trials", "2", "--json"])
    assert done.exit_code == 0, done.output
    known = json.loads(done.stdout)
    assert known["n_trials"] == 2 and known["metric"] and known["value"] is not None and Path(known["recipe"]).exists()


def test_every_task_names_its_metric_or_is_judged_by_a_book_and_a_plug_in_without_one_is_refused() -> None:
    assert all(task.is_traded or type(task).metric is not Task.metric for task in TASKS.values())
    plain = cast(Task, SimpleNamespace(name="mine"))
    with pytest.raises(FixInput, match="names no metric"):
        Task.metric(plain, cast(Material, None), CONFIG, cast(Samples, None))


def test_the_gain_in_pairs_is_bounded_by_all_that_was_tried() -> None:
    rng = np.random.default_rng(3)
    configured, noise = rng.normal(0.0, 1.0, len(DAYS)), rng.normal(0.0, 0.1, (len(DAYS), 30))
    family = configured[:, None] + noise
    family[:, 7] += 0.0095
    chosen = Series(DAYS, family[:, 7])

    def judged(count: int, blind: int = 0) -> SearchFigures:
        counted = Counted(tuple(Series(DAYS, column) for column in family[:, :count].T), blind)
        return judge_search(SearchEvidence(chosen, counted), Series(DAYS, configured))

    few, many, blind = judged(0), judged(30), judged(30, 200)
    assert few.gain == many.gain == pytest.approx((family[:, 7] - configured).mean())
    assert few.low is not None and many.low is not None and blind.low is not None and few.low > many.low > blind.low
    assert few.is_better and not blind.is_better and many.n_trials == 30 and blind.n_trials == 230
    assert many.pbo.applicable is False and few.p is not None and many.p is not None and few.p < many.p
    short = [Series(one.days[:30], one.net[:30]) for one in (chosen, Series(DAYS, configured))]
    brief = judge_search(SearchEvidence(short[0], Counted(())), short[1])
    assert brief.gain is not None and brief.low is None and not brief.is_better, "30 sessions bound nothing"
    assert any("too few sessions" in text for _, text in search_lines(brief))
    same = judge_search(SearchEvidence(Series(DAYS, configured), Counted(())), Series(DAYS, configured))
    assert same.gain is None and not same.is_better


def test_a_search_by_a_metric_sees_series_of_that_metric_and_counts_the_others_blind(tmp_path: Path) -> None:
    asked = {"sleeve": "events", "first": "2020-01-01", "last": "2020-12-31"}
    for number, identity in enumerate(({"metric": "AUC"}, {"metric": "QLIKE"}, {"command": TRAIN})):
        name, net = f"study{number}", np.random.default_rng(number).normal(0.0, 1.0, len(DAYS))
        started = {"study": name, "number": 0, "parameters": {}, "trial": f"key{number}"}
        ended = trial_log.ended(trial_log.Trial(0, trial_log.TrialOutcome.COMPLETED, {}, net))
        trial_log.append(
            tmp_path,
            {"kind": "study", "study": name, "identity": {"command": SEARCH, **asked, **identity}, "sessions": [str(d) for d in DAYS]},
            {"kind": "baseline", "study": name, "name": CONFIGURED, "net": trial_log.packed(-net)},
            {"kind": "started", **started},
            {"study": name, **ended},
        )
    history = trial_log.known(tmp_path)
    own, book = (counting(history, ("events",), "2020-01-01", "2020-12-31", metric) for metric in ("AUC", ""))
    assert own.tries == 3 and own.blind == 2 and len(own.series) == 1
    np.testing.assert_array_equal(own.series[0].net, history.studies["study0"].trials[0].net)
    np.testing.assert_array_equal(next(iter(own.baselines.values())).net, -own.series[0].net)
    assert book.tries == 3 and book.blind == 0
