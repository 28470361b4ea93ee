"""What strangers' bytes reach refuses; it never crashes or hangs, and nothing can be unpickled (E5, E6, J8)."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.bundle import read_keyset
from signals.bundle.child_inference import infer_in_child
from signals.bundle.contents import read_bundle_manifest
from signals.bundle.graph import check_model, fields
from signals.bundle.seal import pre_auth, valid_signers
from signals.errors import BundleRefused
from signals.models.inference import FEATURES, SCORE, GraphMember, predict
from tests.fakes.bundles import ROOT as ROOT_KEY
from tests.fakes.bundles import SPEC, Recipe, golden_inputs, keyset, keyset_file, public_half, roots
from tests.fakes.onnx_models import block, number, stump_model, stump_scores

HANG_SECONDS = 20.0  # of the processor: a busy machine hangs nothing


def test_the_pre_authentication_encoding_is_that_of_dsse() -> None:
    """The example of the DSSE protocol: lengths in decimal, single spaces."""
    assert pre_auth("http://example.com/HelloWorld", b"hello world") == (b"DSSEv1 29 http://example.com/HelloWorld 11 hello world")


def test_a_signature_over_the_same_bytes_as_another_kind_does_not_count() -> None:
    signature = keyset_file(keyset())
    payload = keyset().to_bytes()
    with pytest.raises(BundleRefused, match="is wrong"):
        valid_signers("application/other", payload, signature, [public_half(ROOT_KEY)], "x")


def test_protobuf_fields_are_read_by_hand() -> None:
    """The format's own examples: field 1 varint 150 is 08 96 01; field 2 "testing" is 12 07 74 65 73 74 69 6e 67."""
    read = list(fields(bytes.fromhex("089601") + bytes.fromhex("120774657374696e67"), "m"))
    assert [(f.number, f.integer, f.content) for f in read] == [(1, 150, b""), (2, 0, b"testing")]


MALFORMED = {
    "no value": "08",
    "no length": "0a",
    "bytes that end early": "0a05aa",
    "field zero": "00",
    "group": "0b",
    "wire type seven": "0fff",
    "integer of eleven bytes": "08" + "ff" * 10 + "01",
    "integer of 65 bits": "08ffffffffffffffffff02",
    "fixed value that ends early": "0d0000",
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED)
def test_malformed_protobuf_is_refused(message: str) -> None:
    with pytest.raises(BundleRefused):
        list(fields(bytes.fromhex(message), "m"))


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes_as_model_manifest_keyset_or_signature_give_only_a_refusal(content: bytes) -> None:
    for read in (
        lambda: check_model(content, "model"),
        lambda: read_bundle_manifest(content, "manifest"),
        lambda: read_keyset(content, roots()),
        lambda: valid_signers("k", b"body", content, roots(), "sig"),
    ):
        with pytest.raises(BundleRefused):
            read()


