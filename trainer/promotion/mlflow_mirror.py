"""Mirrors the registry to MLflow: one experiment and one registered model per sleeve.

The history is the truth. `sync` brings MLflow up to it, from whatever it holds already, so that a tracking server that
was away only lags: every judged challenger is a run with its figures, its case and a model version tagged with verdict
and semantic version; the alias `champion` is the champion of now, `challenger` the last judged that is not.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from requests.exceptions import RequestException
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from signals.errors import FixInput
from signals.text.wording import reason_of
from trainer.promotion import history
from trainer.promotion.bars.case import Case
from trainer.promotion.bars.trials import deflated_sharpe
from trainer.promotion.champions import case_path
from trainer.promotion.history import CHAMPIONS, ChampionEvent
from trainer.runs.bars import BarResult
from trainer.runs.chain import Record
from trainer.runs.documents import read_object
from trainer.runs.run_folder import exclusive

DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
CHAMPION, CHALLENGER = "champion", "challenger"
NUMBER, VERSION = "record", "version"


def default_uri(registry: Path) -> str:
    """SQLite file in the registry."""
    return f"sqlite:///{(registry / DATABASE).resolve()}"


def client(uri: str) -> MlflowClient:
    """Connect; raise `FixInput` when the tracking store does not answer."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with _answering(uri):
        if not uri.startswith(("http:", "https:")):
            engine = create_engine(uri)  # asked first: MLflow itself tries a dead database for over a minute
            engine.connect().close()
            engine.dispose()
        found = MlflowClient(tracking_uri=uri, registry_uri=uri)
        found.search_registered_models(max_results=1)
    return found


def sync(mlflow: MlflowClient, registry: Path, sleeve: str) -> None:
    """Mirror every record of `sleeve` that is not there yet, then set the aliases.

    Raises
    ------
    FixInput
        The tracking store failed, or holds another registry's records.
    Locked
        A promotion is at work in the registry.
    """
    known = history.read(registry / CHAMPIONS)
    records = [(record, digest) for record, digest in zip(known.records, known.hashes, strict=True) if record["sleeve"] == sleeve]
    if not records:
        return
    with exclusive(registry, "promotion"), _answering(mlflow.tracking_uri):
        experiment = _experiment(mlflow, registry, sleeve)
        versions = _versions(mlflow, sleeve)
        for record, digest in records:
            there = versions.get(str(record["number"]))
            if there is not None and there.tags["record_sha256"] != digest:
                raise FixInput(
                    f"record {record['number']} of {sleeve} differs from what was mirrored", where=mlflow.tracking_uri, fix=history.FIX
                )
            if there is None and record["event"] != ChampionEvent.ROLLED_BACK:
                versions[str(record["number"])] = _mirror(mlflow, experiment, registry, record, digest)
        _set_aliases(mlflow, sleeve, [record for record, _ in records], versions)


def _experiment(mlflow: MlflowClient, registry: Path, sleeve: str) -> Experiment:
    name = f"trademl/{sleeve}"
    found = mlflow.get_experiment_by_name(name)
    if found is None:
        is_file = mlflow.tracking_uri.startswith("sqlite:")
        place = (registry / ARTIFACTS / sleeve).resolve().as_uri() if is_file else None
        found = mlflow.get_experiment(mlflow.create_experiment(name, artifact_location=place))
        mlflow.create_registered_model(sleeve, description=f"Champions and challengers of the sleeve {sleeve}.")
    return found


def _versions(mlflow: MlflowClient, sleeve: str) -> dict[str, ModelVersion]:
    """Model versions by the number of the record that they mirror."""
    found = mlflow.search_model_versions(f"name='{sleeve}'", max_results=10_000)
    return {version.tags[NUMBER]: version for version in found if NUMBER in version.tags}


def _mirror(mlflow: MlflowClient, experiment: Experiment, registry: Path, record: Record, digest: str) -> ModelVersion:
    """One run and one model version; a run that a crash left without its version is made again."""
    tags = {
        NUMBER: str(record["number"]),
        "record_sha256": digest,
        "verdict": str(record["event"]),
        "model_sha256": record["model_sha256"][0],
        "trained_as": str(record["run"]),
        "at": str(record["at"]),
        **({VERSION: str(record["version"])} if record["version"] else {}),
    }
    path = case_path(registry, str(record["case_sha256"]))
    run = mlflow.create_run(experiment.experiment_id, run_name=f"{record['number']} {record['run']}", tags=tags)
    name = run.info.run_id
    for key in ("snapshot_id", "config_hash", "spec_hash", "horizon", "code_version", "bars_hash"):
        mlflow.log_param(name, key, record[key])
    for key, value in _metrics(record, Case.of(read_object(path), str(path))).items():
        mlflow.log_metric(name, key, value)
    mlflow.log_artifact(name, str(path), "case")
    mlflow.set_terminated(name)
    return mlflow.create_model_version(
        str(record["sleeve"]), source=f"{run.info.artifact_uri}/case", run_id=name, tags=tags, description=str(record["why"])
    )


def _metrics(record: Record, case: Case) -> dict[str, float]:
    rows = [BarResult(**row) for row in record["rows"]]
    found = {f"bar {row.bar}": float(row.value) for row in rows if isinstance(row.value, int | float)}
    dsr: float | None = deflated_sharpe(case)
    extra: dict[str, float | None] = {"net Sharpe": record["net_sharpe"], "dsr": dsr, "failed bars": sum(not r.passed for r in rows)}
    named = {key.replace("(", "").replace(")", ""): value for key, value in {**found, **extra}.items()}
    return {key: float(value) for key, value in named.items() if value is not None}


def _set_aliases(mlflow: MlflowClient, sleeve: str, records: list[Record], versions: dict[str, ModelVersion]) -> None:
    made = [r for r in records if r["event"] != ChampionEvent.REFUSED]
    if made:
        champion = next(r for r in records if (r["event"], r["version"]) == (ChampionEvent.PROMOTED, made[-1]["version"]))
        mlflow.set_registered_model_alias(sleeve, CHAMPION, versions[str(champion["number"])].version)
    if records[-1]["event"] == ChampionEvent.REFUSED:
        mlflow.set_registered_model_alias(sleeve, CHALLENGER, versions[str(records[-1]["number"])].version)
    else:
        mlflow.delete_registered_model_alias(sleeve, CHALLENGER)


@contextmanager
def _answering(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, SQLAlchemyError, RequestException) as error:
        said = reason_of(error).strip().splitlines()[0]
        raise FixInput(
            f"the tracking store failed: {said}",
            where=uri.split("@")[-1],
            fix="The history is whole: run the command again when the store answers, and it catches up",
        ) from None
