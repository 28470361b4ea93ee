"""A device that nobody looks after is not well: missed sessions, no address for alerts, no daemon, keys that end."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from appliance.controls.latch import Latch
from appliance.ledger import AccessMode, Ledger, job_runs
from appliance.schedule.job import JobReport, JobStatus
from appliance.schedule.timetable import TIMETABLE
from appliance.status.upkeep import count_addresses, credential_ends, expiries, expiry_reasons, keys_end, missed_reason, missed_sessions
from appliance.system.state_folder import DurableFs, StateFolder, only_daemon
from signals.bundle.keyset import DataKeys, Keyset, SigningKey, seal_keyset
from signals.market.sessions import xnys
from tests.fakes.device import Workbench

CALENDAR = xnys(date(2024, 3, 1), date(2024, 3, 28))
MONDAY, TUESDAY, WEDNESDAY = date(2024, 3, 11), date(2024, 3, 12), date(2024, 3, 13)
SUNDAY = datetime(2024, 3, 10, 12, tzinfo=UTC)
AFTER = datetime(2024, 3, 13, 23, tzinfo=UTC)


def missed(*served: tuple[date, str], armed: datetime = SUNDAY, now: datetime = AFTER) -> tuple[date, ...]:
    return missed_sessions(served, armed, now, CALENDAR, TIMETABLE)


def test_a_closed_session_without_plan_or_trade_was_missed() -> None:
    assert missed((MONDAY, "plan"), (WEDNESDAY, "trade")) == (TUESDAY,)
    assert missed((MONDAY, "plan"), (TUESDAY, "pull"), (WEDNESDAY, "plan")) == (TUESDAY,)
    assert "2024-03-12" in missed_reason((TUESDAY,))
    assert missed_reason(()) == ""


def test_what_was_before_arming_or_is_not_over_was_not_missed() -> None:
    assert missed(armed=datetime(2024, 3, 13, 22, tzinfo=UTC)) == ()
    assert missed(now=datetime(2024, 3, 11, 15, tzinfo=UTC)) == ()
    assert missed(now=AFTER, armed=datetime(2024, 1, 1, tzinfo=UTC))[0] == date(2024, 3, 7)  # the last five


def keyset(folder: Path, until: str, *keys: tuple[str, bool], threshold: int = 1) -> Path:
    rows = [{"valid_until": end, "revoked": revoked} for end, revoked in keys]
    payload = {"valid_until": until, "threshold": threshold, "keys": rows, "data": None}
    (folder / "keyset.json").write_text(json.dumps({"payload": json.dumps(payload)}))
    return folder


def test_a_key_set_ends_when_too_few_keys_are_left(tmp_path: Path) -> None:
    assert keys_end(keyset(tmp_path, "2025-01-01", ("2026-01-01", False))) == date(2025, 1, 1)
    two = (("2024-06-01", False), ("2024-09-01", False), ("2026-01-01", True))
    assert keys_end(keyset(tmp_path, "2025-01-01", *two)) == date(2024, 9, 1)
    assert keys_end(keyset(tmp_path, "2025-01-01", *two, threshold=2)) == date(2024, 6, 1)
    (tmp_path / "keyset.json").write_text('{"payload": 3}')
    assert keys_end(tmp_path) is None


@pytest.mark.parametrize(("left", "said"), [(61, ""), (60, "in 60 days"), (0, "in 0 days"), (-1, "ended on 2025-01-01")])
def test_the_end_of_the_keys_is_said_sixty_days_before(tmp_path: Path, left: int, said: str) -> None:
    end = date(2025, 1, 1)
    found = expiries(keyset(tmp_path, str(end), (str(end), False)), None)
    reason = "".join(expiry_reasons(found, end - timedelta(days=left)))
    assert said in reason
    assert bool(reason) is bool(said)


def test_the_calendar_and_credentials_end_too_and_a_date_that_cannot_be_read_is_seen(tmp_path: Path) -> None:
    """The calendar ends on 2024-03-28; s3's keys on 2024-04-20; the third line has no date."""
    (tmp_path / "expires").write_text("# when keys end\ns3 keys 2024-04-20\nthe vendor soon\n")
    found = expiries(tmp_path, CALENDAR, tmp_path)
    assert found == {"calendar": date(2024, 3, 28), "credential s3 keys": date(2024, 4, 20), "credential the vendor soon": date.min}
    said = expiry_reasons(found, date(2024, 3, 1))
    assert [reason.partition(":")[0] for reason in said] == [
        "the credential the vendor soon has no date that can be read",
        "the calendar ends on 2024-03-28, in 27 days",
        "the credential s3 keys ends on 2024-04-20, in 50 days",
    ]
    assert "trainer publish-data" in said[1]
    assert credential_ends(None) == {} == credential_ends(tmp_path / "nowhere")


