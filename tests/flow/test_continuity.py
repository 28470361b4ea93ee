"""A device whose evening does not go on from the accepted one before it trades nothing that session."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

from appliance.jobs import score as scoring_job
from appliance.monitoring import continuity
from appliance.monitoring.continuity import judge
from signals.bundle import Bundle, Part
from signals.errors import BundleRefused
from signals.features.panel import FeaturePanel
from signals.scoring.scores import Scores
from signals.scoring.scoring import score
from signals.sleeves import SLEEVES
from tests.fakes.bars import synthetic_bars
from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_bundle, recipe

STEP, RELATIONS, RECOMPUTED = "DRIFT_STEP", "DRIFT_RELATIONS", "DRIFT_RECOMPUTED"
NAMES_EXCHANGED = """
    WITH ordered AS (SELECT DISTINCT symbol, dense_rank() OVER (ORDER BY symbol) AS place FROM bars),
         moved AS (SELECT a.symbol AS old, b.symbol AS new FROM ordered a JOIN ordered b
                   ON b.place = a.place % (SELECT max(place) FROM ordered) + 1)
    UPDATE bars SET symbol = moved.new FROM moved WHERE bars.symbol = moved.old"""


def started(root: Path, published: Published) -> Workbench:
    bench = Workbench(root / "state")
    done = bench("init", "--venue", "exchange", "--store", str(published.root), "--trust", str(published.trust), "--fixed-ic", "0.05")
    assert done.code == 0, done.err
    return bench


def evening(bench: Workbench, day: date, spoil: str = "") -> dict[str, tuple[str | None, int, str]]:
    """Pull and score one session, the store spoilt between the two; what each row said."""
    assert bench("job", "pull", "--session", str(day)).code == 0
    if spoil:
        with duckdb.connect(str(bench.state / "market.duckdb")) as store:
            before = store.execute("SELECT sum(hash(symbol || close || volume)) FROM bars").fetchone()
            store.execute(spoil)
            assert store.execute("SELECT sum(hash(symbol || close || volume)) FROM bars").fetchone() != before
    bench("job", "score", "--session", str(day))
    rows = bench.rows("SELECT name, value, tripped, detail FROM tripwires WHERE session = ?", str(day))
    return {name: (value, tripped, detail) for name, value, tripped, detail in rows if name.startswith("DRIFT_")}


def status(bench: Workbench, day: date) -> str:
    return str(bench.rows("SELECT status FROM job_runs WHERE session = ? AND job = 'score'", str(day))[0][0])


def test_honest_evenings_pass_and_a_corrupted_one_is_skipped_named_and_never_compared_with(published: Published, tmp_path: Path) -> None:
    """The fault lasts: the evening after it is set beside the last good one, too, and is skipped."""
    bench = started(tmp_path, published)
    first, second, third, fourth = published.sessions(4)
    found = evening(bench, first)
    assert found[STEP][:2] == (None, 0) and "too little history yet" in found[STEP][2]
    assert found[RELATIONS][1] == 0 and float(found[RELATIONS][0] or "nan") < 1
    found = evening(bench, second)
    assert [found[row][1] for row in (STEP, RELATIONS, RECOMPUTED)] == [0, 0, 0]
    assert float(found[STEP][0] or 0) > 0 and found[RECOMPUTED][0] == "0"
    found = evening(bench, third, NAMES_EXCHANGED)
    assert found[STEP][1] == found[RECOMPUTED][1] == 1 and status(bench, third) == "skipped"
    told = bench.rows("SELECT body FROM alerts WHERE title = 'this evening does not go on from the one before'")
    assert told[0][0].startswith("order of ") and "times its limit" in told[0][0]
    assert evening(bench, fourth)[RECOMPUTED][1] == 1 and status(bench, fourth) == "skipped"


def test_scores_that_another_program_turned_upside_down_are_skipped(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features are honest; the model gives to those of the evening before another order than it gave then."""
    bench = started(tmp_path, published)
    first, second, third = published.sessions(3)
    evening(bench, first)
    assert evening(bench, second)[RECOMPUTED][:2] == ("0", 0)

    def turned(bundle: Bundle, features: FeaturePanel, **how: object) -> Scores:
        honest = score(bundle, features)
        return Scores(honest.asof, honest.sleeve, honest.symbols, -honest.values, honest.source)

    monkeypatch.setattr(scoring_job, "score_features", turned)
    monkeypatch.setattr(continuity, "score", turned)
    assert float(evening(bench, third)[RECOMPUTED][0] or 0) == pytest.approx(4.0) and status(bench, third) == "skipped"


def test_a_bundle_of_before_the_limits_still_scores_and_it_is_said_that_nothing_is_judged(own_store: Published, tmp_path: Path) -> None:
    of = recipe(own_store.root / "data", own_store.last_training, seq=2)
    old = json.loads(of.files["drift.json"][1])
    assert old.pop("continuity")
    former = {**of.files, "drift.json": (Part.DRIFT, json.dumps(old).encode())}
    publish_bundle(own_store.root, of.but(files=former))
    bench = started(tmp_path, own_store)
    first, second = own_store.sessions(2)
    evening(bench, first)
    found = evening(bench, second, NAMES_EXCHANGED)
    assert status(bench, second) == "done", "without the rules the corruption passes"
    assert all(found[row][:2] == (None, 0) and "not judged" in found[row][2] for row in (STEP, RELATIONS, RECOMPUTED))
    said = bench.rows("SELECT summary FROM job_runs WHERE session = ? AND job = 'score'", str(second))[0][0]
    assert "continuity is not judged: this bundle carries no limits of it" in said


def test_limits_that_watch_a_feature_that_is_not_computed_here_are_refused() -> None:
    market = synthetic_bars(1, sessions=60)
    features = SLEEVES["equities_xs"].features(market, market.asof)
    symbols, rows = features.at(market.asof)
    scores = Scores(market.asof, "equities_xs", symbols, np.arange(len(rows), dtype=np.float64), "b")
    for columns in (["elsewhere", "score"], None):
        bundle = SimpleNamespace(drift_reference={"continuity": {"columns": columns, "steps": {}, "relations": {}}})
        with pytest.raises(BundleRefused, match=r"'elsewhere', which is not computed here|name no columns"):
            judge(None, bundle, features, scores, None)
