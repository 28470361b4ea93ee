"""Attacks on bundles (E1, E2, E6, E8, F44, F45): each is refused by name, and the device stays as it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from appliance.bundles.store import BundleStore
from appliance.system.state_folder import DurableFs
from signals.bundle import Part, Policy, Role, verify
from signals.bundle.arrays import packed
from signals.bundle.contents import MAX_FILE_BYTES, MAX_FILES
from signals.bundle.golden import read_golden
from signals.bundle.manifest import Promotion, derived_id
from signals.bundle.seal import canonical_json
from signals.errors import BundleRefused
from signals.models.inference import FEATURES, SCORE, GraphMember, Inputs, Outputs, infer
from tests.fakes import onnx_models as onnx
from tests.fakes.bundles import FIRST, SECOND, SPEC, STRANGER, Recipe, golden, keyset, keyset_file, policy, roots, signing_key, write_signed

WIDTH = len(SPEC)


@dataclass
class Device:
    """A device with one good bundle, sequence 5, in force."""

    folder: Path
    incoming: Path
    store: BundleStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = BundleStore(self.folder / "bundles", DurableFs(), prove=infer)
        self.store.trust(roots()[0])
        self.store.install_keyset(keyset_file(keyset(signing_key(FIRST))))
        Recipe(seq=5).write(self.folder / "first")
        self.store.activate(self.folder / "first", policy())

    def snapshot(self) -> dict[str, bytes]:
        root = self.folder / "bundles"
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path / "device", tmp_path / "incoming")
    before = made.snapshot()
    yield made
    after = made.snapshot()
    assert {name: content for name, content in after.items() if name != "keyset.json"} == {
        name: content for name, content in before.items() if name != "keyset.json"
    }


def edit(folder: Path, **changes: object) -> None:
    """Sign a manifest with other values, as a holder of the key could; its id is derived again."""
    document = json.loads((folder / "manifest.json").read_bytes())
    document.update(changes)
    write_signed(folder, canonical_json(document))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def swap_for_link(folder: Path) -> None:
    outside = folder.parent / "outside.onnx"
    (folder / "model.onnx").rename(outside)
    (folder / "model.onnx").symlink_to(outside)


def link_manifest(folder: Path) -> None:
    (folder / "manifest.json").rename(folder.parent / "outside.json")
    (folder / "manifest.json").symlink_to(folder.parent / "outside.json")


def as_fifo(folder: Path) -> None:
    (folder / "drift.json").unlink()
    os.mkfifo(folder / "drift.json")


def as_folder(folder: Path) -> None:
    (folder / "drift.json").unlink()
    (folder / "drift.json").mkdir()


def grow(folder: Path) -> None:
    with (folder / "model.onnx").open("r+b") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)


def list_path(path: str) -> Callable[[Path], None]:
    def attack(folder: Path) -> None:
        document = json.loads((folder / "manifest.json").read_bytes())
        document["files"][0]["path"] = path
        write_signed(folder, canonical_json(document))

    return attack


def repeat_key(folder: Path) -> None:
    raw = (folder / "manifest.json").read_bytes()
    write_signed(folder, raw[:-1] + b',"seq":99}')


BASE = Recipe(seq=6)
Tamper = Callable[[Path], object]

# What someone without the key can do to a folder on its way.
IN_TRANSIT: dict[str, tuple[Tamper, str]] = {
    "bit flip in the manifest": (lambda f: flip(f / "manifest.json"), "signature of key"),
    "bit flip in the signature": (lambda f: flip(f / "manifest.sig"), "signature|base64|JSON|signed by 0"),
    "bit flip in model.onnx": (lambda f: flip(f / "model.onnx"), "SHA-256 differs"),
    "bit flip in golden.bin": (lambda f: flip(f / "golden.bin"), "SHA-256 differs"),
    "bit flip in drift.json": (lambda f: flip(f / "drift.json"), "SHA-256 differs"),
    "bit flip in evidence.json": (lambda f: flip(f / "evidence.json"), "SHA-256 differs"),
    "bit flip in training.json": (lambda f: flip(f / "training.json"), "SHA-256 differs"),
    "unsigned": (lambda f: (f / "manifest.sig").unlink(), "unsigned"),
    "no signatures in the signature": (lambda f: (f / "manifest.sig").write_bytes(b'{"signatures":[]}'), "unsigned"),
    "signature that is not JSON": (lambda f: (f / "manifest.sig").write_bytes(b"\x00" * 99), "not a JSON document"),
    "deeply nested signature": (lambda f: (f / "manifest.sig").write_bytes(b"[" * 16000), "not a JSON document"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "manifest.json is missing"),
    "truncated model": (lambda f: (f / "model.onnx").write_bytes(b"abc"), "has 3 bytes"),
    "missing file": (lambda f: (f / "golden.bin").unlink(), "golden.bin is missing"),
    "extra file": (lambda f: (f / "sitecustomize.py").write_bytes(b"1"), "not in the manifest"),
    "extra hidden file": (lambda f: (f / ".x").write_bytes(b"1"), "not in the manifest"),
    "extra folder": (lambda f: (f / "more").mkdir(), "not in the manifest"),
    "symbolic link in place of a file": (swap_for_link, "a symbolic link"),
    "symbolic link in place of the manifest": (link_manifest, "manifest.json is a symbolic link"),
    "pipe in place of a file": (as_fifo, "not a regular file"),
    "folder in place of a file": (as_folder, "a folder"),
    "oversized file": (grow, "more than"),
    "oversized manifest": (lambda f: (f / "manifest.json").write_bytes(b" " * 1_100_000), "more than"),
    "oversized signature": (lambda f: (f / "manifest.sig").write_bytes(b" " * 20_000), "more than"),
    "too many files": (lambda f: [(f / f"x{i}").write_bytes(b"") for i in range(MAX_FILES)], "more than 64 files"),
}

# What someone with a key, or a broken trainer, could sign.
SIGNED: dict[str, tuple[Tamper, str]] = {
    "path traversal": (list_path("../model.onnx"), "not a plain file name"),
    "absolute path": (list_path("/etc/passwd"), "not a plain file name"),
    "path into a folder": (list_path("a/model.onnx"), "not a plain file name"),
    "the manifest lists itself": (list_path("manifest.json"), "not a plain file name"),
    "a key that stands twice": (repeat_key, "a key occurs twice"),
    "unknown key": (lambda f: edit(f, surprise=1), "surprise"),
    "format of the future": (lambda f: edit(f, format="trademl-bundle/3"), "does not read; it needs appliance 0.1.0.*Update the device"),
    "format that is none": (lambda f: edit(f, format=2), "format"),
    "sequence as text": (lambda f: edit(f, seq="6"), "seq"),
    "NaN": (lambda f: write_signed(f, (f / "manifest.json").read_bytes().replace(b'"mean":0.01', b'"mean":NaN')), "NaN is not JSON"),
    "another content under the same id": (lambda f: edit(f, horizon_sessions=6), "bundle_id is not derived"),
    "spec hash of other features": (lambda f: edit(f, spec_hash="0" * 64), "spec_hash"),
}


@pytest.mark.parametrize("name", [*IN_TRANSIT, *SIGNED])
def test_a_tampered_folder_is_refused_and_changes_nothing(device: Device, name: str) -> None:
    tamper, reason = {**IN_TRANSIT, **SIGNED}[name]
    BASE.write(device.incoming)
    tamper(device.incoming)
    with pytest.raises(BundleRefused, match=reason):
        device.store.activate(device.incoming, policy())
    assert device.store.load(policy()).manifest.seq == 5
    assert device.store.high_water().seq == 5


def test_the_untampered_folder_would_have_been_accepted(tmp_path: Path) -> None:
    """The control: without it every attack could be refused for a reason that has nothing to do with it."""
    device = Device(tmp_path / "device", tmp_path / "incoming")
    BASE.write(device.incoming)
    assert device.store.activate(device.incoming, policy()).is_new
    assert device.store.load(policy()).manifest.seq == device.store.high_water().seq == 6


def wide(content: bytes) -> Recipe:
    return BASE.with_file("model.onnx", Part.MODEL, content)


STUMP = onnx.stump_node(WIDTH)
LOCATION = onnx.block(13, onnx.block(1, "location") + onnx.block(2, "/etc/passwd")) + onnx.number(14, 1)
EXTERNAL = onnx.block(5, onnx.number(1, 2) + onnx.number(2, 1) + onnx.block(8, "w") + LOCATION)
BODY = onnx.block(5, onnx.block(1, "body") + onnx.block(6, b"") + onnx.number(20, onnx.GRAPH))
RUNTIME = onnx.block(14, onnx.block(1, "ort_config") + onnx.block(2, "{}"))
BOTH = (("", 13), ("ai.onnx.ml", 3))


def stump(**changes: object) -> Recipe:
    return wide(onnx.model([STUMP], WIDTH, **changes))  # type: ignore[arg-type]


def one(operator: str, domain: str = "", attributes: bytes = b"") -> Recipe:
    return wide(onnx.model([onnx.node(operator, ["features"], ["score"], domain, attributes)], WIDTH))


TWO_NUMBERS = onnx.model(
    [onnx.node("Concat", ["features", "features"], ["score"], attributes=onnx.int_attribute("axis", 1))],
    WIDTH,
    outputs=onnx.block(12, onnx.value_info("score", ["N", 2 * WIDTH])),
)


@dataclass(frozen=True)
class Stored:
    """Golden vectors as somebody could store them, whatever they are."""

    arrays: dict[str, np.ndarray]


def stored(name: str, value: float) -> Stored:
    """The true ones, but for one number of one array, or for all of them where it is the scores' own."""
    arrays = {key: values.copy() for key, values in golden().arrays.items()}
    arrays[name][... if value == 1.0 else 1] = value
    return Stored(arrays)


