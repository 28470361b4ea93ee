"""What only a person may do: end a REDUCE, accept a break, rebuild a ledger, go back a bundle, acknowledge a halt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import apsw
import pytest

from appliance.system.state_folder import StateFolder, exclusive
from signals.bundle import RollbackGrant
from tests.fakes import bundles
from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_bundle, recipe

Make = Callable[..., Workbench]


def armed(make: Make, store: Published, days: int, name: str = "device") -> Workbench:
    """A device that has run the first sessions."""
    bench = make(store, name)
    sessions = [str(day) for day in store.sessions(days)]
    assert bench("arm", "--session", sessions[0], "--yes").code == 0
    for day in sessions:
        done = bench("run-day", "--session", day)
        assert done.code == 0, done.out
    return bench


def set_limit(bench: Workbench, name: str, value: str) -> None:
    config = bench.state / "config.yml"
    lines = config.read_text().splitlines()
    assert any(line.strip().startswith(f"{name}:") for line in lines)
    config.write_text("\n".join(f"  {name}: {value}" if x.strip().startswith(f"{name}:") else x for x in lines) + "\n")


def test_a_reduction_lasts_until_a_person_ends_it_and_no_limit_is_loosened_meanwhile(make: Make, published: Published) -> None:
    """C7 for what is halted or reduced; a limit below nothing trips on the first value there is."""
    second, third, fourth = (str(day) for day in published.sessions(4)[1:])
    bench = armed(make, published, 1)
    set_limit(bench, "reduce_drawdown", "-1.0")
    assert bench("run-day", "--session", second).code == 0
    assert bench.rows("SELECT count(*) FROM intents WHERE session = ? AND reduces = 0", second) == [(0,)]
    set_limit(bench, "reduce_drawdown", "0.1")
    assert bench("run-day", "--session", third).code == 0
    assert bench.rows("SELECT count(*) FROM intents WHERE session = ? AND reduces = 0", third) == [(0,)]
    status = bench("status", "--json")
    assert status.code == 1 and "DRAWDOWN lets only orders leave" in status.json["reasons"][0]
    ((halt_id,),) = bench.rows("SELECT id FROM halts WHERE action = 'reduce'")
    refused = bench("rearm", "--halt-id", halt_id, "--reason", "fine", "--yes")
    assert refused.code == 2 and "reduce_drawdown from -1 to 0.1" in refused.err
    set_limit(bench, "reduce_drawdown", "-1.0")
    done = bench("rearm", "--halt-id", halt_id, "--reason", "looked at the report", "--yes")
    assert done.code == 0 and "The REDUCE by DRAWDOWN has ended" in done.out
    assert bench.rows("SELECT reason FROM halts WHERE id = ?", halt_id) == [("looked at the report",)]
    assert bench("rearm", "--halt-id", halt_id, "--reason", "again", "--yes").code == 2
    set_limit(bench, "reduce_drawdown", "0.1")  # nothing stands any more: a person may
    assert bench("run-day", "--session", fourth).code == 0
    assert bench.rows("SELECT count(*) FROM intents WHERE session = ? AND reduces = 0", fourth)[0][0] > 0


def test_a_limit_loosened_while_halted_keeps_the_latch_closed(make: Make, published: Published) -> None:
    """C7."""
    bench = armed(make, published, 1)
    assert bench("halt", "--reason", "a test").code == 0
    halt_id = bench("status", "--json").json["halt_id"]
    set_limit(bench, "max_turnover", "0.9")
    refused = bench("rearm", "--halt-id", halt_id, "--reason", "over", "--yes")
    assert refused.code == 2 and "max_turnover from 0.35 to 0.9" in refused.err
    set_limit(bench, "max_turnover", "0.2")
    assert bench("rearm", "--halt-id", halt_id, "--reason", "over", "--yes").code == 0


def test_a_break_that_is_understood_is_accepted_and_the_latch_stays_closed(
    make: Make, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = armed(make, published, 1)
    day = str(published.sessions(2)[1])
    assert bench("accept", "--session", day, "--reason", "x", "--yes").code == 2  # armed: nothing to accept
    ledger = apsw.Connection(str(bench.state / "ledger.sqlite"))
    ledger.execute("UPDATE accounts SET cash = CAST(cash AS REAL) + 100")
    ledger.close()
    assert bench("reconcile", "--session", day).code == 4
    shown = bench("reconciliation").out  # where a person looks for what differs
    assert "the ledger and the broker disagree: cash" in shown
    halt_id = bench("status", "--json").json["halt_id"]
    assert bench("rearm", "--halt-id", halt_id, "--reason", "over", "--yes").code == 4
    assert bench("accept", "--session", day, "--reason", " ", "--yes").code == 2
    monkeypatch.setattr("typer.prompt", lambda *_, **__: "yes")
    assert bench("accept", "--session", day, "--reason", "100 USD were paid out").code == 2
    assert bench("rearm", "--halt-id", halt_id, "--reason", "over", "--yes").code == 4
    done = bench("accept", "--session", day, "--reason", "100 USD were paid out", "--yes", "--json")
    assert done.code == 0 and done.json["positions"] > 0
    assert bench("status").code == 2
    ((said,),) = bench.rows("SELECT value FROM meta WHERE key LIKE 'accepted_by_hand%'")
    assert said.endswith(": 100 USD were paid out")
    assert bench("rearm", "--halt-id", halt_id, "--reason", "over", "--yes").code == 0


@pytest.mark.parametrize(
    "change",
    ["state = 'canceled', filled_quantity = '0'", "state = 'acked', broker_order_id = 'nobody', filled_quantity = '0'"],
    ids=["ended with nothing", "under another id"],
)
def test_an_order_that_the_broker_has_otherwise_is_settled_by_the_runbook_s_words(make: Make, published: Published, change: str) -> None:
    """`accept` with the session of the break, then `rearm`, on that session."""
    bench = armed(make, published, 1)
    day, following = (str(session) for session in published.sessions(2))
    ledger = apsw.Connection(str(bench.state / "ledger.sqlite"))
    one = "(SELECT client_order_id FROM intents WHERE state = 'filled' LIMIT 1)"
    ledger.execute(f"UPDATE intents SET {change} WHERE client_order_id = {one}")
    assert ledger.changes() == 1
    ledger.close()
    assert bench("reconcile", "--session", following).code == 4
    halt_id = bench("status", "--json").json["halt_id"]
    assert bench("rearm", "--halt-id", halt_id, "--reason", "over", "--yes").code == 4
    done = bench("accept", "--session", day, "--reason", "looked at the order there", "--yes", "--json")
    assert done.code == 0 and done.json["known"] == []
    assert bench("rearm", "--halt-id", halt_id, "--reason", "over", "--yes").code == 0
    assert bench.rows("SELECT count(*) FROM intents WHERE state = 'filled' AND filled_quantity = '0'") == [(0,)]


def test_a_lost_ledger_is_rebuilt_from_the_broker_and_ends_halted(make: Make, published: Published) -> None:
    bench = armed(make, published, 2)
    first, _, third = published.sessions(3)
    before = bench.rows("SELECT symbol, quantity FROM positions WHERE phase = 'close' ORDER BY session DESC, symbol")
    arguments = ("rebuild", "--session", str(third), "--since", str(first), "--yes")
    assert bench(*arguments).code == 2  # it is not lost
    for path in bench.state.glob("ledger.sqlite*"):
        path.unlink()
    done = bench(*arguments, "--json")
    assert done.code == 0 and done.json["latch"] == "halted", done.err
    held = bench.rows("SELECT symbol, quantity FROM positions ORDER BY symbol")
    assert held == before[: len(held)] and len(held) == done.json["positions"] > 0
    assert bench.rows("SELECT name FROM halts") == [("LEDGER_REBUILT",)]
    assert bench("run-day", "--session", str(third)).code == 4
    assert bench("rearm", "--halt-id", done.json["halt_id"], "--reason", "looked at it", "--yes").code == 0
    assert bench("run-day", "--session", str(third)).code == 0


def test_a_grant_of_the_root_leads_back_to_an_older_bundle(
    make: Make, own_store: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = armed(make, own_store, 1)
    older = bench("status", "--json").json["bundle"]
    publish_bundle(own_store.root, recipe(own_store.root / "data", own_store.last_training, seq=2))
    day = own_store.sessions(2)[1]
    assert bench("pull", "--session", str(day)).code == 0
    assert bench("status", "--json").json["bundle"].startswith("2-")
    grant = RollbackGrant(bundle_id=older.split("-")[1], seq=1, high_water_seq=2, valid_until=date(2026, 1, 1), reason="worse than before")
    file = tmp_path / "grant.json"
    assert bench("rollback-bundle", "--grant", str(file), "--yes").code == 2  # there is no such file
    file.write_bytes(bundles.grant_file(grant.model_copy(update={"high_water_seq": 7})))
    assert bench("rollback-bundle", "--grant", str(file), "--yes").code == 6
    assert bench("status", "--json").json["bundle"].startswith("2-")
    file.write_bytes(bundles.grant_file(grant))
    done = bench("rollback-bundle", "--grant", str(file), "--yes", "--json")
    assert done.code == 0 and done.json["in_force"] == older
    assert bench("status", "--json").json["bundle"] == older
    assert ("an older bundle is in force",) in bench.rows("SELECT title FROM alerts")
    shutil.rmtree(bench.state / "bundles" / "equities_xs" / done.json["in_force"])  # lost since: it is fetched again

    def typed(*_: object, **__: object) -> str:
        with exclusive(StateFolder(bench.state)):  # nobody holds it at the prompt
            return "ROLLBACK"

    monkeypatch.setattr("typer.prompt", typed)
    assert bench("rollback-bundle", "--grant", str(file)).code == 0


def test_a_halt_is_acknowledged_without_opening_anything(make: Make, published: Published) -> None:
    bench = armed(make, published, 1)
    assert bench("acknowledge").code == 2
    bench("halt", "--reason", "a test")
    done = bench("acknowledge", "--json")
    assert done.code == 0 and done.json["halt_id"] == bench("status", "--json").json["halt_id"]
    assert bench("status").code == 2
    assert "acknowledged_by" in bench.rows("SELECT details FROM halts")[0][0]


@pytest.mark.slow
def test_two_replays_of_a_range_give_the_same_reports_to_the_byte(published: Published, tmp_path: Path) -> None:
    """Neither the folder nor the disk of the machine enters a report."""
    first, *_, last = published.sessions(3)
    found = []
    for name in ("one", "another-folder"):
        bench = Workbench(tmp_path / name)
        done = bench(
            "replay",
            "--store",
            str(published.root),
            "--trust",
            str(published.trust),
            "--fixed-ic",
            "0.05",
            "--start",
            str(first),
            "--end",
            str(last),
            "--json",
        )
        assert done.code == 0, done.err
        found.append({p.name: p.read_bytes() for p in (bench.state / "reports").iterdir()})
    assert found[0] == found[1] and len(found[0]) == 7
    text = found[0][f"report_{last}.md"].decode()
    assert "a replay asks no machine" in text and "Controls exercised in a dry run: " in text


@pytest.mark.slow
def test_the_limits_are_run_over_a_recorded_history(published: Published, tmp_path: Path) -> None:
    """C4: quiet limits pass; one that stops a gaining book for nothing again and again fails the check."""
    first, *_, last = published.sessions(4)
    bench = Workbench(tmp_path / "history")
    bench(
        "replay",
        "--store",
        str(published.root),
        "--trust",
        str(published.trust),
        "--fixed-ic",
        "0.05",
        "--start",
        str(first),
        "--end",
        str(last),
    )
    done = bench("tripwire-backtest", "--json")
    assert done.code == 0 and done.json["offending"] == []
    (found,) = done.json["histories"]
    assert found["sessions"] == 4 and {"DRAWDOWN", "TURNOVER"} <= {row["name"] for row in found["rows"]}
    set_limit(bench, "max_turnover", "0.0001")
    tight = bench("tripwire-backtest", "--json")
    row = next(r for r in tight.json["histories"][0]["rows"] if r["name"] == "TURNOVER")
    assert len(row["stops"]) == 1 and row["stops"][0]["first"] == str(first)
    assert "history" in bench("tripwire-backtest").out
