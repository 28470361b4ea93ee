"""What the release before left on a device is read: its bundles move into slots, its settings name sleeves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from appliance.bundles.former_layout import move_former
from appliance.bundles.slots import Slot, slot_store
from appliance.bundles.store import ACTIVATED_FILE, CURRENT_FILE, HIGH_WATER_FILE, BundleStore
from appliance.config import ApplianceConfig, MissingSleeve, Scoring
from appliance.system.state_folder import DurableFs, StateFolder
from signals.bundle import Role, RollbackGrant
from signals.config import parse
from signals.errors import BadConfig, BundleRefused
from signals.models.inference import infer
from tests.fakes.bundles import FAR, FIRST, Recipe, grant_file, keyset, keyset_file, policy, roots, signing_key

STORES = {"stores": {"data": "d", "bundles": "b"}}


def release_before(root: Path, *, shadow: bool = False) -> StateFolder:
    """A state folder in the former layout: bundle 4 in force and 5 seen, by a grant; a shadow where asked for."""
    folder = StateFolder(root)
    store = BundleStore(folder.bundles, DurableFs(), prove=infer)
    store.trust(roots()[0])
    store.install_keyset(keyset_file(keyset(signing_key(FIRST))))
    for seq in (4, 5):
        Recipe(seq=seq).write(root / f"published-{seq}")
        store.activate(root / f"published-{seq}", policy())
    older = json.loads((root / "published-4" / "manifest.json").read_bytes())
    grant = RollbackGrant(bundle_id=older["bundle_id"], seq=4, high_water_seq=5, valid_until=FAR, reason="worse than before")
    store.roll_back(root / "published-4", policy(), grant_file(grant))
    if shadow:
        Recipe(seq=2, role=Role.SHADOW, refusal=None).write(root / "published-shadow")
        beside = BundleStore(folder.bundles / "shadow", DurableFs(), keys=folder.bundles, prove=infer)
        beside.activate(root / "published-shadow", policy(roles=frozenset({Role.SHADOW})))
    (folder.bundles / ACTIVATED_FILE).unlink()  # that release did not keep it
    return folder


def test_bundles_pointer_and_high_water_move_into_the_sleeves_slot(tmp_path: Path) -> None:
    folder = release_before(tmp_path, shadow=True)
    before = (folder.bundles / CURRENT_FILE).read_bytes()
    assert move_former(folder, DurableFs()) == (Slot("equities_xs", is_shadow=True), Slot("equities_xs"))
    home = folder.bundles / "equities_xs"
    assert (home / CURRENT_FILE).read_bytes() == before
    store = slot_store(Slot("equities_xs"), folder, DurableFs())
    assert store.high_water().seq == 5 and store.load(policy()).manifest.seq == 4
    assert {path.name.partition("-")[0] for path in home.iterdir() if path.is_dir()} == {"4", "5", "shadow"}
    shadow = slot_store(Slot("equities_xs", is_shadow=True), folder, DurableFs())
    assert shadow.load(policy(roles=frozenset({Role.SHADOW}))).manifest.seq == 2
    assert not (folder.bundles / CURRENT_FILE).exists() and not (folder.bundles / HIGH_WATER_FILE).exists()
    assert not [path for path in folder.bundles.iterdir() if path.is_dir() and path.name[0].isdigit()]
    assert move_former(folder, DurableFs()) == ()
    shutil.rmtree(home)
    with pytest.raises(BundleRefused, match="sequence 5 was activated here"):
        store.activate(tmp_path / "published-5", policy())


class CutFs(DurableFs):
    """A power cut: the n-th change and every later one raises."""

    def __init__(self, cut_at: int) -> None:
        super().__init__()
        self.left = cut_at

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")

    def write(self, path: Path, content: bytes) -> None:
        self._spend()
        super().write(path, content)

    def remove(self, path: Path) -> None:
        self._spend()
        super().remove(path)


def test_a_move_that_breaks_off_at_any_change_goes_on_and_the_high_water_never_falls(tmp_path: Path) -> None:
    whole = release_before(tmp_path / "whole")
    cuts = 0
    while True:
        root = tmp_path / f"cut-{cuts}"
        shutil.copytree(whole.root, root)
        folder = StateFolder(root)
        try:
            move_former(folder, CutFs(cuts))
            break
        except OSError:
            cuts += 1
        move_former(folder, DurableFs())
        store = slot_store(Slot("equities_xs"), folder, DurableFs())
        assert store.high_water().seq == 5 and store.load(policy()).manifest.seq == 4
    assert cuts > 15  # both high-waters, fourteen files of two bundles, the pointer, two removals


@pytest.mark.parametrize("lost", [HIGH_WATER_FILE, CURRENT_FILE])
def test_a_high_water_that_is_lost_before_the_move_is_a_refusal_and_never_0(tmp_path: Path, lost: str) -> None:
    """With a person gone back from 5 to 4, the pointer alone would say 4; without a pointer nobody knows whose it is."""
    folder = release_before(tmp_path)
    (folder.bundles / lost).unlink()
    with pytest.raises(BundleRefused, match="of the release before have"):
        move_former(folder, DurableFs())
    assert not (folder.bundles / "equities_xs" / CURRENT_FILE).exists()


def test_a_fresh_device_has_nothing_to_move(tmp_path: Path) -> None:
    assert move_former(StateFolder(tmp_path), DurableFs()) == ()


def test_settings_of_the_release_before_name_the_same_sleeves_and_change_no_order() -> None:
    """`router` reads as `sleeves`; the hash in every order row is that of the release before."""
    former = parse({**STORES, "router": {"weights": {"equities_xs": 3, "reversal": 1}}}, ApplianceConfig, where="config.yml")
    now = parse({**STORES, "sleeves": {"equities_xs": 3, "reversal": {"weight": 1.0}}}, ApplianceConfig, where="config.yml")
    assert former == now and former.weights == {"equities_xs": 3.0, "reversal": 1.0}
    assert ApplianceConfig.model_validate(now.model_dump(mode="json")) == now
    assert former.decision_hash() == now.decision_hash()


def test_each_sleeve_may_have_a_scoring_mode_of_its_own_and_that_changes_no_order() -> None:
    said = {"equities_xs": 0.5, "reversal": {"weight": 0.5, "scoring": "pulled"}}
    config = parse({**STORES, "sleeves": said}, ApplianceConfig, where="config.yml")
    assert (config.scoring_of("equities_xs"), config.scoring_of("reversal")) == (Scoring.LOCAL, Scoring.PULLED)
    assert config.scoring_of("risk") is Scoring.LOCAL
    plain = parse({**STORES, "sleeves": {"equities_xs": 0.5, "reversal": 0.5}}, ApplianceConfig, where="config.yml")
    strict = plain.model_copy(update={"missing_sleeve": MissingSleeve.REFUSE})
    assert plain.decision_hash() == config.decision_hash() != strict.decision_hash()


@pytest.mark.parametrize(
    "sleeves",
    [
        {},
        {"equities_xs": 0.0},
        {"equities_xs": -1},
        {"equities_xs": float("inf")},
        {"../up": 1.0},
        {"a b": 1.0},
        {"equities_xs": True},
        {"risk": 1.0},
    ],
)
def test_weights_that_are_none_and_names_that_are_paths_are_refused(sleeves: dict[str, object]) -> None:
    with pytest.raises(BadConfig):
        parse({**STORES, "sleeves": sleeves}, ApplianceConfig, where="config.yml")


def test_old_and_new_settings_together_are_refused() -> None:
    with pytest.raises(BadConfig, match="sleeves replaces it"):
        parse({**STORES, "sleeves": {"equities_xs": 1}, "router": {"weights": {"equities_xs": 1}}}, ApplianceConfig, where="config.yml")