def twisted(factor: float) -> Stored:
    return Stored({**golden().arrays, SCORE: golden().arrays[SCORE] * factor})


CHAIN = [onnx.node("Identity", ["features"], [f"x{i}"]) for i in range(1001)]

# Models that an honest signature may cover and that may still never reach the runtime (E6).
MODELS: dict[str, tuple[Recipe, str]] = {
    "external data": (stump(extra_graph=EXTERNAL), "external data"),
    "unknown operator domain": (one("Evil", "com.evil"), "domain 'com.evil' is not allowed"),
    "operator set of an unknown domain": (stump(opsets=(*BOTH, ("com.microsoft", 1))), "domain 'com.microsoft'"),
    "operator set of the future": (stump(opsets=(("", 99), ("ai.onnx.ml", 3))), "99 is not supported"),
    "operator set that stands twice": (stump(opsets=(*BOTH, ("ai.onnx", 9))), "imported twice"),
    "domain that is not imported": (stump(opsets=(("", 13),)), "domain 'ai.onnx.ml' is not allowed"),
    "operator that is not allowed": (one("NonZero"), "NonZero"),
    "control flow": (one("Loop", attributes=BODY), "a sub-graph is not allowed"),
    "too many nodes": (wide(onnx.model([*CHAIN, STUMP], WIDTH)), "more than 1000 nodes"),
    "functions of its own": (stump(extra_model=onnx.block(25, b"")), "functions"),
    "training information": (stump(extra_model=onnx.block(20, b"")), "training information"),
    "runtime configuration": (stump(extra_model=RUNTIME), "configures its own runtime"),
    "two graphs": (stump(extra_model=onnx.block(7, b"")), "occurs twice"),
    "sparse initializer": (stump(extra_graph=onnx.block(15, b"")), "sparse"),
    "unknown field": (stump(extra_model=onnx.block(99, b"")), "field 99"),
    "field in another encoding": (stump(extra_graph=onnx.number(1, 5)), "encoded as VARINT"),
    "two inputs": (stump(extra_graph=onnx.block(11, onnx.value_info("more", ["N"]))), "maps"),
    "other output": (stump(outputs=onnx.block(12, onnx.value_info("label", ["N"]))), "maps"),
    "input of doubles": (stump(inputs=onnx.block(11, onnx.value_info("features", ["N", WIDTH], 11))), "float32"),
    "no nodes": (wide(onnx.model([], WIDTH)), "without nodes"),
    "no graph": (wide(onnx.number(1, 8)), "no graph"),
    "a pickle": (wide(b"\x80\x05K\x01."), "field 5 is encoded|protobuf|field 0|not allowed"),
    "input of another width than the features": (
        wide(onnx.stump_model(WIDTH + 1)),
        r"'features' has the shape \(\?, 4\), not rows of \(3,\)",
    ),
    "input of another rank than the view": (
        stump(inputs=onnx.block(11, onnx.value_info("features", ["N", 1, WIDTH]))),
        r"'features' has the shape \(\?, 1, 3\), not rows of \(3,\)",
    ),
    "output of another width than the head": (
        stump(outputs=onnx.block(12, onnx.value_info("score", ["N", 2]))),
        r"'score' has the shape \(\?, 2\), not rows of \(1,\)",
    ),
    "golden vectors that do not reproduce": (BASE.but(golden=twisted(1.001)), "do not reproduce on this machine: 'score'"),
    "golden vectors that prove nothing": (BASE.but(golden=stored(SCORE, 1.0)), "'score' is always the same prove nothing"),
    "golden scores that are not finite": (BASE.but(golden=stored(SCORE, np.nan)), "golden vectors that are not finite"),
    "golden features that are infinite": (BASE.but(golden=stored(FEATURES, np.inf)), "golden vectors that are not finite"),
    "model that was swapped before signing": (wide(onnx.stump_model(WIDTH, trees=13)), "do not reproduce"),
    "model that gives NaN": (wide(onnx.nan_model(WIDTH)), "do not reproduce"),
    "model that gives several numbers a row": (wide(TWO_NUMBERS), r"'score' has the shape \(\?, 6\)"),
    "drift reference that is none": (BASE.with_file("drift.json", Part.DRIFT, b"[]"), "not a mapping"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_may_not_run_is_refused_and_changes_nothing(device: Device, name: str) -> None:
    recipe, reason = MODELS[name]
    recipe.write(device.incoming)
    with pytest.raises(BundleRefused, match=reason):
        BundleStore(device.folder / "bundles", DurableFs()).activate(device.incoming, policy())
    assert device.store.load(policy()).manifest.seq == 5


CHAMPION = Promotion(verdict="promoted", model_sha256=("0" * 64,), record={})

# Honest bundles that this device may not use today.
POLICIES: dict[str, tuple[Recipe, Policy, str]] = {
    "wrong key": (BASE.but(keys=(STRANGER,)), policy(), "signed by 0 trusted keys"),
    "lower sequence": (BASE.but(seq=4), policy(), "sequence 4 is not newer than 5"),
    "same sequence, other bundle": (BASE.but(seq=5, refusal="another"), policy(), "sequence 5 is not newer than 5"),
    "expired": (BASE, policy(today=date(2024, 5, 9)), "expired: 71 sessions old, 70 are allowed"),
    "older than the device allows": (BASE, policy(max_age_sessions=21), "expired: 22 sessions old, 21"),
    "trained in the future": (BASE.but(last=date(2024, 3, 4)), policy(), "is in the future"),
    "trained on a day that is no session": (BASE.but(last=date(2024, 1, 28)), policy(), "age cannot be counted"),
    "past the calendar's end": (BASE, policy(today=date(2026, 3, 2)), "age cannot be counted"),
    "other calendar": (BASE.but(calendar="XLON"), policy(), "XLON"),
    "role not accepted": (BASE, policy(roles=frozenset({Role.CHAMPION})), "role is evaluation.*accept_unproven: true"),
    "other entry": (BASE.but(entry="cls"), policy(), "entry 'cls'"),
    "newer device needed": (BASE.but(min_appliance_version="0.2.0"), policy(), "needs appliance 0.2.0"),
    "newer key set needed": (BASE.but(keyset_version=2), policy(), "signed under key set 2"),
    "unknown sleeve": (BASE.but(sleeve="intraday_xs"), policy(), "no sleeve 'intraday_xs'"),
    "feature of another name": (
        BASE,
        policy(sleeves={"equities_xs": (("mom_9", "ratio", 6), *SPEC[1:])}),
        "position 0 is 'mom_5'.*'mom_9'",
    ),
    "feature of another look-back": (
        BASE,
        policy(sleeves={"equities_xs": (SPEC[0], ("vol_20", "ratio", 20), SPEC[2])}),
        "21 sessions.*20 sessions",
    ),
    "features in another order": (BASE, policy(sleeves={"equities_xs": (SPEC[1], SPEC[0], SPEC[2])}), "position 0"),
    "feature that this device lacks": (BASE, policy(sleeves={"equities_xs": SPEC[:2]}), "in the bundle alone"),
    "feature that the bundle lacks": (BASE, policy(sleeves={"equities_xs": (*SPEC, ("x", "z", 1))}), "in the device alone"),
}


@pytest.mark.parametrize("name", POLICIES)
def test_a_bundle_that_is_not_for_this_device_today_is_refused_and_changes_nothing(device: Device, name: str) -> None:
    recipe, today, reason = POLICIES[name]
    recipe.write(device.incoming)
    with pytest.raises(BundleRefused, match=reason):
        device.store.activate(device.incoming, today)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"role": Role.CHAMPION, "refusal": None}, "carries a promotion record"),
        ({"role": Role.CHAMPION, "refusal": None, "promotion": CHAMPION}, "that of another model"),
        ({"promotion": CHAMPION}, "carries a promotion record"),
        ({"refusal": None}, "carries its refusal"),
        ({"role": Role.SHADOW}, "carries its refusal"),
    ],
)
def test_a_role_must_be_earned_whatever_was_signed(device: Device, changes: dict[str, object], reason: str) -> None:
    BASE.write(device.incoming)
    document = json.loads((device.incoming / "manifest.json").read_bytes())
    promotion = changes.get("promotion")
    document.update({**changes, "promotion": promotion.model_dump(mode="json") if promotion else None})  # type: ignore[attr-defined]
    write_signed(device.incoming, canonical_json(document))
    with pytest.raises(BundleRefused, match=reason):
        device.store.activate(device.incoming, policy())


