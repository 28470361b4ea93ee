"""The transport below the broker's client: permitted hosts, time-outs, hidden credentials, and the pace of requests."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from alpaca.trading.client import TradingClient

from appliance.system.clock import VirtualClock
from execution.brokers import parsing, retrying, transport
from execution.brokers.base import PAPER_URL
from execution.brokers.rate_limit import TokenBucket
from signals.errors import BrokerUnreachable, InvariantBroken
from tests.fakes.wire import Say, say, wire
from tests.test_execution.test_alpaca import ACCOUNT, CREDENTIALS, START, broker


def test_the_paper_host_is_permitted_over_tls() -> None:
    assert transport.is_permitted(PAPER_URL + "/v2/orders")
    assert transport.is_permitted("http://[::1]:80/")


def test_a_request_to_another_host_is_stopped_at_the_transport() -> None:
    with wire(say(ACCOUNT)) as served:
        client = broker(served.url)
        client._client._base_url = "https://api.alpaca.markets"
        with pytest.raises(InvariantBroken, match="not allowed"):
            client.account()
    assert served.seen == []


def test_the_live_host_is_named_nowhere_in_the_code() -> None:
    root = Path(__file__).resolve().parents[2]
    sources = [path for part in ("signals", "portfolio", "execution", "appliance") for path in (root / part).rglob("*.py")]
    assert not [str(path) for path in sources if "//api.alpaca.markets" in path.read_text() or "paper=False" in path.read_text()]


@pytest.mark.parametrize("attribute", ["_session", "_retry"])
def test_a_client_that_cannot_be_tamed_is_not_used(attribute: str) -> None:
    client = TradingClient("k", "s", url_override="http://127.0.0.1", raw_data=True)
    delattr(client, attribute)
    bucket = TokenBucket(150, 30, VirtualClock(START))
    with pytest.raises(InvariantBroken, match="alpaca-py"):
        retrying.tame(client, transport.GuardedTransport(bucket))


def test_every_request_carries_both_time_outs_whatever_its_caller_says() -> None:
    class Recorder(requests.adapters.BaseAdapter):
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            limits.append(options["timeout"])
            response = requests.Response()
            response.status_code, response._content = 200, json.dumps(ACCOUNT).encode()
            return response

        def close(self) -> None:
            closed.append(True)

    limits: list[Any] = []
    closed: list[bool] = []
    client = broker("http://127.0.0.1", adapter=Recorder())
    client.account()
    client._client._session.get("http://127.0.0.1/v2/account", timeout=None)
    client._client._session.close()
    assert limits == [(3.05, 10.0), (3.05, 10.0)]
    assert closed == [True, True]  # once for each scheme


def test_credentials_are_never_shown() -> None:
    with wire(Say(500)) as served, pytest.raises(BrokerUnreachable) as error:
        broker(served.url).account()
    assert served.seen[0].headers["APCA-API-SECRET-KEY"] == "canary-secret"
    assert "canary" not in f"{CREDENTIALS!r} {CREDENTIALS} {error.value!r} {error.value}"


def test_the_environment_can_neither_redirect_nor_sign_a_request() -> None:
    assert broker("http://127.0.0.1")._client._session.trust_env is False


@pytest.mark.parametrize(("per_minute", "burst"), [(150, 30), (150, 149), (60, 1)])
def test_no_minute_ever_sees_more_requests_than_allowed(per_minute: int, burst: int) -> None:
    clock = VirtualClock(START)
    bucket = TokenBucket(per_minute, burst, clock)
    times: list[float] = []
    rng = random.Random(3)
    for _ in range(600):
        if rng.random() < 0.02:
            clock.sleep(rng.uniform(0, 40))
        bucket.take()
        times.append(clock.monotonic())
    windows = [sum(start <= t < start + 60 for t in times) for start in times]
    assert max(windows) <= per_minute


def test_five_hundred_orders_take_four_minutes() -> None:
    clock = VirtualClock(START)
    bucket = TokenBucket(150, 30, clock)
    for _ in range(500):
        bucket.take()
    assert clock.monotonic() == pytest.approx((500 - 30) / 2, abs=1)


@pytest.mark.parametrize(
    ("written", "expected"), [("1.10", Decimal("1.10")), (7, Decimal(7)), (Decimal("0.1"), Decimal("0.1")), ("-2e3", Decimal(-2000))]
)
def test_numbers_are_the_digits_that_were_sent(written: object, expected: Decimal) -> None:
    assert parsing.number({"n": written}, "n") == expected
