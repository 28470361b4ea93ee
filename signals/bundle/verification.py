"""Verifies a bundle folder: signatures, expiry, rollback, hashes, static checks and golden vectors, in one order.

Order: size cap, signature over the raw bytes, key set threshold and validity, expiry, sequence, file set, size and
SHA-256 of each file, path rules, agreement with this device's features and schedule, static checks of the ONNX files,
golden vectors. The first that fails raises `BundleRefused`; a refusal changes nothing.

Invariants
----------
1. What is returned was verified: the models are the very bytes that were hashed, never read again.
2. Nothing in the manifest is used before enough trusted keys are known to have signed its stored bytes.
3. Age is counted in sessions of the device's calendar and its clock; the manifest's `created` decides nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from signals.bundle.arrays import Arrays, unpacked
from signals.bundle.child_inference import infer_in_child
from signals.bundle.contents import Contents, read_bundle_manifest, read_folder
from signals.bundle.golden import Golden, read_golden
from signals.bundle.graph import check_model
from signals.bundle.keyset import Keyset, RollbackGrant, require_signers
from signals.bundle.manifest import DEFAULT_EXPIRY_SESSIONS, MANIFEST_NAME, SIGNATURE_NAME, BundleFile, BundleManifest, Part, Role
from signals.bundle.seal import MANIFEST_KIND, parse_json, valid_signers
from signals.errors import BundleRefused, NotASession
from signals.features.panel import FeatureSpec
from signals.files import sha256_of
from signals.market.sessions import Calendar
from signals.models.inference import GraphMember, Inputs, Outputs

Infer = Callable[[Sequence[GraphMember], Inputs], Outputs]
"""How models are run: `infer` in this process, `infer_in_child` in a limited one."""


@dataclass(frozen=True)
class HighWater:
    """The newest sequence number ever activated here, and the bundle that bore it; 0 and empty on a fresh device."""

    seq: int = 0
    bundle_id: str = ""


@dataclass(frozen=True)
class Policy:
    """The bundles that this device accepts today.

    Attributes
    ----------
    today : date
        The session by the device's clock.
    sleeves : mapping of sleeve name to its ordered (name, units, look-back) features
        What this program can compute; a bundle whose list differs is refused.
    shapes : mapping of sleeve name to a function from a bundle's features to those that this program computes for them
        The same where it can: with optional features, winsorised, smoothed.
    entry : str
        When the device's schedule enters the market ("opg").
    equivalent_entries : tuple of str
        Entries of other bundles that this schedule serves too.
    grant : RollbackGrant or None
        A root-signed exception from the sequence rule.
    max_age_sessions : int
        The device's own limit; a manifest may ask for less, never for more.
    refuses_expired : bool
        False only for the bundle already in force: the device keeps it loaded, measures its age with a tripwire and
        takes no new risk with it.
    """

    today: date
    calendar: Calendar
    sleeves: Mapping[str, FeatureSpec]
    roles: frozenset[Role]
    appliance_version: str
    shapes: Mapping[str, Callable[[FeatureSpec], FeatureSpec]] = field(default_factory=dict)
    entry: str = "opg"
    equivalent_entries: tuple[str, ...] = ()
    high_water: HighWater = HighWater()
    grant: RollbackGrant | None = None
    max_age_sessions: int = DEFAULT_EXPIRY_SESSIONS
    refuses_expired: bool = True


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle, held as the bytes that were verified.

    Attributes
    ----------
    sha256 : str
        Of the manifest's stored bytes: the bundle's identity in scores, plans and orders.
    contents : Contents
        Every file of the folder, manifest and signature included.
    drift_reference : mapping
        See `signals.monitoring.drift.reference`.
    parameters : mapping of name to float64 array
        Numbers that a program of its own reads, such as those of a hidden Markov model.
    bank : mapping of name to array
        `vectors`, float16 (n, length) of the head `manifest.bank_head`, and their outcomes, float32 (n,); or nothing.
    signers : tuple of str
        Key ids that counted, sorted.
    age_sessions : int
        Sessions from the last training session to the session on which it was verified.
    age_limit_sessions : int
        The age after which it is expired: the manifest's, or the device's if that is shorter.
    """

    manifest: BundleManifest
    sha256: str
    contents: Contents
    golden: Golden
    drift_reference: Mapping[str, JsonValue]
    parameters: Arrays
    bank: Arrays
    signers: tuple[str, ...]
    age_sessions: int
    age_limit_sessions: int

    @property
    def models(self) -> tuple[bytes, ...]:
        """Bytes of the ONNX files, in the manifest's order."""
        return tuple(self.contents.files[file.path] for file in self.manifest.of(Part.MODEL))

    @property
    def members(self) -> tuple[GraphMember, ...]:
        """Its models, with their heads and their weights."""
        return _members(self.manifest, self.contents)