@pytest.mark.parametrize(
    ("keys", "signers", "reason"),
    [
        (keyset(signing_key(FIRST), until=date(2024, 2, 29), version=2), (FIRST,), "the key set expired on 2024-02-29"),
        (keyset(signing_key(FIRST, revoked=True), version=2), (FIRST,), "revoked or expired"),
        (keyset(signing_key(FIRST, until=date(2024, 2, 29)), version=2), (FIRST,), "revoked or expired"),
        (keyset(signing_key(FIRST), signing_key(SECOND), threshold=2, version=2), (FIRST,), "1 trusted keys, 2 are"),
        (keyset(signing_key(FIRST), signing_key(SECOND), threshold=2, version=2), (FIRST, FIRST), "1 trusted keys, 2"),
        (keyset(signing_key(FIRST), threshold=2, version=2), (FIRST, STRANGER), "1 trusted keys, 2 are"),
    ],
    ids=["expired key set", "revoked key", "expired key", "below threshold", "one key twice", "stranger as second"],
)
def test_keys_that_do_not_suffice_are_refused(device: Device, keys: object, signers: tuple, reason: str) -> None:
    device.store.install_keyset(keyset_file(keys))  # type: ignore[arg-type]
    BASE.but(keys=signers).write(device.incoming)
    with pytest.raises(BundleRefused, match=reason):
        device.store.activate(device.incoming, policy())


