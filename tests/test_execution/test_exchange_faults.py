"""Every scripted fault, seen by a plain client over real HTTP and in process (A8); each is proven to have struck."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.wait import wait_for_read

from execution.exchange.api.exchange import Exchange
from execution.exchange.doors.inprocess import InProcessAdapter
from execution.exchange.protocol.message import ApiRequest
from tests.fakes import steering
from tests.fakes.exchange import URL, exchange, serving

HEADERS = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
ORDER = {"symbol": "AAA", "qty": "1", "side": "buy", "type": "market", "time_in_force": "opg", "client_order_id": "once"}


@dataclass
class Door:
    """A way to ask an exchange."""

    core: Exchange
    session: requests.Session
    url: str

    def ask(self, method: str, path: str, body: Any = None, timeout: float = 60.0) -> requests.Response:
        return self.session.request(
            method, self.url + path, json=body, headers=HEADERS | steering.keys(self.url), timeout=timeout, allow_redirects=False
        )

    def arm(self, **fault: Any) -> None:
        assert self.ask("POST", "/_sim/faults", {"faults": [fault]}).status_code == 200

    def strikes(self) -> list[str]:
        return [row["kind"] for row in self.ask("GET", "/_sim/faults").json()["strikes"]]

    def orders(self) -> list[Any]:
        return list(self.core.venue.book.orders.values())


@pytest.fixture(params=["http", "in process"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    core = exchange("2021-11-22 08:00")
    session = requests.Session()
    if request.param == "http":
        with serving(core) as url:
            yield Door(core, session, url)
            session.close()
    else:
        session.mount(URL, InProcessAdapter(core))
        yield Door(core, session, URL)


def submit(door: Door, timeout: float = 60.0) -> requests.Response:
    return door.ask("POST", "/v2/orders", ORDER, timeout)


@pytest.mark.parametrize("kind", ["drop", "reset"])
@pytest.mark.parametrize("accepted", [True, False])
def test_a_lost_connection_tells_nothing_and_the_order_is_there_or_not_as_scripted(door: Door, kind: str, accepted: bool) -> None:
    door.arm(kind=kind, method="POST", path="/v2/orders", accepted=accepted)
    with pytest.raises(requests.ConnectionError):
        submit(door)
    assert len(door.orders()) == accepted and door.strikes() == [kind]
    assert door.ask("GET", "/v2/account").status_code == 200, "the next request is served"
    log = door.ask("GET", "/_sim/log").json()[0]
    assert log["method"] == "POST" and log["fault"] == (kind if accepted else f"{kind}, not carried out")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("accepted", [True, False])
def test_a_server_error_is_an_html_page(door: Door, status: int, accepted: bool) -> None:
    door.arm(kind="status", method="POST", status=status, accepted=accepted)
    response = submit(door)
    assert response.status_code == status and response.headers["content-type"] == "text/html"
    assert response.text.startswith("<html>") and len(door.orders()) == accepted


def test_a_throttle_answers_429_with_its_headers(door: Door) -> None:
    door.arm(kind="status", method="POST", status=429, accepted=False, headers={"Retry-After": "7"})
    response = submit(door)
    assert (response.status_code, response.headers["Retry-After"], response.json()["code"]) == (429, "7", 42900000)
    assert not door.orders()


def test_a_late_answer_comes_after_the_read_time_out_though_the_order_is_there(door: Door) -> None:
    door.arm(kind="delay", method="POST", seconds=0.6)
    with pytest.raises(requests.ReadTimeout):
        submit(door, timeout=0.2)
    until = time.monotonic() + 60
    while not door.orders() and time.monotonic() < until:
        time.sleep(0.01)
    assert len(door.orders()) == 1


SPOILT: dict[str, tuple[dict[str, Any], Callable[[requests.Response], bool]]] = {
    "truncated_json": ({}, lambda r: r.status_code == 200 and not is_json(r) and r.text.startswith('{"id"')),
    "empty": ({}, lambda r: r.status_code == 200 and r.content == b""),
    "redirect": ({}, lambda r: r.status_code == 302 and "location" in r.headers),
    "edit": (
        {"set": {"status": "mystery", "client_order_id": "other"}},
        lambda r: (r.json()["status"], r.json()["client_order_id"], r.json()["qty"]) == ("mystery", "other", "1"),
    ),
    "nanoseconds": ({}, lambda r: len(r.json()["submitted_at"].split(".")[1]) == len("123456789Z")),
    "clock_skew": ({"seconds": 90}, lambda r: r.json()["submitted_at"].startswith("2021-11-22T13:01:30")),
}


def is_json(response: requests.Response) -> bool:
    try:
        response.json()
    except requests.JSONDecodeError:
        return False
    return True


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_answer_never_spoils_the_order(door: Door, kind: str) -> None:
    options, looks_right = SPOILT[kind]
    door.arm(kind=kind, method="POST", **options)
    assert looks_right(submit(door)) and door.strikes() == [kind]
    (order,) = door.orders()
    assert (order.client_order_id, order.status.value) == ("once", "accepted")
    assert door.ask("GET", "/v2/orders:by_client_order_id?client_order_id=once").json()["status"] == "accepted"


def test_a_body_cut_off_on_the_wire_is_an_error_of_the_transport(door: Door) -> None:
    door.arm(kind="cut_body", method="POST")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        submit(door)
    assert len(door.orders()) == 1


def test_a_duplicated_answer_does_not_become_the_answer_to_the_next_request(door: Door) -> None:
    door.arm(kind="duplicate", method="POST")
    assert submit(door).json()["client_order_id"] == "once"
    if isinstance(adapter := door.session.get_adapter(door.url), HTTPAdapter):
        [key] = (pools := adapter.poolmanager.pools).keys()
        assert wait_for_read(pools[key].pool.queue[-1].sock, timeout=60), "the second copy never came"
    assert "account_number" in door.ask("GET", "/v2/account").json()
    assert len(door.orders()) == 1


def test_rows_skip_and_count_and_a_lookup_can_be_blind_for_a_while(door: Door) -> None:
    """F26: the first two look-ups miss, the third finds."""
    submit(door)
    path = "/v2/orders:by_client_order_id"
    door.arm(kind="status", method="GET", path=path, status=404, set={"code": 40410000, "message": "order not found"}, times=2)
    door.arm(kind="status", method="GET", path="/v2/account", status=503, skip=1)
    answers = [door.ask("GET", f"{path}?client_order_id=once").status_code for _ in range(3)]
    assert answers == [404, 404, 200]
    assert [door.ask("GET", "/v2/account").status_code for _ in range(3)] == [200, 503, 200]
    assert door.ask("DELETE", "/_sim/faults").json() == {"script": [], "strikes": []}


def test_a_wrong_row_is_refused_whole() -> None:
    served = exchange()
    body = json.dumps({"faults": [{"kind": "drop"}, {"kind": "explode"}]}).encode()
    response = served.handle(ApiRequest("POST", "/_sim/faults", {}, {}, body))
    assert response.status == 422 and not served.faults.rows


def test_the_rate_limit_refuses_with_headers_and_opens_again_with_the_next_minute() -> None:
    from tests.fakes.exchange import new_york

    served = exchange("2021-11-22 08:00", requests_a_minute=3)
    headers = {name.lower(): value for name, value in HEADERS.items()}
    answers = [served.handle(ApiRequest("GET", "/v2/clock", {}, headers)) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[3].headers["x-ratelimit-reset"] == str(int(new_york("2021-11-22 08:01").timestamp()))
    served.advance(new_york("2021-11-22 08:01"))
    assert served.handle(ApiRequest("GET", "/v2/clock", {}, headers)).status == 200
