"""The stack's weights, from the folder of a stack to a device: signed, never older, expiring, and refused where not earned."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from appliance.bundles.signed_documents import pull_document
from appliance.bundles.store import HIGH_WATER_FILE, BundleStore
from appliance.config import ApplianceConfig
from appliance.jobs.sleeve_scores import load_stack
from appliance.storage.published_store import PublishedFolder
from appliance.system.state_folder import DurableFs, StateFolder
from signals.bundle import Keyset
from signals.bundle.seal import PublicKey, sign
from signals.errors import BundleRefused, FixInput
from signals.files import sha256_of
from signals.scoring.signed import PLACE, STACK_DOCUMENT, STACK_KIND
from tests.fakes import bundles
from trainer.curation.store import FolderObjectStore
from trainer.publishing import keys as key_files
from trainer.publishing.signed.documents import publish_stack
from trainer.runs import looks

CALENDAR = bundles.weekdays()
LAST, ASOF = date(2024, 1, 31), date(2024, 3, 1)
CREATED = datetime(2024, 2, 1, tzinfo=UTC)
WEIGHTS = {"equities_xs": 0.7, "reversal": 0.3}
SETTINGS = {"stores": {"data": "d", "bundles": "b"}, "sleeves": {"equities_xs": 1, "reversal": 1}, "stack": True}
CONFIG = ApplianceConfig.model_validate(SETTINGS)


class World:
    """A stack's folder, keys, a store and a device that trusts them."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.keys = root, root / "store", root / "keys"
        self.keyset = key_files.create_keys(self.keys, date(2030, 1, 1))
        self.device = StateFolder(root / "device")
        own = BundleStore(self.device.bundles, DurableFs())
        own.trust(PublicKey.from_text((self.keys / "root.pub").read_text()))
        own.install_keyset((self.keys / "keyset.json").read_bytes())
        self.stack: dict[str, Any] = {
            "promotable": True,
            "last": str(LAST),
            "members": [{"sleeve": sleeve, "config_hash": "c" * 64} for sleeve in WEIGHTS],
            "device_weights": WEIGHTS,
            "rows": [],
        }

    def publish(self, **changes: Any) -> None:
        (self.root / "stack").mkdir(exist_ok=True)
        (self.root / "stack" / "stack.json").write_text(json.dumps({**self.stack, **changes}))
        known = sha256_of((self.root / "stack" / "stack.json").read_bytes())
        looks.record(self.root, looks.Look(looks.STACK, "equities_xs", known, "2020-01-02", str(LAST), known))
        self.sign()

    def sign(self) -> None:
        """Publish the folder as it is."""
        publish_stack(self.root / "stack", self.root, self.keys, FolderObjectStore(self.store), CREATED)

    def pull(self, asof: date = ASOF) -> str:
        return pull_document(STACK_DOCUMENT, PublishedFolder(self.store), self.device, DurableFs(), asof, CALENDAR)

    def weights(self, asof: date = ASOF, config: ApplianceConfig = CONFIG) -> dict[str, float]:
        return dict(load_stack(self.device, DurableFs(), asof, config, CALENDAR).weights)

    @property
    def delivered(self) -> Path:
        return self.store / PLACE


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_weights_that_were_earned_arrive_signed_and_count(world: World) -> None:
    assert world.pull() == ""
    with pytest.raises(BundleRefused, match="no stack has been delivered"):
        world.weights()
    world.publish()
    assert world.pull() == "stack 1 is new"
    assert world.pull() == "stack 1"
    assert world.weights() == WEIGHTS
    world.publish(device_weights={"equities_xs": 1.0})
    assert world.pull() == "stack 2 is new" and world.weights() == {"equities_xs": 1.0}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"promotable": False}, "not better than its best member"),
        ({"device_weights": {}}, "no weights"),
        ({"device_weights": None}, "no weights"),
    ],
)
def test_a_stack_that_has_not_earned_it_is_not_published(world: World, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(FixInput, match=why):
        world.publish(**changes)
    assert not world.delivered.exists()


@pytest.mark.parametrize("changes", [{"promotable": True}, {"device_weights": {"reversal": 1.0}}, {"last": "2024-06-28"}])
def test_a_verdict_that_no_stack_on_the_datasets_record_wrote_is_signed_by_nobody(world: World, changes: dict[str, Any]) -> None:
    """A stack that was refused, made promotable by hand, or given other weights or days: the file alone is no verdict."""
    with pytest.raises(FixInput, match="not better"):
        world.publish(promotable=False)
    path = world.root / "stack" / "stack.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "promotable": True, **changes}))
    with pytest.raises(FixInput, match="no `trainer stack` with this dataset wrote this verdict"):
        world.sign()
    assert not world.delivered.exists()
    world.publish()
    assert world.pull() == "stack 1 is new"


def test_an_older_or_another_file_of_the_same_sequence_is_refused_and_the_kept_one_stays(world: World) -> None:
    world.publish()
    first = world.delivered.read_bytes()
    world.pull()
    world.publish(device_weights={"equities_xs": 0.5, "reversal": 0.5})
    world.pull()
    world.delivered.write_bytes(first)
    with pytest.raises(BundleRefused, match="sequence 1 is not newer than 2"):
        world.pull()
    changed = STACK_DOCUMENT.open(first, world.keyset, ASOF, PLACE).model_copy(update={"seq": 2})
    signatures = sign(STACK_KIND, changed.to_bytes(), key_files.signing_keys(world.keys, world.keyset, ASOF))
    world.delivered.write_bytes(STACK_DOCUMENT.seal(changed, signatures))
    with pytest.raises(BundleRefused, match="sequence 2 is not newer than 2"):
        world.pull()
    assert world.weights() == {"equities_xs": 0.5, "reversal": 0.5}


@pytest.mark.parametrize("spoil", [lambda b: b[:-9], lambda b: b.replace(b"0.7", b"0.9"), lambda b: b"[]", lambda b: b"x" * 70_000])
def test_bytes_that_were_not_signed_are_refused(world: World, spoil: Any) -> None:
    world.publish()
    sound = world.delivered.read_bytes()
    world.delivered.write_bytes(spoil(sound))
    assert world.delivered.read_bytes() != sound
    with pytest.raises(BundleRefused):
        world.pull()
    assert not (world.device.bundles / "stack" / STACK_DOCUMENT.file).exists()


def test_a_stranger_cannot_weigh_the_sleeves(world: World) -> None:
    world.publish()
    found = STACK_DOCUMENT.open(world.delivered.read_bytes(), world.keyset, ASOF, PLACE)
    world.delivered.write_bytes(STACK_DOCUMENT.seal(found, sign(STACK_KIND, found.to_bytes(), [bundles.STRANGER])))
    with pytest.raises(BundleRefused, match="signed by 0 trusted keys"):
        world.pull()


def test_a_revoked_key_an_expired_stack_and_a_strange_sleeve_end_what_was_accepted(world: World) -> None:
    world.publish()
    world.pull()
    late = CALENDAR.offset(LAST, 71)
    with pytest.raises(BundleRefused, match="71 sessions old and expired after 70"):
        world.weights(late)
    assert world.weights(CALENDAR.offset(LAST, 70)) == WEIGHTS
    with pytest.raises(BundleRefused, match="weighs reversal, which this device does not trade"):
        world.weights(config=CONFIG.model_copy(update={"sleeves": {"equities_xs": CONFIG.sleeves["equities_xs"]}}))
    keyset: Keyset = key_files.revoke_key(world.keys, world.keyset.keys[0].keyid)
    BundleStore(world.device.bundles, DurableFs()).install_keyset((world.keys / "keyset.json").read_bytes())
    assert keyset.version == 2
    with pytest.raises(BundleRefused, match="revoked or expired"):
        world.weights()


def test_a_lost_high_water_and_a_changed_file_are_refusals(world: World) -> None:
    world.publish()
    first = world.delivered.read_bytes()
    world.pull()
    world.publish()
    world.pull()
    kept = world.device.bundles / "stack"
    (kept / STACK_DOCUMENT.file).write_bytes(first)
    with pytest.raises(BundleRefused, match="not those of sequence 2"):
        world.weights()
    (kept / HIGH_WATER_FILE).unlink()
    for act in (world.pull, world.weights):
        with pytest.raises(BundleRefused, match="sequence 2 was activated here"):
            act()


def test_what_is_published_and_cannot_be_believed_is_not_followed(world: World) -> None:
    world.publish()
    world.delivered.write_bytes(world.delivered.read_bytes().replace(b"0.7", b"0.9"))
    with pytest.raises(FixInput, match="cannot be believed"):
        world.publish()


def test_the_identity_is_of_the_stacks_own_document(world: World) -> None:
    world.publish()
    found = STACK_DOCUMENT.open(world.delivered.read_bytes(), world.keyset, ASOF, PLACE)
    assert found.stack_sha256 == sha256_of((world.root / "stack" / "stack.json").read_bytes())
    assert found.members == dict.fromkeys(WEIGHTS, "c" * 64)
