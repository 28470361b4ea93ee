"""Attacks on what a bundle says of its models (view, heads, members, maps, arrays): refused, and the device stays as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.bundles.store import BundleStore
from appliance.system.state_folder import DurableFs
from signals.bundle import Bundle, Golden, Part, verify
from signals.bundle.calibration import AppliedCalibration, PlattMap, TemperatureMap
from signals.bundle.child_inference import infer_in_child
from signals.bundle.manifest import HeadLine, InputLine, MemberLine, ModelForm
from signals.bundle.profiles import PROFILES, ProfileName
from signals.bundle.seal import canonical_json
from signals.errors import BundleRefused, ScoresInvalid
from signals.features.panel import FeaturePanel
from signals.files import sha256_of
from signals.models import inference
from signals.models.heads import ClassesHead, ScoreHead, VectorHead
from signals.models.inference import FEATURES, SCORE, GraphMember, Inputs, infer
from signals.scoring.scoring import score
from signals.views import ImageView, SeveralWindowsView, TableView, View, WindowsView
from tests.fakes import onnx_models as onnx
from tests.fakes.bundles import FIRST, SPEC, Recipe, golden_inputs, keyset, keyset_file, policy, roots, signing_key, write_signed

WIDTH, ROWS = len(SPEC), 16


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def outputs(**widths: int) -> bytes:
    return b"".join(onnx.block(12, onnx.value_info(name, ["N", width])) for name, width in widths.items())


def mean_model(*shape: int, nodes: bytes | None = None, extra: bytes = b"") -> bytes:
    """A model whose score is the mean of everything that it reads."""
    axes = onnx.ints_attribute("axes", range(1, len(shape) + 1)) + onnx.int_attribute("keepdims", 0)
    node = nodes or onnx.node("ReduceMean", ["features"], ["score"], attributes=axes)
    inputs = onnx.block(11, onnx.value_info("features", ["N", *shape]))
    outputs = onnx.block(12, onnx.value_info("score", ["N"]))
    return onnx.model([node], 0, inputs=inputs, outputs=outputs, extra_graph=extra, opsets=(("", 13),))


def of_view(view: View, model: bytes | None = None, features: np.ndarray | None = None) -> Recipe:
    """A bundle of a view whose model takes the mean."""
    shape = view.shape(WIDTH)
    given = rng().normal(size=(ROWS, *shape)).astype(np.float32) if features is None else features
    known = Golden.of_scores(given, given.mean(axis=tuple(range(1, given.ndim)), dtype=np.float64))
    files = {**Recipe().files, "model.onnx": (Part.MODEL, model or mean_model(*shape))}
    return Recipe(seq=6, files=files, golden=known, form=ModelForm(view=view))


def rich() -> Recipe:
    """Three heads by two members, a policy's state, parameters and a bank: everything that a bundle can carry."""
    features = np.nan_to_num(golden_inputs(WIDTH, ROWS))
    state = rng().normal(size=(ROWS, 2)).astype(np.float32)
    nodes = [onnx.stump_node(WIDTH), onnx.node("Identity", ["features"], ["classes"]), onnx.node("Identity", ["state"], ["embedding"])]
    inputs = b"".join(onnx.block(11, onnx.value_info(name, ["N", size])) for name, size in (("features", WIDTH), ("state", 2)))
    every = onnx.model(nodes, WIDTH, inputs=inputs, outputs=outputs(score=1, classes=WIDTH, embedding=2))
    files = {**Recipe().files, "model.onnx": (Part.MODEL, every), "second.onnx": (Part.MODEL, onnx.stump_model(WIDTH, seed=8))}
    score = (3.0 * onnx.stump_scores(features) + onnx.stump_scores(features, seed=8)) / 4.0
    known = {"score": score[:, None], "classes": features.astype(np.float64), "embedding": state.astype(np.float64)}
    rank = HeadLine(
        name="score", head=ScoreHead(), calibration=AppliedCalibration(event="it rises", map=PlattMap(slope=2.0, intercept=0.5))
    )
    kinds = AppliedCalibration(event="its class", map=TemperatureMap(temperature=2.0, shift=(0.0, 0.5, 0.0)))
    made = ModelForm(
        view=TableView(),
        inputs=(InputLine(name="state", values=("drawdown", "turnover")),),
        heads=(
            rank,
            HeadLine(name="classes", head=ClassesHead(("down", "flat", "up")), calibration=kinds),
            HeadLine(name="embedding", head=VectorHead(2)),
        ),
        members=(
            MemberLine(path="model.onnx", profile=ProfileName.TABLE_1, heads=("score", "classes", "embedding"), weight=3.0),
            MemberLine(path="second.onnx", profile=ProfileName.TABLE_1, heads=("score",)),
        ),
        bank_head="embedding",
    )
    arrays = {
        "parameters.bin": (
            Part.PARAMETERS,
            {"class_means": np.array([-0.01, 0.0, 0.02]), "transition": np.array([[0.9, 0.1], [0.2, 0.8]])},
        ),
        "bank.bin": (Part.BANK, {"vectors": rng().normal(size=(40, 2)).astype(np.float16), "realised": np.arange(40, dtype=np.float32)}),
    }
    return Recipe(seq=6, files=files, golden=Golden({"features": features, "state": state}, known), form=made, arrays=arrays)


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    """A device with one good bundle, sequence 5, in force."""
    made = BundleStore(tmp_path / "bundles", DurableFs(), prove=infer)
    made.trust(roots()[0])
    made.install_keyset(keyset_file(keyset(signing_key(FIRST))))
    Recipe(seq=5).write(tmp_path / "first")
    made.activate(tmp_path / "first", policy())
    return made


