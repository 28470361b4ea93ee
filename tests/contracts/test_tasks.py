"""The battery that every task passes: labels that nothing later changes, a recipe of its own, bars that ask for evidence."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("lightgbm", reason="tasks are not part of a device")

from signals.market.bars import Bars
from signals.models.heads import HEADS
from signals.sleeves import SLEEVES
from signals.sleeves.events import EVENTS
from signals.sleeves.options_vol import OPTIONS_VOL
from tests.fakes.bars import synthetic_bars, with_joined
from tests.fakes.minutes import decisions
from trainer.labels.horizon import Labels
from trainer.options.positions import OUTCOMES
from trainer.promotion.bars.config import Case, PromotionConfig
from trainer.promotion.bars.judge import judge
from trainer.promotion.measured import Measured
from trainer.runs.evidence import Evidence
from trainer.samples.samples import samples
from trainer.tasks import TASKS
from trainer.tasks.base import Task
from trainer.tasks.recipes import config_of, task_of

SESSIONS, CUT = 130, 105
SMALL = {"hedged_pnl": {"min_sessions": 60}, "bar_pattern": {"least": 0, "plain_share": 1.0}}


@pytest.fixture(params=list(TASKS.values()), ids=lambda task: task.name)
def task(request: pytest.FixtureRequest) -> Task:
    chosen: Task = request.param
    return chosen


@pytest.fixture
def bars(task: Task) -> Bars:
    """Days of many names, or one instrument's bars within its sessions."""
    if task.config.model_fields["minutes"].default is not None:
        return decisions(90, 14)[0]
    if task.kind == "bar_pattern":  # a picture is of 127 bars
        return synthetic_bars(11, sessions=2 * SESSIONS, symbols=24, missing=0.0)
    return with_joined(synthetic_bars(11, sessions=SESSIONS, symbols=24), (*OUTCOMES, *OPTIONS_VOL.joined, *EVENTS.joined), seed=12)


def labelled(task: Task, bars: Bars) -> Labels:
    label = {"kind": task.kind, **SMALL.get(task.kind, {})}
    return task.labels(bars, config_of({"label": label}, where="test"), ())


def test_the_kind_of_its_label_chooses_it_and_nothing_else_does(task: Task) -> None:
    config = config_of({"label": {"kind": task.kind}}, where="test")
    assert task_of(config) is task and isinstance(config, task.config) and config.label.kind == task.kind
    assert config_of(config.model_dump(mode="json"), where="test") == config
    assert task.head.kind in HEADS and task.min_names >= 1


def test_no_bar_after_a_labels_end_changes_it(task: Task, bars: Bars) -> None:
    """Labels that end inside a shorter history are those of the longer one: value, end, target and quality."""
    cut = len(bars.sessions) * CUT // SESSIONS
    whole, part = labelled(task, bars), labelled(task, bars.rows(0, cut))
    known = part.ends >= 0
    if len(bars.symbols) == 1:
        known[bars.session[:cut] == bars.session[cut]] = False  # type: ignore[attr-defined]  # its close came early
    assert known.sum() > (100 if task.kind.startswith("event_") else 500)  # most closes are no event
    np.testing.assert_array_equal(part.ends[known], whole.ends[:cut][known])
    np.testing.assert_array_equal(part.values[known], whole.values[:cut][known])
    if part.target is not None and whole.target is not None:
        np.testing.assert_array_equal(part.target[known], whole.target[:cut][known])
    complete = known.any(axis=1) & ((whole.ends[:cut] >= 0) == known).all(axis=1)
    if part.quality is not None and whole.quality is not None and len(bars.symbols) > 1:  # a lone name's ranks are its training part's
        np.testing.assert_array_equal(part.quality[complete], whole.quality[:cut][complete])


def test_a_label_ends_after_its_features_and_its_rows_can_be_learned_from(task: Task, bars: Bars) -> None:
    labels = labelled(task, bars)
    sleeve = next(one for one in SLEEVES.values() if set(task.needs) <= set(one.names))
    panel = decisions(90, 14)[1] if len(bars.symbols) == 1 else sleeve.panel(bars)
    rows = samples(panel, labels, first=30, min_names=task.min_names)
    assert (rows.t1 > rows.t0).all() and np.isfinite(rows.target).all() and (rows.weight >= 0).all()
    assert rows.target.std() > 0 and rows.weight.mean() == pytest.approx(1.0)


def test_a_run_without_evidence_clears_none_of_its_bars(task: Task) -> None:
    case = Case(Evidence(label=task.kind, horizon=5), Measured())
    verdict = judge(case, PromotionConfig())
    passed = {row.bar for row in verdict.rows if row.passed}
    assert not verdict.is_promoted and passed <= {"champion", "shadow"}, "these two do not apply to a first champion"
    assert all(not bar(case, PromotionConfig()).passed for bar in task.bars)
