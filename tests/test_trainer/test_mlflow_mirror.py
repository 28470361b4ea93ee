"""MLflow mirrors the registry, against its own SQLite store; the history stays the truth."""

from __future__ import annotations

import json
import shutil
import socket
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signals.errors import FixInput
from signals.files import sha256_of
from signals.models.inference import predict
from tests.fakes.champions import SLEEVE, add
from tests.fakes.promotion import BARS
from tests.fakes.store import SLEEVE as EQUITIES_XS
from tests.fakes.store import rank_model
from trainer.promotion import history, lineage_log
from trainer.promotion.history import CHAMPIONS
from trainer.runs.evidence import EVIDENCE, FORMAT


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty tracking store, made once: MLflow takes a second or more to create its tables."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from trainer.promotion import mlflow_mirror

    folder = tmp_path_factory.mktemp("mlflow")
    mlflow_mirror.client(mlflow_mirror.default_uri(folder))
    patch.undo()
    return folder / mlflow_mirror.DATABASE


@pytest.fixture
def registry(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    shutil.copy(template, tmp_path / template.name)
    return tmp_path


def mirrored(registry: Path) -> Any:
    from trainer.promotion import mlflow_mirror

    client = mlflow_mirror.client(mlflow_mirror.default_uri(registry))
    mlflow_mirror.sync(client, registry, SLEEVE)
    return client


def alias(client: Any, name: str) -> str | None:
    found = client.get_registered_model(SLEEVE).aliases
    return client.get_model_version(SLEEVE, found[name]).tags.get("record") if name in found else None


def test_each_judged_challenger_is_a_run_and_a_version_and_the_champion_has_its_alias(registry: Path) -> None:
    add(registry, "promoted", "1.0.0")
    client = mirrored(registry)
    version = client.get_model_version_by_alias(SLEEVE, "champion")
    assert version.tags["version"] == "1.0.0" and version.tags["model_sha256"] == "a" * 64
    run = client.get_run(version.run_id)
    assert run.data.metrics["net Sharpe"] == 1.2 and run.data.metrics["failed bars"] == 0.0
    assert run.data.metrics["dsr"] == pytest.approx(0.9505, abs=1e-4)
    assert run.data.params["bars_hash"] == BARS.fingerprint() and run.info.status == "FINISHED"
    assert [f.path.endswith(".json") for f in client.list_artifacts(run.info.run_id, "case")] == [True]
    assert (registry / "artifacts").is_dir(), "nothing is written outside the registry"


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # of MLflow's own module, at its import
def test_the_champion_loads_with_its_model_and_what_became_of_it_is_written_back(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By MLflow itself, from `models:/equities_xs@champion`; the graph is the one that was judged, and scores the same."""
    graph = rank_model()
    add(registry, "promoted", "1.0.0", model=lineage_log.keep(registry, graph))
    client = mirrored(registry)
    import mlflow.pyfunc

    from trainer.promotion import mlflow_mirror

    uri = mlflow_mirror.default_uri(registry)
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", uri, raising=False)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    loaded = mlflow.pyfunc.load_model(f"models:/{SLEEVE}@champion")
    rows = np.random.default_rng(1).normal(size=(7, len(EQUITIES_XS.names))).astype(np.float32)
    assert np.array_equal(np.ravel(next(iter(loaded.predict(rows).values()))), predict([graph], rows).astype(np.float32))
    for evening, ic in ((date(2026, 1, 2), 0.01), (date(2026, 1, 5), 0.03)):
        mlflow_mirror.write_live(client, SLEEVE, evening, {"live ic": ic})
    run = client.get_model_version_by_alias(SLEEVE, "champion").run_id
    assert [row.value for row in client.get_metric_history(run, "live ic")] == [0.01, 0.03]
    mlflow_mirror.write_live(client, f"{SLEEVE}-shadow", date(2026, 1, 5), {"live ic": 0.5})
    assert len(client.get_metric_history(run, "live ic")) == 2, "a shadow's figures are no champion's"


def test_the_newest_model_of_each_lineage_has_the_alias_of_its_role(registry: Path) -> None:
    """A starter that was accepted and trained again is loaded as `@evaluation`."""
    graphs = [rank_model(weights) for weights in (None, np.arange(1, 40) / 64)]
    described = {"sleeve": SLEEVE, "config_hash": "c", "spec_hash": "s", "horizon": 5, "snapshot_id": "d", "code_version": "0.1.0"}
    for of, (event, graph) in enumerate(zip(("begun", "retrained"), graphs, strict=True)):
        own = {"event": event, "lineage": "a" * 16, "of": of, "role": "evaluation", "run": f"run-{of}", "at": "2026-01-01"}
        model = {"model_sha256": [lineage_log.keep(registry, graph)], "evidence_sha256": str(of)}
        history.append(registry / lineage_log.LINEAGES, {**described, **own, **model})
    client = mirrored(registry)
    newest = client.get_model_version_by_alias(SLEEVE, "evaluation")
    assert newest.tags["trained_as"] == "run-1" and newest.tags["model_sha256"] == sha256_of(graphs[1])
    assert len(mirrored(registry).search_model_versions(f"name='{SLEEVE}'")) == 2


def test_a_training_that_nobody_judged_is_a_run_with_its_model_and_none_is_there_twice(registry: Path, tmp_path: Path) -> None:
    """The model that was judged is not mirrored again; one without a model of one file has its evidence alone."""
    from trainer.promotion import mlflow_mirror

    judged, alone = rank_model(), rank_model(np.arange(1, 40) / 64)
    add(registry, "promoted", "1.0.0", model=lineage_log.keep(registry, judged))
    client = mirrored(registry)
    for name, graph in (("judged", judged), ("alone", alone), ("many", None)):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        evidence = {"format": FORMAT, "sleeve": SLEEVE, "snapshot_id": "d", "horizon": 5, "ic": {"mean": 0.02}}
        (folder / EVIDENCE).write_text(json.dumps(evidence))
        if graph is not None:
            (folder / "model.onnx").write_bytes(graph)
    for _ in range(2):
        mlflow_mirror.sync_runs(client, registry, sorted((tmp_path / "runs").iterdir()))
        found = {version.tags["record"]: version for version in client.search_model_versions(f"name='{SLEEVE}'")}
        assert set(found) == {"1", "run-alone", "run-many"}
    run = client.get_run(found["run-alone"].run_id)
    assert run.data.metrics["ic"] == 0.02 and run.data.params["snapshot_id"] == "d"
    assert found["run-alone"].tags["model_sha256"] == sha256_of(alone) and found["run-alone"].tags["verdict"] == "not judged"
    graph = Path(client.download_artifacts(run.info.run_id, "model/model.onnx", str(tmp_path)))
    assert graph.read_bytes() == alone and not client.list_artifacts(found["run-many"].run_id, "model")


def test_a_refused_challenger_gets_the_challenger_s_alias_until_the_next_champion(registry: Path) -> None:
    add(registry, "promoted", "1.0.0")
    add(registry, "refused", None, 0.5, "b")
    client = mirrored(registry)
    assert (alias(client, "champion"), alias(client, "challenger")) == ("1", "2")
    refused = client.get_model_version_by_alias(SLEEVE, "challenger")
    assert refused.tags["verdict"] == "refused" and "version" not in refused.tags
    add(registry, "promoted", "1.0.1", 1.5, "b")
    client = mirrored(registry)
    assert (alias(client, "champion"), alias(client, "challenger")) == ("3", None)


def test_a_rollback_moves_the_alias_and_makes_no_version(registry: Path) -> None:
    add(registry, "promoted", "1.0.0")
    add(registry, "promoted", "1.0.1", 1.5, "b")
    add(registry, "rolled_back", "1.0.0")
    client = mirrored(registry)
    assert alias(client, "champion") == "1"
    assert len(client.search_model_versions(f"name='{SLEEVE}'")) == 2


def test_a_store_that_was_away_catches_up_and_again_changes_nothing(registry: Path) -> None:
    add(registry, "promoted", "1.0.0")
    mirrored(registry)
    add(registry, "refused", None, 0.5, "b")
    add(registry, "promoted", "1.1.0", 1.5, "c")
    for _ in range(2):
        client = mirrored(registry)
        assert sorted(v.tags["record"] for v in client.search_model_versions(f"name='{SLEEVE}'")) == ["1", "2", "3"]
        assert alias(client, "champion") == "3"


def test_a_store_that_mirrors_another_history_is_not_written_to(registry: Path, tmp_path: Path) -> None:
    add(registry, "promoted", "1.0.0")
    mirrored(registry)
    (registry / CHAMPIONS).unlink()
    (registry / f"{CHAMPIONS}.head").unlink()
    add(registry, "promoted", "1.0.0", 1.9)
    with pytest.raises(FixInput, match="differs from what was mirrored"):
        mirrored(registry)


@pytest.mark.parametrize("uri", ["sqlite:///{folder}", "nonsense://x", "http://127.0.0.1:9"])
def test_a_tracking_store_that_does_not_answer_is_one_clear_error(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.promotion import mlflow_mirror

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(FixInput, match="tracking store failed"):
        mlflow_mirror.client(uri.format(folder=tmp_path))


def test_nothing_leaves_the_machine(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow would report usage to its makers; no connection is even tried."""
    tried: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: tried.append(address))
    monkeypatch.setattr(socket, "create_connection", lambda address, *a, **k: tried.append(address))
    add(registry, "promoted", "1.0.0")
    mirrored(registry)
    assert tried == []
