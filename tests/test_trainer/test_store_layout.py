"""The store by sleeve and role: who is taken, in which order it is written, and what was published before it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import trainer.publishing.publish
from appliance.bundles.pull import BundlePull, fetch_bundle, pull_bundle
from appliance.bundles.store import BundleStore
from appliance.storage.published_store import PublishedFolder
from appliance.system.state_folder import DurableFs
from signals.bundle import PublicKey, Role, RollbackGrant, verify
from signals.bundle.layout import TRADED, find_latest, read_sequence
from signals.errors import BundleRefused, StoreUnreachable
from signals.files import sha256_of, write_atomic
from signals.models.inference import infer
from tests.fakes.bundles import FAR, policy, private_key, weekdays
from tests.fakes.onnx_models import stump_model
from tests.fakes.publishing import CREATED, SPECS, WIDTH, run_folder
from trainer.publishing import keys as sign
from trainer.publishing.publish import Publication, PublishRequest, publish
from trainer.publishing.rollback import grant_of

SLEEVE = "equities_xs"
SLEEVES = (SLEEVE,)


@dataclass
class World:
    """A trainer with its keys and runs, a store, and one device."""

    root: Path

    def __post_init__(self) -> None:
        seeds = iter(range(10, 30))
        sign.create_keys(self.keys, FAR, generate=lambda: private_key(next(seeds)))
        self.device = BundleStore(self.root / "device", DurableFs(), prove=infer)
        self.device.trust(PublicKey.from_text((self.keys / "root.pub").read_text()))

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def store(self) -> Path:
        return self.root / "store"

    def run(self, seed: int) -> Path:
        folder = self.root / f"run-{seed}"
        if not folder.exists():
            run_folder(folder, stump_model(WIDTH, seed=seed))
            own = sha256_of((folder / "model.onnx").read_bytes())
            record = {"verdict": "promoted", "record": {}, "model_sha256": [own]}
            (folder / "promotion.json").write_text(json.dumps(record))
        return folder

    def publish(self, role: Role, seed: int = 3) -> Publication:
        request = PublishRequest(self.run(seed), role, self.keys, self.store, CREATED, "unproven" * (role is Role.EVALUATION))
        return publish(request, weekdays(), SPECS)

    def pull(self, roles: Sequence[Role] = TRADED) -> BundlePull:
        self.device.install_keyset((self.store / "keyset.json").read_bytes())
        where = PublishedFolder(self.store), self.device, policy()
        return pull_bundle(*where, self.root / "incoming", sleeves=SLEEVES, roles=roles)

    def as_before(self) -> None:
        """Leave the store as a release of before would have: no place of the new layout."""
        (self.store / SLEEVE).rename(self.root / "new-layout")

    def read_as_before(self) -> tuple[Role, int]:
        """What a device of before would take: the folder that `bundles/latest.json` names, whole."""
        told = json.loads((self.store / "bundles" / "latest.json").read_bytes())
        folder = self.store / "bundles" / told["folder"]
        assert sorted(path.name for path in folder.iterdir()) == told["files"]
        manifest = json.loads((folder / "manifest.json").read_bytes())
        assert sha256_of((folder / "manifest.json").read_bytes()) == told["sha256"]
        return Role(manifest["role"]), told["seq"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Bundles are verified in this process: the child that devices and publishers start is tested elsewhere."""
    monkeypatch.setattr(trainer.publishing.publish, "verify", partial(verify, reproduce=infer))
    return World(tmp_path)


def test_an_evaluation_published_after_a_champion_takes_nobody_s_place(world: World) -> None:
    """Neither of devices that read the new pointers, nor of those that read the one of before."""
    champion, evaluation = world.publish(Role.CHAMPION), world.publish(Role.EVALUATION)
    assert (champion.seq, evaluation.seq) == (1, 2)
    assert world.pull().in_force == champion.folder.name
    assert world.read_as_before() == (Role.CHAMPION, 1)
    newer = world.publish(Role.CHAMPION)
    assert world.pull() == BundlePull(newer.folder.name, is_new=True)
    assert world.read_as_before() == (Role.CHAMPION, newer.seq) == (Role.CHAMPION, 3)


def test_where_no_champion_is_published_the_evaluation_is_taken(world: World) -> None:
    done = world.publish(Role.EVALUATION)
    assert world.pull().in_force == done.folder.name
    assert world.read_as_before() == (Role.EVALUATION, 1)


def test_a_champion_s_device_takes_no_evaluation_though_the_champion_s_pointer_is_gone(world: World) -> None:
    """Whoever can only withhold does not turn a champion's device into an unproven one; a person's setting does."""
    champion, evaluation = world.publish(Role.CHAMPION), world.publish(Role.EVALUATION)
    assert world.pull().is_new
    (world.store / SLEEVE / "champion" / "latest.json").unlink()
    told = world.pull()
    assert told.in_force == champion.folder.name and "the store offers an evaluation" in told.refusal
    assert "`stores.prefer: evaluation`" in told.refusal
    assert world.pull((Role.EVALUATION, Role.CHAMPION)).in_force == evaluation.folder.name


