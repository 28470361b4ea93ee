"""What a bundle's parts may not be, one rule a test: vectors, keys, signatures, folders, the child that proves."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from signals.bundle import Golden, Part, read_keyset, verify
from signals.bundle.child_inference import ADDRESS_SPACE_BYTES, CPU_SECONDS, FILE_BYTES, _answer, infer_in_child
from signals.bundle.contents import MAX_FILE_BYTES, read_folder
from signals.bundle.graph import check_model
from signals.bundle.keyset import MAX_KEYSET_BYTES
from signals.bundle.manifest import MAX_GOLDEN_ROWS, BundleManifest, HeadLine, Promotion, Role
from signals.bundle.seal import MAX_SIGNATURES, PublicKey, canonical_json, parse, valid_signers
from signals.bundle.verification import first_difference
from signals.errors import BundleRefused
from signals.features.panel import spec_hash
from signals.files import sha256_of
from signals.models.heads import PatternHead
from signals.models.inference import FEATURES, GraphMember, infer, predict
from signals.sleeves import SLEEVES
from signals.sleeves.base import Sleeve
from tests.fakes import onnx_models as onnx
from tests.fakes.bundles import (
    FIRST,
    SECOND,
    SPEC,
    Recipe,
    golden,
    golden_inputs,
    keyset,
    keyset_file,
    policy,
    public_half,
    roots,
    signing_key,
)

WIDTH = len(SPEC)
SCORES = np.array([0.0, 1.0])
ROWS = np.zeros((2, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("inputs", "scores", "reason"),
    [
        (ROWS[0], SCORES, "of shapes"),
        (ROWS[:1], SCORES, "of shapes"),
        (ROWS[:1], SCORES[:1], "1 golden vectors"),
        (np.zeros((MAX_GOLDEN_ROWS + 1, 3), dtype=np.float32), np.arange(MAX_GOLDEN_ROWS + 1.0), "golden vectors, not 2"),
        (ROWS, np.array([0.0, np.nan]), "not finite"),
        (np.full((2, 3), np.inf, dtype=np.float32), SCORES, "not finite"),
        (ROWS, np.array([1.0, 1.0]), "prove nothing"),
    ],
)
def test_golden_vectors_are_a_table_of_finite_numbers_that_differ(inputs: np.ndarray, scores: np.ndarray, reason: str) -> None:
    with pytest.raises(BundleRefused, match=reason):
        Golden.of_scores(inputs, scores)


def with_manifest(**changes: object) -> bytes:
    """A manifest that says otherwise in places, under the id that this content gives."""
    document = json.loads(Recipe().manifest().to_bytes()) | changes
    content = {key: value for key, value in document.items() if key not in ("bundle_id", "created")}
    return canonical_json(document | {"bundle_id": sha256_of(canonical_json(content))[:16]})


FILES = json.loads(Recipe().manifest().to_bytes())["files"]
OWN_MODEL, OWN_EVIDENCE = (next(f["sha256"] for f in FILES if f["part"] == part) for part in ("model", "evidence"))


def promoted(model: str, **record: str) -> dict[str, object]:
    """What a champion of this model says of its promotion."""
    promotion = {"verdict": "promoted", "model_sha256": [model], "record": record}
    return {"role": "champion", "refusal": None, "promotion": promotion}


def test_a_champion_carries_the_verdict_on_its_own_model_and_its_own_evidence() -> None:
    promotion = Promotion.model_validate_json(json.dumps(promoted(OWN_MODEL, evidence_sha256=OWN_EVIDENCE)["promotion"]))
    champion = Recipe(role=Role.CHAMPION, refusal=None, promotion=promotion).manifest()
    assert parse(champion.to_bytes(), BundleManifest, "manifest.json") == champion


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")  # the drafts are wrong on purpose
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"created": datetime(2024, 2, 1, 22).isoformat()}, "no UTC offset"),
        ({"first_training_session": "2024-02-01"}, "ends before it begins"),
        ({"files": [*FILES, FILES[0]]}, "listed twice"),
        ({"files": [f for f in FILES if f["part"] != "golden"]}, "0 files are the golden"),
        ({"files": [*FILES, {**FILES[0], "path": "other.json"}]}, "2 files are the"),
        (promoted(sha256_of(b"another model")), "that of another model"),
        (promoted(OWN_MODEL, evidence_sha256=sha256_of(b"other evidence")), "given on other evidence"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(BundleRefused, match=reason):
        parse(with_manifest(**changes), BundleManifest, "manifest.json")


def test_a_key_set_names_each_key_once_and_by_its_own_id() -> None:
    one = signing_key(FIRST)
    twice = keyset(one, signing_key(SECOND)).model_copy(update={"keys": (one, one)})
    with pytest.raises(BundleRefused, match="a key occurs twice"):
        read_keyset(keyset_file(twice), roots())
    other = one.model_copy(update={"keyid": signing_key(SECOND).keyid})
    with pytest.raises(BundleRefused, match="does not belong to its key"):
        read_keyset(keyset_file(keyset(other)), roots())


def test_only_a_key_set_of_format_2_names_the_keys_of_the_data_and_it_must() -> None:
    for changes in ({"data": None}, {"format": "trademl-keyset/1"}):
        with pytest.raises(BundleRefused, match="format 2 names the data keys, format 1 does not"):
            read_keyset(keyset_file(keyset().model_copy(update=changes)), roots())
    old = keyset().model_copy(update={"data": None, "format": "trademl-keyset/1"})
    assert read_keyset(keyset_file(old), roots()).data is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b" " * (MAX_KEYSET_BYTES + 1), "more than"),
        (b'{"payload":"{}"}', "has a payload and signatures"),
        (b'{"payload":{},"signatures":[]}', "the payload is a string"),
        (b'{"payload":"\\ud800","signatures":[]}', "lone surrogate"),
    ],
)
def test_a_signed_document_of_one_file_has_one_form(content: bytes, reason: str) -> None:
    with pytest.raises(BundleRefused, match=reason):
        read_keyset(content, roots())


def test_a_public_key_has_32_bytes() -> None:
    with pytest.raises(BundleRefused, match="has 32 bytes, not 3"):
        PublicKey.from_text("AAAA")
    assert PublicKey.from_text(public_half(FIRST).text) == public_half(FIRST)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"keyid": "a", "sig": "AA=="}] * (MAX_SIGNATURES + 1), "17 signatures"),
        ([["a", "b"]], "has a keyid and a sig"),
        ([{"keyid": "a", "sig": 1}], "has a keyid and a sig"),
        ([{"keyid": "a", "sig": "!"}], "not base64"),
    ],
)
def test_a_signature_file_has_one_form(rows: list[object], reason: str) -> None:
    with pytest.raises(BundleRefused, match=reason):
        valid_signers("k", b"body", canonical_json({"signatures": rows}), roots(), "sig")


def test_a_model_file_is_at_most_as_large_as_the_cap() -> None:
    with pytest.raises(BundleRefused, match="more than"):
        check_model(bytes(64 * 1024 * 1024), "large")


def untyped(name: str, kind: bytes) -> bytes:
    return onnx.block(1, name) + kind


@pytest.mark.parametrize(
    "kind",
    [
        b"",
        onnx.block(2, b""),
        onnx.block(2, onnx.block(4, b"")),
        onnx.block(2, onnx.block(1, b"")),
        onnx.block(2, onnx.block(1, onnx.block(2, b""))),
    ],
    ids=["no type", "empty type", "a sequence", "empty tensor", "a shape alone"],
)
def test_an_input_without_the_type_of_a_tensor_is_refused(kind: bytes) -> None:
    content = onnx.model([onnx.stump_node(WIDTH)], WIDTH, inputs=onnx.block(11, untyped("features", kind)))
    with pytest.raises(BundleRefused, match="not a tensor of float32"):
        check_model(content, "model")


def test_what_else_a_description_of_an_input_says_is_passed_over() -> None:
    described = onnx.value_info("features", ["N", WIDTH]) + onnx.block(3, "a doc string")
    content = onnx.model([onnx.stump_node(WIDTH)], WIDTH, inputs=onnx.block(11, described))
    assert check_model(content, "model").nodes == 1


def test_what_a_model_says_of_its_author_is_passed_over() -> None:
    content = onnx.model([onnx.stump_node(WIDTH)], WIDTH, extra_model=onnx.block(14, onnx.block(1, "author")))
    assert check_model(content, "model").nodes == 1


def test_a_folder_is_a_folder_and_its_files_stay_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleRefused, match="no such bundle folder"):
        read_folder(tmp_path / "absent")
    Recipe().write(tmp_path / "b")
    (tmp_path / "link").symlink_to(tmp_path / "b")
    with pytest.raises(BundleRefused, match="no such bundle folder"):
        read_folder(tmp_path / "link")
    real, swapped = os.open, tmp_path / "b" / "model.onnx"

    def swap(path: object, flags: int, *arguments: object, **options: object) -> int:
        """Between the look and the opening, a pipe takes the file's place."""
        if path == "model.onnx" and not swapped.is_fifo():
            swapped.unlink()
            os.mkfifo(swapped)
        return real(path, flags, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(BundleRefused, match="replaced by something that is not a file"):
        read_folder(tmp_path / "b")


def test_a_file_that_vanishes_while_the_folder_is_read_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Recipe().write(tmp_path / "b")
    real = os.open

    def vanish(path: object, flags: int, *arguments: object, **options: object) -> int:
        if path == "model.onnx":
            (tmp_path / "b" / "model.onnx").unlink()
        return real(path, flags, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", vanish)
    with pytest.raises(BundleRefused, match="cannot be read: No such file"):
        read_folder(tmp_path / "b")


def test_all_files_together_have_a_cap_too(tmp_path: Path) -> None:
    """Sparse files: each within its own cap, all of them beyond the folder's."""
    for number in range(12):
        with (tmp_path / f"f{number}").open("wb") as stream:
            stream.truncate(MAX_FILE_BYTES)
    with pytest.raises(BundleRefused, match="more than"):
        read_folder(tmp_path)


def test_lists_of_features_that_agree_differ_nowhere() -> None:
    assert first_difference(SPEC, SPEC) == ""
    manifest = Recipe().manifest()
    assert manifest.feature_spec == SPEC
    assert manifest.feature_names == ("mom_5", "vol_20", "rank_mom_5")


@pytest.mark.parametrize("sleeve", [one for one in SLEEVES.values() if "log_traded_usd_20" in one.names], ids=lambda sleeve: sleeve.name)
def test_a_bundle_that_learned_from_the_dollar_volume_of_adjusted_prices_is_refused_in_words(sleeve: Sleeve) -> None:
    """Its figure moved with every later dividend; the feature of today has another name, and so another hash."""
    older = tuple((name.replace("log_traded_usd_20", "log_adv_20"), units, back) for name, units, back in sleeve.spec)
    found = first_difference(older, sleeve.spec)
    assert "'log_adv_20' (log USD, 20 sessions) in the bundle, 'log_traded_usd_20' (log USD, 20 sessions) here" in found
    assert spec_hash(list(older)) != sleeve.spec_hash


def test_a_day_entry_serves_bundles_of_the_opening_auction_and_no_others(tmp_path: Path) -> None:
    Recipe().write(tmp_path / "b")
    day = policy(entry="day")
    with pytest.raises(BundleRefused, match="learned for entry 'opg'; this device trades 'day'"):
        verify(tmp_path / "b", keyset(), day, reproduce=infer)
    assert verify(tmp_path / "b", keyset(), replace(day, equivalent_entries=("opg",)), reproduce=infer).manifest.entry == "opg"
    with pytest.raises(BundleRefused, match="this device trades 'cls'"):
        verify(tmp_path / "b", keyset(), replace(day, entry="cls", equivalent_entries=("day",)), reproduce=infer)


def test_a_device_whose_version_is_no_version_accepts_nothing(tmp_path: Path) -> None:
    Recipe().write(tmp_path / "b")
    with pytest.raises(BundleRefused, match="'unknown' is not a version"):
        verify(tmp_path / "b", keyset(), policy(appliance_version="unknown"), reproduce=infer)


# -- the child ------------------------------------------------------------------------------------------------------


def request(models: list[bytes], inputs: np.ndarray) -> bytes:
    """Written by hand from the module's description of the format."""
    members = [{"size": len(model), "weight": 1.0, "heads": {"score": 1}} for model in models]
    header = json.dumps({"inputs": [{"name": "features", "shape": inputs.shape}], "members": members}).encode()
    return struct.pack("<I", len(header)) + header + inputs.astype("<f4").tobytes() + b"".join(models)


def test_the_child_s_answer_is_one_little_endian_number_a_row() -> None:
    models, inputs = [onnx.stump_model(WIDTH), onnx.stump_model(WIDTH, seed=5)], golden_inputs()
    answer = _answer(request(models, inputs))
    assert np.frombuffer(answer, dtype="<f8").tolist() == predict(models, inputs).tolist()
    assert len(answer) == 8 * len(inputs)


READ_LIMITS = """
import json, resource
from signals.bundle.child_inference import limit
limit()
kinds = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)
print(json.dumps([resource.getrlimit(kind) for kind in kinds]))
"""


def test_the_child_s_limits_are_in_force_after_it_limits_itself() -> None:
    done = subprocess.run([sys.executable, "-c", READ_LIMITS], capture_output=True, text=True, check=True)
    limits = [ADDRESS_SPACE_BYTES, CPU_SECONDS, FILE_BYTES, 0]
    assert json.loads(done.stdout) == [[limit, limit] for limit in limits]


def test_a_child_that_takes_too_long_is_ended_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signals.bundle.child_inference.WALL_SECONDS", 0.01)
    with pytest.raises(BundleRefused, match=r"took more than 0\.01 s"):
        infer_in_child([GraphMember(onnx.stump_model(WIDTH))], {FEATURES: golden_inputs()})


def test_a_child_that_answers_several_numbers_a_row_is_refused() -> None:
    nodes = [onnx.node("Concat", ["features", "features"], ["score"], attributes=onnx.int_attribute("axis", 1))]
    model = onnx.model(nodes, WIDTH, outputs=onnx.block(12, onnx.value_info("score", ["N", 2 * WIDTH])))
    with pytest.raises(BundleRefused, match="gave"):
        infer_in_child([GraphMember(model)], {FEATURES: golden_inputs()})


@pytest.mark.parametrize(("program", "reason"), [("/bin/true", "gave 0 bytes of scores"), ("/bin/false", "cannot be run: exit 1")])
def test_a_child_that_says_nothing_proves_nothing(program: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(BundleRefused, match=reason):
        infer_in_child([GraphMember(onnx.stump_model(WIDTH))], {FEATURES: golden_inputs()})


def test_golden_scores_of_another_number_do_not_reproduce() -> None:
    stored = golden()
    with pytest.raises(BundleRefused, match="gave outputs of shapes"):
        stored.check({"score": stored.outputs["score"][1:]}, 1e-5, "golden.bin")
    assert Recipe().manifest().of(Part.GOLDEN)[0].path == "golden.bin"


def test_the_heads_of_a_picture_are_listed_one_by_one() -> None:
    with pytest.raises(ValueError, match="listed one by one"):
        HeadLine(name="pattern", head=PatternHead(("none", "flag"), 64))