def refuse(store: BundleStore, folder: Path, reason: str) -> None:
    with pytest.raises(BundleRefused, match=reason):
        store.activate(folder, policy())
    assert store.load(policy()).manifest.seq == store.high_water().seq == 5


# -- what is accepted ------------------------------------------------------------------------------------------------


def test_a_bundle_that_carries_everything_is_accepted_and_gives_back_what_it_carries(tmp_path: Path) -> None:
    """The control of what follows; run by the limited child."""
    recipe = rich()
    recipe.write(tmp_path / "b")
    bundle = verify(tmp_path / "b", keyset(), policy(), reproduce=infer_in_child)
    assert bundle.parameters["transition"].tolist() == [[0.9, 0.1], [0.2, 0.8]]
    np.testing.assert_array_equal(bundle.bank["vectors"], recipe.arrays["bank.bin"][1]["vectors"])
    assert bundle.bank["realised"].tolist() == list(range(40))
    found = infer(bundle.members, bundle.golden.inputs)
    assert {name: values.shape for name, values in found.items()} == {"score": (16, 1), "classes": (16, 3), "embedding": (16, 2)}
    expected = recipe.golden.outputs
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], atol=1e-6)


WINDOWS, IMAGE = WindowsView(4), ImageView(1, WIDTH, 4)
VIEWS = (WINDOWS, SeveralWindowsView((3, 2), (1, 5)), IMAGE)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.kind)
def test_a_bundle_of_any_view_reproduces_in_the_limited_child(view: View, tmp_path: Path) -> None:
    of_view(view).write(tmp_path / "b")
    bundle = verify(tmp_path / "b", keyset(), policy(), reproduce=infer_in_child)
    assert bundle.manifest.view == view
    there, here = (run(bundle.members, bundle.golden.inputs)[SCORE] for run in (infer_in_child, infer))
    assert np.array_equal(there, here)


@pytest.mark.parametrize("offset", [4, 20, 32])
def test_outputs_do_not_depend_on_where_the_inputs_begin_in_memory(offset: int) -> None:
    """A vector register adds in another order what begins elsewhere; both hosts would differ in the last bit."""
    shape = (ROWS, 4, WIDTH)
    given = rng().normal(size=shape).astype(np.float32)
    moved = np.empty(given.nbytes + 64, dtype=np.uint8)[offset : offset + given.nbytes].view(np.float32).reshape(shape)
    moved[...] = given
    members = [GraphMember(mean_model(4, WIDTH), profile="sequence-1")]
    there, here = (infer(members, {FEATURES: values})[SCORE] for values in (moved, given))
    assert np.array_equal(there, here)


def test_large_windows_run_in_blocks_and_give_what_they_give_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    of_view(WINDOWS).write(tmp_path / "b")
    bundle = verify(tmp_path / "b", keyset(), policy(), reproduce=infer)
    whole = infer(bundle.members, bundle.golden.inputs)[SCORE]
    seen: list[int] = []
    monkeypatch.setattr("signals.models.inference.BLOCK_VALUES", 5 * 4 * WIDTH)
    monkeypatch.setattr("signals.models.inference._blocks", watched(seen))
    assert np.array_equal(infer(bundle.members, bundle.golden.inputs)[SCORE], whole)
    assert seen == [5, 5, 5, 1]


