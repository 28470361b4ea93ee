"""The rows of the timetable: each a function of an evening and the host, which may run again and does no harm.

What a row finds wrong is in its end, with what to do; what cannot be done now (`TryAgain`) is raised, and tried again.

Retention removes reproducible files of old runs that no published model refers to, superseded bundles and old alerts.
Evidence, reports, models, settings and the registry are never removed, and nothing of a run that a lineage of today or
a champion depends on.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from signals.alerts.alert import LINES_KEPT
from signals.bundle import Role
from signals.bundle.calibration import AppliedCalibration
from signals.bundle.layout import FOLDER_NAME, places_of, pointer, read_latest
from signals.bundle.manifest import MANIFEST_NAME
from signals.errors import DataNotUsable, FixInput, Locked, StoreUnreachable
from signals.events.recorded import SHOWN
from signals.files import free_share, newest_lines, sha256_of, sha256_of_file, write_atomic
from signals.market.dataset import read_manifest
from signals.market.sessions import SessionStatus
from signals.sleeves import SLEEVES
from trainer.curation.audit.audit import audit as audit_dataset
from trainer.curation.store import ObjectStore
from trainer.lineage.retrain import RetrainRequest, publish_as, retrain
from trainer.lineage.rules import read_rules
from trainer.promotion import history, lineage_log
from trainer.promotion.bars.config import read_bars
from trainer.promotion.history import CHAMPIONS
from trainer.promotion.lineage_log import LINEAGES, Lineage, LineageEvent
from trainer.publishing.daily_scores import ScoringRequest, deliver, keep_labels, slots, verified
from trainer.publishing.dataset import Signer, publish_data
from trainer.publishing.keys import load_keyset
from trainer.publishing.publish import PublishRequest
from trainer.runs import looks
from trainer.runs.evidence import EVIDENCE
from trainer.search.run import SearchRequest
from trainer.service.host import ALERTS, Host, Night
from trainer.service.live import LiveFigures, LiveScores, live_figures, live_scores, map_of
from trainer.service.timetable import RowEnd, RowStatus
from trainer.tasks.recipes import read_config, recipe_named
from trainer.training.train import TrainingRequest, train
from trainer.validation.significance.paired import compared

MADE_AGAIN = ("oof.parquet", "walk_forward.parquet", "model.pkl")
UNFINISHED = ".*.unfinished"


def cited(registry: Path) -> set[str]:
    """Return the names of the runs that a lineage with a role of today, or a promotion, depends on."""
    records = history.read(registry / LINEAGES).records
    names = {str(record["run"]) for record in history.read(registry / CHAMPIONS).records}
    for own in {str(record["lineage"]) for record in records}:
        found = lineage_log.lineage(registry, own)
        if lineage_log.role_of(registry, found) is not None:
            names |= {str(found.root["run"]), str(found.head["run"])}
    return names


def thin(runs: Path, kept: int, keep: Collection[str], at: datetime) -> int:
    """Remove it from all but the newest `kept` runs and those named; return the bytes that came free.

    A run that is being written is left alone: only what nobody has touched for a day by the instant `at` is unfinished for good.
    """
    folders = sorted((path.parent for path in runs.glob(f"[!.]*/{EVIDENCE}")), key=lambda path: path.name)
    freed = 0
    for folder in folders[:-kept]:
        for name in MADE_AGAIN if folder.name not in keep else ():
            file = folder / name
            if file.exists():
                freed += file.stat().st_size
                file.unlink()
    for left in runs.glob(UNFINISHED):
        if datetime.fromtimestamp(left.stat().st_mtime, UTC) > at - timedelta(days=1):
            continue
        freed += sum(file.stat().st_size for file in left.rglob("*") if file.is_file())
        shutil.rmtree(left, ignore_errors=True)
    return freed


def superseded(registry: Path) -> dict[str, set[str]]:
    """Return, by sleeve, the bundles of retrainings after which their lineage published a newer one in the same role.

    An accepted model's own bundle is none of them, and neither is the newest one of a lineage: a rollback returns to these.
    """
    found: dict[str, set[str]] = {}
    newest: dict[tuple[str, str], str] = {}
    for record in history.read(registry / LINEAGES).records:
        if record["event"] == LineageEvent.PUBLISHED:
            own = (str(record["lineage"]), str(record["role"]))
            if own in newest:
                found.setdefault(str(record["sleeve"]), set()).add(newest.pop(own))
            if int(record["of"]):
                newest[own] = str(record["bundle_sha256"])
    return found


def thin_store(store: ObjectStore, registry: Path, kept: int) -> tuple[str, ...]:
    """Remove superseded bundles but the newest `kept` of each place, and none that a pointer names; return their folders."""
    removed = []
    for sleeve, old in superseded(registry).items():
        for place in places_of(sleeve):
            head = store.get(pointer(place))
            named = None if head is None else read_latest(head, place).folder
            files: dict[str, list[str]] = {}
            for name in store.names(f"{place}/"):
                folder = name.removeprefix(f"{place}/").partition("/")[0]
                if FOLDER_NAME.fullmatch(folder) and folder != named:
                    files.setdefault(folder, []).append(name)
            for folder in sorted(files, key=lambda folder: int(folder.partition("-")[0]))[:-kept]:
                manifest = f"{place}/{folder}/{MANIFEST_NAME}"
                if sha256_of(store.get(manifest) or b"") in old:
                    for name in sorted(files[folder], key=lambda name: name == manifest):  # the manifest last: then it goes on
                        store.remove(name)
                    removed.append(f"{place}/{folder}")
    return tuple(removed)


Row = Callable[[Night, Host], RowEnd]
LOCK = Path(__file__).resolve().parents[2] / "requirements" / "trainer.txt"
WEEK_SESSIONS, THIN_RUNS = 5, 2
MIRROR = "mlflow.db"  # in the registry, once a promotion was mirrored
AUDIT_FIX = "Look at `trainer audit`; `trainer backfill` fetches what is missing, `trainer accept-red` accepts what nobody has"


def update(evening: Night, host: Host) -> RowEnd:
    """Bring the bars of asof into the dataset."""
    taken = host.source(host.data, evening.asof, evening.today, host.log.taken())
    manifest = read_manifest(host.data)
    if manifest.last < evening.asof and not taken:
        raise StoreUnreachable(
            f"there are no bars of {evening.asof} yet", where=f"the dataset ends {manifest.last}", fix="Ask the vendor, or ingest them"
        )
    summary = f"{manifest.name} version {manifest.version} to {manifest.last}"
    if manifest.last < evening.asof:
        return RowEnd(RowStatus.FAILED, f"{summary}, not to {evening.asof}", "Deliver the bars of that session", {"taken": taken})
    return RowEnd(RowStatus.DONE, summary, figures={"taken": taken, "version": manifest.version})


def audit(evening: Night, host: Host) -> RowEnd:
    """Audit the newest week, every file of the dataset included."""
    manifest = read_manifest(host.data)
    days = manifest.calendar.between(manifest.first, min(evening.asof, manifest.last))[-WEEK_SESSIONS:]
    report = audit_dataset(host.data, days[0], days[-1])
    red = [str(one.session) for one in report.audits if one.status is SessionStatus.RED]
    counts = ", ".join(f"{number} {status}" for status, number in Counter(str(one.status) for one in report.audits).items())
    if red:
        return RowEnd(RowStatus.FAILED, f"RED: {', '.join(red)}; of {days[0]} to {days[-1]}: {counts}", AUDIT_FIX, {"red": red})
    return RowEnd(RowStatus.DONE, f"{days[0]} to {days[-1]}: {counts}")


def publish(evening: Night, host: Host) -> RowEnd:
    """Sign the dataset and copy it to the store."""
    done = publish_data(host.data, host.objects("/data"), Signer.of(host.keys, evening.at.date()))
    return RowEnd(RowStatus.DONE, f"version {done.manifest.version} is in the store, {done.copied} files copied")


def score(evening: Night, host: Host) -> RowEnd:
    """Score what is published and deliver the scores."""
    store = host.objects()
    if not slots(store):
        return RowEnd(RowStatus.REFUSED, "nothing is published yet")
    try:
        found = deliver(ScoringRequest(host.data, host.keys, evening.asof, evening.at, host.nights), store, store)
    except DataNotUsable as error:
        return RowEnd(RowStatus.REFUSED, f"nothing was scored: {error.what}")
    said = "; ".join(f"{one.payload.sleeve}: {len(one.payload.symbols)} names" for one in found)
    return RowEnd(RowStatus.DONE, said or "no name has an event")


def evaluate(evening: Night, host: Host) -> RowEnd:
    """Compare each published model's scores with realised returns and with its stated range."""
    store, keyset, manifest = host.objects(), load_keyset(host.keys), read_manifest(host.data)
    asof = min(evening.asof, manifest.last)
    found, lives = list[LiveFigures](), dict[str, LiveScores]()
    done = (record["figures"] for record in reversed(host.log.records()) if record["row"] == "evaluate" and "maps" in record["figures"])
    before: Mapping[str, Any] = next(done, {})  # maps and models of the bundles that scored before, which leave the store
    maps = {name: AppliedCalibration.model_validate(one) for name, one in before.get("maps", {}).items()}
    models = dict(before.get("models", {}))
    for slot, contents in slots(store).items():
        bundle = verified(contents, keyset, manifest, asof)
        maps |= map_of(bundle)
        models[bundle.sha256] = bundle.manifest.lineage
        others = {sha256 for sha256, name in models.items() if name != bundle.manifest.lineage}
        is_ranked = bundle.manifest.sleeve in SLEEVES and bundle.manifest.sleeve not in SHOWN  # what a gate says is of no return
        known = live_scores(slot, bundle, store, host.data, keyset, asof, others) if is_ranked else None
        if known is not None:
            lives[slot] = known
            for day, symbols, values in known.labels(bundle.manifest.horizon_sessions):
                keep_labels(host.nights, slot, day, symbols, values)
            one = live_figures(slot, bundle, known, host.data, asof, maps)
            # A slot is one look, as a lineage is, however often its model was trained again.
            looks.record(host.data, looks.Look("evaluate", bundle.manifest.sleeve, f"published as {slot}", str(one.first), str(asof)))
            found.append(one)
    beside = {
        slot: compared(lives[f"{slot}-{Role.SHADOW}"].net, one.net) for slot, one in lives.items() if f"{slot}-{Role.SHADOW}" in lives
    }
    kept = {"maps": {sha256: one.model_dump(mode="json") for sha256, one in maps.items()}, "models": models}
    figures = {"live": found, "shadow beside": beside, **kept}
    said = [f"{slot}: its shadow beside it, {one or 'too few sessions yet'}" for slot, one in beside.items()]
    summary = "; ".join([*(one.sentence for one in found), *said]) or "nothing was scored yet"
    summary += _mirrored(host, found, asof)
    if gone := [one.slot for one in found if one.alarm]:
        fix = "Look at `trainer history`; `trainer rollback` returns to the model before, `appliance pause` stops new orders meanwhile"
        return RowEnd(RowStatus.FAILED, f"no longer what was promised: {', '.join(gone)}; {summary}", fix, figures)
    return RowEnd(RowStatus.DONE, summary, figures=figures)


