"""The switch between bundles: high-water, crashes, key rotation (E4) and the rollback grant (E3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from appliance.bundles.store import ACTIVATED_FILE, CURRENT_FILE, HIGH_WATER_FILE, BundleStore
from appliance.system.state_folder import DurableFs
from signals.bundle import Keyset, RollbackGrant
from signals.errors import BundleRefused, FixInput
from signals.models.inference import infer
from tests.fakes.bundles import (
    FAR,
    FIRST,
    SECOND,
    STRANGER,
    Recipe,
    grant_file,
    keyset,
    keyset_file,
    policy,
    public_half,
    roots,
    signing_key,
)


@dataclass
class MemoryFs:
    """Real files, and a power cut: the n-th write and every later one raises."""

    cut_at: int = 10**9
    writes: list[str] = field(default_factory=list)

    def read(self, path: Path) -> bytes | None:
        return DurableFs().read(path)

    def write(self, path: Path, content: bytes) -> None:
        if len(self.writes) >= self.cut_at:
            raise OSError(28, "No space left on device")
        self.writes.append(path.name)
        DurableFs().write(path, content)

    def remove(self, path: Path) -> None:
        DurableFs().remove(path)


def store_at(folder: Path, keys: Keyset | None = None, fs: MemoryFs | None = None) -> BundleStore:
    store = BundleStore(folder / "bundles", fs or MemoryFs(), prove=infer)
    store.trust(roots()[0])
    store.install_keyset(keyset_file(keys or keyset(signing_key(FIRST))))
    return store


def bundle(folder: Path, seq: int, keys: Sequence[Ed25519PrivateKey] = (FIRST,), **changes: object) -> Path:
    path = folder / f"published-{seq}-{len(keys)}-{public_half(keys[0]).keyid}"
    Recipe(seq=seq, keys=keys).but(**changes).write(path)
    return path


def test_a_fresh_device_has_no_bundle_and_says_so(tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "bundles", MemoryFs(), prove=infer)
    with pytest.raises(BundleRefused, match="trusts no root key"):
        store.install_keyset(keyset_file(keyset()))
    store.trust(roots()[0])
    with pytest.raises(BundleRefused, match="no key set has been delivered"):
        store.activate(bundle(tmp_path, 1), policy())
    with pytest.raises(BundleRefused, match="no bundle has been activated"):
        store.load(policy())
    assert store.high_water().seq == 0


def test_activating_the_bundle_in_force_again_changes_nothing(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    published = bundle(tmp_path, 3)
    assert store.activate(published, policy()).is_new
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "bundles").rglob("*")}
    assert not store.activate(published, policy()).is_new
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "bundles").rglob("*")}


def test_the_root_key_of_a_device_cannot_be_changed(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    with pytest.raises(FixInput, match="already trusts another root key"):
        store.trust(public_half(STRANGER))


def test_a_key_set_that_another_root_signed_is_refused(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    with pytest.raises(BundleRefused, match="not signed by a root key"):
        store.install_keyset(keyset_file(keyset(signing_key(STRANGER), version=2), STRANGER))
    assert store.keyset().version == 1


def test_an_older_key_set_never_returns(tmp_path: Path) -> None:
    """Replaying the key set from before a revocation would bring the revoked key back."""
    store = store_at(tmp_path, keyset(signing_key(FIRST, revoked=True), signing_key(SECOND), version=2))
    with pytest.raises(BundleRefused, match="version 1 is older than 2"):
        store.install_keyset(keyset_file(keyset(signing_key(FIRST))))
    with pytest.raises(BundleRefused, match="revoked or expired"):
        store.activate(bundle(tmp_path, 1), policy())


def test_a_signed_bundle_cannot_be_presented_as_a_key_set(tmp_path: Path) -> None:
    """The pre-authentication encoding names the kind, so one signature never serves two purposes."""
    store = store_at(tmp_path)
    grant = RollbackGrant(bundle_id="0" * 16, seq=1, high_water_seq=2, valid_until=FAR, reason="x")
    with pytest.raises(BundleRefused, match=r"signature of key .* is wrong"):
        store.install_keyset(grant_file(grant))


@pytest.mark.parametrize("cut_at", range(10))
def test_a_disk_that_fails_at_any_write_leaves_one_whole_bundle_in_force(tmp_path: Path, cut_at: int) -> None:
    """Seven files, the two records of the high-water, the pointer: ten writes. After each cut the old one loads, a retry works."""
    store_at(tmp_path).activate(bundle(tmp_path, 3), policy())
    failing = BundleStore(tmp_path / "bundles", MemoryFs(cut_at=cut_at), prove=infer)
    with pytest.raises(OSError, match="No space left"):
        failing.activate(bundle(tmp_path, 4), policy())
    after = BundleStore(tmp_path / "bundles", MemoryFs(), prove=infer)
    assert after.load(policy()).manifest.seq == 3
    assert after.high_water().seq in (3, 4)
    assert after.activate(bundle(tmp_path, 4), policy()).is_new
    assert after.load(policy()).manifest.seq == after.high_water().seq == 4


def test_the_high_water_is_durable_before_the_pointer_names_a_newer_bundle(tmp_path: Path) -> None:
    fs = MemoryFs()
    store_at(tmp_path, fs=fs).activate(bundle(tmp_path, 3), policy())
    assert fs.writes[-3:] == [HIGH_WATER_FILE, ACTIVATED_FILE, CURRENT_FILE]


@pytest.mark.parametrize("lost", [HIGH_WATER_FILE, CURRENT_FILE])
def test_losing_one_of_the_two_records_does_not_lower_the_high_water(tmp_path: Path, lost: str) -> None:
    store = store_at(tmp_path)
    store.activate(bundle(tmp_path, 7), policy())
    (tmp_path / "bundles" / lost).unlink()
    assert store.high_water().seq == 7
    with pytest.raises(BundleRefused, match="sequence 6 is not newer than 7"):
        store.activate(bundle(tmp_path, 6), policy())
    store.activate(bundle(tmp_path, 7), policy())
    assert store.load(policy()).manifest.seq == 7


def test_a_high_water_that_is_lost_is_a_refusal_and_never_a_fresh_device(tmp_path: Path) -> None:
    """Both records of the slot are gone: nothing is activated, the older bundle or the one that was in force."""
    store = store_at(tmp_path)
    store.activate(bundle(tmp_path, 7), policy())
    for lost in (HIGH_WATER_FILE, CURRENT_FILE):
        (tmp_path / "bundles" / lost).unlink()
    for seq in (6, 8):
        with pytest.raises(BundleRefused, match="high-water of this slot is lost: sequence 7"):
            store.activate(bundle(tmp_path, seq), policy())
    assert not (tmp_path / "bundles" / CURRENT_FILE).exists()


def test_a_lost_high_water_next_to_an_older_bundle_in_force_is_a_refusal(tmp_path: Path) -> None:
    """A person went back from 5 to 3; with the high-water lost, the pointer alone would let 4 in."""
    store, old, _, grant = rolled_back(tmp_path)
    store.roll_back(old, policy(), grant)
    (tmp_path / "bundles" / HIGH_WATER_FILE).unlink()
    with pytest.raises(BundleRefused, match="sequence 5 was activated here"):
        store.activate(bundle(tmp_path, 4), policy())


def test_a_record_that_cannot_be_read_is_refused_not_taken_for_a_fresh_device(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.activate(bundle(tmp_path, 7), policy())
    (tmp_path / "bundles" / HIGH_WATER_FILE).write_bytes(b"{}")
    with pytest.raises(BundleRefused, match="seq"):
        store.activate(bundle(tmp_path, 8), policy())


def test_an_expired_bundle_in_force_still_loads_and_states_its_age(tmp_path: Path) -> None:
    """Its age is for the tripwire, which stops new risk; a refusal here would only hide how old it is."""
    store = store_at(tmp_path)
    store.activate(bundle(tmp_path, 1), policy())
    late = policy(today=date(2024, 6, 3))
    loaded = store.load(late)
    assert loaded.age_sessions == 88 > loaded.age_limit_sessions
    with pytest.raises(BundleRefused, match="expired"):
        store.activate(bundle(tmp_path, 2), late)


def test_rotating_keys_keeps_devices_that_heard_of_it_and_those_that_did_not(tmp_path: Path) -> None:
    """E4. Add, sign with both, retire, revoke; one device is offline throughout and accepts what its key set says."""
    offline, online = store_at(tmp_path / "offline"), store_at(tmp_path / "online")
    both = keyset(signing_key(FIRST), signing_key(SECOND), version=2)
    online.install_keyset(keyset_file(both))

    signed_by_both = bundle(tmp_path, 1, (FIRST, SECOND), keyset_version=1)
    for store in (offline, online):
        assert store.activate(signed_by_both, policy()).is_new

    by_second = bundle(tmp_path, 2, (SECOND,), keyset_version=2)
    assert online.activate(by_second, policy()).is_new
    with pytest.raises(BundleRefused, match="signed by 0 trusted keys"):
        offline.activate(by_second, policy())

    retired = keyset(signing_key(FIRST, until=date(2024, 2, 15)), signing_key(SECOND), version=3)
    online.install_keyset(keyset_file(retired))
    by_first = bundle(tmp_path, 3, (FIRST,), keyset_version=1)
    with pytest.raises(BundleRefused, match="revoked or expired"):
        online.activate(by_first, policy())
    assert offline.activate(by_first, policy()).is_new  # sixty days away, it still trusts what it was told to trust

    revoked = keyset(signing_key(FIRST, revoked=True), signing_key(SECOND), version=4)
    offline.install_keyset(keyset_file(revoked))
    with pytest.raises(BundleRefused, match="revoked or expired"):
        offline.load(policy())
    assert offline.activate(bundle(tmp_path, 4, (SECOND,), keyset_version=4), policy()).is_new


def rolled_back(folder: Path) -> tuple[BundleStore, Path, Path, bytes]:
    store = store_at(folder)
    old, new = bundle(folder, 3), bundle(folder, 5)
    store.activate(old, policy())
    older = store.load(policy()).manifest
    store.activate(new, policy())
    grant = RollbackGrant(bundle_id=older.bundle_id, seq=3, high_water_seq=5, valid_until=date(2024, 3, 8), reason="worse than before")
    return store, old, new, grant_file(grant)


def test_a_rollback_grant_puts_one_older_bundle_in_force_and_keeps_the_high_water(tmp_path: Path) -> None:
    store, old, new, grant = rolled_back(tmp_path)
    with pytest.raises(BundleRefused, match="not newer"):
        store.activate(old, policy())
    store.roll_back(old, policy(), grant)
    assert store.load(policy()).manifest.seq == 3
    assert store.high_water().seq == 5
    with pytest.raises(BundleRefused, match="sequence 5 is not newer than 5"):
        store.activate(new, policy())  # the next pull must not undo what a person decided
    store.activate(bundle(tmp_path, 6), policy())
    assert store.load(policy()).manifest.seq == store.high_water().seq == 6
    with pytest.raises(BundleRefused, match="sequence 3 is not newer than 6"):
        store.roll_back(old, policy(), grant)  # spent: it was written for high-water 5


def test_a_rollback_grant_is_for_one_bundle_one_state_and_some_days(tmp_path: Path) -> None:
    store, old, _, grant = rolled_back(tmp_path)
    other = bundle(tmp_path, 4)
    with pytest.raises(BundleRefused, match="sequence 4 is not newer"):
        store.roll_back(other, policy(), grant)
    with pytest.raises(BundleRefused, match="sequence 3 is not newer"):
        store.roll_back(old, policy(today=date(2024, 3, 11)), grant)
    forged = RollbackGrant(bundle_id="0" * 16, seq=3, high_water_seq=5, valid_until=FAR, reason="x")
    with pytest.raises(BundleRefused, match="not signed by a root key"):
        store.roll_back(old, policy(), grant_file(forged, FIRST))  # an online key cannot grant it
    with pytest.raises(BundleRefused, match="names an older bundle"):
        store.roll_back(old, policy(), grant_file(forged.model_copy(update={"seq": 5})))
    assert store.load(policy()).manifest.seq == 5


class StoreMachine(RuleBasedStateMachine):
    """J4: whatever is offered in whatever order, the high-water never falls and exactly one verified bundle loads."""

    @initialize(folder=st.uuids())
    def start(self, folder: object) -> None:
        self.root = self.base / str(folder)  # type: ignore[attr-defined]
        self.store = store_at(self.root)
        self.highest, self.active = 0, 0

    @rule(seq=st.integers(1, 6), key=st.sampled_from([FIRST, STRANGER]), cut_at=st.sampled_from([0, 4, 8, 10**9]))
    def offer(self, seq: int, key: Ed25519PrivateKey, cut_at: int) -> None:
        store = BundleStore(self.root / "bundles", MemoryFs(cut_at=cut_at), prove=infer)
        try:
            store.activate(bundle(self.root, seq, (key,)), policy())
            assert key is FIRST
            assert seq > self.highest or seq == self.active or seq == self.store.high_water().seq
            self.active = seq
        except BundleRefused:
            assert key is STRANGER or seq < self.store.high_water().seq
        except OSError:
            assert cut_at < 10**9
        self.highest = max(self.highest, self.active)

    @invariant()
    def one_bundle_is_in_force(self) -> None:
        if self.active:
            assert self.store.load(policy()).manifest.seq == self.active
        assert self.store.high_water().seq >= self.highest


def test_any_sequence_of_offers_keeps_the_store_sound(tmp_path: Path) -> None:
    StoreMachine.base = tmp_path  # type: ignore[attr-defined]
    case = StoreMachine.TestCase
    case.settings = settings(max_examples=12, stateful_step_count=10, suppress_health_check=list(HealthCheck))
    case().runTest()