def watched(seen: list[int]) -> Callable[..., Any]:
    """The blocks as they are, their rows counted."""
    real = inference._blocks

    def blocks(inputs: Inputs, rows: int) -> Any:
        for block in real(inputs, rows):
            seen.append(block.stop - block.start)
            yield block

    return blocks


# -- what a manifest may not say -------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], object]


def file(document: dict[str, Any], part: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["files"] if one["part"] == part)
    return found


def grown_bank(rows: int) -> Change:
    def change(document: dict[str, Any]) -> None:
        bank = file(document, "bank")
        bank["arrays"][0]["shape"][0] = bank["arrays"][1]["shape"][0] = rows
        bank["size"] = rows * (2 * 2 + 4)

    return change


def wide_bank(width: int, rows: int) -> Change:
    """Vectors of another width: the head's too, so that only the size is wrong."""

    def change(document: dict[str, Any]) -> None:
        document["heads"][2]["head"]["length"] = width
        golden, bank = file(document, "golden"), file(document, "bank")
        golden["arrays"][-1]["shape"] = [ROWS, width]
        golden["size"] += ROWS * 8 * (width - 2)
        bank["arrays"][0]["shape"], bank["arrays"][1]["shape"] = [rows, width], [rows]
        bank["size"] = rows * (2 * width + 4)

    return change


def array(part: str, number: int, **changes: object) -> Change:
    return lambda document: file(document, part)["arrays"][number].update(changes)


def line(key: str, number: int, **changes: object) -> Change:
    return lambda document: document[key][number].update(changes)


def head(number: int, **changes: object) -> Change:
    return lambda document: document["heads"][number]["head"].update(changes)


def mapped(number: int, **map_: object) -> Change:
    return lambda document: document["heads"][number].update(calibration={"event": "up", "map": map_})


def as_float32(document: dict[str, Any]) -> None:
    bank = file(document, "bank")
    bank["arrays"][0]["dtype"] = "float32"
    bank["size"] = 40 * (2 * 4 + 4)


def large_parameters(document: dict[str, Any]) -> None:
    found = file(document, "parameters")
    found["arrays"], found["size"] = [{"name": "x", "dtype": "float64", "shape": [200_000]}], 1_600_000


def small_parameters(document: dict[str, Any]) -> None:
    found = file(document, "parameters")
    found["arrays"], found["size"] = [{"name": "x", "dtype": "float32", "shape": [7]}], 28


def one_row(document: dict[str, Any]) -> None:
    golden = file(document, "golden")
    for one in golden["arrays"]:
        one["shape"][0] = 1
    golden["size"] //= ROWS


def other_rows(document: dict[str, Any]) -> None:
    golden = file(document, "golden")
    golden["arrays"][-1]["shape"], golden["size"] = [8, 2], golden["size"] - 8 * 2 * 8


def as_doubles(document: dict[str, Any]) -> None:
    golden = file(document, "golden")
    golden["arrays"][0]["dtype"], golden["size"] = "float64", golden["size"] + ROWS * WIDTH * 4


def without(part: str) -> Change:
    return lambda document: document["files"].remove(file(document, part))