def test_a_replayed_bundle_is_refused_once_a_newer_one_has_run(tmp_path: Path) -> None:
    device = Device(tmp_path / "device", tmp_path / "incoming")
    BASE.write(device.incoming)
    device.store.activate(device.incoming, policy())
    with pytest.raises(BundleRefused, match="sequence 5 is not newer than 6"):
        device.store.activate(tmp_path / "device" / "first", policy())
    assert device.store.load(policy()).manifest.seq == 6


def test_a_file_that_is_swapped_after_it_was_read_changes_nothing(tmp_path: Path) -> None:
    """E8, F45: what is put in force, loaded and scored is what was verified, not what stands in the folder later."""
    device = Device(tmp_path / "device", tmp_path / "incoming")
    BASE.write(device.incoming)
    good = (device.incoming / "model.onnx").read_bytes()

    def swap_while_proving(members: Sequence[GraphMember], inputs: Inputs) -> Outputs:
        (device.incoming / "model.onnx").write_bytes(onnx.stump_model(WIDTH, seed=99))
        return infer(members, inputs)

    store = BundleStore(device.folder / "bundles", DurableFs(), prove=swap_while_proving)
    bundle = store.activate(device.incoming, policy()).bundle
    assert bundle.models == (good,)
    assert store.load(policy()).models == (good,)


