"""Mirrors the registry to MLflow: one experiment and one registered model per sleeve.

The history is the truth. `sync` brings MLflow up to it, from whatever it holds already, so that a tracking server that
was away only lags: every judged challenger is a run with its figures, its case, its model as far as the registry keeps it,
and a model version tagged with verdict and semantic version; every model of a lineage is a run and a version too, and
`sync_runs` adds the trainings that nobody judged or accepted. The alias
`champion` is the newest model of the champion of now, `challenger` the last judged that is not, `evaluation` and `shadow`
the newest of those. `models:/<sleeve>@champion` loads as an ONNX graph. `write_live` adds what became of one.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from requests.exceptions import RequestException
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from signals.bundle import Role
from signals.errors import FixInput
from signals.files import sha256_of, write_atomic
from signals.text.wording import reason_of
from trainer.promotion import history, lineage_log
from trainer.promotion.bars.config import Case
from trainer.promotion.bars.trials import deflated_sharpe
from trainer.promotion.history import CHAMPIONS, ChampionEvent, read_case
from trainer.promotion.lineage_log import LINEAGES, Lineage, LineageEvent
from trainer.runs.chain import Record
from trainer.runs.evidence import EVIDENCE, BarResult, read_evidence
from trainer.runs.run_folder import exclusive

DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
CHAMPION, CHALLENGER = "champion", "challenger"
NUMBER, VERSION = "record", "version"
SHARED = ("snapshot_id", "config_hash", "spec_hash", "horizon", "code_version")
MLMODEL, GRAPH = "MLmodel", "model.onnx"


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
    lineages = history.read(registry / LINEAGES)
    models = [record for record in lineages.records if record["sleeve"] == sleeve and "model_sha256" in record]
    if not records and not models:
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
        for record in models:
            if record["event"] != LineageEvent.REFUSED and (name := _of_lineage(record)) not in versions:
                own = {NUMBER: name, "verdict": str(record["event"])}
                versions[name] = _version(mlflow, experiment, record, own, {}, None, _graph(registry, record))
        _set_aliases(mlflow, sleeve, [record for record, _ in records], versions)
        _alias_lineages(mlflow, registry, sleeve, versions)


def sync_runs(mlflow: MlflowClient, registry: Path, folders: Iterable[Path]) -> None:
    """Mirror the trainings among run folders whose model is not there yet, each with its figures, evidence and model; raises as `sync`."""
    with exclusive(registry, "promotion"), _answering(mlflow.tracking_uri):
        for folder in folders:
            evidence, file = read_evidence(folder), folder / lineage_log.MODEL
            experiment = _experiment(mlflow, registry, evidence.sleeve)
            graph = file.read_bytes() if file.exists() else None
            sha256, own = sha256_of(graph or b""), {NUMBER: f"run-{folder.name}", "verdict": "not judged"}
            mirrored = _versions(mlflow, evidence.sleeve)
            if own[NUMBER] in mirrored or (graph and sha256 in {version.tags.get("model_sha256") for version in mirrored.values()}):
                continue
            at = datetime.fromtimestamp((folder / EVIDENCE).stat().st_mtime, UTC).isoformat(timespec="seconds")
            record = {name: getattr(evidence, name) for name in SHARED}
            record |= {"sleeve": evidence.sleeve, "run": folder.name, "at": at, "model_sha256": [sha256]}
            figures = {"ic": evidence.ic.mean, "forward ic": evidence.forward_ic.mean, "forward ic t": evidence.forward_ic.t}
            known = {name: value for name, value in figures.items() if math.isfinite(value)}
            _version(mlflow, experiment, record, own, known, folder / EVIDENCE, graph)


def write_live(mlflow: MlflowClient, slot: str, asof: date, metrics: Mapping[str, float]) -> None:
    """Add the figures of one evening to the run of the model that a slot trades, or its shadow; nothing where none is mirrored."""
    sleeve = slot.removesuffix(f"-{Role.SHADOW}")
    aliases = (str(Role.SHADOW),) if sleeve != slot else (CHAMPION, str(Role.EVALUATION))
    at = int(datetime.combine(asof, time(), UTC).timestamp() * 1000)
    with _answering(mlflow.tracking_uri):
        known = mlflow.get_registered_model(sleeve).aliases if mlflow.search_registered_models(f"name='{sleeve}'") else {}
        named = next((alias for alias in aliases if alias in known), None)
        if named is not None:
            run = mlflow.get_model_version(sleeve, known[named]).run_id
            for name, value in metrics.items():
                mlflow.log_metric(str(run), name, value, timestamp=at, step=asof.toordinal())


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
    tags = {NUMBER: str(record["number"]), "record_sha256": digest, "verdict": str(record["event"])}
    if record["version"]:
        tags[VERSION] = str(record["version"])
    path, case = read_case(registry, record)
    metrics = _metrics(record, Case.of(case, str(path)))
    return _version(mlflow, experiment, record, tags, metrics, path, _graph(registry, record))


def _graph(registry: Path, record: Record) -> bytes | None:
    """The model, as far as the registry keeps it."""
    names = record["model_sha256"]
    is_kept = len(names) == 1 and (registry / lineage_log.KEPT / names[0]).exists()
    return lineage_log.kept(registry, names[0]) if is_kept else None


def _version(
    mlflow: MlflowClient,
    experiment: Experiment,
    record: Record,
    own: dict[str, str],
    metrics: Mapping[str, float],
    case: Path | None,
    graph: bytes | None,
) -> ModelVersion:
    tags = {**own, "model_sha256": record["model_sha256"][0], "trained_as": str(record["run"]), "at": str(record["at"])}
    run = mlflow.create_run(experiment.experiment_id, run_name=f"{own[NUMBER]} {record['run']}", tags=tags)
    name = run.info.run_id
    for key in (*SHARED, *(["bars_hash"] if "bars_hash" in record else [])):
        mlflow.log_param(name, key, record[key])
    for key, value in metrics.items():
        mlflow.log_metric(name, key, value)
    if case is not None:
        mlflow.log_artifact(name, str(case), "case")
    if graph is not None:
        with TemporaryDirectory() as folder:
            _write_model(Path(folder), graph, name)
            mlflow.log_artifacts(name, folder, "model")
    mlflow.set_terminated(name)
    source = f"{run.info.artifact_uri}/{'case' if graph is None else 'model'}"
    why = str(record.get("why", ""))
    return mlflow.create_model_version(str(record["sleeve"]), source=source, run_id=name, tags=tags, description=why)


def _write_model(folder: Path, graph: bytes, run: str) -> None:
    """Write a model as MLflow's flavours `onnx` and `python_function` read it; its own writer takes seconds to load."""
    onnx = {"data": GRAPH, "providers": ["CPUExecutionProvider"], "onnx_session_options": None, "code": None}
    function = {"loader_module": "mlflow.onnx", "data": GRAPH, "env": {}}
    document = {"artifact_path": "model", "run_id": run, "flavors": {"onnx": onnx, "python_function": function}}
    write_atomic(folder / GRAPH, graph)
    write_atomic(folder / MLMODEL, yaml.safe_dump(document).encode())


def _of_lineage(record: Record) -> str:
    return f"{record['lineage']}-{record['of']}"


def _alias_lineages(mlflow: MlflowClient, registry: Path, sleeve: str, versions: Mapping[str, ModelVersion]) -> None:
    """Name the newest model of each role's lineage of now: it is what devices trade, or watch."""
    for role in (Role.CHAMPION, Role.EVALUATION, Role.SHADOW):
        try:
            found: Lineage = lineage_log.newest(registry, sleeve, role)
        except FixInput:
            continue
        if role is not Role.CHAMPION or found.retrained:
            mlflow.set_registered_model_alias(sleeve, str(role), versions[_of_lineage(found.head)].version)


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
    if not records:
        return
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