def test_a_shadow_is_never_the_bundle_in_force(world: World) -> None:
    shadow = world.publish(Role.SHADOW)
    with pytest.raises(StoreUnreachable, match="no bundle is published"):
        world.pull()
    assert world.pull((Role.SHADOW,)).in_force == shadow.folder.name
    assert (world.store / "shadow" / "bundles" / "latest.json").exists()


def test_the_high_water_goes_up_over_roles_and_never_down(world: World) -> None:
    """A device that had the evaluation of a store of before waits for a champion that is newer than it."""
    champion, evaluation = world.publish(Role.CHAMPION), world.publish(Role.EVALUATION)
    assert world.pull((Role.EVALUATION,)).in_force == evaluation.folder.name
    told = world.pull()
    assert told.in_force == evaluation.folder.name and f"{champion.seq} is not newer than {evaluation.seq}" in told.refusal
    newer = world.publish(Role.CHAMPION)
    assert world.pull().in_force == newer.folder.name and world.device.high_water().seq == newer.seq == 3


def test_a_store_of_before_is_read_and_its_champion_brought_over(world: World) -> None:
    """An evaluation that is published into it first does not hide the champion that only the old pointer names."""
    champion = world.publish(Role.CHAMPION)
    world.as_before()
    assert world.pull().in_force == champion.folder.name
    evaluation = world.publish(Role.EVALUATION)
    assert evaluation.seq == champion.seq + 1
    latest = find_latest(PublishedFolder(world.store).find, SLEEVES, TRADED)
    assert latest is not None and (latest.place, latest.folder) == (f"{SLEEVE}/champion", champion.folder.name)
    assert world.pull() == BundlePull(champion.folder.name, is_new=False)
    assert world.read_as_before() == (Role.CHAMPION, champion.seq)


def test_an_old_store_in_which_an_evaluation_took_the_champion_s_place_demotes_no_device(world: World) -> None:
    champion = world.publish(Role.CHAMPION)
    assert world.pull().is_new
    evaluation = world.publish(Role.EVALUATION)
    bundles = world.store / "bundles"
    evaluation.folder.rename(bundles / evaluation.folder.name)
    (world.store / SLEEVE / "evaluation" / "latest.json").rename(bundles / "latest.json")
    world.as_before()
    assert world.read_as_before() == (Role.EVALUATION, 2)
    told = world.pull()
    assert told.in_force == champion.folder.name and "an evaluation in its place" in told.refusal


def test_a_publication_that_stops_at_any_write_leaves_a_whole_bundle_and_uses_no_sequence_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, count = world.publish(Role.CHAMPION), 0
    writes: list[Path] = []

    def cut(path: Path, content: bytes) -> None:
        if len(writes) == count:
            raise OSError(28, "No space left on device")
        writes.append(path)
        write_atomic(path, content)

    monkeypatch.setattr(trainer.publishing.publish, "write_atomic", cut)
    seqs = [first.seq]
    while True:
        writes.clear()
        try:
            seqs.append(world.publish(Role.CHAMPION).seq)
            break
        except OSError:
            count += 1
        latest = find_latest(PublishedFolder(world.store).find, SLEEVES, TRADED)
        assert latest is not None and latest.folder == first.folder.name
        assert all((world.store / latest.path(name)).exists() for name in latest.files)
        assert world.read_as_before()[0] is Role.CHAMPION
    assert count == len(writes) > 15 and writes[-1] == world.store / SLEEVE / "champion" / "latest.json"
    kept = [int(path.name.partition("-")[0]) for path in (world.store / SLEEVE / "champion").glob("*-*")]
    assert len(kept) == len(set(kept)) and max(kept) == seqs[-1]
    assert read_sequence((world.store / SLEEVE / "sequence.json").read_bytes(), "") == seqs[-1]


def test_an_unreadable_champion_s_pointer_is_refused_and_no_evaluation_is_taken_instead(world: World) -> None:
    world.publish(Role.CHAMPION)
    world.publish(Role.EVALUATION)
    (world.store / SLEEVE / "champion" / "latest.json").write_bytes(b"<html>")
    with pytest.raises(BundleRefused, match="not a JSON document"):
        world.pull()


@pytest.mark.parametrize("is_former", [False, True])
def test_a_grant_s_older_bundle_is_found_in_either_layout(world: World, tmp_path: Path, is_former: bool) -> None:
    """The grant is for the store's newest sequence, whatever role used it."""
    old, new = world.publish(Role.CHAMPION, seed=3), world.publish(Role.CHAMPION, seed=4)
    assert world.pull().in_force == new.folder.name
    if is_former:
        world.as_before()
    models = (sha256_of((world.run(3) / "model.onnx").read_bytes()),)
    granted: RollbackGrant = grant_of(world.store, models, FAR, "worse")
    assert (granted.seq, granted.high_water_seq) == (old.seq, new.seq)
    to = tmp_path / "fetched" / old.folder.name
    assert fetch_bundle(PublishedFolder(world.store), old.folder.name, to, sleeves=SLEEVES)
    done = world.device.roll_back(to, policy(), sign.grant_rollback(world.keys, granted))
    assert done.bundle.manifest.seq == old.seq and world.device.high_water().seq == new.seq
