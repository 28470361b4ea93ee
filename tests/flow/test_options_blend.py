"""A sleeve of another dataset on a device: its scores are delivered for the names that have them, and enter the blend."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signals.bundle.seal import sign
from signals.scoring.evening_scores import SCORES_KIND, EveningScores, scores_name, seal_scores
from signals.sleeves import SLEEVES
from tests.fakes import bundles
from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_bundle, publish_store, recipe
from tests.flow.test_two_sleeves import configured, device, run_day, titles

SLEEVE = SLEEVES["options_vol"]
PARTS = 25


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Bundles of equities_xs and of options_vol; no chains."""
    found = publish_store(tmp_path_factory.mktemp("options"))
    publish_bundle(found.root, recipe(found.root / "data", found.last_training, 1, sleeve=SLEEVE))
    return found


def deliver(store: Published, bench: Workbench, names: tuple[str, ...]) -> None:
    """What `trainer score-daily` would have left: scores of some names, bound to the bundle that the device holds."""
    pointer = json.loads((bench.state / "bundles" / SLEEVE.name / "current.json").read_text())
    asof = store.manifest.calendar.previous(store.sessions(1)[0])
    payload = EveningScores(
        asof=asof,
        sleeve=SLEEVE.name,
        revision=1,
        created=datetime(2024, 1, 1, tzinfo=UTC),
        calendar=store.manifest.calendar.name,
        spec_hash=SLEEVE.spec_hash,
        snapshot_id=store.manifest.snapshot_id,
        bundle_sha256=pointer["sha256"],
        bundle_seq=pointer["seq"],
        keyset_version=1,
        symbols=names,
        scores=tuple(np.random.default_rng(2).standard_normal(len(names)).tolist()),
    )
    path = store.root / scores_name(SLEEVE.name, asof)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(seal_scores(payload, sign(SCORES_KIND, payload.to_bytes(), (bundles.FIRST,))))


def pulled(weight: float) -> dict[str, Any]:
    return {"equities_xs": 1.0 - weight, SLEEVE.name: {"weight": weight, "scoring": "pulled"}}


def test_delivered_scores_of_some_names_enter_the_blend_and_without_them_the_share_stays_unallocated(
    store: Published, tmp_path: Path
) -> None:
    """Scored locally it says where its scores come from; delivered for 25 names it is blended for these."""
    day = store.sessions(1)[0]
    bench = device(store, tmp_path / "device", sleeves={"equities_xs": 0.6, SLEEVE.name: 0.4})
    assert bench("pull", "--session", str(day)).code == 0
    done = bench("score", "--session", str(day))
    assert done.code == 0 and "scoring: pulled" in done.out + bench("alerts", "--json").out
    assert {row for (row,) in bench.rows("SELECT DISTINCT sleeve FROM scores")} == {"equities_xs"}
    names = tuple(symbol for (symbol,) in bench.rows("SELECT symbol FROM scores ORDER BY symbol"))[:PARTS]
    bench = configured(device(store, tmp_path / "again"), sleeves=pulled(0.4))
    assert bench("pull", "--session", str(day)).code == 0
    deliver(store, bench, names)
    jobs = run_day(bench, day)
    scored = dict(bench.rows("SELECT sleeve, count(*) FROM scores GROUP BY sleeve"))
    assert scored[SLEEVE.name] == PARTS < scored["equities_xs"]
    assert jobs["score"]["status"] == jobs["plan"]["status"] == "done", "a part of the market is no lack of coverage"
    assert jobs["plan"]["figures"]["sleeves"] == pytest.approx({"equities_xs": 0.6, SLEEVE.name: 0.4})
    assert not any("no options_vol scores" in title for title in titles(bench))
