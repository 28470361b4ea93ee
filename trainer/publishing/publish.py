"""Publishes a run folder as a signed bundle to a store.

The store is laid out by `signals/bundle/layout.py`; the pointer of the role is written last. Before anything is visible
the bundle has passed the very `verify` that devices run, golden vectors included. With the same run, keys and store
state the manifest is the same to the byte but for `created`.
"""

import io
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from signals.bundle import BundleManifest, Golden, HighWater, Keyset, Part, Policy, Role, read_bundle_manifest, verify
from signals.bundle.arrays import Arrays, described, packed
from signals.bundle.calibration import AppliedCalibration, PlattMap
from signals.bundle.golden import MAX_TOLERANCE_SD
from signals.bundle.layout import (
    FOLDER_NAME,
    Latest,
    former_place,
    latest_of,
    place_of,
    places_of,
    pointer,
    read_latest,
    read_sequence,
    sequence,
    sequence_bytes,
)
from signals.bundle.manifest import (
    DEFAULT_EXPIRY_SESSIONS,
    MANIFEST_NAME,
    SIGNATURE_NAME,
    BundleFile,
    HeadLine,
    InformationCoefficient,
    ModelForm,
    Promotion,
    Trainer,
    identified,
)
from signals.bundle.seal import MANIFEST_KIND, sign
from signals.errors import FixInput
from signals.events.recorded import ANALOGS, SHOWN
from signals.features.panel import FeatureSpec
from signals.files import sha256_of, sync_folder, write_atomic
from signals.market.sessions import Calendar
from signals.sleeves.events import EVENTS, OF_PEERS
from signals.text.wording import reason_of
from trainer.publishing.keys import check_store_keys, keyset_bytes, load_keyset, signing_keys
from trainer.runs.artefacts import BANK, PARAMETERS, features_of, form_of
from trainer.runs.evidence import Evidence, measured_ic, read_evidence
from trainer.runs.run_folder import read_document, read_file

KEYSET = "keyset.json"
PROMOTION, VERDICT = "promotion.json", "promotion/verdict.json"

NEEDED = (
    "sleeve",
    "horizon",
    "entry",
    "seed",
    "first_training_session",
    "last_training_session",
    "config_hash",
    "code_version",
    "snapshot_id",
)


@dataclass(frozen=True, eq=False)
class Carried:
    """One file of a bundle: what it is, its bytes, and the arrays that they hold where it is one of arrays."""

    part: Part
    content: bytes
    arrays: Arrays = field(default_factory=dict)

    @classmethod
    def of_arrays(cls, part: Part, arrays: Arrays) -> Self:
        """Return a file of arrays."""
        return cls(part, packed(arrays), arrays)

    def line(self, path: str) -> BundleFile:
        """Return what the manifest says of it."""
        digest = sha256_of(self.content)
        return BundleFile(path=path, part=self.part, size=len(self.content), sha256=digest, arrays=described(self.arrays))


Files = Mapping[str, Carried]


@dataclass(frozen=True)
class JudgedRow:
    """One bar of the last verdict."""

    bar: str
    passed: bool
    why: str


@dataclass(frozen=True)
class JudgedRows:
    """`promotion/verdict.json`, as far as a bundle repeats it."""

    rows: tuple[JudgedRow, ...]


@dataclass(frozen=True)
class PublishRequest:
    """Run to publish, its role and its store.

    Attributes
    ----------
    run : Path
        Run folder of `trainer train`.
    keys : Path
        Key folder of `trainer keys`.
    created : datetime
        UTC; is kept in the manifest and decides nothing.
    refusal : str
        Why the bundle is unproven; only for an evaluation.
    lock_sha256 : str
        Of the locked requirements that this program was installed from.
    """

    run: Path
    role: Role
    keys: Path
    store: Path
    created: datetime
    refusal: str = ""
    lock_sha256: str = ""
    expiry_sessions: int = DEFAULT_EXPIRY_SESSIONS


@dataclass(frozen=True)
class Publication:
    """Where the bundle is and what it is called."""

    folder: Path
    seq: int
    bundle_id: str
    sha256: str
    role: Role


