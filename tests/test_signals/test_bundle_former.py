"""Bundles of format 1, made by the release before and stored here byte for byte, are read for one version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from appliance.bundles.former_layout import move_former
from appliance.bundles.slots import Slot, slot_store
from appliance.bundles.store import ACTIVATED_FILE, BundleStore
from appliance.system.state_folder import DurableFs, StateFolder
from signals.bundle import Role, read_bundle_manifest, verify
from signals.bundle.calibration import PlattMap
from signals.bundle.child_inference import infer_in_child
from signals.bundle.contents import FormerManifest
from signals.bundle.seal import canonical_json
from signals.bundle.verification import Infer
from signals.errors import BundleRefused
from signals.models.heads import ScoreHead
from signals.models.inference import FEATURES, SCORE, infer
from signals.views import TableView
from tests.fakes.bundles import FIRST, Recipe, keyset, keyset_file, policy, roots, signing_key, write_signed

FORMER = Path(__file__).parents[1] / "fakes" / "bundle_v1"
# What the release before computed of the rows below, as the shortest text that reads back to the same bits.
SCORES = {
    "champion": [
        -0.2895759418606758,
        0.057048894464969635,
        0.031046598218381405,
        -0.0716041848063469,
        -0.05254200100898743,
        -0.25209712237119675,
        0.07340959459543228,
        0.1105797067284584,
        0.2991892397403717,
    ],
    "evaluation": [
        -0.3331831693649292,
        -0.03735588490962982,
        0.07678912580013275,
        -0.25947093963623047,
        -0.13653038442134857,
        -0.3586454391479492,
        -0.026500597596168518,
        -0.03735588490962982,
        0.30512070655822754,
    ],
}
SHA256 = {
    "champion": "d2ade23952a2e2f36f97234479ab43d3e246bc38039612131a81171cef1c8636",
    "evaluation": "8c48b947c9e35ff91c4744b426489de81a927b716141a084155e64521c2f7daa",
}


def rows() -> np.ndarray:
    made = np.random.default_rng(11).normal(size=(9, 3)).astype(np.float32)
    made[2, 1] = np.nan
    return made


@pytest.mark.parametrize("run", [infer, infer_in_child], ids=["here", "in the child"])
@pytest.mark.parametrize("name", SCORES)
def test_a_stored_bundle_of_format_1_verifies_and_scores_to_the_bit(name: str, run: Infer) -> None:
    bundle = verify(FORMER / name, keyset(), policy(), reproduce=run)
    assert bundle.sha256 == SHA256[name]
    assert run(bundle.members, {FEATURES: rows()})[SCORE][:, 0].tolist() == SCORES[name]


def test_it_becomes_a_table_with_one_score_its_models_averaged_evenly() -> None:
    manifest = read_bundle_manifest((FORMER / "champion" / "manifest.json").read_bytes(), "manifest.json")
    (head,) = manifest.heads
    assert (manifest.view, head.name, head.head) == (TableView(), "score", ScoreHead())
    assert [(member.path, member.weight, member.heads) for member in manifest.members] == [
        ("model.onnx", 1.0, ("score",)),
        ("model_2.onnx", 1.0, ("score",)),
    ]
    assert head.calibration is not None and head.calibration.map == PlattMap(slope=1.5, intercept=-0.1)
    assert (manifest.role, manifest.seq, manifest.bundle_id) == (Role.CHAMPION, 3, "228ad4e2075565f3")


def test_a_device_that_runs_one_takes_the_next_of_format_2_in_its_place(tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "bundles", DurableFs(), prove=infer)
    store.trust(roots()[0])
    store.install_keyset(keyset_file(keyset(signing_key(FIRST))))
    assert store.activate(FORMER / "champion", policy()).is_new
    assert store.role() is Role.CHAMPION and store.load(policy()).manifest.seq == 3
    Recipe(seq=4).write(tmp_path / "next")
    assert store.activate(tmp_path / "next", policy()).is_new
    with pytest.raises(BundleRefused, match="sequence 3 is not newer than 4"):
        store.activate(FORMER / "champion", policy())


def test_a_device_of_the_release_before_keeps_its_bundle_when_its_folders_move(tmp_path: Path) -> None:
    """The layout and the format of before come together: the bundle in force moves into its sleeve's slot and loads there."""
    folder = StateFolder(tmp_path)
    before = BundleStore(folder.bundles, DurableFs(), prove=infer)
    before.trust(roots()[0])
    before.install_keyset(keyset_file(keyset(signing_key(FIRST))))
    before.activate(FORMER / "champion", policy())
    (folder.bundles / ACTIVATED_FILE).unlink()
    assert move_former(folder, DurableFs()) == (Slot("equities_xs"),)
    store = slot_store(Slot("equities_xs"), folder, DurableFs())
    assert store.load(policy()).sha256 == SHA256["champion"] and store.high_water().seq == 3


def changed(tmp_path: Path, **changes: object) -> Path:
    """The stored champion with other values in its manifest, signed again."""
    shutil.copytree(FORMER / "champion", tmp_path / "b")
    document = json.loads((tmp_path / "b" / "manifest.json").read_bytes()) | changes
    write_signed(tmp_path / "b", canonical_json(document))
    return tmp_path / "b"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"horizon_sessions": 6}, "bundle_id is not derived"),
        ({"view": {"kind": "table"}}, "view"),
        ({"members": []}, "members"),
        ({"calibration": {"event": "up", "platt": {"slope": "1", "intercept": 0.0}, "isotonic": {}, "temperature": None}}, "slope"),
        ({"blend_weight": 0.0}, "blend_weight"),
        ({"spec_hash": "0" * 64}, "spec_hash"),
        ({"seq": True}, "seq"),
    ],
)
def test_the_rules_of_format_1_still_hold_for_it(changes: dict[str, object], reason: str, tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match=reason):
        verify(changed(tmp_path, **changes), keyset(), policy(), reproduce=infer)


def test_a_reader_of_format_1_alone_refuses_format_2_by_its_format() -> None:
    """Its first field; the words are those that `docs/bundle.md` gives for a device that was not updated."""
    with pytest.raises(ValidationError) as refused:
        FormerManifest.model_validate_json(Recipe().manifest().to_bytes())
    assert {row["msg"] for row in refused.value.errors() if row["loc"] == ("format",)} == {"Input should be 'trademl-bundle/1'"}


def test_a_format_of_the_future_is_refused_with_the_version_that_it_needs() -> None:
    document = json.loads(Recipe(min_appliance_version="7.1.0").manifest().to_bytes()) | {"format": "trademl-bundle/3"}
    with pytest.raises(BundleRefused, match=r"'trademl-bundle/3', which this version does not read; it needs appliance 7\.1\.0"):
        read_bundle_manifest(canonical_json(document), "manifest.json")
