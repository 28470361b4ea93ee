"""The kill switch from the command line and from a file, and the only way back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from appliance.commands import halt_and_rearm
from appliance.controls.tripwires import TripwireAction
from appliance.ledger import AccessMode, Ledger, halts, snapshots
from appliance.system.state_folder import StateFolder, exclusive
from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]


@pytest.fixture
def trading(make: Make, published: Published) -> tuple[Workbench, date, date]:
    """A device whose orders of D are at the broker and not filled yet."""
    day, following = published.sessions(2)
    bench = make(published)
    assert bench("arm", "--session", str(day), "--yes").code == 0
    assert bench("trade", "--session", str(day)).code == 0
    assert bench.rows("SELECT count(*) FROM intents WHERE state = 'working'")[0][0] > 10
    return bench, day, following


def halt_id(bench: Workbench) -> str:
    found: str = bench("status", "--json").json["halt_id"]
    return found


def test_a_halt_cancels_working_orders_and_sends_nothing_more(trading: tuple[Workbench, date, date]) -> None:
    bench, day, following = trading
    posts = bench.rows("SELECT sum(posts) FROM intents")
    done = bench("halt", "--reason", "the cat is on the keyboard")
    assert done.code == 0 and "cancelled" in done.out
    status = bench("status", "--json")
    assert status.code == 2 and "the cat is on the keyboard" in status.json["latch"]
    assert bench("confirm", "--session", str(day)).code == 0
    assert bench.rows("SELECT DISTINCT state FROM intents WHERE posts > 0") == [("canceled",)]
    assert bench("reconcile", "--session", str(day)).code == 0
    assert bench.rows("SELECT count(*) FROM fills") == [(0,)]
    for command in ("pull", "score", "reconcile", "plan"):
        assert bench(command, "--session", str(following)).code == 0
    assert bench("trade", "--session", str(following)).code == 4
    assert bench.rows("SELECT sum(posts) FROM intents") == posts


def test_the_record_of_a_halt_says_what_was_cancelled_and_who_was_told(trading: tuple[Workbench, date, date]) -> None:
    """C3."""
    bench, *_ = trading
    bench("halt", "--reason", "a test")
    found = bench("halts", "--json").json["rows"][0]
    assert (found["name"], found["value"], found["rearmed_by"]) == ("MANUAL", "a test", None)
    details = bench.rows("SELECT details FROM halts")[0][0]
    assert '"cancel": "cancelled"' in details and '"notified": true' in details
    alerts = bench("alerts", "--json").json["rows"]
    assert alerts[0]["severity"] == "page" and "appliance rearm --halt-id" in alerts[0]["body"]
    assert (bench.state / "alerts.jsonl").read_text().count("\n") == 1
    record = json.loads(details)
    assert len(record["orders"]) > 10 and set(record["orders"].values()) == {"working"}
    assert record["limits"]["halt_drawdown"] == 0.15 and len(record["config_hash"]) == 64
    assert len(record["inputs_sha256"]) == 64 and record["code_version"].startswith("0.1.0+")


def test_a_tripwire_s_halt_keeps_its_figure_its_limit_and_the_plan(make: Make, published: Published) -> None:
    """C3: nothing left over of the day would change the verdict."""
    first, second = (str(day) for day in published.sessions(2))
    bench = make(published, "loss")
    assert bench("arm", "--session", first, "--yes").code == 0
    assert bench("run-day", "--session", first).code == 0
    config = bench.state / "config.yml"
    config.write_text(config.read_text().replace("halt_drawdown: 0.15", "halt_drawdown: -1.0"))
    assert bench("run-day", "--session", second).code == 4
    ((name, threshold, details),) = bench.rows("SELECT name, threshold, details FROM halts WHERE action = 'halt'")
    record = json.loads(details)
    assert (name, threshold) == ("DRAWDOWN_HALT", "-1")
    assert float(record["measured"]["DRAWDOWN_HALT"]) >= 0 and record["session"] == second
    assert len(record["positions"]) > 10 and record["cancel"] == "cancelled" and record["notified"] is True


def test_a_file_named_halt_halts_before_the_next_job(trading: tuple[Workbench, date, date]) -> None:
    bench, day, _ = trading
    (bench.state / "HALT").write_text("pulled the plug\n")
    assert bench("confirm", "--session", str(day)).code == 0
    status = bench("status", "--json")
    assert status.code == 2 and "pulled the plug" in status.json["latch"]
    assert not (bench.state / "HALT").exists()
    assert bench.rows("SELECT DISTINCT state FROM intents WHERE posts > 0") == [("canceled",)]


def test_only_the_right_id_a_reason_and_the_typed_word_open_the_latch(
    trading: tuple[Workbench, date, date], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C2."""
    bench, day, following = trading
    bench("halt", "--reason", "a test")
    right = halt_id(bench)
    assert bench("arm", "--yes").code == 2
    assert bench("rearm", "--halt-id", "00000000", "--reason", "over", "--yes").code == 2
    assert bench("rearm", "--halt-id", right, "--reason", " ", "--yes").code == 2
    monkeypatch.setattr("typer.prompt", lambda *_, **__: "yes")
    assert bench("rearm", "--halt-id", right, "--reason", "over").code == 2
    assert bench("status").code == 2
    monkeypatch.setattr("typer.prompt", lambda *_, **__: "REARM")
    done = bench("rearm", "--halt-id", right, "--reason", "it was a test")
    assert done.code == 0 and "both books agree" in done.out
    row = bench("halts", "--json").json["rows"][0]
    assert row["reason"] == "it was a test" and row["rearmed_by"]
    assert bench("confirm", "--session", str(day)).code == 0
    assert bench("run-day", "--session", str(following)).code == 0


