"""A person is told: through channels that are independent, without secrets, and again until they have heard (C9)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import httpx
import pytest

from appliance.context import Deps
from appliance.controls.latch import Latch
from appliance.ledger import Ledger, alerts, halts
from appliance.safety.escalation import acknowledge, attend, send_again, send_reminder
from appliance.safety.halt import halt, notify
from appliance.system.clock import VirtualClock
from appliance.system.ports import Alert, Severity
from signals.alerts import addresses
from signals.alerts.addresses import WebhookNotifier, channels_of, headline, message
from signals.alerts.alert import Channels
from signals.errors import BadConfig
from tests.fakes.broker import FakeBroker, Inbox, MemoryFs, deps_of, weekdays

CALENDAR = weekdays(date(2024, 3, 4), 15)
D = date(2024, 3, 12)
SECRET = "https://ntfy.example/topic-that-nobody-may-know"
ALERT = Alert(
    Severity.PAGE,
    "halt-1a2b3c4d",
    "HALTED by RECON_BREAK",
    "account PA3XYZ holds 5 shares, 101.5 USD",
    datetime(2024, 3, 12, 13, tzinfo=UTC),
)


class Post(httpx.MockTransport):
    """An address that keeps what it is sent and answers as it is told."""

    def __init__(self, status: int = 200, error: Exception | None = None) -> None:
        self.seen: list[httpx.Request] = []
        self.status, self.error = status, error
        super().__init__(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.error:
            raise self.error
        return httpx.Response(self.status)


def test_a_message_is_posted_once_with_its_loudness_and_no_figure() -> None:
    post = Post()
    assert WebhookNotifier(SECRET, post).notify(ALERT) is True
    (request,) = post.seen
    assert (request.method, str(request.url)) == ("POST", SECRET)
    assert request.headers["Title"] == "HALTED by RECON_BREAK" and request.headers["Priority"] == "urgent"
    text = request.content.decode()
    assert "halt-1a2b3c4d" in text and "2024-03-12 13:00:00 UTC" in text
    assert "PA3XYZ" not in text and "101.5" not in text and text == message(ALERT)


def test_a_message_says_which_device_calls() -> None:
    """Whoever has two devices knows from the title alone; without a name the title is as it was."""
    assert headline(ALERT, "pi-desk") == f"{ALERT.title} on pi-desk"
    assert headline(ALERT, "") == ALERT.title
    post = Post()
    WebhookNotifier(SECRET, post, device="pi-desk").notify(ALERT)
    (request,) = post.seen
    assert request.headers["Title"].endswith(" on pi-desk")
    assert request.content.decode().startswith(f"{ALERT.title} on pi-desk (")


@pytest.mark.parametrize(
    "post",
    [
        Post(500),
        Post(404),
        Post(302),
        Post(error=httpx.ConnectError("refused")),
        Post(error=httpx.ReadTimeout("slow")),
        Post(error=OSError("no route")),
    ],
)
def test_an_address_that_does_not_take_it_is_a_result_and_no_exception(post: Post) -> None:
    assert WebhookNotifier(SECRET, post).notify(ALERT) is False
    assert len(post.seen) == 1


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://a b", "https://\x00"])
def test_an_address_that_is_none_is_a_result_and_no_exception(url: str) -> None:
    assert WebhookNotifier(url).notify(ALERT) is False


def test_a_peer_that_never_ends_its_answer_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    released = threading.Event()

    class Endless(Post):
        def _answer(self, request: httpx.Request) -> httpx.Response:
            released.wait(30)
            return httpx.Response(200)

    monkeypatch.setattr(addresses, "TOTAL_SECONDS", 0.05)
    assert WebhookNotifier(SECRET, Endless()).notify(ALERT) is False
    released.set()


def test_the_address_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        WebhookNotifier(SECRET, Post()).notify(ALERT)
        WebhookNotifier(SECRET, Post(error=httpx.ConnectError(SECRET))).notify(ALERT)
    assert "topic-that-nobody" not in caplog.text


def test_addresses_come_from_the_credentials_one_a_line(tmp_path: Path) -> None:
    assert channels_of(None) == () == channels_of(tmp_path)
    (tmp_path / "alert-urls").write_text(f"{SECRET}\n\n  https://other.example/x \n")
    assert len(channels_of(tmp_path)) == 2
    (tmp_path / "alert-urls").write_text(f"{SECRET}\nftp://secret-place\n")
    with pytest.raises(BadConfig, match="address 2 of alert-urls") as told:
        channels_of(tmp_path)
    assert "secret-place" not in str(told.value)


class Deaf:
    def notify(self, alert: Alert) -> bool:
        return False


@pytest.mark.parametrize(
    ("local", "remote", "reached"),
    [
        ([Inbox()], [], True),
        ([Deaf()], [], False),
        ([Inbox()], [Deaf()], False),
        ([Inbox()], [Deaf(), Inbox()], True),
        ([Deaf()], [Inbox()], True),
    ],
)
def test_where_a_channel_leads_away_a_file_beside_the_ledger_reaches_nobody(local: list[Inbox], remote: list[Inbox], reached: bool) -> None:
    assert Channels(local, remote).notify(ALERT) is reached


@pytest.fixture
def deps(tmp_path: Path) -> Iterator[tuple[Deps, VirtualClock, Inbox]]:
    clock, inbox, fs = VirtualClock(CALENDAR.session(D).at(time(8))), Inbox(), MemoryFs()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        yield deps_of(tmp_path, FakeBroker(clock, CALENDAR, {}), clock, CALENDAR, fs, ledger, inbox), clock, inbox


def test_a_halt_is_told_every_hour_until_somebody_has_heard(deps: tuple[Deps, VirtualClock, Inbox]) -> None:
    device, clock, inbox = deps
    device.latch.arm(by="me", at=clock.now())
    record = halt(device, D, "DRAWDOWN_HALT", "too deep")
    clock.sleep(3_599)
    assert send_reminder(device) is False
    clock.sleep(1)
    assert [send_reminder(device), send_reminder(device)] == [True, False]
    clock.sleep(3_600)
    assert send_reminder(device) is True
    assert [a.title for a in inbox.alerts] == ["HALTED by DRAWDOWN_HALT", *["STILL HALTED by DRAWDOWN_HALT"] * 2]
    assert {(a.severity, a.key) for a in inbox.alerts} == {(Severity.PAGE, f"halt-{record.halt_id}")}
    acknowledge(device.ledger, device.latch.read(), "ann", clock.now())
    clock.sleep(36_000)
    assert send_reminder(device) is False and not device.latch.read().is_armed


def test_a_halt_that_the_ledger_missed_is_told_and_can_be_acknowledged(deps: tuple[Deps, VirtualClock, Inbox], tmp_path: Path) -> None:
    device, clock, inbox = deps
    Latch(tmp_path, device.fs).halt("MANUAL", "a crash came right after", clock.now())
    assert send_reminder(device) is True and len(inbox.alerts) == 1
    acknowledge(device.ledger, device.latch.read(), "ann", clock.now())
    clock.sleep(7_200)
    assert send_reminder(device) is False


def test_a_fresh_and_an_armed_device_stay_silent(deps: tuple[Deps, VirtualClock, Inbox]) -> None:
    device, clock, inbox = deps
    assert send_reminder(device) is False
    device.latch.arm(by="me", at=clock.now())
    assert send_reminder(device) is False and inbox.alerts == []


def test_the_same_words_are_not_said_twice_within_the_hour_but_undelivered_ones_are(deps: tuple[Deps, VirtualClock, Inbox]) -> None:
    device, clock, inbox = deps
    for body in ("x", "x", "y"):
        notify(device, Severity.WARN, "key", "title", body)
    clock.sleep(timedelta(hours=1).total_seconds())
    notify(device, Severity.WARN, "key", "title", "y")
    assert [a.body for a in inbox.alerts] == ["x", "y", "y"]
    lost = Alert(Severity.WARN, "lost", "title", "z", clock.now())
    alerts.add(device.ledger, lost, delivered=False)
    notify(device, Severity.WARN, "lost", "title", "z")
    assert inbox.alerts[-1].body == "z"
    assert json.dumps(inbox.alerts[-1].key) == '"lost"'


def test_a_halt_that_got_no_further_than_the_latch_is_carried_out_once(deps: tuple[Deps, VirtualClock, Inbox], tmp_path: Path) -> None:
    """The daemon closes the latch and crashes, or only closes it: the next attendance cancels, records and pages."""
    device, clock, inbox = deps
    device.latch.arm(by="me", at=clock.now())
    record = Latch(tmp_path, device.fs).halt("CLOCK", "somebody set the clock", clock.now())
    attend(device)
    row = halts.require(device.ledger, record.halt_id)
    assert (row.name, row.details["cancel"], row.details["notified"]) == ("CLOCK", "cancelled", True)
    attend(device)
    assert [a.title for a in inbox.alerts] == ["HALTED by CLOCK"]


def test_what_reached_nobody_is_sent_again_in_order_until_somebody_is_reached(deps: tuple[Deps, VirtualClock, Inbox]) -> None:
    device, clock, inbox = deps
    for title in ("first", "second"):
        alerts.add(device.ledger, Alert(Severity.WARN, title, title, "b", clock.now()), delivered=False)
    assert send_again(replace(device, notifier=Deaf())) == 0
    assert send_again(device) == 2 and send_again(device) == 0
    assert [a.title for a in inbox.alerts] == ["first", "second"]
    assert all(row.delivered for row in alerts.newest(device.ledger, 5))
    alerts.add(device.ledger, Alert(Severity.WARN, "old", "old", "b", clock.now()), delivered=False)
    clock.sleep(timedelta(days=1, seconds=1).total_seconds())
    assert send_again(device) == 0  # yesterday's news is in the report


def test_an_alert_that_no_channel_takes_keeps_no_other_back(deps: tuple[Deps, VirtualClock, Inbox]) -> None:
    """Refused at once it is passed over; where each attempt waits for an answer, the attendance ends and the next one goes on."""
    device, clock, _ = deps
    for title in ("refused", "second", "third"):
        alerts.add(device.ledger, Alert(Severity.WARN, title, title, "b", clock.now()), delivered=False)

    class Picky(Inbox):
        def notify(self, alert: Alert) -> bool:
            return alert.title != "refused" and super().notify(alert)

    class Slow(Deaf):
        def notify(self, alert: Alert) -> bool:
            clock.sleep(20)
            return super().notify(alert)

    begun = clock.now()
    assert (send_again(replace(device, notifier=Slow())), clock.now() - begun) == (0, timedelta(seconds=40))
    assert send_again(replace(device, notifier=Picky())) == 2
    assert [row.alert.title for row in alerts.newest(device.ledger, 5) if not row.delivered] == ["refused"]
