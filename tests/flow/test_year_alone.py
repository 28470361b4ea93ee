"""A few sessions of a year alone: the device and the training host live through them by themselves, on one clock."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import trainer.lineage.retrain as retraining
import trainer.reports.training as report
from signals.errors import LearnerFailed
from signals.market.sessions import xnys
from signals.serving.outlook import FeatureRows
from signals.serving.posted_rows import from_parquet
from tests.fakes.year import YearAlone
from trainer.curation.generated.market import generate
from trainer.tasks.recipes import preset_named

SMALL = preset_named("small")
RECIPE = SMALL.model_copy(update={"cpcv": SMALL.cpcv.model_copy(update={"groups": 3, "test_groups": 1, "holdout_sessions": 40})})
BEFORE, NAMES, END = 560, 20, date(2025, 6, 30)


def world_of(root: Path, monkeypatch: pytest.MonkeyPatch, sessions: int, spoilt: int) -> YearAlone:
    """Twenty names; the evening of the trade session numbered `spoilt` lacks half of its rows. Pictures cost as much as the rest."""
    monkeypatch.setattr(report, "_pictures", lambda *_, **__: {})
    market = generate(7, NAMES, BEFORE + sessions + 2, END, with_defects=False)
    days = market.truth.sessions[BEFORE : BEFORE + sessions]
    world = YearAlone(root, market, RECIPE, days[0], spoilt={days[spoilt]})
    world.begin()
    return world


@pytest.mark.slow
def test_three_sessions_alone_trade_and_one_without_usable_data_is_excused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(tmp_path, monkeypatch, 3, 0)
    lived = world.live(3)
    assert lived.missed == {} and len(lived.traded) == 2 and len(lived.excused) == 1 and lived.orders > 10, lived
    assert world.tripped()["DATA_NOT_USABLE"] == 1 and "EXPECTATION" not in world.tripped()
    ended = world.rows()
    assert ended["update", "done"] == 4 and ended["audit", "failed"] >= 1 and ended["publish", "done"] == 4
    assert ended["score", "refused"] == 1 and ended["evaluate", "done"] == 4
    assert {status for _, status in ended} <= {"done", "refused", "failed"}
    _nights_are_kept(tmp_path, ended["score", "done"])
    [log] = tmp_path.rglob("looks.jsonl")
    watched = {(look["model"], look["sleeve"]) for look in map(json.loads, log.read_text().splitlines()) if look["command"] == "evaluate"}
    assert [sleeve for _, sleeve in watched] == ["equities_xs"], watched  # what is published is one look, however often it is shown


def _nights_are_kept(root: Path, scored: int) -> None:
    """Of each night the rows that were scored, which anybody may score again, and the labels of those that are known by now."""
    rows = sorted(root.rglob("nights/equities_xs/asof=*/rows-*.parquet"))
    assert len(rows) == scored and {path.stem for path in rows} == {"rows-1"}
    for path in rows:
        table, day = pq.read_table(path), path.parent.name.removeprefix("asof=")
        said = json.loads(json.loads((next(root.rglob(f"scores/equities_{day}.json"))).read_text())["payload"])
        assert (table["symbol"].to_pylist(), table["score"].to_pylist()) == (said["symbols"], said["scores"])
        found = from_parquet(path, table.column_names[2:-3], xnys(END - timedelta(days=900), END))
        assert isinstance(found, FeatureRows) and found.values.shape == (len(table), len(table.column_names) - 5)


@pytest.mark.slow
def test_a_starter_is_retrained_after_a_failed_training_without_a_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, real = [], retraining.train_again

    def train_again(*given: object, **more: object) -> None:
        if not broken:
            broken.append(given)
            raise LearnerFailed("no convergence", fix="Lower the rate")
        real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(retraining.retrain, "__defaults__", (train_again,))
    world = world_of(tmp_path, monkeypatch, 9, 7)
    lived = world.live(9)
    assert lived.missed == {} and len(lived.excused) == 1, lived
    ended = world.rows()
    assert len(broken) == 1 and ended["retrain", "failed"] == 1 and ended["retrain", "done"] == 1, ended
    assert any(alert.title.startswith("retrain of") and alert.title.endswith("failed") for alert in world.inbox.alerts)