def test_the_bundle_in_force_is_verified_again_at_each_load(tmp_path: Path) -> None:
    device = Device(tmp_path / "device", tmp_path / "incoming")
    pointer = device.store.current()
    assert pointer is not None
    flip(device.folder / "bundles" / pointer.folder / "model.onnx")
    with pytest.raises(BundleRefused, match="SHA-256 differs"):
        device.store.load(policy())


def test_expiry_is_counted_in_sessions_from_the_last_training_session(tmp_path: Path) -> None:
    """2024-01-31 is session 0; 70 weekdays later it is 2024-05-08."""
    BASE.write(tmp_path / "b")
    bundle = verify(tmp_path / "b", keyset(), policy(today=date(2024, 5, 8)), reproduce=infer)
    assert (bundle.age_sessions, bundle.age_limit_sessions) == (70, 70)


def test_the_id_of_a_bundle_does_not_depend_on_when_it_was_made() -> None:
    manifest = BASE.manifest()
    later = manifest.model_copy(update={"created": manifest.created.replace(year=2025)})
    assert derived_id(later) == manifest.bundle_id
    assert derived_id(manifest.model_copy(update={"seq": 7})) != manifest.bundle_id


def test_golden_vectors_survive_storage_to_the_bit() -> None:
    known = golden()
    read = read_golden(BASE.manifest(), packed(known.arrays), "golden.bin")
    for name, values in known.arrays.items():
        np.testing.assert_array_equal(read.arrays[name], values)
        assert read.arrays[name].dtype == values.dtype