def publish(request: PublishRequest, calendar: Calendar, sleeves: Mapping[str, FeatureSpec]) -> Publication:
    """Build, sign, verify and publish.

    Parameters
    ----------
    calendar : Calendar
        Covers the last training session, for the self-check.
    sleeves : mapping of name to feature spec
        What this version computes; a run of another version is refused.

    Raises
    ------
    FixInput
        The run folder is incomplete or cannot have this role, or the keys cannot sign.
    BundleRefused
        A device would refuse the bundle; nothing was published.
    """
    evidence = read_evidence(request.run)
    last = last_training_session(request.run)
    keyset = load_keyset(request.keys)
    if (published := request.store / KEYSET).exists():
        check_store_keys(published.read_bytes(), str(published), keyset)
    sleeve = sleeve_of(request.run)
    bring_over(request.store, sleeve)
    seq = newest_seq(request.store, sleeve) + 1
    form = form_of(request.run)
    files = _files(request.run, form)
    manifest = _manifest(request, evidence, keyset, form, files, seq, calendar.name)
    raw = manifest.to_bytes()
    signature = sign(MANIFEST_KIND, raw, signing_keys(request.keys, keyset, request.created.date()))
    contents = {name: file.content for name, file in files.items()} | {MANIFEST_NAME: raw, SIGNATURE_NAME: signature}
    place = place_of(sleeve, request.role)
    incoming = request.store / place / f".incoming-{seq}-{manifest.bundle_id}"
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        for name, content in contents.items():
            write_atomic(incoming / name, content)
        policy = Policy(
            today=last,
            calendar=calendar,
            sleeves=sleeves,
            roles=frozenset({request.role}),
            entry=manifest.entry,
            appliance_version=manifest.min_appliance_version,
            high_water=HighWater(seq - 1),
        )
        bundle = verify(incoming, keyset, policy)
        write_atomic(request.store / KEYSET, keyset_bytes(request.keys))
        latest = latest_of(manifest, place)
        target = request.store / place / latest.folder
        incoming.rename(target)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    sync_folder(target.parent)
    write_atomic(request.store / sequence(sleeve), sequence_bytes(seq))
    _publish_as_before(request.store, manifest, contents, bundle.sha256)
    write_atomic(request.store / pointer(place), latest.to_bytes(manifest.bundle_id, bundle.sha256))
    return Publication(target, seq, manifest.bundle_id, bundle.sha256, manifest.role)


def bring_over(store: Path, sleeve: str) -> None:
    """Give the newest bundle of the former layout the place of its role.

    Otherwise the first pointer of the new layout, an evaluation's, would hide a champion of the former one.
    """
    for was in not_brought_over(store, sleeve):
        raw = read_file(store / was.place / was.folder, MANIFEST_NAME)
        manifest = read_bundle_manifest(raw, was.path(MANIFEST_NAME))
        if manifest.sleeve != sleeve:
            continue
        latest = latest_of(manifest, place_of(sleeve, manifest.role))
        for name in latest.files:
            write_atomic(store / latest.path(name), read_file(store / was.place / was.folder, name))
        write_atomic(store / pointer(latest.place), latest.to_bytes(manifest.bundle_id, sha256_of(raw)))


def not_brought_over(store: Path, sleeve: str) -> Iterator[Latest]:
    """Return the pointers of the former layout whose roles have none of the new one."""
    for place in dict.fromkeys(former_place(sleeve, role) for role in Role):
        heads = [store / pointer(place_of(sleeve, role)) for role in Role if former_place(sleeve, role) == place]
        if (store / pointer(place)).exists() and not any(head.exists() for head in heads):
            yield read_latest((store / pointer(place)).read_bytes(), place)


def _publish_as_before(store: Path, manifest: BundleManifest, contents: Mapping[str, bytes], sha256: str) -> None:
    """Publish where devices of the release before look; an evaluation does not take the place of a champion there.

    They have one place for all sleeves, which a bundle that is only shown does not take.
    """
    champion = store / pointer(place_of(manifest.sleeve, Role.CHAMPION))
    if manifest.sleeve in SHOWN or (manifest.role is Role.EVALUATION and champion.exists()):
        return
    latest = latest_of(manifest, former_place(manifest.sleeve, manifest.role))
    for name, content in contents.items():
        write_atomic(store / latest.path(name), content)
    write_atomic(store / pointer(latest.place), latest.to_bytes(manifest.bundle_id, sha256))