def test_only_addresses_are_counted(tmp_path: Path) -> None:
    assert count_addresses(None) == 0 == count_addresses(tmp_path)
    (tmp_path / "alert-urls").write_text("https://a.example/x\n\nhttp://b.example\nnone\n")
    assert count_addresses(tmp_path) == 2


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """An armed device on a paper account with a bundle, its newest session served, its calendar known."""
    folder = StateFolder(tmp_path / "device")
    folder.bundles.mkdir(parents=True)
    folder.config.write_text(yaml.safe_dump({"venue": {"broker": "alpaca-paper"}, "stores": {"data": "d", "bundles": "b"}}))
    (folder.bundles / "equities_xs").mkdir()
    (folder.bundles / "equities_xs" / "current.json").write_text(json.dumps({"seq": 7, "bundle_id": "abc"}))
    now = datetime.now(UTC)
    keyset(folder.bundles, "2999-01-01", ("2999-01-01", False))
    with Ledger(folder.ledger, AccessMode.WRITE) as ledger:
        job_runs.begin(ledger, now.date(), "pull", now)
        job_runs.finish(ledger, JobReport("pull", now.date(), JobStatus.DONE, "well"), now)
    Latch(folder.root, DurableFs()).arm(by="me", at=now)
    return Workbench(folder.root)


def say(bench: Workbench, addresses: int) -> None:
    row = {"at": datetime.now(UTC).isoformat(), "process": {"alert_addresses": addresses}}
    StateFolder(bench.state).health.write_text(json.dumps(row))


def test_a_device_at_a_broker_without_a_daemon_is_down(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.commands.status._calendar", lambda folder, day: CALENDAR)
    found = bench("status")
    assert found.code == 3
    assert "no daemon runs" in found.out and "systemctl start appliance" in found.out


@pytest.mark.parametrize(("addresses", "code"), [(0, 1), (1, 0)])
def test_a_device_without_an_address_for_alerts_is_degraded(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, addresses: int, code: int
) -> None:
    ahead = xnys(date(2024, 3, 1), datetime.now(UTC).date() + timedelta(days=100))
    monkeypatch.setattr("appliance.commands.status._calendar", lambda folder, day: ahead)
    say(bench, addresses)
    with only_daemon(StateFolder(bench.state)):
        found = bench("status")
    assert found.code == code, found.out
    assert ("no address for alerts" in found.out) is bool(code)


def test_keys_that_end_soon_and_missed_sessions_degrade(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    recent = xnys(now.date() - timedelta(days=12), now.date() + timedelta(days=5))
    monkeypatch.setattr("appliance.commands.status._calendar", lambda folder, day: recent)
    say(bench, 1)
    folder = StateFolder(bench.state)
    (folder.root / "latch.json").unlink()
    Latch(folder.root, DurableFs()).arm(by="me", at=now - timedelta(days=11))
    keyset(folder.bundles, str(now.date() + timedelta(days=3)), ("2999-01-01", False))
    with only_daemon(folder):
        found = bench("status")
    assert found.code == 1, found.out
    assert "nothing was planned or traded for" in found.out
    assert "trainer rotate-keys" in found.out


def test_the_end_of_a_key_set_as_it_is_published_is_read(tmp_path: Path) -> None:
    ends = date(2030, 5, 6)
    key, other = (SigningKey(keyid=name, public=name, valid_until=ends) for name in ("a", "b"))
    published = Keyset(version=1, threshold=1, valid_until=date(2031, 1, 1), keys=(key,), data=DataKeys(threshold=1, keys=(other,)))
    (tmp_path / "keyset.json").write_bytes(seal_keyset(published, b'{"signatures": []}'))
    assert keys_end(tmp_path) == ends
