"""Each way to enter the market, through a whole session on the embedded exchange: sent, filled, booked, agreed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import yaml

from signals.market.sessions import NEW_YORK
from tests.fakes.device import Done, Workbench
from tests.fakes.store import Published, publish_bundle, recipe

Make = Callable[..., Workbench]
STEPS = 4
LEARNED = {"opg": "opg", "cls": "cls", "twap": "day", "almgren_chriss": "day", "least_cost": "day"}
TRADED_IN = {"cls": ["trade"], "twap": ["trade", "trade_2", "trade_3", "trade_4"]}
TRADED_IN |= dict.fromkeys(("almgren_chriss", "least_cost"), TRADED_IN["twap"])


def entering(make: Make, store: Published, kind: str, name: str = "device", **exchange: Any) -> Workbench:
    """A device that enters as `kind`, with a bundle that was learned for it in its store."""
    if LEARNED[kind] != "opg":
        publish_bundle(store.root, recipe(store.root / "data", store.last_training, 2).but(entry=LEARNED[kind]))
    bench = make(store, name)
    path = bench.state / "config.yml"
    known = yaml.safe_load(path.read_text())
    known.setdefault("execution", {})["entry"] = {"kind": kind, "steps": STEPS}
    known.setdefault("venue", {}).setdefault("exchange", {}).update(exchange)
    path.write_text(yaml.safe_dump(known))
    return bench


def day_of(bench: Workbench, store: Published) -> Done:
    day = str(store.sessions(1)[0])
    assert bench("arm", "--session", day, "--yes").code == 0
    return bench("run-day", "--session", day, "--json")


def agreed(bench: Workbench) -> None:
    """Ledger and exchange agreed at the close: cash is the starting cash and every fill, positions every fill's sum."""
    cash = Decimal(bench.rows("SELECT cash FROM accounts WHERE phase = 'close'")[0][0])
    booked = bench.rows("SELECT symbol, side, quantity, price FROM fills")
    traded = sum((Decimal(q) * Decimal(p) * (-1 if side == "buy" else 1)).quantize(Decimal("0.01")) for _, side, q, p in booked)
    assert cash == 100_000 + traded
    held: dict[str, Decimal] = {}
    for symbol, side, quantity, _ in booked:
        held[symbol] = held.get(symbol, Decimal(0)) + Decimal(quantity) * (1 if side == "buy" else -1)
    kept = bench.rows("SELECT symbol, quantity FROM positions WHERE phase = 'close'")
    assert {s: Decimal(q) for s, q in kept} == {s: q for s, q in held.items() if q != 0}


def conserved(bench: Workbench) -> None:
    """No order that left asks for more than its planned one, and all that filled fits the frozen plan."""
    (body,) = (json.loads(row[0]) for row in bench.rows("SELECT body FROM plans"))
    assert body["intents"]
    sent = bench.rows("SELECT symbol, slice, SUM(CAST(filled_quantity AS REAL)) FROM intents GROUP BY symbol, slice")
    first = {
        (symbol, slice_): Decimal(quantity)
        for symbol, slice_, quantity in bench.rows("SELECT symbol, slice, quantity FROM intents WHERE attempt = 0")
    }
    assert len(first) == len(body["intents"])
    assert all(filled <= first[symbol, slice_] for symbol, slice_, filled in sent)


@pytest.mark.parametrize("kind", ["cls", "twap", "almgren_chriss", "least_cost"])
def test_a_session_of_each_entry_is_sent_filled_and_agreed(make: Make, own_store: Published, kind: str) -> None:
    bench = entering(make, own_store, kind)
    done = day_of(bench, own_store)
    assert done.code == 0, done.out + done.err
    jobs = {job["job"]: job["status"] for job in done.json["jobs"]}
    assert set(jobs.values()) == {"done"}
    assert [job for job in jobs if job.startswith("trade")] == TRADED_IN[kind]
    rows = bench.rows("SELECT job, COUNT(*) FROM job_runs GROUP BY job")
    assert {count for _, count in rows} == {1} and {job for job, _ in rows} == set(jobs)
    states = {state for (state,) in bench.rows("SELECT DISTINCT state FROM intents")}
    assert states == {"filled"}
    assert len(bench.rows("SELECT 1 FROM intents")) > 10 * len(TRADED_IN[kind])
    agreed(bench)
    conserved(bench)


def test_steps_leave_at_their_hours_and_the_close_is_entered_before_its_cut(make: Make, own_store: Published) -> None:
    """15 minutes after the open to 35 before the close in four steps: 9:45, 11:38:20, 13:31:40 and 15:25."""
    bench = entering(make, own_store, "twap")
    assert day_of(bench, own_store).code == 0
    sent = bench.rows("SELECT DISTINCT i.slice, b.submitted_at FROM intents i JOIN broker_orders b USING (client_order_id)")
    hours: dict[int, set[str]] = {}
    for slice_, at in sent:
        moment = datetime.fromisoformat(at).replace(tzinfo=UTC) if "+" not in at else datetime.fromisoformat(at)
        hours.setdefault(slice_, set()).add(f"{moment.astimezone(NEW_YORK):%H:%M}")
    assert [sorted(hours[s])[0] for s in sorted(hours)] == ["09:45", "11:38", "13:31", "15:25"]


@pytest.mark.parametrize(("kind", "learned"), [("cls", "opg"), ("twap", "opg")])
def test_a_bundle_learned_for_another_entry_is_refused_in_one_sentence(make: Make, own_store: Published, kind: str, learned: str) -> None:
    bench = make(own_store)
    path = bench.state / "config.yml"
    known = yaml.safe_load(path.read_text())
    known.setdefault("execution", {})["entry"] = {"kind": kind}
    path.write_text(yaml.safe_dump(known))
    day = str(own_store.sessions(1)[0])
    done = bench("pull", "--session", day)
    assert f"learned for entry '{learned}'; this device trades '{LEARNED[kind]}'" in done.out + done.err
    assert "Traceback" not in done.out + done.err


@pytest.mark.slow
def test_a_replay_of_several_sessions_ends_agreed_every_day(make: Make, own_store: Published) -> None:
    like = entering(make, own_store, "twap", "like")
    days = own_store.sessions(2)
    bench = Workbench(like.state.parent / "replayed")
    done = bench("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    assert (done.json["sessions"], done.json["skipped"], done.json["halted"]) == (2, [], "")
    assert {count for (count,) in bench.rows("SELECT COUNT(*) FROM job_runs GROUP BY session, job")} == {1}
    conserving = bench.rows("SELECT session, symbol, slice, COUNT(*) FROM intents WHERE attempt = 0 GROUP BY 1, 2, 3 HAVING COUNT(*) > 1")
    assert conserving == []