def last_training_session(run: Path) -> date:
    """Last session whose features the run learned from; raise `FixInput` when its evidence does not say."""
    text = read_evidence(run).require("last_training_session", where=run).last_training_session
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise FixInput(f"{text!r} is not a date", where=str(run / "evidence.json"), fix="Train again") from None


def is_retraining(run: Path) -> bool:
    """Whether the run was made by `trainer retrain`, by its own evidence."""
    return read_evidence(run).lineage is not None


def sleeve_of(run: Path) -> str:
    """Sleeve that the run's bundle is of; raise `FixInput` when its evidence does not say which one was trained.

    A gate, quantiles and offsets of events each have one of their own: a device shows them, and never trades their scores.
    """
    known = read_evidence(run).require("sleeve", where=run)
    return known.label if known.sleeve == EVENTS.name and known.label in SHOWN else known.sleeve


def newest_seq(store: Path, sleeve: str) -> int:
    """Newest sequence of a sleeve, whether it became the latest or was interrupted just before; 0 when there is none.

    Raises
    ------
    BundleRefused
        A pointer or the sequence's file cannot be read.
    """
    numbers = [0]
    if (own := store / sequence(sleeve)).exists():
        numbers.append(read_sequence(own.read_bytes(), str(own)))
    for place in places_of(sleeve):
        if (path := store / pointer(place)).exists():
            numbers.append(read_latest(path.read_bytes(), place).seq)
        folders = (FOLDER_NAME.fullmatch(folder.name) for folder in (store / place).glob("*"))
        numbers += [int(match[1]) for match in folders if match]
    return max(numbers)


def _manifest(
    request: PublishRequest, evidence: Evidence, keyset: Keyset, form: ModelForm, files: Files, seq: int, calendar: str
) -> BundleManifest:
    promotion = _promotion(request)
    listed = features_of(request.run)
    evidence.require(*NEEDED, where=request.run)
    ic = measured_ic(evidence, "the run's evidence")
    calibrated = _calibrated(form, request.run, evidence, files)
    try:
        return identified(
            seq=seq,
            created=request.created,
            role=request.role,
            refusal=_refusal(request),
            promotion=promotion,
            sleeve=sleeve_of(request.run),
            features=listed.features,
            spec_hash=listed.spec_hash,
            horizon_sessions=evidence.horizon,
            entry=evidence.entry,
            calendar=calendar,
            first_training_session=date.fromisoformat(evidence.first_training_session),
            last_training_session=date.fromisoformat(evidence.last_training_session),
            expiry_sessions=request.expiry_sessions,
            ic=InformationCoefficient(mean=ic.mean, t=ic.t, standard_error=ic.standard_error),
            golden_tolerance_sd=MAX_TOLERANCE_SD,
            trainer=Trainer(
                code_version=evidence.code_version,
                lock_sha256=request.lock_sha256,
                config_sha256=evidence.config_hash,
                snapshot_ids=(evidence.snapshot_id,),
                seed=evidence.seed or 0,
            ),
            keyset_version=keyset.version,
            min_appliance_version=evidence.code_version.split("+")[0],
            files=tuple(file.line(name) for name, file in sorted(files.items())),
            analogs_sha256=_net_of(evidence, {line.name for line in listed.features}, request.run),
            **{name: getattr(calibrated, name) for name in ModelForm.model_fields},
        )
    except (ValidationError, ValueError, TypeError) as error:
        raise FixInput(
            f"this run cannot become a bundle: {_first(error)}", where=str(request.run), fix="Train again with this version"
        ) from None


def _net_of(evidence: Evidence, features: set[str], run: Path) -> str | None:
    """Return the hash of the net by which the run's analogs were found; None of a run that reads none."""
    if features & set(OF_PEERS):
        raise FixInput("no device computes what funds say of an event", where=str(run), fix="Train it without label.peers")
    net = evidence.part("analogs_sha256", str, "")
    if not features & set(ANALOGS):
        return None
    if not net:
        raise FixInput("the run does not say by which net of pictures its analogs were found", where=str(run), fix="Train it again")
    return net