FORMS: dict[str, tuple[Change, str]] = {
    "a view that is none": (lambda d: d.update(view={"kind": "cube"}), "view"),
    "a window without sessions": (lambda d: d.update(view={"kind": "windows", "length": 0}), "view"),
    "a window without end": (lambda d: d.update(view={"kind": "windows", "length": 10**9}), "view"),
    "a view with more to say": (lambda d: d.update(view={"kind": "table", "steps": 5}), "view"),
    "an image that the features do not fill": (
        lambda d: d.update(view={"kind": "image", "channels": 2, "height": 2, "width": 5}),
        "3 features do not fill 2 channels of 2 pixels",
    ),
    "windows run as a table": (lambda d: d.update(view={"kind": "windows", "length": 5}), "claims the profile table-1"),
    "a table that claims the operators of sequences": (line("members", 0, profile="sequence-1"), "claims the profile sequence-1"),
    "a profile of the future": (line("members", 0, profile="table-2"), "profile"),
    "no head": (lambda d: d.update(heads=[]), "heads"),
    "a head twice": (line("heads", 1, name="score"), "two inputs or heads have the same name"),
    "a head named as the features": (line("heads", 1, name="features"), "two inputs or heads have the same name"),
    "a head named as a path": (line("heads", 1, name="../x"), "name"),
    "a head that is none": (head(0, kind="vote"), "head"),
    "a first head that ranks nothing": (lambda d: d["heads"].reverse(), "the first head, 'embedding', ranks nothing"),
    "a head that nobody gives": (line("members", 0, heads=["score", "classes"]), "no member gives the head 'embedding'"),
    "a head that is not listed": (line("members", 1, heads=["score", "more"]), "heads that the manifest does not list"),
    "a head given twice by one": (line("members", 1, heads=["score", "score"]), "one twice"),
    "a class too many": (head(1, names=["a", "b", "c", "d"]), "shift|does not fit|golden vectors"),
    "a vector of no length": (head(2, length=0), "length"),
    "a vector without bound": (head(2, length=10**6), "length"),
    "no member": (lambda d: d.update(members=[]), "members"),
    "a model that is no member": (lambda d: d["members"].pop(), "the members are not the model files"),
    "a member that is no model": (line("members", 1, path="drift.json"), "the members are not the model files"),
    "a weight of nothing": (line("members", 1, weight=0.0), "weight"),
    "a weight below nothing": (line("members", 1, weight=-1.0), "weight"),
    "a weight without bound": (line("members", 1, weight=1e9), "weight"),
    "a weight as text": (line("members", 1, weight="1"), "weight"),
    "an input named as the features": (line("inputs", 0, name="features"), "same name"),
    "an input without numbers": (line("inputs", 0, values=[]), "values"),
    "an input without bound": (line("inputs", 0, values=["x"] * 257), "values"),
    "too many inputs": (lambda d: d.update(inputs=[{"name": f"x{i}", "values": ["a"]} for i in range(5)]), "inputs"),
    "a slope out of range": (mapped(0, kind="platt", slope=1e12, intercept=0.0), "slope"),
    "a map that says 1": (mapped(0, kind="isotonic", knots=[0.0, 1.0], levels=[0.5, 1.0]), "levels"),
    "a map that says 0": (mapped(0, kind="isotonic", knots=[0.0, 1.0], levels=[0.0, 0.5]), "levels"),
    "a map that falls": (mapped(0, kind="isotonic", knots=[0.0, 1.0], levels=[0.6, 0.5]), "the levels fall"),
    "knots that do not ascend": (mapped(0, kind="isotonic", knots=[1.0, 1.0], levels=[0.4, 0.5]), "do not ascend"),
    "knots without levels": (mapped(0, kind="isotonic", knots=[0.0, 1.0], levels=[0.5]), "2 knots and 1 levels"),
    "a temperature of nothing": (mapped(1, kind="temperature", temperature=0.0), "temperature"),
    "a temperature of a score": (mapped(0, kind="temperature", temperature=1.0), "does not fit a head of kind score"),
    "a sigmoid of classes": (mapped(1, kind="platt", slope=1.0, intercept=0.0), "does not fit a head of kind classes"),
    "a shift of another number of classes": (mapped(1, kind="temperature", temperature=1.0, shift=[0.0]), "does not fit"),
    "a map of no event": (lambda d: d["heads"][0]["calibration"].update(event=""), "event"),
    "golden vectors without arrays": (lambda d: file(d, "golden").update(arrays=[]), "is the golden and lists 0 arrays"),
    "arrays in a model": (lambda d: file(d, "model").update(arrays=[{"name": "x", "dtype": "float32", "shape": [1]}]), "lists 1 arrays"),
    "golden features of another width": (array("golden", 0, shape=[ROWS * WIDTH, 1]), "golden vectors have other names"),
    "golden features of doubles": (as_doubles, "golden vectors have other names, types or shapes"),
    "golden vectors of another name": (array("golden", 0, name="inputs"), "golden vectors have other names"),
    "golden vectors of an array twice": (array("golden", 1, name="features"), "names an array twice"),
    "golden vectors of one row": (one_row, "1 golden vectors"),
    "golden vectors of different rows": (other_rows, "golden vectors have other names, types or shapes"),
    "golden vectors larger than their file": (array("golden", 0, shape=[ROWS, 2**20]), "its arrays"),
    "an array without bound": (array("golden", 0, shape=[2**40, 2**40]), "shape"),
    "an array of too many axes": (array("golden", 0, shape=[1] * 6), "shape"),
    "an array of no cell": (array("golden", 0, shape=[0, WIDTH]), "shape"),
    "an array of objects": (array("golden", 0, dtype="object"), "dtype"),
    "parameters without bound": (large_parameters, "is more than 1048576 bytes"),
    "parameters of float32": (small_parameters, "not of float64"),
    "a bank without its head": (lambda d: d.update(bank_head=None), "a bank, and only a bank, names the head"),
    "a head without its bank": (without("bank"), "a bank, and only a bank, names the head"),
    "a bank of a head that is no vector": (lambda d: d.update(bank_head="score"), "no float16 vectors of a head that gives vectors"),
    "a bank of a head that is not there": (lambda d: d.update(bank_head="more"), "no float16 vectors of a head"),
    "a bank of float32": (as_float32, "no float16 vectors"),
    "a bank of other vectors": (array("bank", 0, shape=[20, 4]), "holds vectors of shape"),
    "a bank with outcomes of other rows": (array("bank", 1, shape=[20, 2]), "not one float32 a vector"),
    "a bank of too many vectors": (grown_bank(250_001), "more than 250000"),
    "a bank of too many bytes": (wide_bank(256, 100_000), "more than 250000 or 50331648"),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_manifest_that_says_what_may_not_be_is_refused_and_changes_nothing(name: str, store: BundleStore, tmp_path: Path) -> None:
    """Signed by a key that counts, its id derived again: only the field itself is wrong."""
    change, reason = FORMS[name]
    rich().write(tmp_path / "b")
    document = json.loads((tmp_path / "b" / "manifest.json").read_bytes())
    change(document)
    content = {key: value for key, value in document.items() if key not in ("bundle_id", "created")}
    document["bundle_id"] = sha256_of(canonical_json(content))[:16]
    write_signed(tmp_path / "b", canonical_json(document))
    refuse(store, tmp_path / "b", reason)


# -- what a file may not hold ----------------------------------------------------------------------------------------


def poisoned(path: str, name: str, value: float) -> Recipe:
    recipe = rich()
    part, arrays = recipe.arrays[path]
    changed = {key: values.copy() for key, values in arrays.items()}
    changed[name].flat[0] = value
    return recipe.but(arrays={**recipe.arrays, path: (part, changed)})


def single(view: View, operator: str, attributes: bytes = b"", domain: str = "") -> Recipe:
    """A model of one operator of a view."""
    return of_view(view, mean_model(*view.shape(WIDTH), nodes=onnx.node(operator, ["features"], ["score"], domain, attributes)))


BODY = onnx.block(5, onnx.block(1, "body") + onnx.block(6, b"") + onnx.number(20, onnx.GRAPH))
LOCATION = onnx.block(13, onnx.block(1, "location") + onnx.block(2, "/etc/passwd")) + onnx.number(14, 1)
EXTERNAL = onnx.block(5, onnx.number(1, 2) + onnx.number(2, 1) + onnx.block(8, "w") + LOCATION)
HEAVY = onnx.block(5, onnx.number(1, 4_500_000) + onnx.number(2, 1) + onnx.block(8, "w") + onnx.block(9, bytes(18_000_000)))
LONG = onnx.model(
    [onnx.node("Identity", ["features"], [f"x{i}"]) for i in range(501)],
    0,
    inputs=onnx.block(11, onnx.value_info("features", ["N", 4, WIDTH])),
    outputs=onnx.block(12, onnx.value_info("score", ["N"])),
    opsets=(("", 13),),
)

FILES: dict[str, tuple[Callable[[], Recipe], str]] = {
    "parameters that are not finite": (lambda: poisoned("parameters.bin", "class_means", np.nan), "'class_means' is not finite"),
    "parameters that are infinite": (lambda: poisoned("parameters.bin", "transition", np.inf), "'transition' is not finite"),
    "a bank with a vector of NaN": (lambda: poisoned("bank.bin", "vectors", np.nan), "'vectors' is not finite"),
    "a bank with an outcome of NaN": (lambda: poisoned("bank.bin", "realised", np.nan), "'realised' is not finite"),
    "a recurrence in a table": (lambda: single(TableView(), "LSTM"), "'LSTM' of domain 'ai.onnx' is not allowed"),
    "a convolution in a table": (lambda: single(TableView(), "Conv"), "'Conv' of domain 'ai.onnx' is not allowed"),
    "a recurrence in an image": (lambda: single(IMAGE, "GRU"), "'GRU' of domain 'ai.onnx' is not allowed"),
    "trees in a sequence": (lambda: single(WINDOWS, "TreeEnsembleRegressor", domain="ai.onnx.ml"), "domain 'ai.onnx.ml' is not allowed"),
    "a loop in a sequence": (lambda: single(WINDOWS, "Loop", BODY), "a sub-graph is not allowed"),
    "a branch in an image": (lambda: single(IMAGE, "If", BODY), "a sub-graph is not allowed"),
    "random numbers in a sequence": (lambda: single(WINDOWS, "RandomNormalLike"), "'RandomNormalLike'"),
    "external data in a sequence": (lambda: of_view(WINDOWS, mean_model(4, WIDTH, extra=EXTERNAL)), "external data"),
    "a sequence larger than its profile": (lambda: of_view(WINDOWS, mean_model(4, WIDTH, extra=HEAVY)), "more than 16777216 of profile"),
    "an image larger than its profile": (lambda: of_view(IMAGE, mean_model(1, WIDTH, 4, extra=HEAVY)), "more than 16777216 of profile"),
    "a sequence of too many nodes": (lambda: of_view(WINDOWS, LONG), "more than 500 nodes"),
    "a sequence of other steps": (
        lambda: of_view(WINDOWS, mean_model(5, WIDTH)),
        r"'features' has the shape \(\?, 5, 3\), not rows of \(4, 3\)",
    ),
    "a table in place of a sequence": (lambda: of_view(WINDOWS, mean_model(WIDTH)), r"not rows of \(4, 3\)"),
    "golden windows that do not reproduce": (
        lambda: of_view(WINDOWS).but(
            golden=Golden.of_scores(rng().normal(size=(ROWS, 4, WIDTH)).astype(np.float32), np.arange(ROWS) * 1.0)
        ),
        "do not reproduce",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_may_not_be_is_refused_and_changes_nothing(name: str, store: BundleStore, tmp_path: Path) -> None:
    make, reason = FILES[name]
    make().write(tmp_path / "b")
    refuse(store, tmp_path / "b", reason)


def test_a_sequence_that_asks_for_more_memory_than_its_profile_is_refused_by_the_child(tmp_path: Path) -> None:
    """Padding by 2^31 steps: the static check allows the operator, the child's memory does not."""
    pads = onnx.block(
        5, onnx.number(1, 6) + onnx.number(2, 7) + onnx.block(8, "pads") + onnx.block(9, np.array([0, 0, 0, 0, 2**31, 0], "<i8").tobytes())
    )
    axes = onnx.ints_attribute("axes", [1, 2]) + onnx.int_attribute("keepdims", 0)
    nodes = [onnx.node("Pad", ["features", "pads"], ["wide"]), onnx.node("ReduceMean", ["wide"], ["score"], attributes=axes)]
    inputs = onnx.block(11, onnx.value_info("features", ["N", 4, WIDTH]))
    model = onnx.model(
        nodes, 0, inputs=inputs, outputs=onnx.block(12, onnx.value_info("score", ["N"])), extra_graph=pads, opsets=(("", 13),)
    )
    of_view(WINDOWS, model).write(tmp_path / "b")
    with pytest.raises(BundleRefused, match="the model cannot be run"):
        verify(tmp_path / "b", keyset(), policy(), reproduce=infer_in_child)


def test_the_profiles_hold_what_the_families_of_models_need_and_no_control_flow() -> None:
    every = frozenset().union(*(profile.operators[""] for profile in PROFILES.values()))
    needed = "BatchNormalization Conv Elu Erf Exp Expand GRU Greater LSTM LayerNormalization MaxPool Pad Pow Shape Softplus Sqrt"
    assert set(needed.split()) <= every
    assert not every & {"If", "Loop", "Scan", "SequenceMap", "Optional", "NonZero", "RandomNormal", "Constant"}


def test_inputs_that_no_panel_gives_are_not_scored_from_one(tmp_path: Path) -> None:
    rich().write(tmp_path / "b")
    bundle: Bundle = verify(tmp_path / "b", keyset(), policy(), reproduce=infer)
    names = tuple(name for name, _, _ in SPEC)
    days = np.array(["2024-02-29"], dtype="datetime64[D]")
    features = FeaturePanel(days, ("A", "B"), names, np.zeros((1, 2, WIDTH), np.float32), np.ones((1, 2), dtype=bool))
    with pytest.raises(ScoresInvalid, match="the models read 'state', which features do not give"):
        score(bundle, features)
    assert set(bundle.golden.inputs) == {FEATURES, "state"}
