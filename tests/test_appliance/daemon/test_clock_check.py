"""Time as the daemon believes it: synchronised, agreeing with the broker, and watched for jumps (D4, F32, F60)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from appliance.daemon import briefing
from appliance.daemon.briefing import Briefing
from appliance.daemon.clock_guard import AGAIN_SECONDS, ClockCheck
from appliance.system.clock import ExchangeTime, SystemClock, VirtualClock
from appliance.system.time_sync import Instants, between, chrony_says, instants, kernel_says, skew_seconds
from signals.errors import BrokerUnreachable
from signals.market.sessions import Calendar, xnys

NOW = datetime(2026, 3, 4, 14, 0, 0, 400_000, tzinfo=UTC)
TRACKING = "A29FC87B,162.159.200.123,4,1772632800.1,{offset},0.0,0.0,-14.3,0.001,0.02,0.01,0.001,64.2,{leap}\n"


def says(text: str | None) -> Callable[[Sequence[str]], str | None]:
    return lambda command: text


@pytest.mark.parametrize(
    ("offset", "leap", "told"),
    [
        ("0.000012", "Normal", ""),
        ("-1.9", "Normal", ""),
        ("-2.1", "Normal", "the clock is not synchronised: chrony is 2.1 s off"),
        ("0.0", "Not synchronised", "the clock is not synchronised: chrony has no source"),
    ],
)
def test_chrony_is_believed_when_it_has_a_source_and_is_near(offset: str, leap: str, told: str) -> None:
    assert chrony_says(says(TRACKING.format(offset=offset, leap=leap))) == told


def test_a_chrony_that_is_silent_says_nothing_and_one_without_a_reference_is_refused() -> None:
    assert chrony_says(says(None)) is None and chrony_says(says("506 Cannot talk to daemon\n")) is None
    local = TRACKING.format(offset="0.0", leap="Normal").replace("A29FC87B", "7F7F0101")
    assert chrony_says(says(local)) == "the clock is not synchronised: chrony has no source"


@pytest.mark.parametrize(("answer", "told"), [((0, 0x2001), ""), ((5, 0x40), "refused"), ((0, 0x40), "refused"), (None, None)])
def test_the_kernel_is_believed_when_it_says_so(answer: tuple[int, int] | None, told: str | None) -> None:
    found = kernel_says(lambda: answer)
    assert found == (told if told != "refused" else "the clock is not synchronised: the kernel says so")


class Dated(BaseHTTPRequestHandler):
    date = ""

    def do_GET(self) -> None:
        self.send_response_only(401)
        if self.date:
            self.send_header("Date", self.date)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        return


@pytest.fixture
def broker() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Dated) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("off", "least"), [(0, 0), (0.9, 0), (-90, 89), (90, 89), (3_600, 3_599)])
def test_the_skew_is_what_a_date_in_whole_seconds_can_prove(broker: str, off: float, least: float) -> None:
    """The header says 14:00:00 while it is 14:00:00.4: within the second nothing is proven."""
    Dated.date = format_datetime(NOW.replace(microsecond=0), usegmt=True)
    found = skew_seconds(broker, lambda: NOW + timedelta(seconds=off))
    assert least <= found <= least + 1


def test_a_broker_without_a_date_or_without_an_answer_is_unreachable(broker: str) -> None:
    Dated.date = ""
    with pytest.raises(BrokerUnreachable, match="does not report the date"):
        skew_seconds(broker, lambda: NOW)
    with pytest.raises(BrokerUnreachable, match="does not report its time"):
        ExchangeTime(broker).now()
    with pytest.raises(BrokerUnreachable):
        skew_seconds("http://127.0.0.1:1", lambda: NOW)


def test_setting_a_clock_and_sleeping_are_told_apart() -> None:
    start = Instants(1_000.0, 50.0, 70.0)
    assert vars(between(start, Instants(1_005.0, 55.0, 75.0))) == {"set_by": 0.0, "slept": 0.0}
    assert vars(between(start, Instants(-2_595.0, 55.0, 75.0))) == {"set_by": -3_600.0, "slept": 0.0}
    assert vars(between(start, Instants(8_205.0, 55.0, 7_275.0))) == {"set_by": 0.0, "slept": 7_200.0}


def test_this_machine_s_clocks_neither_jump_nor_sleep_between_two_reads() -> None:
    jump = between(instants(), instants())
    assert abs(jump.set_by) < 1 and abs(jump.slept) < 1


CALENDAR: Calendar = xnys(NOW.date() - timedelta(days=5), NOW.date() + timedelta(days=5))
REAL = Briefing("", "http://broker", 5.0, CALENDAR)


def check(clock: VirtualClock, sync: str, skew: Callable[..., float]) -> ClockCheck:
    return ClockCheck(clock, unsynchronised=lambda: sync, skew=skew)


def refusing(*arguments: object) -> float:
    raise BrokerUnreachable("the broker does not report the date")


@pytest.mark.parametrize(
    ("sync", "skew", "closed_by"),
    [
        ("", lambda *a: 0.0, ()),
        ("", lambda *a: 2.0, ()),
        ("", lambda *a: 2.1, ("the clock is 2.1 s or more off the broker's",)),
        ("the clock is not synchronised", lambda *a: 0.0, ("the clock is not synchronised",)),
        ("", refusing, ("the broker does not report the date",)),
    ],
)
def test_the_gate_opens_for_a_synchronised_clock_that_agrees_with_the_broker(
    sync: str, skew: Callable[..., float], closed_by: tuple[str, ...]
) -> None:
    assert check(VirtualClock(NOW), sync, skew).closed_by(REAL) == closed_by


def test_where_the_machine_cannot_vouch_for_its_clock_the_broker_s_alone_judges_it() -> None:
    """A container, WSL, macOS. A briefing of an earlier release asks the machine."""
    alone = replace(REAL, host_keeps_time=False)
    assert check(VirtualClock(NOW), "nobody says so", lambda *a: 0.0).closed_by(alone) == ()
    assert check(VirtualClock(NOW), "nobody says so", lambda *a: 2.1).closed_by(alone) == ("the clock is 2.1 s or more off the broker's",)
    assert check(VirtualClock(NOW), "nobody says so", refusing).closed_by(alone) == ("the broker does not report the date",)
    assert briefing.read(alone.to_bytes()) == alone
    former = {key: value for key, value in json.loads(alone.to_bytes()).items() if key != "host_keeps_time"}
    assert briefing.read(json.dumps(former).encode()).host_keeps_time


def test_a_rehearsal_has_the_exchange_s_time_and_asks_nobody() -> None:
    rehearsal = Briefing("http://exchange", "", 5.0, CALENDAR)
    assert check(VirtualClock(NOW), "never", refusing).closed_by(rehearsal) == ()
    assert check(VirtualClock(NOW), "never", refusing).skew_now(rehearsal, 1e9) is None


def test_the_broker_is_asked_again_once_an_hour() -> None:
    asked: list[str] = []

    def skew(url: str, now: object) -> float:
        asked.append(url)
        return 0.5

    found = check(VirtualClock(NOW), "", skew)
    assert found.closed_by(REAL) == () and found.skew_now(REAL, AGAIN_SECONDS - 1) is None
    assert found.skew_now(REAL, AGAIN_SECONDS) == 0.5 and found.skew_now(REAL, AGAIN_SECONDS + 1) is None
    assert len(asked) == 2
    assert SystemClock().now() > NOW
