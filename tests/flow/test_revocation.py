"""A signing key that is revoked: devices hear of it with their next pull, whatever else the store holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.bundles import FIRST, SECOND, STRANGER, keyset, keyset_file, signing_key
from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_bundle, recipe

Make = Callable[..., Workbench]
PLACE = "equities_xs/evaluation"
REVOKED = (signing_key(FIRST, revoked=True), signing_key(SECOND))


def revoke(root: Path) -> None:
    (root / "keyset.json").write_bytes(keyset_file(keyset(*REVOKED, version=2)))


def _older(root: Path) -> None:
    row = json.loads((root / PLACE / "latest.json").read_text())
    row["folder"] = "1-0000000000000000"
    (root / PLACE / "latest.json").write_text(json.dumps(row))


POINTERS: dict[str, Callable[[Path], object]] = {
    "still names the bundle in force": lambda root: None,
    "garbage": lambda root: (root / PLACE / "latest.json").write_bytes(b"<html>sign in</html>"),
    "missing": lambda root: (root / PLACE / "latest.json").unlink(),
    "names a bundle that is not there": _older,
    "the bundles are gone": lambda root: shutil.rmtree(root / PLACE),
}


@pytest.mark.parametrize("pointer", ("still names the bundle in force", "garbage"))
def test_a_revoked_key_ends_in_no_new_orders_whatever_latest_json_says(make: Make, own_store: Published, pointer: str) -> None:
    """The session before trades; after the revocation nothing is planned, nothing is sent, and verify says why."""
    bench = make(own_store)
    first, second = own_store.sessions(2)
    assert bench("arm", "--session", str(first), "--yes").code == 0
    assert bench("run-day", "--session", str(first)).code == 0
    sent = bench.rows("SELECT count(*) FROM intents WHERE posts > 0")
    assert sent[0][0] > 0 and "HOLDS" in bench("bundle", "--verify", "--json").out
    revoke(own_store.root)
    POINTERS[pointer](own_store.root)
    done = bench("run-day", "--session", str(second))
    assert done.code != 0
    assert bench.rows("SELECT count(*) FROM intents WHERE posts > 0") == sent
    assert bench.rows("SELECT count(*) FROM plans WHERE session = ?", str(second)) == [(0,)]
    shown = bench("bundle", "--verify", "--json")
    assert shown.code != 0 and "revoked or expired" in shown.out and "HOLDS" not in shown.out


@pytest.mark.parametrize("pointer", [name for name in POINTERS if name not in ("garbage",)])
def test_a_revocation_arrives_even_where_no_bundle_can_be_pulled(make: Make, own_store: Published, pointer: str) -> None:
    bench = make(own_store)
    first, second = own_store.sessions(2)
    assert bench("pull", "--session", str(first)).code == 0
    revoke(own_store.root)
    POINTERS[pointer](own_store.root)
    bench("pull", "--session", str(second))
    shown = bench("bundle", "--verify", "--json")
    assert shown.code != 0 and "revoked or expired" in shown.out and "HOLDS" not in shown.out


def test_the_pull_says_that_the_bundle_in_force_is_revoked_and_a_newer_one_takes_its_place(make: Make, own_store: Published) -> None:
    bench = make(own_store)
    first, second = own_store.sessions(2)
    assert bench("pull", "--session", str(first)).code == 0
    revoke(own_store.root)
    pulled = bench("pull", "--session", str(second), "--json")
    assert pulled.code == 0 and "revoked or expired" in pulled.json["figures"]["bundle_refusal"]
    assert ("the equities_xs bundle is refused",) in bench.rows("SELECT title FROM alerts")
    scored = bench("score", "--session", str(second))
    assert scored.code == 6 and "revoked or expired" in scored.err
    whole = recipe(own_store.root / "data", own_store.last_training, seq=2)
    publish_bundle(own_store.root, whole.but(keys=(SECOND,), keyset_version=2))
    revoke(own_store.root)
    third = own_store.sessions(3)[-1]
    assert bench("pull", "--session", str(third)).code == 0
    assert "HOLDS" in bench("bundle", "--verify", "--json").out


@pytest.mark.parametrize("content", [b"", b"[" * 5000, b"\xff\xfe", keyset_file(keyset(*REVOKED, version=2), STRANGER)])
def test_a_key_set_that_the_root_did_not_sign_is_refused_and_the_kept_one_stands(make: Make, own_store: Published, content: bytes) -> None:
    bench = make(own_store)
    first, second = own_store.sessions(2)
    assert bench("pull", "--session", str(first)).code == 0
    kept = (bench.state / "bundles" / "keyset.json").read_bytes()
    (own_store.root / "keyset.json").write_bytes(content)
    assert bench("pull", "--session", str(second)).code == 0
    assert (bench.state / "bundles" / "keyset.json").read_bytes() == kept
    assert ("the published key set is refused",) in bench.rows("SELECT title FROM alerts")
    assert "HOLDS" in bench("bundle", "--verify", "--json").out