def _mirrored(host: Host, found: Sequence[LiveFigures], asof: date) -> str:
    """Bring MLflow up to the registry and write the figures to it, where there is a tracking store; say what went wrong."""
    uri = host.workspace.places.tracking or ""
    if not uri and not (host.registry / MIRROR).exists():
        return ""
    from trainer.promotion import mlflow_mirror as mirror  # takes a second to load

    try:
        mlflow = mirror.client(uri or mirror.default_uri(host.registry))
        for sleeve in {one.slot.removesuffix(f"-{Role.SHADOW}") for one in found}:
            mirror.sync(mlflow, host.registry, sleeve)
        for one in found:
            mirror.write_live(mlflow, one.slot, asof, one.metrics())
        mirror.sync_runs(mlflow, host.registry, reversed(host.workspace.runs()))
    except (FixInput, Locked) as error:  # the record of this row is the truth; the next night catches up
        return f"; not mirrored: {error.what}"
    return ""


def retrain_all(evening: Night, host: Host) -> RowEnd:
    """Train every lineage with a role of today again, and publish what stayed inside its bounds."""
    require_room(host)
    kept: list[str] = []
    refused: list[str] = []
    waiting: list[str] = []
    for role, found in roles_in_force(host.registry):
        sleeve = str(found.root["sleeve"])
        run = host.workspace.new(evening.at, sleeve, str(role), "again")
        outcome = retrain(
            RetrainRequest(
                sleeve=sleeve,
                role=role,
                data=host.data,
                run=run,
                registry=host.registry,
                end=evening.asof,
                rules=read_rules(host.workspace.places.bars),
                workers=host.settings.workers,
                code_version=host.code_version,
                at=evening.at,
            )
        )
        name = f"{role} of {sleeve}"
        if not outcome.is_kept:
            (waiting if any(row.bar == "data" and not row.passed for row in outcome.rows) else refused).append(
                f"{name}: {outcome.record['why']}"
            )
            continue
        request = PublishRequest(run, role, host.keys, Path(host.store), evening.at, "", sha256_of_file(LOCK) if LOCK.exists() else "")
        done, _ = publish_as(request, host.store, host.registry, endpoint=host.settings.endpoint, credentials=host.settings.credentials)
        moved = [f", {row.value:.1%} {row.why}" for row in outcome.rows if row.bar == "importance" and isinstance(row.value, float)]
        kept.append("".join([f"{name} published as sequence {done.seq}", *moved]))
    said = "; ".join([*kept, *(f"refused, {one}" for one in refused), *(f"waits, {one}" for one in waiting)])
    if waiting:
        return RowEnd(RowStatus.FAILED, said, AUDIT_FIX)
    return RowEnd(RowStatus.DONE if kept else RowStatus.REFUSED, said or "no lineage has begun: `trainer publish --accept` begins one")


