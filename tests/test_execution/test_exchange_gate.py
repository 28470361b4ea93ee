"""The doors of a served exchange: no page of a browser passes, its token steers it, and nobody makes it unusable."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apsw
import pytest
import requests
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from execution.exchange.api.exchange import Exchange
from execution.exchange.api.routes import ROUTES, SIM_PREFIX
from execution.exchange.doors import http, stream
from execution.exchange.doors.http import TOKEN_FILE, Gate
from execution.exchange.market import market
from execution.exchange.protocol.message import ApiRequest
from execution.exchange.protocol.refusals import RefusedByVenue
from signals.serving import connections
from signals.serving.gate import token_in
from tests.fakes.exchange import exchange, serving
from tests.fakes.steering import TOKEN, keys

KEYS = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
HEADERS = {name.lower(): value for name, value in KEYS.items()}
ORDER = {"symbol": "AAA", "qty": "1", "side": "buy", "type": "market", "time_in_force": "opg"}
SIMULATION = [(route.method, route.path) for route in ROUTES if route.path.startswith(SIM_PREFIX)]


@pytest.fixture
def served() -> Iterator[tuple[Exchange, str]]:
    core = exchange("2021-11-22 08:00")
    with serving(core) as url:
        yield core, url


@pytest.fixture
def impatient() -> Iterator[tuple[Exchange, str]]:
    """It waits a second for a head, and again for a body or the keys of a stream."""
    core = exchange("2021-11-22 08:00")
    with serving(core, patience=1.0) as url:
        yield core, url


def works(url: str) -> bool:
    return requests.get(f"{url}/v2/account", headers=KEYS, timeout=60).status_code == 200


# -- who may ask ---------------------------------------------------------------------------------------------------

PAGES = [
    {"Host": "rebound.example"},
    {"Host": "rebound.example:8765"},
    {"Host": "127.0.0.1.rebound.example"},
    {"Host": "127.0.0.1/_sim/clock?"},
    {"Host": "127.0.0.1@rebound.example"},
    {"Host": "["},
    {"Host": ""},
    {"Origin": "https://page.example"},
    {"Origin": "http://localhost:3000"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


def test_no_page_of_a_browser_passes(served: tuple[Exchange, str]) -> None:
    """Neither a page of another origin nor a name that was led to this machine, by HTTP as by the stream."""
    core, url = served
    for page in PAGES:
        sent = requests.post(f"{url}/v2/orders", json=ORDER, headers=KEYS | page, timeout=60)
        assert sent.status_code == 403 and not core.venue.book.orders and not core.venue.book.log, page
        assert requests.get(f"{url}/_sim/clock", headers=page, timeout=60).status_code == 403, page
        if set(page.get("Host", "")).isdisjoint("@[/") and page.get("Host") != "":  # what a client of streams sends
            assert asyncio.run(_shake_hands(url, page)) == 403, page


async def _shake_hands(url: str, page: dict[str, str]) -> int:
    headers = {name: value for name, value in page.items() if name != "Host"}
    there = f"ws://{page['Host']}/stream" if "Host" in page else url.replace("http", "ws") + "/stream"
    parts = urlsplit(url)
    try:
        async with connect(there, additional_headers=headers, host=parts.hostname, port=parts.port):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def test_programs_pass_by_either_name_of_loopback_and_with_an_origin_of_its_own(served: tuple[Exchange, str]) -> None:
    _, url = served
    port = urlsplit(url).port
    for there in ({}, {"Host": f"localhost:{port}"}, {"Host": "127.0.0.1"}, {"Origin": url}):
        assert requests.get(f"{url}/v2/account", headers=KEYS | there, timeout=60).status_code == 200, there
        assert asyncio.run(_shake_hands(url, there)) == 101


def test_only_the_clock_of_the_simulation_is_told_without_its_token(served: tuple[Exchange, str]) -> None:
    core, url = served
    before = core.now
    asked = {
        "to": "2021-11-22T16:05:00-05:00",
        "symbol": "AAA",
        "halted": True,
        "hard": True,
        "session": "2021-11-23",
        "faults": [{"kind": "drop"}],
    }
    for method, path in SIMULATION:
        for given in ({}, {"X-Sim-Token": "guessed"}, {"X-Sim-Token": TOKEN[:-1]}, {"X-Sim-Token": ""}):
            answered = requests.request(method, url + path, json=asked, headers=KEYS | given, timeout=60)
            assert answered.status_code == (200 if (method, path) == ("GET", "/_sim/clock") else 401)
    book = core.venue.book
    assert (core.now, book.halted, book.hard_to_borrow, book.closures) == (before, set(), set(), set())
    assert not core.faults.rows
    for method, path in SIMULATION:
        granted = requests.request(method, url + path, json=asked, headers=KEYS | keys(url), timeout=60)
        assert granted.status_code == 200, "the same request with the token is carried out"


def test_a_token_is_kept_while_its_owner_alone_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / TOKEN_FILE
    token = token_in(path)
    assert path.stat().st_mode & 0o777 == 0o600 and len(token) >= 32 and token_in(path) == token
    path.chmod(0o644)
    second = token_in(path)
    assert second != token and path.stat().st_mode & 0o777 == 0o600, "who has read it steers no more"
    (tmp_path / "elsewhere").write_text(second + "\n")
    (tmp_path / "elsewhere").chmod(0o600)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert token_in(path) != second and not path.is_symlink()
    path.write_text("short\n")
    assert len(token_in(path)) >= 32


def test_a_name_that_is_stood_for_passes_only_where_it_is_stood_for() -> None:
    stood_for = [(b"host", b"paper-api.alpaca.markets")]
    Gate("t" * 32, {"127.0.0.1", "paper-api.alpaca.markets"}).check("GET", "/v2/account", stood_for)
    with pytest.raises(RefusedByVenue):
        Gate("t" * 32).check("GET", "/v2/account", stood_for)
    with pytest.raises(RefusedByVenue):
        Gate("t" * 32).check("GET", "/v2/account", [(b"host", b"127.0.0.1"), (b"host", b"127.0.0.1")])


# -- nobody makes it unusable --------------------------------------------------------------------------------------

BODIES = {
    "an exponent beyond Decimal": b'{"symbol": "AAA", "qty": 1E+99999999999999999999}',
    "the same as a text": b'{"symbol": "AAA", "qty": "1E+99999999999999999999", "side": "buy"}',
    "the same in an unknown key": b'{"note": 1E+99999999999999999999}',
    "a number of many digits": b'{"qty": ' + b"9" * 5000 + b"}",
    "NaN": b'{"qty": NaN}',
    "half a character as a symbol": b'{"symbol": "\\ud800", "qty": 1, "side": "buy", "type": "market", "time_in_force": "opg"}',
    "half a character as an id": b'{"symbol": "AAA", "qty": 1, "side": "buy", "type": "market", "time_in_force": "opg",'
    b' "client_order_id": "\\udfff"}',
    "half a character as a key": b'{"\\ud800": 1}',
    "deep lists": b"[" * 60_000,
    "deep values": b'{"qty": ' + b"[" * 900 + b"]" * 900 + b"}",
    "null": b"null",
    "null values": b'{"symbol": null, "qty": null, "to": null, "faults": null, "session": null}',
    "no UTF-8": b"\xff\xfe{}",
    "nothing": b"",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_body_makes_the_exchange_unusable(body: bytes) -> None:
    core = exchange("2021-11-22 08:00")
    for route in ROUTES:
        path = route.path.replace("{order_id}", "none").replace("{symbol_or_asset_id}", "AAA")
        response = core.handle(ApiRequest(route.method, path, {"limit": "9" * 5000, "after": "9" * 5000}, HEADERS, body))
        assert response.status < 500, (route, response)
    assert core.handle(ApiRequest("GET", "/v2/account", {}, HEADERS)).status == 200 and not core.venue.book.orders


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop", "path": "("},
        {"kind": "drop", "path": "a{99999999999}"},
        {"kind": "clock_skew", "seconds": 1e300},
        {"kind": "clock_skew", "seconds": "inf"},
        {"kind": "delay", "seconds": "nan"},
        {"kind": "status", "headers": {"x\r\ny": "1"}},
        {"kind": "status", "headers": {"x": "1\r\ny: 2"}},
        {"kind": "status", "headers": {"x": "é"}},
        {"kind": "status", "status": 100},
    ],
    ids=str,
)
def test_a_fault_that_cannot_be_carried_out_is_refused_when_it_is_armed(fault: dict[str, Any]) -> None:
    core = exchange("2021-11-22 08:00")
    armed = ApiRequest("POST", "/_sim/faults", {}, {}, json.dumps({"faults": [{"kind": "drop"}, fault]}).encode())
    assert core.handle(armed).status == 422 and not core.faults.rows
    assert core.handle(ApiRequest("GET", "/v2/account", {}, HEADERS)).status == 200


def test_a_status_without_a_body_and_an_edit_of_what_has_no_keys_reach_the_client(served: tuple[Exchange, str]) -> None:
    _, url = served
    rows = [
        {"kind": "status", "status": 204, "path": "/v2/account"},
        {"kind": "edit", "set": {"qty": "2"}, "path": "/v2/assets"},
        {"kind": "clock_skew", "seconds": 60, "path": "/v2/orders"},
    ]
    assert requests.post(f"{url}/_sim/faults", json={"faults": rows}, headers=keys(url), timeout=60).status_code == 200
    assert requests.get(f"{url}/v2/account", headers=KEYS, timeout=60).status_code == 204
    assert requests.get(f"{url}/v2/assets", headers=KEYS, timeout=60).json()[0]["qty"] == "2"
    odd = ORDER | {"client_order_id": "9999-12-31T23:59:59Z"}
    assert requests.post(f"{url}/v2/orders", json=odd, headers=KEYS, timeout=60).json()["client_order_id"] == ("9999-12-31T23:59:59Z")


def test_a_request_that_fails_half_way_changes_nothing_and_the_next_one_is_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The fault strikes after the order is in the book: on disk, in memory, and on the stream it must not be."""
    for state in (tmp_path / "state", None):
        core = exchange("2021-11-22 12:00", state=state)
        assert core.handle(ApiRequest("POST", "/v2/orders", {}, HEADERS, _body("before"))).status == 200
        book, told = core.venue.book, core.venue.updates.count
        with monkeypatch.context() as broken:
            broken.setattr(Exchange, "_log", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                core.handle(ApiRequest("POST", "/v2/orders", {}, HEADERS, _body("lost")))
            assert "lost" in book.by_client_id, "the fault struck after the order had been taken"
        assert core.venue.updates.count == told
        assert core.handle(ApiRequest("POST", "/v2/orders", {}, HEADERS, _body("after"))).status == 200
        assert list(core.venue.book.by_client_id) == ["before", "after"]
        assert core.venue.book.quantity("AAA") == 2
        core.close()
        if state is not None:
            found = exchange("2021-11-22 12:00", state=state)
            assert list(found.venue.book.by_client_id) == ["before", "after"]
            found.close()


def test_a_full_disk_is_answered_by_500_and_nothing_is_kept(tmp_path: Path) -> None:
    core = exchange("2021-11-22 08:00", state=tmp_path)
    with serving(core) as url:
        pages = core._store._db.execute("PRAGMA page_count").get
        core._store._db.execute(f"PRAGMA max_page_count={pages}")
        answers = []
        for number in range(200):
            body = ORDER | {"client_order_id": f"n{number}-" + "x" * 100}
            answers.append(requests.post(f"{url}/v2/orders", json=body, headers=KEYS, timeout=60).status_code)
        assert set(answers) == {200, 500}, "the disk was full for some"
        core._store._db.execute("PRAGMA max_page_count=100000")
        assert works(url)
        kept = [order["client_order_id"] for order in _all_orders(url)]
    assert len(kept) == answers.count(200)
    core.close()


def test_an_advance_that_fails_leaves_the_clock_where_it_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    core = exchange("2021-11-22 08:00")
    advance = ApiRequest("POST", "/_sim/advance", {}, {}, b'{"to": "2021-11-23T16:05:00-05:00"}')

    def failing(*_: object) -> None:
        raise apsw.IOError("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(core._store, "commit", failing)
        before = core.now
        with pytest.raises(apsw.IOError):
            core.handle(advance)
        assert core.now == core.clock.now() == before
    assert core.handle(advance).status == 200 and core.now == core.clock.now() > before


def _body(name: str) -> bytes:
    return json.dumps(ORDER | {"time_in_force": "day", "client_order_id": name}).encode()


def _all_orders(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(
        f"{url}/v2/orders", params={"status": "all", "limit": "500"}, headers=KEYS, timeout=60
    ).json()
    return found


# -- slow, silent and many-handed clients --------------------------------------------------------------------------


def _knock(url: str, said: bytes = b"") -> socket.socket:
    parts = urlsplit(url)
    knocking = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)
    knocking.sendall(said)
    return knocking


HEAD = b"POST /v2/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nAPCA-API-KEY-ID: k\r\nAPCA-API-SECRET-KEY: s\r\n"


def test_a_body_beyond_the_limit_is_refused_unread(served: tuple[Exchange, str]) -> None:
    core, url = served
    large = requests.post(f"{url}/v2/orders", data=b" " * (http.BODY_MAX_BYTES + 1), headers=KEYS, timeout=60)
    assert large.status_code == 413 and not core.venue.book.log and works(url)


def test_a_client_that_drips_its_body_is_told_so_and_one_that_drips_its_head_is_cut_off(impatient: tuple[Exchange, str]) -> None:
    """While they drip, others are served."""
    core, url = impatient
    with _knock(url, HEAD + b"Content-Length: 100\r\n\r\n{") as slow, _knock(url, b"GET /v2/acc") as slower:
        stop = threading.Event()
        dripping = threading.Thread(target=_drip, args=(slower, stop))
        dripping.start()
        assert works(url)
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")
        assert _ends(slower), "a head that never ends is no request"
        stop.set()
        dripping.join()
    assert not core.venue.book.orders and works(url)


def _drip(into: socket.socket, stop: threading.Event) -> None:
    while not stop.wait(0.05):
        try:
            into.sendall(b"o")
        except OSError:
            return


def _ends(connection: socket.socket) -> bool:
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def test_silent_connections_beyond_the_limit_make_room_for_the_next(served: tuple[Exchange, str], monkeypatch: pytest.MonkeyPatch) -> None:
    _, url = served
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 8)
    silent = [_knock(url) for _ in range(30)]
    assert works(url)
    for each in silent:
        each.close()


def test_a_stream_without_keys_or_with_nonsense_ends_by_itself(impatient: tuple[Exchange, str], monkeypatch: pytest.MonkeyPatch) -> None:
    _, url = impatient
    monkeypatch.setattr(stream, "STREAMS_MAX", 1)

    async def told(*said: str | bytes) -> list[Any]:
        heard = []
        async with connect(url.replace("http", "ws") + "/stream") as there:
            for each in said:
                await there.send(each)
            with suppress(ConnectionClosedError):
                async for message in there:
                    heard.append(json.loads(message))
        return heard

    assert asyncio.run(told()) == []
    for nonsense in ('{"data": 5}', '{"data": ["key"]}', "null", "[]"):
        assert [row["data"]["status"] for row in asyncio.run(told(nonsense))] == ["unauthorized"], nonsense
    for unreadable in ("[" * 10_000, '{"key": "\\ud800"}', '{"key": 1E+99999999999999999999}', b"\xff"):
        assert asyncio.run(told(unreadable)) == [], unreadable

    async def listening() -> None:
        async with connect(url.replace("http", "ws") + "/stream") as there:
            for said in ('{"action": "auth", "key": "k", "secret": "s"}', '{"data": {"streams": 5}}', "[]"):
                await there.send(said)
                await there.recv()
            with pytest.raises(InvalidStatus):
                await connect(url.replace("http", "ws") + "/stream")

    asyncio.run(listening())
    assert works(url)


def test_a_request_for_many_symbols_builds_the_directory_once(monkeypatch: pytest.MonkeyPatch) -> None:
    core = exchange("2021-11-29 17:00")
    built: list[Any] = []
    true = market.directory
    monkeypatch.setattr(market, "directory", lambda *given: built.append(1) or true(*given))  # type: ignore[func-returns-value]
    symbols = ",".join(f"S{number}" for number in range(5000))
    asked = {"symbols": symbols, "timeframe": "1Day", "start": "2021-11-01", "asof": "2021-11-22"}
    assert core.handle(ApiRequest("GET", "/v2/stocks/bars", asked, HEADERS)).status == 200
    assert len(built) <= 2