def test_an_unclean_reconcile_keeps_the_latch_closed(trading: tuple[Workbench, date, date], monkeypatch: pytest.MonkeyPatch) -> None:
    from signals.errors import ReconBreak

    bench, *_ = trading
    bench("halt", "--reason", "a test")

    def broken(*_: object) -> None:
        raise ReconBreak("10 shares of GABC are at the broker and in no book")

    monkeypatch.setattr("appliance.orders.reconciliation.agree", broken)
    monkeypatch.setattr("appliance.jobs.reconcile.agree", broken)
    done = bench("rearm", "--halt-id", halt_id(bench), "--reason", "over", "--yes")
    assert done.code == 4 and "10 shares of GABC" in done.err
    assert bench("status").code == 2


def reduction(bench: Workbench, name: str) -> None:
    """A lasting REDUCE in force, as a tripwire records it."""
    row = halts.HaltRow(name, datetime(2024, 1, 2, tzinfo=UTC), "DAILY_LOSS", "a loss", "0.04", "0.03", None, TripwireAction.REDUCE.value)
    with Ledger(bench.state / "ledger.sqlite", AccessMode.WRITE) as ledger:
        halts.add(ledger, row)


def test_a_person_rearms_another_margin_multiplier_with_the_halt(
    trading: tuple[Workbench, date, date], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the account has now is named at the prompt, and is what it has to be from then on."""
    bench, *_ = trading
    with Ledger(bench.state / "ledger.sqlite", AccessMode.WRITE) as ledger:
        had = snapshots.accepted(ledger)
        snapshots.accept_multiplier(ledger, Decimal(4))
    assert had is not None and had.multiplier == 2
    bench("halt", "--reason", "ACCOUNT")
    asked: list[str] = []
    monkeypatch.setattr("typer.prompt", lambda text, **_: asked.append(text) or "REARM")
    assert bench("rearm", "--halt-id", halt_id(bench), "--reason", "the broker's page says so").code == 0
    assert "open the latch and accept 2 for 4 as the account's margin multiplier" in asked[0]
    with Ledger(bench.state / "ledger.sqlite", AccessMode.READ) as ledger:
        now = snapshots.accepted(ledger)
    assert now is not None and now.multiplier == 2


def test_nobody_holds_the_state_folder_while_a_person_is_asked(
    trading: tuple[Workbench, date, date], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process works at the prompt; what it changed is found under the lock and nothing is done."""
    bench, day, _ = trading
    reduction(bench, "0000000a")
    held = bench("confirm", "--session", str(day))
    assert held.code == 0
    asked = ("rearm", "--halt-id", "0000000a", "--reason", "looked at it")

    def meanwhile(*_: object, **__: object) -> str:
        assert bench(*asked, "--yes").code == 0
        return "REARM"

    monkeypatch.setattr("typer.prompt", meanwhile)
    assert bench(*asked).code == 2
    reduction(bench, "0000000b")
    bench("halt", "--reason", "a test")

    def ended(*_: object, **__: object) -> str:
        with exclusive(StateFolder(bench.state)), Ledger(bench.state / "ledger.sqlite", AccessMode.WRITE) as ledger:
            halts.rearm(ledger, "0000000b", datetime(2024, 1, 3, tzinfo=UTC), "ann", "over")
        return "REARM"

    monkeypatch.setattr("typer.prompt", ended)
    refused = bench("rearm", "--halt-id", halt_id(bench), "--reason", "over")
    assert refused.code == 2 and "it changed while you were asked" in refused.err
    assert bench("status").code == 2


def test_a_rearmed_device_steps_in_again(trading: tuple[Workbench, date, date], published: Published) -> None:
    """The ramp begins anew after a resumption."""
    bench, day, _ = trading
    for command in ("confirm", "reconcile", "report"):
        assert bench(command, "--session", str(day)).code == 0
    bench("halt", "--reason", "a test")
    bench("rearm", "--halt-id", halt_id(bench), "--reason", "over", "--yes")
    for session in published.sessions(3)[1:]:
        assert bench("run-day", "--session", str(session)).code == 0
    ramps = bench.rows("SELECT json_extract(figures, '$.ramp') FROM job_runs WHERE job = 'plan' ORDER BY session")
    assert ramps == [(0.2,), (0.2,), (0.4,)]


def test_a_halt_reaches_a_device_that_is_at_work(trading: tuple[Workbench, date, date], monkeypatch: pytest.MonkeyPatch) -> None:
    """C6: the latch needs no lock; who holds it is asked to cancel, and does so before its next job."""
    bench, day, _ = trading
    monkeypatch.setattr(halt_and_rearm, "TAKEN_SECONDS", 0.2)
    with exclusive(StateFolder(bench.state)):
        done = bench("halt", "--reason", "now")
        assert done.code == 0 and "asked to cancel" in done.out
        assert bench("status").code == 2
        assert bench("confirm", "--session", str(day)).code == 5
    assert (bench.state / "HALT").read_text() == "now"
    assert bench("confirm", "--session", str(day)).code == 0
    assert bench.rows("SELECT DISTINCT state FROM intents WHERE posts > 0") == [("canceled",)]
    assert not (bench.state / "HALT").exists()
