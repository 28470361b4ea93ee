"""Pruning removes caches and old copies, never what is in force and never the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, time
from pathlib import Path

import pytest

from appliance.context import Deps
from appliance.jobs.prune import BUNDLES_KEPT, EVENINGS_KEPT, prune
from appliance.ledger import Ledger
from appliance.market.snapshot import DataSnapshot
from appliance.market.vendor_record import VendorRecord, damaged_records, read_snapshot, store_record, store_snapshot
from appliance.system.clock import VirtualClock
from appliance.system.state_folder import DurableFs
from signals.alerts.alert import LINES_KEPT
from signals.market.manifest import PriceBasis
from tests.fakes.broker import FakeBroker, Inbox, deps_of, weekdays

CALENDAR = weekdays(date(2024, 3, 4), 15)
D = date(2024, 3, 12)


@pytest.fixture
def deps(tmp_path: Path) -> Iterator[Deps]:
    clock = VirtualClock(CALENDAR.session(D).at(time(16, 45)))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        yield deps_of(tmp_path, FakeBroker(clock, CALENDAR, {}), clock, CALENDAR, DurableFs(), ledger, Inbox())  # type: ignore[arg-type]


def bundles(store: Path, numbers: range, in_force: int | None) -> None:
    for number in numbers:
        (store / f"{number}-abc").mkdir(parents=True)
        (store / f"{number}-abc" / "model.onnx").write_bytes(b"x" * 1_000)
    if in_force is not None:
        (store / "current.json").write_text(json.dumps({"seq": in_force, "folder": f"{in_force}-abc"}))


def left(store: Path) -> list[int]:
    return sorted(int(path.name.split("-")[0]) for path in store.glob("*-abc"))


def test_the_newest_bundles_and_the_one_in_force_stay_in_every_store(deps: Deps) -> None:
    home = deps.folder.bundles / "equities_xs"
    bundles(home, range(1, 13), in_force=2)
    bundles(home / "shadow", range(1, 8), in_force=7)
    report = prune(D, deps)
    assert left(home) == [2, *range(13 - BUNDLES_KEPT, 13)]
    assert left(home / "shadow") == [3, 4, 5, 6, 7]
    assert report.figures["bytes"] == 8_000 and len(report.figures["bundles"]) == 8


def test_what_the_model_read_is_kept_for_a_year_of_evenings(deps: Deps) -> None:
    """Three evenings too many: the three oldest go."""
    deps.folder.features.mkdir()
    evenings = [date.fromordinal(738_000 + i) for i in range(EVENINGS_KEPT + 3)]
    for day in evenings:
        (deps.folder.features / f"{day}_equities_xs.json").write_text("{}")
    prune(D, deps)
    kept = sorted(path.name[:10] for path in deps.folder.features.iterdir())
    assert kept == [str(day) for day in evenings[3:]]


def test_what_a_vendor_told_is_kept_for_as_many_sessions(deps: Deps) -> None:
    """Two files a session, two sessions too many: the four files of the two oldest go."""
    deps.folder.completed.mkdir()
    days = [date.fromordinal(738_000 + i) for i in range(EVENINGS_KEPT + 2)]
    for day in days:
        for kind in ("told", "snapshot"):
            (deps.folder.completed / f"{day}_{kind}_0123456789ab.json").write_text("{}")
    assert prune(D, deps).figures["bytes"] == 4 * len("{}")
    assert sorted({path.name[:10] for path in deps.folder.completed.iterdir()}) == [str(day) for day in days[2:]]


def test_a_record_stays_as_long_as_an_evening_that_stood_on_it(deps: Deps) -> None:
    """Each evening stood on the ten sessions up to it: the oldest evening kept needs nine sessions before its own."""
    folder = deps.folder.completed
    days = [date.fromordinal(738_000 + i) for i in range(EVENINGS_KEPT + 20)]
    told = [store_record(deps.fs, folder, VendorRecord(day, (), ())) for day in days]
    base = DataSnapshot("a" * 64, "market", 1, PriceBasis.RAW, "unknown", days[0])
    stood_on = [replace(base, completed=tuple(told[max(0, at - 9) : at + 1])) for at in range(len(days))]
    for day, snapshot in zip(days, stood_on, strict=True):
        store_snapshot(deps.fs, folder, day, snapshot)
    prune(D, deps)
    assert read_snapshot(folder, days[19], stood_on[19].id) is None
    assert read_snapshot(folder, days[20], stood_on[20].id) == ("a" * 64, list(stood_on[20].completed))
    assert damaged_records(folder, stood_on[20].completed) == ()
    assert len(damaged_records(folder, told)) == 11  # what nobody stands on any more is gone


def test_where_nothing_says_what_is_in_force_nothing_is_old(deps: Deps) -> None:
    bundles(deps.folder.bundles, range(1, 13), in_force=None)
    (deps.folder.bundles / "current.json").write_text("not json")
    assert prune(D, deps).figures["bundles"] == [] and left(deps.folder.bundles) == list(range(1, 13))


def test_unverified_downloads_go_and_a_long_copy_of_alerts_is_shortened(deps: Deps) -> None:
    deps.folder.incoming.mkdir()
    (deps.folder.incoming / "part").write_bytes(b"x")
    deps.folder.alerts.write_text("".join(f"{n}\n" for n in range(2 * LINES_KEPT + 1)))
    report = prune(D, deps)
    lines = deps.folder.alerts.read_text().splitlines()
    assert not deps.folder.incoming.exists() and report.figures["lines"] == LINES_KEPT + 1
    assert (len(lines), lines[0], lines[-1]) == (LINES_KEPT, str(LINES_KEPT + 1), str(2 * LINES_KEPT))
    assert prune(D, deps).figures["lines"] == 0