def verify(folder: Path, keyset: Keyset, policy: Policy, *, reproduce: Infer = infer_in_child) -> Bundle:
    """Read `folder` once and verify what was read.

    Parameters
    ----------
    keyset : Keyset
        Already checked against the trusted root (`read_keyset`).
    reproduce : callable, optional
        How the golden vectors are computed. The default runs in a limited child process.

    Raises
    ------
    BundleRefused
        Naming the first check that failed. Nothing was changed.
    """
    return verify_contents(read_folder(folder), keyset, policy, reproduce=reproduce)


def verify_contents(contents: Contents, keyset: Keyset, policy: Policy, *, reproduce: Infer) -> Bundle:
    """Verify a folder that has already been read; see `verify`."""
    where = contents.where
    raw = _needed(contents, MANIFEST_NAME)
    signatures = _needed(contents, SIGNATURE_NAME)
    signers = valid_signers(MANIFEST_KIND, raw, signatures, keyset.public_keys(), f"{where}/{SIGNATURE_NAME}")
    counted = require_signers(signers, keyset, policy.today, where)
    manifest = read_bundle_manifest(raw, f"{where}/{MANIFEST_NAME}")
    if manifest.keyset_version > keyset.version:
        raise BundleRefused(
            f"signed under key set {manifest.keyset_version}, newer than {keyset.version}", where=where, fix="Fetch the newest key set"
        )
    age = _check_age(manifest, policy, where)
    _check_sequence(manifest, policy, where)
    _check_role(manifest, policy, where)
    _check_file_set(manifest, contents)
    _check_files(manifest, contents)
    _check_device(manifest, policy, where)
    _check_graphs(manifest, contents)
    golden = _check_golden(manifest, contents, reproduce)
    drift = parse_json(contents.files[manifest.of(Part.DRIFT)[0].path], f"{where}/drift")
    if not isinstance(drift, dict):
        raise BundleRefused("the drift reference is not a mapping", where=where)
    parameters, bank = (_arrays(manifest.of(part), contents) for part in (Part.PARAMETERS, Part.BANK))
    limit = _age_limit(manifest, policy)
    return Bundle(manifest, sha256_of(raw), contents, golden, drift, parameters, bank, tuple(sorted(counted)), age, limit)


def _needed(contents: Contents, name: str) -> bytes:
    if name in contents.irregular:
        raise BundleRefused(f"{name} is {contents.irregular[name]}", where=contents.where)
    if name not in contents.files:
        what = "unsigned: manifest.sig is missing" if name == SIGNATURE_NAME else f"{name} is missing"
        raise BundleRefused(what, where=contents.where, fix="Fetch the bundle again")
    return contents.files[name]


def _check_age(manifest: BundleManifest, policy: Policy, where: str) -> int:
    if manifest.calendar != policy.calendar.name:
        raise BundleRefused(f"made for the calendar {manifest.calendar}, not {policy.calendar.name}", where=where)
    try:
        age = policy.calendar.index(policy.today) - policy.calendar.index(manifest.last_training_session)
    except NotASession as error:
        raise BundleRefused(f"its age cannot be counted: {error}", where=where) from None
    limit = _age_limit(manifest, policy)
    if age > limit and policy.refuses_expired:
        raise BundleRefused(f"expired: {age} sessions old, {limit} are allowed", where=where, fix="Train again")
    if age < 0:
        raise BundleRefused(f"trained on {manifest.last_training_session}, which is in the future", where=where)
    return age


def _age_limit(manifest: BundleManifest, policy: Policy) -> int:
    return min(manifest.expiry_sessions, policy.max_age_sessions)


def _check_sequence(manifest: BundleManifest, policy: Policy, where: str) -> None:
    seen = policy.high_water
    if manifest.seq > seen.seq or (manifest.seq == seen.seq and manifest.bundle_id == seen.bundle_id):
        return
    grant = policy.grant
    if grant and grant.allows(manifest.bundle_id, manifest.seq, seen.seq, policy.today):
        return
    raise BundleRefused(
        f"sequence {manifest.seq} is not newer than {seen.seq}, which this device has run",
        where=where,
        fix="Publish a newer bundle, or sign a rollback grant",
    )


UNPROVEN = (
    "Publish a champion (`trainer promote`, then `trainer publish --role champion`), or write `accept_unproven: true` "
    "in the device's config.yml: an unproven bundle then trades the paper account at half of the gross target"
)


def _check_role(manifest: BundleManifest, policy: Policy, where: str) -> None:
    if manifest.role not in policy.roles:
        accepted = ", ".join(sorted(policy.roles))
        raise BundleRefused(
            f"its role is {manifest.role}; accepted here: {accepted}",
            where=where,
            fix=UNPROVEN if manifest.role is Role.EVALUATION else "Run `trainer publish --role champion`",
        )


def _check_file_set(manifest: BundleManifest, contents: Contents) -> None:
    expected = {file.path for file in manifest.files} | {MANIFEST_NAME, SIGNATURE_NAME}
    if missing := sorted(expected - contents.names):
        raise BundleRefused(f"{missing[0]} is missing", where=contents.where, fix="Fetch the bundle again")
    if extra := sorted(contents.names - expected):
        raise BundleRefused(f"{extra[0]!r} is not in the manifest", where=contents.where)


