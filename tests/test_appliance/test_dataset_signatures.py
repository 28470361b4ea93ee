"""Attacks on the signature of a published dataset, and on the rule that its version never goes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance.market.dataset_mark import DatasetMark
from appliance.system.state_folder import DurableFs
from signals.bundle import DataGrant, DataKeys, Keyset, read_data_grant
from signals.bundle.keyset import open_dataset, seal_dataset, seal_grant
from signals.bundle.seal import DATA_GRANT_KIND, GRANT_KIND, MANIFEST_KIND, sign
from signals.errors import BadDataset, BundleRefused, StoreUnreachable
from signals.market.manifest import Manifest
from tests.fakes.bundles import DATA, FAR, FIRST, ROOT, SECOND, STRANGER, TODAY, keyset, roots, signing_key
from tests.fakes.store import publish_data
from trainer.curation.generated import generate

PLACE = "var/store/data"
YESTERDAY = TODAY - timedelta(days=1)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return publish_data(tmp_path_factory.mktemp("market") / "data", generate(11, 24, 330, date(2025, 6, 30)))


def data_keys(*keys: object, threshold: int = 1) -> Keyset:
    return keyset(data=DataKeys(threshold=threshold, keys=keys))  # type: ignore[arg-type]


def opened(content: bytes, signature: bytes | None, keys: Keyset | None = None) -> Manifest:
    return open_dataset(content, signature, keys or keyset(), TODAY, PLACE)


def test_what_a_data_key_signed_is_read(manifest: Manifest) -> None:
    content = manifest.to_bytes()
    assert opened(content, seal_dataset(content, [DATA])) == manifest
    two = data_keys(signing_key(DATA), signing_key(SECOND), threshold=2)
    assert opened(content, seal_dataset(content, [DATA, SECOND]), two) == manifest


def test_no_key_has_two_roles() -> None:
    """A key that signs bundles may not sign data as well: whoever holds one has one power."""
    with pytest.raises(ValidationError, match="a key occurs twice"):
        data_keys(signing_key(FIRST))


def test_every_flipped_bit_of_the_manifest_is_refused(manifest: Manifest) -> None:
    content = manifest.to_bytes()
    signature = seal_dataset(content, [DATA])
    for at in range(0, len(content), max(1, len(content) // 200)):
        spoilt = bytearray(content)
        spoilt[at] ^= 1
        with pytest.raises(BadDataset, match="signature of key"):
            opened(bytes(spoilt), signature)


def swapped(content: bytes) -> bytes:
    """One file's hash in another's place, with a checksum that fits: what somebody without a key can do."""
    found = Manifest.from_bytes(content, where="")
    first, second, *rest = found.files
    files = (replace(first, sha256=second.sha256), replace(second, sha256=first.sha256), *rest)
    return replace(found, files=files).to_bytes()


HUGE = b'{"version":1E+99999999999999999999}'
ATTACKS: dict[str, tuple[Callable[[bytes], tuple[bytes, bytes | None]], Keyset | None, str]] = {
    "no signature": (lambda c: (c, None), None, f"unsigned.*trainer sign-data --keys DIR --at {PLACE}"),
    "an empty signature": (lambda c: (c, b""), None, "not a JSON document"),
    "no row of a signature": (lambda c: (c, b'{"signatures":[]}'), None, "unsigned"),
    "garbage": (lambda c: (c, b"<html>"), None, "not a JSON document"),
    "deep garbage": (lambda c: (c, b"[" * 5000), None, "nested more than"),
    "half a character": (lambda c: (c, b'{"signatures":[{"keyid":"\\ud800","sig":""}]}'), None, "half of a character"),
    "a huge number": (lambda c: (c, b'{"signatures":1E+99999999999999999999}'), None, "too large"),
    "an oversized signature": (lambda c: (c, b" " * 20_000), None, "20000 bytes, more than"),
    "a bundle's key": (lambda c: (c, seal_dataset(c, [FIRST])), None, "signed by 0 trusted keys, 1 are needed"),
    "the root's key": (lambda c: (c, seal_dataset(c, [ROOT])), None, "signed by 0 trusted keys"),
    "a stranger's key": (lambda c: (c, seal_dataset(c, [STRANGER])), None, "signed by 0 trusted keys"),
    "a data key over another kind of document": (lambda c: (c, sign(MANIFEST_KIND, c, [DATA])), None, "is wrong"),
    "one key twice for a threshold of two": (
        lambda c: (c, seal_dataset(c, [DATA, DATA])),
        data_keys(signing_key(DATA), signing_key(SECOND), threshold=2),
        "signed by 1 trusted keys, 2 are needed",
    ),
    "a revoked key": (lambda c: (c, seal_dataset(c, [DATA])), data_keys(signing_key(DATA, revoked=True)), "revoked or"),
    "a key past its day": (lambda c: (c, seal_dataset(c, [DATA])), data_keys(signing_key(DATA, until=YESTERDAY)), "revoked or expired"),
    "a key set past its day": (lambda c: (c, seal_dataset(c, [DATA])), keyset(until=YESTERDAY), "key set expired"),
    "a key set without data keys": (
        lambda c: (c, seal_dataset(c, [DATA])),
        Keyset(format="trademl-keyset/1", version=1, threshold=1, valid_until=FAR, keys=(signing_key(FIRST),)),
        "rotate-keys --add-data",
    ),
    "another manifest's signature": (lambda c: (swapped(c), seal_dataset(c, [DATA])), None, "signature of key"),
    "swapped files, signed by a stranger": (lambda c: (swapped(c), seal_dataset(swapped(c), [STRANGER])), None, "signed by 0"),
    "a signed document that is no manifest": (lambda c: (b"[]", seal_dataset(b"[]", [DATA])), None, "not a manifest"),
    "a signed number beyond all bounds": (lambda c: (HUGE, seal_dataset(HUGE, [DATA])), None, "not a manifest.*too large"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_dataset_that_the_data_keys_did_not_sign_is_refused_in_one_sentence(attack: str, manifest: Manifest) -> None:
    spoil, keys, words = ATTACKS[attack]
    content, signature = spoil(manifest.to_bytes())
    with pytest.raises(BadDataset, match=words):
        opened(content, signature, keys)


def test_a_data_key_can_never_sign_a_bundle() -> None:
    with pytest.raises(ValueError, match="a key occurs twice"):
        data_keys(signing_key(FIRST))
    assert signing_key(DATA).keyid not in keyset().usable(TODAY)


def grant(content: DataGrant, key: object = ROOT, kind: str = DATA_GRANT_KIND) -> bytes:
    return seal_grant(content, sign(kind, content.to_bytes(), [key]))  # type: ignore[list-item]


def test_a_version_never_goes_back_but_by_a_grant_that_names_it(manifest: Manifest, tmp_path: Path) -> None:
    """A poisoned number locks the honest store out until the root has its say, and never comes back after it."""
    mark = DatasetMark(tmp_path, DurableFs())
    mark.require_successor(manifest, None)
    mark.advance(replace(manifest, version=7))
    poisoned = replace(manifest, version=2**31 - 1)
    with pytest.raises(StoreUnreachable, match=r"version 6 after it gave out version 7.*rollback-data"):
        mark.require_successor(replace(manifest, version=6), None)
    with pytest.raises(BadDataset, match="not the one that was taken over"):
        mark.require_successor(replace(manifest, version=7, vendor="another"), None)
    with pytest.raises(BadDataset, match="this device follows"):
        mark.require_successor(replace(manifest, name="another", version=9), None)
    mark.require_successor(poisoned, None)
    mark.advance(poisoned)
    honest = replace(manifest, version=8)
    with pytest.raises(StoreUnreachable, match="after it gave out version 2147483647"):
        mark.require_successor(honest, None)
    named = DataGrant(name=manifest.name, version=8, high_water=2**31 - 1, valid_until=TODAY, reason="a stolen key")
    before = (tmp_path / "dataset.json").read_bytes()
    for wrong, today in ((named.model_copy(update={"high_water": 7}), TODAY), (named, TODAY + timedelta(days=1))):
        with pytest.raises(BundleRefused):
            mark.go_back(wrong, today)
    assert (tmp_path / "dataset.json").read_bytes() == before
    mark.go_back(named, TODAY)
    mark.require_successor(honest, None)
    with pytest.raises(StoreUnreachable):
        mark.require_successor(replace(manifest, version=7), None)
    with pytest.raises(BadDataset, match="withdrawn"):
        mark.require_successor(poisoned, None)
    mark.advance(honest)
    with pytest.raises(BadDataset, match="withdrawn"):
        mark.require_successor(poisoned, None)
    with pytest.raises(BundleRefused, match="this one is at 8"):
        mark.go_back(named, TODAY)


def test_a_grant_counts_only_with_the_roots_signature_as_a_grant_of_data() -> None:
    named = DataGrant(name="us", version=8, high_water=9, valid_until=TODAY, reason="r")
    assert read_data_grant(grant(named), roots()) == named
    for key, kind in ((DATA, DATA_GRANT_KIND), (FIRST, DATA_GRANT_KIND), (ROOT, GRANT_KIND)):
        with pytest.raises(BundleRefused):
            read_data_grant(grant(named, key, kind), roots())
    with pytest.raises(BundleRefused, match="older version"):
        read_data_grant(grant(named.model_copy(update={"version": 10})), roots())
    for content in (b"", b"[" * 5000, b"<html>", json.dumps({"payload": "\ud800", "signatures": []}).encode()):
        with pytest.raises(BundleRefused):
            read_data_grant(content, roots())


@pytest.mark.parametrize("version", [2**31, 10**30, 0, -1])
def test_a_version_beyond_what_the_stores_can_hold_is_no_manifest(manifest: Manifest, version: int) -> None:
    content = manifest.to_bytes().replace(b'"version":1}', b'"version":%d}' % version)
    assert content != manifest.to_bytes()
    with pytest.raises(BadDataset):
        Manifest.from_bytes(content, where="")