def _calibrated(form: ModelForm, run: Path, evidence: Evidence, files: Files) -> ModelForm:
    """Return the form with the map from score to probability that the evidence was judged by.

    Without one where an earlier program fitted it without saying for which model.
    """
    found = evidence.calibration
    if found is None or found.fitted_for is None:
        return form
    models = sorted(sha256_of(file.content) for file in files.values() if file.part is Part.MODEL)
    if sorted(found.fitted_for.model_sha256) != models:
        raise FixInput("the maps from score to probability were fitted for another model", where=str(run), fix="Train again")
    known = AppliedCalibration(event=found.event, map=PlattMap(slope=found.platt.slope, intercept=found.platt.intercept))
    first = HeadLine(name=form.heads[0].name, head=form.heads[0].head, calibration=known)
    return form.model_copy(update={"heads": (first, *form.heads[1:])})


def _files(run: Path, form: ModelForm) -> Files:
    files = {member.path: Carried(Part.MODEL, read_file(run, member.path)) for member in form.members}
    files |= {
        "golden.bin": Carried.of_arrays(Part.GOLDEN, _golden(run, form).arrays),
        "drift.json": Carried(Part.DRIFT, read_file(run, "drift_reference.json")),
        "evidence.json": Carried(Part.EVIDENCE, read_file(run, "evidence.json")),
        "training.json": Carried(Part.TRAINING, read_file(run, "training_cfg.json")),
    }
    for name, part in ((PARAMETERS, Part.PARAMETERS), (BANK, Part.BANK)):
        if (run / name).exists():
            files[f"{part}.bin"] = Carried.of_arrays(part, _stored(run, name))
    return files


def _golden(run: Path, form: ModelForm) -> Golden:
    name, stored = "golden.npz", _stored(run, "golden.npz")
    try:
        if "scores" in stored and "inputs" in stored:
            return Golden.of_scores(stored["inputs"].astype(np.float32), stored["scores"].astype(np.float64))
        heads = [line.name for line in form.heads]
        inputs = {key: values.astype(np.float32) for key, values in stored.items() if key not in heads}
        return Golden(inputs, {head: stored[head].astype(np.float64) for head in heads})
    except (KeyError, ValueError) as error:
        raise FixInput(f"golden vectors cannot be read: {reason_of(error)}", where=str(run / name), fix="Train again") from None


def _stored(run: Path, name: str) -> dict[str, NDArray[np.floating]]:
    try:
        with np.load(io.BytesIO(read_file(run, name)), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (KeyError, ValueError, OSError, BadZipFile) as error:
        what = "golden vectors" if name == "golden.npz" else "arrays"
        raise FixInput(f"{what} cannot be read: {reason_of(error)}", where=str(run / name), fix="Train again") from None


def _promotion(request: PublishRequest) -> Promotion | None:
    if request.role is not Role.CHAMPION:
        return None
    if not (request.run / PROMOTION).exists():
        raise FixInput(
            "a champion needs a promotion record, and this run has none",
            where=str(request.run),
            fix="Publish it as an evaluation, or have it promoted first",
        )
    try:
        return Promotion.model_validate_json(read_file(request.run, PROMOTION))
    except ValidationError as error:
        raise FixInput(
            f"the promotion record cannot be read: {_first(error)}", where=str(request.run / PROMOTION), fix="Have the run promoted again"
        ) from None


def _refusal(request: PublishRequest) -> str | None:
    if request.role is Role.EVALUATION:
        return request.refusal or _verdict(request.run)
    if request.refusal:
        raise FixInput(f"a {request.role} carries no refusal", where="--refusal", fix="Leave it out")
    return None


def _verdict(run: Path) -> str:
    """Why no promotion made this run a champion, in the words of the last one that judged it."""
    if not (run / VERDICT).exists():
        return "not promoted: no promotion has judged this run"
    rows = read_document(run / VERDICT, JudgedRows).rows
    failed = [f"{row.bar}: {row.why}" for row in rows if not row.passed]
    return f"not promoted: {'; '.join(failed)}" if failed else "published as an evaluation, though promoted"


def _first(error: ValidationError | ValueError | TypeError) -> str:
    if isinstance(error, ValidationError):
        row = error.errors(include_url=False)[0]
        return f"{'.'.join(str(part) for part in row['loc'])}: {row['msg']}".lstrip(": ")
    return reason_of(error)
