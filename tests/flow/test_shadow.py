"""From a published shadow over a device's evenings to the figure that promotion reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from signals.bundle import Role
from signals.files import sha256_of, write_atomic
from signals.market.dataset import read_manifest
from signals.scoring.shadow_logs import read_shadow_log
from tests.fakes.device import Workbench
from tests.fakes.run import run_folder
from tests.fakes.store import Published, publish_bundle, recipe

Make = Callable[..., Workbench]
SESSIONS = 6


@pytest.mark.slow
def test_what_a_device_recorded_beside_its_bundle_is_judged_by_the_trainer(make: Make, own_store: Published, tmp_path: Path) -> None:
    """Six evenings of a replayed device: exported, joined with the labels, in agreement with the model's own scores."""
    pytest.importorskip("lightgbm", reason="the trainer is not part of a device")
    from execution.config import ExecutionConfig
    from portfolio.config import PortfolioConfig
    from trainer.backtest.subject import BookSettings, subject_of
    from trainer.promotion.shadow_record import shadow
    from trainer.recipes.base import RecipeConfig

    data, days = own_store.root / "data", own_store.sessions(SESSIONS)
    made = recipe(data, own_store.last_training).but(role=Role.SHADOW, refusal=None)
    bundle = own_store.root / "equities_xs" / "shadow" / publish_bundle(own_store.root, made)
    like = make(own_store, "like")
    assert like("shadow", "--json").json["rows"] == []
    refused = like("shadow", "--to", str(tmp_path / "log.json"))
    assert refused.code == 2 and "no shadow has been scored" in refused.err
    replayed = Workbench(like.state.parent / "replayed")
    done = replayed("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    told = replayed("shadow", "--to", str(tmp_path / "log.json"), "--json").json
    assert told["total"] == SESSIONS and {row["what"] for row in told["rows"]} == {"scored"}
    log = read_shadow_log((tmp_path / "log.json").read_bytes(), where="")
    rows = replayed.rows("SELECT asof, symbol, score FROM scores WHERE sleeve = 'equities_xs shadow'")
    assert {(str(e.asof), s, v) for e in log.evenings for s, v in e.scores.items()} == set(rows) and len(rows) > 200
    assert set(log.manifests) == {sha256_of((bundle / "manifest.json").read_bytes())}
    assert all(e.recorded_at and e.recorded_at.date() == e.asof for e in log.evenings)

    run = run_folder(tmp_path / "run", data, own_store.manifest.calendar.previous(log.evenings[0].asof))
    evidence = json.loads((run / "evidence.json").read_bytes())
    manifest = read_manifest(data)
    evidence["dataset"] = {"name": manifest.name, "vendor": manifest.vendor}
    evidence["walk_forward"] = {"ic": {"mean": 0.03, "standard_error": 0.01, "t": 3.0, "sessions": 400}}
    write_atomic(run / "evidence.json", json.dumps(evidence).encode())
    config = {"config": RecipeConfig().model_dump(mode="json")}
    write_atomic(run / "training_cfg.json", json.dumps({"sleeve": "equities_xs", "seed": 1, **config}).encode())
    settings = BookSettings(PortfolioConfig(), ExecutionConfig())
    found = shadow(subject_of(run, data), data, settings, 0.9, tmp_path / "log.json")
    assert (found.sessions, found.faults, found.reasons) == (SESSIONS, 0, ())
    assert found.recorded is not None and found.recorded.venues == ("exchange",)
    assert found.recorded.is_rehearsal, "a replay's own time is nobody's evidence"
    assert (found.recorded.lowest_agreement or 0.0) > 1 - 1e-9
    asked = shadow(subject_of(run, data), data, settings, 0.9)
    assert asked.recorded is None and asked.sessions > SESSIONS