def _check_files(manifest: BundleManifest, contents: Contents) -> None:
    for file in manifest.files:
        content = contents.files.get(file.path)
        if content is None:
            raise BundleRefused(f"{file.path} is {contents.irregular[file.path]}", where=contents.where)
        if len(content) != file.size:
            raise BundleRefused(f"{file.path} has {len(content)} bytes, not {file.size}", where=contents.where)
        if sha256_of(content) != file.sha256:
            raise BundleRefused(
                f"{file.path} is not the file that was signed: its SHA-256 differs", where=contents.where, fix="Fetch the bundle again"
            )


def _check_graphs(manifest: BundleManifest, contents: Contents) -> None:
    inputs, widths = manifest.input_shapes(), manifest.head_widths()
    for member in manifest.members:
        where = f"{contents.where}/{member.path}"
        graph = check_model(contents.files[member.path], where, member.profile, inputs=inputs, outputs=member.heads)
        for name, shape in graph.inputs.items():
            _check_shape(name, shape, inputs[name], where)
        for name, shape in graph.outputs.items():
            _check_shape(name, shape or (None,), (widths[name],) if len(shape) != 1 or widths[name] > 1 else (), where)


def _check_shape(name: str, declared: Sequence[int | None], row: tuple[int, ...], where: str) -> None:
    """Raise `BundleRefused` where a graph declares another shape than rows of `row`; what it leaves open is not compared."""
    sizes = declared[1:]
    if len(sizes) != len(row) or any(size not in (None, wanted) for size, wanted in zip(sizes, row, strict=True)):
        shown = ", ".join("?" if size is None else str(size) for size in declared)
        raise BundleRefused(f"{name!r} has the shape ({shown}), not rows of {row}", where=where)


def _check_device(manifest: BundleManifest, policy: Policy, where: str) -> None:
    if manifest.entry not in (policy.entry, *policy.equivalent_entries):
        raise BundleRefused(f"learned for entry {manifest.entry!r}; this device trades {policy.entry!r}", where=where)
    if _version(manifest.min_appliance_version) > _version(policy.appliance_version):
        raise BundleRefused(
            f"needs appliance {manifest.min_appliance_version}, this is {policy.appliance_version}", where=where, fix="Update the device"
        )
    if manifest.sleeve not in policy.sleeves:
        raise BundleRefused(f"this device has no sleeve {manifest.sleeve!r}", where=where, fix="Update the device")
    shape = policy.shapes.get(manifest.sleeve)
    computed = policy.sleeves[manifest.sleeve] if shape is None else shape(manifest.feature_spec)
    if difference := first_difference(manifest.feature_spec, computed):
        raise BundleRefused(
            f"its features are not this device's: {difference}",
            where=where,
            fix="Publish what the device's version has trained, or update the device",
        )


def _check_golden(manifest: BundleManifest, contents: Contents, reproduce: Infer) -> Golden:
    path = manifest.of(Part.GOLDEN)[0].path
    golden = read_golden(manifest, contents.files[path], f"{contents.where}/{path}")
    golden.check(reproduce(_members(manifest, contents), golden.inputs), manifest.golden_tolerance_sd, contents.where)
    return golden


def _members(manifest: BundleManifest, contents: Contents) -> tuple[GraphMember, ...]:
    widths = manifest.head_widths()
    return tuple(
        GraphMember(contents.files[line.path], {name: widths[name] for name in line.heads}, line.weight, line.profile)
        for line in manifest.members
    )


def _arrays(files: Sequence[BundleFile], contents: Contents) -> Arrays:
    """Arrays of a part that a bundle may have; none where it has not. They are finite, or refused."""
    found: dict[str, NDArray[np.floating]] = {}
    for file in files:
        where = f"{contents.where}/{file.path}"
        for name, values in unpacked(contents.files[file.path], file.arrays, where).items():
            if not np.isfinite(values).all():
                raise BundleRefused(f"{name!r} is not finite", where=where, fix="Publish another bundle")
            found[name] = values
    return found


def first_difference(listed: FeatureSpec, computed: FeatureSpec) -> str:
    """Where two ordered feature lists first differ, in words; empty when they are the same."""
    for position, (ours, theirs) in enumerate(zip(listed, computed, strict=False)):
        if ours != theirs:
            return f"position {position} is {_row(ours)} in the bundle, {_row(theirs)} here"
    if len(listed) == len(computed):
        return ""
    longer, side = (listed, "bundle") if len(listed) > len(computed) else (computed, "device")
    return f"{_row(longer[min(len(listed), len(computed))])} is in the {side} alone"


def _row(row: tuple[str, str, int]) -> str:
    return f"{row[0]!r} ({row[1]}, {row[2]} sessions)"


def _version(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(".")[:3])
    except ValueError:
        raise BundleRefused(f"{text!r} is not a version") from None
