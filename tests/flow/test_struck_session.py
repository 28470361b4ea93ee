"""An unscheduled closure, from the frozen plan of the struck session to the orders of the session after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pyarrow.compute as pc
import pyarrow.parquet as pq

from signals.files import sha256_of
from signals.market.dataset import read_manifest
from signals.market.manifest import FileRole, Manifest
from signals.market.sessions import Calendar
from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_version

DAY = ("pull", "score", "reconcile_morning", "plan", "trade", "confirm", "reconcile_close", "report", "heartbeat", "prune", "backup")


def strike(store: Published, day: date, *, is_today: bool = False) -> None:
    """Publish the next version, whose calendar, bars and audits lack `day`; nothing after it either where that is today."""
    data, old, files = store.root / "data", store.manifest, []
    for record in old.files:
        if record.role is FileRole.BARS:
            table = pq.read_table(data / record.path)
            kept = table.filter((pc.less if is_today else pc.not_equal)(table.column("session"), day))
            if kept.num_rows < table.num_rows:
                pq.write_table(kept, data / record.path)
                content = (data / record.path).read_bytes()
                record = replace(record, sha256=sha256_of(content), size=len(content), rows=kept.num_rows)
        files.append(record)
    calendar = Calendar(old.calendar.name, tuple(one for one in old.calendar.sessions if one.day != day))
    audits = tuple(one for one in old.audits if (one.session < day if is_today else one.session != day))
    version = replace(old, version=old.version + 1, calendar=calendar, audits=audits, files=tuple(files), last=audits[-1].session)
    publish_version(data, version)


def test_a_session_that_is_struck_after_its_plan_was_frozen_stops_nothing_for_good(
    make: Callable[..., Workbench], own_store: Published
) -> None:
    """D is not traded and says what to publish; with that the device plans and trades D+1, one step further up the ramp."""
    before, struck, after = own_store.sessions(3)
    bench = make(own_store)
    assert bench("arm", "--session", str(before), "--yes").code == 0
    assert bench("run-day", "--session", str(before)).code == 0
    for name in ("pull", "score", "reconcile", "plan"):
        assert bench(name, "--session", str(struck)).code == 0
    planned = bench.rows("SELECT count(*) FROM intents WHERE session = ?", str(struck))
    strike(own_store, struck)
    done = bench("trade", "--session", str(struck))
    assert done.code == 3 and "Publish a dataset with the new calendar" in done.out
    for name in ("confirm", "reconcile", "report"):
        bench(name, "--session", str(struck))
    first = bench("pull", "--session", str(after))
    assert first.code == 5 and f"{struck} is not the session before {after}" in first.err
    ended = bench("run-day", "--session", str(after), "--json")
    assert {row["job"]: row["status"] for row in ended.json["jobs"]} == dict.fromkeys(DAY, "done"), ended.out
    assert bench.rows("SELECT count(*), max(posts) FROM intents WHERE session = ?", str(struck)) == [(*planned[0], 0)]
    filled = bench.rows("SELECT count(*) FROM intents WHERE session = ? AND state = 'filled'", str(after))
    assert filled[0][0] > 10
    assert bench.rows("SELECT DISTINCT substr(state, 1, 6) FROM intents WHERE session = ?", str(struck)) == [("denied",)]
    ((ramp,),) = bench.rows("SELECT json_extract(figures, '$.ramp') FROM job_runs WHERE job = 'plan' AND session = ?", str(after))
    assert ramp == bench.rows("SELECT json_extract(figures, '$.ramp') FROM job_runs WHERE job = 'plan' AND session = ?", str(struck))[0][0]
    assert bench("status").code == 0


def test_the_new_calendar_is_taken_over_before_bars_of_the_struck_session_are_waited_for(
    make: Callable[..., Workbench], own_store: Published
) -> None:
    """The dataset of the evening ends before D, and by the calendar that the device has it lacks bars."""
    before, struck, after = own_store.sessions(3)
    bench = make(own_store)
    assert bench("pull", "--session", str(before)).code == 0
    ours = read_manifest(own_store.root / "data").calendar
    strike(own_store, struck, is_today=True)
    done = bench("pull", "--session", str(after))
    assert done.code == 5 and f"{struck} is not the session before {after}" in done.err
    theirs = Manifest.from_bytes((bench.state / "dataset.json").read_bytes(), where="").calendar
    assert (ours.is_session(struck), theirs.is_session(struck), theirs.is_session(after)) == (True, False, True)