def roles_in_force(registry: Path) -> list[tuple[Role, Lineage]]:
    """Return the lineages that devices trade or watch: of each sleeve its champion, else its accepted evaluation, and its shadow."""
    found = []
    begun = {str(record["sleeve"]) for record in history.read(registry / LINEAGES).records}
    for sleeve in sorted(begun):
        roles: dict[Role, Lineage] = {}
        for role in (Role.CHAMPION, Role.EVALUATION, Role.SHADOW):
            try:
                roles[role] = lineage_log.newest(registry, sleeve, role)
            except FixInput:
                continue
        if Role.CHAMPION in roles:
            roles.pop(Role.EVALUATION, None)
        found += [(role, one) for role, one in roles.items() if lineage_log.role_of(registry, one) is role]
    return found


def challenge(evening: Night, host: Host) -> RowEnd:
    """Search parameters and train a challenger, for a person to judge."""
    require_room(host)
    asked = host.settings.challenge
    recipe, file = recipe_named(asked.sleeve), host.workspace.recipe(asked.sleeve)
    config = read_config(file, recipe) if file else recipe.config
    run = host.workspace.new(evening.at, asked.sleeve, "challenger")
    fixed = read_bars(host.workspace.places.bars).fingerprint()
    search = SearchRequest(host.runs / f"search-{asked.sleeve}", asked.trials, host.workspace.places.storage or "", fixed)
    known = train(
        recipe,
        config,
        TrainingRequest(
            data=host.data,
            run=run,
            start=None,
            end=evening.asof,
            symbols=(),
            seed=1,
            workers=host.settings.workers,
            code_version=host.code_version,
            search=search if asked.trials else None,
            bars_hash=fixed,
        ),
        lambda _: None,
    )
    ic = known.forward_ic
    return RowEnd(
        RowStatus.DONE,
        f"a challenger of {asked.sleeve} after {asked.trials} trials: walk-forward IC {ic.mean:+.4f} (t {ic.t:.1f}); "
        f"judge it: trainer promote --run {run}",
        figures={"run": str(run)},
    )


