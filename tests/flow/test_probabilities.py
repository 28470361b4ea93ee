"""The map from score to probability that a bundle carries is applied when the evening is scored, and moves no score."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from signals.bundle.calibration import AppliedCalibration, PlattMap
from signals.bundle.manifest import HeadLine, ModelForm
from signals.models.heads import ScoreHead
from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_bundle, recipe

Make = Callable[..., Workbench]
EVENT = "the label is above its session's median"


def test_the_evening_records_what_the_map_says_of_each_name_and_every_view_shows_it(make: Make, own_store: Published) -> None:
    """By hand: p = 1 / (1 + exp(-(0.8 s - 0.1))) of the scores that the ledger holds."""
    day = str(own_store.sessions(1)[0])
    bench = make(own_store)
    assert bench("pull", "--session", day).code == 0 and bench("score", "--session", day).code == 0
    plain = dict(bench.rows("SELECT symbol, score FROM scores"))
    assert json.loads(bench.rows("SELECT figures FROM job_runs WHERE job = 'score'")[0][0])["probability"] is None

    line = HeadLine(name="score", head=ScoreHead(), calibration=AppliedCalibration(event=EVENT, map=PlattMap(slope=0.8, intercept=-0.1)))
    publish_bundle(own_store.root, recipe(own_store.root / "data", own_store.last_training, seq=2).but(form=ModelForm(heads=(line,))))
    bench = make(own_store, "mapped")
    assert bench("arm", "--session", day, "--yes").code == 0
    assert bench("run-day", "--session", day).code == 0
    assert dict(bench.rows("SELECT symbol, score FROM scores")) == plain
    said = json.loads(bench.rows("SELECT figures FROM job_runs WHERE job = 'score'")[0][0])["probability"]
    expected = 1.0 / (1.0 + np.exp(-(0.8 * np.array(list(plain.values())) - 0.1)))
    assert said["event"] == EVENT
    found = [said[name] for name in ("lowest", "median", "highest")]
    assert found == pytest.approx([expected.min(), np.median(expected), expected.max()], abs=1e-12)
    assert 0.0 < found[0] < found[1] < found[2] < 1.0

    by_name = dict(zip(plain, expected.tolist(), strict=True))
    assert dict(bench.rows("SELECT symbol, probability FROM scores")) == pytest.approx(by_name, abs=1e-12)
    shown = {row["symbol"]: row["probability"] for row in bench("signals", "--session", day, "--json").json["rows"]}
    assert shown == pytest.approx(by_name, abs=5e-5)
    orders = bench("blotter", "--session", day, "--json").json["rows"]
    assert orders and {row["probability"] for row in orders} == {f"{by_name[row['symbol']]:.1%}" for row in orders}
    facts = {row["fact"]: row["value"] for row in bench("trace", orders[0]["client_order_id"], "--json").json["rows"]}
    assert facts["probability of equities_xs"] == f"{by_name[orders[0]['symbol']]:.1%} that {EVENT}"
