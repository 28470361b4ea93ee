"""No order leaves on data or a bundle that is unfit: an armed device that has just traded, and one thing spoilt.

What an order was made of is read from its own row: the snapshot and the bundle that its plan names.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from signals.market.sessions import SessionStatus
from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_bundle, recipe, republish

Make = Callable[..., Workbench]
Spoil = Callable[[Published, Workbench, date], None]
POSTED = "SELECT count(*) FROM intents WHERE session = ? AND posts > 0"


def trading(make: Make, store: Published) -> Workbench:
    """A device that is armed and has traded one session."""
    bench, first = make(store), str(store.sessions(1)[0])
    assert bench("arm", "--session", first, "--yes").code == 0
    assert bench("run-day", "--session", first).code == 0
    assert bench.rows(POSTED, first)[0][0] > 0
    return bench


def in_force(bench: Workbench) -> Path:
    pointer = json.loads((bench.state / "bundles" / "equities_xs" / "current.json").read_text())
    return Path(bench.state / "bundles" / "equities_xs" / pointer["folder"])


def red(store: Published, bench: Workbench, asof: date) -> None:
    republish(store, asof, SessionStatus.RED)


def not_delivered(store: Published, bench: Workbench, asof: date) -> None:
    shutil.rmtree(store.root / "data")


def damaged_on_the_way(store: Published, bench: Workbench, asof: date) -> None:
    republish(store, SessionStatus.GREEN)
    newest = sorted((store.root / "data" / "bars").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-100])


@pytest.mark.parametrize("spoil", [red, not_delivered, damaged_on_the_way])
def test_no_order_leaves_on_data_that_is_red_or_absent(make: Make, own_store: Published, spoil: Spoil) -> None:
    """I7: and the session before, on good data, did trade."""
    bench, day = trading(make, own_store), own_store.sessions(2)[1]
    spoil(own_store, bench, own_store.manifest.calendar.previous(day))
    bench("run-day", "--session", str(day))
    assert bench.rows(POSTED, str(day)) == [(0,)]
    for job in ("score", "plan", "trade"):  # not by hand either
        assert bench(job, "--session", str(day)).code != 0
    assert bench.rows(POSTED, str(day)) == [(0,)]


def changed(store: Published, bench: Workbench, asof: date) -> None:
    path = in_force(bench) / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def unsigned(store: Published, bench: Workbench, asof: date) -> None:
    (in_force(bench) / "manifest.sig").unlink()


def replaced_by_an_older_one(store: Published, bench: Workbench, asof: date) -> None:
    """A newer bundle is in force; where it lay there lies the older one now, whole and signed."""
    older = in_force(bench)
    publish_bundle(store.root, recipe(store.root / "data", store.last_training, seq=2))
    assert bench("pull", "--session", str(store.manifest.calendar.next(asof))).code == 0
    newer = in_force(bench)
    assert newer.name.startswith("2-")
    shutil.rmtree(newer)
    shutil.copytree(older, newer)


@pytest.mark.parametrize("spoil", [changed, unsigned, replaced_by_an_older_one])
def test_no_order_leaves_on_a_bundle_in_force_that_is_not_what_was_verified(make: Make, own_store: Published, spoil: Spoil) -> None:
    """I10: what lies on the device's own disk is verified again by every job that uses it."""
    bench, day = trading(make, own_store), own_store.sessions(2)[1]
    spoil(own_store, bench, own_store.manifest.calendar.previous(day))
    for folder in (own_store.bundles).iterdir():  # nothing newer or whole is to be had
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    bench("run-day", "--session", str(day))
    assert bench.rows(POSTED, str(day)) == [(0,)]
    for job in ("score", "plan", "trade"):
        assert bench(job, "--session", str(day)).code != 0
    assert bench.rows(POSTED, str(day)) == [(0,)]


def test_a_store_that_offers_an_older_bundle_again_changes_nothing_and_the_newer_one_trades(make: Make, own_store: Published) -> None:
    """I10: every order of the session names the newer bundle."""
    bench, day = make(own_store), own_store.sessions(1)[0]
    latest = own_store.bundles / "latest.json"
    older = latest.read_bytes()
    publish_bundle(own_store.root, recipe(own_store.root / "data", own_store.last_training, seq=2))
    assert bench("pull", "--session", str(day)).code == 0
    newer = in_force(bench)
    latest.write_bytes(older)
    assert bench("arm", "--session", str(own_store.sessions(2)[1]), "--yes").code == 0
    second = str(own_store.sessions(2)[1])
    assert bench("run-day", "--session", second).code == 0
    assert in_force(bench) == newer
    made_by = bench.rows("SELECT DISTINCT p.bundle_sha256 FROM intents i JOIN plans p ON p.session = i.session WHERE i.posts > 0")
    pointer = json.loads((bench.state / "bundles" / "equities_xs" / "current.json").read_text())
    assert (made_by, pointer["seq"]) == ([(pointer["sha256"],)], 2)