def prune(evening: Night, host: Host) -> RowEnd:
    """Remove what can be made again, superseded bundles and old alerts; more of it where the disk is filling."""
    runs, keep = host.runs, cited(host.registry)
    alerts = host.registry / ALERTS  # what ran, and how it ended, is in the record
    kept = newest_lines(alerts.read_bytes(), LINES_KEPT) if alerts.is_file() else None
    if kept is not None:
        write_atomic(alerts, kept)
    freed = thin(runs, host.settings.keep_runs, keep, evening.at)
    try:
        gone = f"{len(thin_store(host.objects(), host.registry, host.settings.keep_bundles))} superseded bundles removed"
    except StoreUnreachable as error:  # a key that may not list: the disk is the other half of this row
        gone = f"bundles stay: {error.what}"
    free = free_share(runs)
    if free is not None and free < host.settings.warn_free_disk:
        freed += thin(runs, THIN_RUNS, keep, evening.at)
        free = free_share(runs)
        if free is not None and free < host.settings.warn_free_disk:
            said = f"{free:.0%} of the disk is free after {freed / 2**20:.1f} MB were removed"
            return RowEnd(RowStatus.FAILED, said, "Free space, or move the workspace to a larger disk: nothing is trained on a full one")
    return RowEnd(RowStatus.DONE, f"{freed / 2**20:.1f} MB freed, {gone}")


def require_room(host: Host) -> None:
    """Raise `FixInput` where the disk is too full to train on: half a run is worth nothing."""
    free, least = free_share(host.runs), host.settings.least_free_disk
    if free is not None and free < least:
        raise FixInput(
            f"{free:.0%} of the disk is free, {least:.0%} must be", where=str(host.runs), fix="Free space, then `trainer run --row retrain`"
        )


ENTRIES: Mapping[str, Row] = {
    "update": update,
    "audit": audit,
    "publish": publish,
    "score": score,
    "evaluate": evaluate,
    "retrain": retrain_all,
    "challenge": challenge,
    "prune": prune,
}