def mutations(content: bytes, count: int, seed: int) -> list[bytes]:
    """Bytes flipped, cut out, doubled or replaced by length bombs, at random places."""
    chance, found = random.Random(seed), []
    for _ in range(count):
        mutant = bytearray(content)
        for _ in range(chance.choice([1, 1, 2, 8])):
            at = chance.randrange(len(mutant))
            kind = chance.randrange(5)
            if kind == 0:
                mutant[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                mutant[at] = chance.randrange(256)
            elif kind == 2:
                del mutant[at : at + chance.randrange(1, 20)]
            elif kind == 3:
                mutant[at:at] = mutant[at : at + chance.randrange(1, 40)]
            else:
                mutant[at : at + 5] = b"\xff\xff\xff\xff\x7f"
        found.append(bytes(mutant))
    return found


def test_mutated_models_are_inspected_without_hang_or_crash() -> None:
    passed = 0
    for mutant in mutations(stump_model(len(SPEC)), 1500, seed=1):
        start = time.process_time()
        try:
            check_model(mutant, "mutant")
            passed += 1
        except BundleRefused:
            pass
        assert time.process_time() - start < HANG_SECONDS
    assert 100 < passed < 1400  # the mutations reach both sides of the check


RUN_MUTANTS = """
import sys
import numpy as np
from signals.bundle.child_inference import limit
from signals.errors import TrademlError
limit()
from signals.models.inference import predict
content, inputs = sys.stdin.buffer.read(), np.zeros((4, int(sys.argv[1])), dtype=np.float32)
size, outcomes = int.from_bytes(content[:4], "little"), {"ran": 0, "refused": 0}
for start in range(4, len(content), size + 4):
    length = int.from_bytes(content[start:start + 4], "little")
    try:
        predict([content[start + 4:start + 4 + length]], inputs)
        outcomes["ran"] += 1
    except (TrademlError, RuntimeError, ValueError, Exception):
        outcomes["refused"] += 1
print(outcomes["ran"], outcomes["refused"])
"""


def test_mutants_that_pass_inspection_do_not_take_the_runtime_down() -> None:
    """Each runs, or raises inside the limited child; the child itself survives all of them in bounded time."""
    accepted = []
    for mutant in mutations(stump_model(len(SPEC)), 800, seed=2):
        try:
            check_model(mutant, "mutant")
            accepted.append(mutant)
        except BundleRefused:
            pass
    size = max(map(len, accepted))
    body = b"".join(len(m).to_bytes(4, "little") + m.ljust(size, b"\0") for m in accepted)
    child = subprocess.run(
        [sys.executable, "-c", RUN_MUTANTS, str(len(SPEC))],
        input=size.to_bytes(4, "little") + body,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == 0, child.stderr.decode()
    ran, refused = map(int, child.stdout.splitlines()[-1].split())  # the runtime may talk before
    assert ran + refused == len(accepted) > 50


def test_the_child_reproduces_what_the_model_means_and_what_this_process_computes() -> None:
    model, inputs = stump_model(len(SPEC)), golden_inputs()
    there = infer_in_child([GraphMember(model), GraphMember(model)], {FEATURES: inputs})[SCORE][:, 0]
    assert there == pytest.approx(stump_scores(inputs), abs=1e-6)
    assert (there == predict([model, model], inputs)).all()


def test_a_model_that_the_runtime_rejects_is_a_refusal_with_its_reason() -> None:
    with pytest.raises(BundleRefused, match="cannot be run"):
        infer_in_child([GraphMember(number(1, 8) + block(7, b""))], {FEATURES: golden_inputs()})


def test_a_large_tree_model_is_inspected_in_time() -> None:
    """12,000 stumps, 36,000 tree nodes: the run-skipping reader stays far below the hang limit."""
    content = stump_model(len(SPEC), trees=12_000)
    start = time.process_time()
    check_model(content, "large")
    assert time.process_time() - start < HANG_SECONDS


LOAD_UNDER_AUDIT = """
import sys
seen = []
def watch(event, arguments):
    if event in ("pickle.find_class", "marshal.loads") and watching:
        seen.append((event, arguments[:2]))
watching = False
from pathlib import Path
import onnxruntime, numpy, signals.bundle, signals.scoring.scoring, signals.monitoring.drift
from signals.bundle import verify
from signals.models.inference import infer
from tests.fakes.bundles import keyset, policy
sys.addaudithook(watch)
watching = True
bundle = verify(Path(sys.argv[1]), keyset(), policy(), reproduce=infer)
watching = False
print(bundle.manifest.seq, [event for event, _ in seen if event == "pickle.find_class"])
"""


def test_verifying_and_loading_a_bundle_unpickles_nothing(tmp_path: Path) -> None:
    """Watched by the interpreter's own audit hook, below anything that an import could hide."""
    Recipe(seq=3).write(tmp_path / "b")
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", LOAD_UNDER_AUDIT, str(tmp_path / "b")]
    child = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert child.stdout.split(maxsplit=1) == ["3", "[]\n"]


def test_the_audit_hook_would_have_seen_a_pickle() -> None:
    source = "import sys,pickle,collections\nseen=[]\nsys.addaudithook(lambda e,a: seen.append(e))\n"
    source += "pickle.loads(pickle.dumps(collections.OrderedDict(a=1)))\nprint('pickle.find_class' in seen)"
    assert subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout == "True\n"
