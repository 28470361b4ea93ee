"""The paper exchange: requests a second and p99 on loopback, orders in process, and one session of 379 names.

    python benchmarks/exchange.py [--seconds 2] [--json]

Beside each figure stands its peer: the same requests against a bare Starlette application that answers a constant, so
that what the exchange costs can be told from what HTTP costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path

import numpy as np
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from execution.exchange.api.exchange import Exchange
from execution.exchange.config import ExchangeConfig
from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.doors import http
from execution.exchange.doors.http import Gate
from execution.exchange.market.market import MarketData
from execution.exchange.protocol.message import ApiRequest
from signals.market.bars import Bars, days_array
from signals.market.sessions import Calendar, Session
from signals.serving.connections import listen
from signals.serving.gate import LOOPBACK

NAMES, SESSIONS, ORDERS = 379, 260, 120
FIRST = date(2021, 1, 4)
HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}


def market() -> MarketData:
    """379 names over 260 weekdays of invented prices."""
    rng = np.random.default_rng(0)
    days = [day for day in (FIRST + timedelta(days=i) for i in range(2 * SESSIONS)) if day.weekday() < 5]
    sessions = tuple(
        Session(day, datetime.combine(day, time_of_day(14, 30), UTC), datetime.combine(day, time_of_day(21), UTC)) for day in days
    )
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (SESSIONS, NAMES)), axis=0))
    returns = np.full(close.shape, np.nan)
    returns[1:] = close[1:] / close[:-1] - 1
    bars = Bars(
        days_array(days[:SESSIONS]),
        tuple(f"N{i:03d}" for i in range(NAMES)),
        close,
        close * 1.01,
        close * 0.99,
        close,
        np.full(close.shape, 1e6),
        returns,
        returns.copy(),
        np.ones(close.shape, dtype=np.bool_),
    )
    return MarketData(bars, Calendar("weekdays", sessions))


def order(number: int, day: int = 0) -> bytes:
    name = number % NAMES
    side = "buy" if name % 2 else "sell"
    body = {"symbol": f"N{name:03d}", "qty": 10, "side": side, "type": "market", "time_in_force": "opg"}
    return json.dumps(body | {"client_order_id": f"{day}-{number}"}).encode()


def submit_in_process(state: Path | None, orders: int, *, power_safe: bool = True) -> float:
    """Seconds that `orders` submissions take."""
    config = ExchangeConfig(power_safe=power_safe)
    served = Exchange(market(), ExchangeVirtualClock(datetime(2021, 2, 1, 13, tzinfo=UTC)), state=state, config=config)
    began = time.perf_counter()
    for number in range(orders):
        assert served.handle(ApiRequest("POST", "/v2/orders", {}, HEADERS, order(number))).status == 200
    took = time.perf_counter() - began
    served.close()
    return took


def advance_a_session(days: int = 40) -> list[float]:
    """Seconds of each whole session: 120 auction orders submitted, then actions, open, close and marks."""
    clock = ExchangeVirtualClock(datetime(2021, 2, 1, 13, tzinfo=UTC))
    served = Exchange(market(), clock)
    took = []
    for day in range(days):
        for number in range(ORDERS):
            body = order(number, day) if day % 2 == 0 else order(number + 1, day).replace(b'"N', b'"N', 1)
            served.handle(ApiRequest("POST", "/v2/orders", {}, HEADERS, body))
        start = served.venue.market.next_session(served.now)
        began = time.perf_counter()
        served.advance(start.close + timedelta(minutes=1))
        took.append(time.perf_counter() - began)
        served.advance(served.venue.market.next_session(served.now).open - timedelta(hours=1))
    return took


@contextmanager
def running(server: uvicorn.Server) -> Iterator[str]:
    """Serve in a thread on a free loopback port."""
    bound = listen(LOOPBACK, 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    bound.close()


def bare() -> uvicorn.Server:
    """A server that answers a constant: the price of HTTP alone."""

    async def constant(request: object) -> Response:
        return Response(b"{}", media_type="application/json")

    app = Starlette(routes=[Route("/{path:path}", constant, methods=["GET", "POST"])])
    return uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))


def hammer(url: str, seconds: float, ask: Callable[[requests.Session, str, int], requests.Response]) -> dict[str, float]:
    """Ask one after the other for `seconds`; requests a second, median and p99 in milliseconds."""
    session, took = requests.Session(), []
    until = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < until:
        began = time.perf_counter()
        ask(session, url, number).raise_for_status()
        took.append(time.perf_counter() - began)
        number += 1
    session.close()
    cut = statistics.quantiles(took, n=100)
    return {"per_second": len(took) / sum(took), "median_ms": cut[49] * 1e3, "p99_ms": cut[98] * 1e3}


def get_account(session: requests.Session, url: str, number: int) -> requests.Response:
    return session.get(f"{url}/v2/account", headers=HEADERS, timeout=5)


def post_order(session: requests.Session, url: str, number: int) -> requests.Response:
    return session.post(f"{url}/v2/orders", data=order(number), headers=HEADERS, timeout=5)


def start(folder: Path) -> float:
    """Serve a curated market by the command, in a process of its own; return the seconds to its first answer, best of five."""
    bars, curated = str(folder / "made" / "bars.parquet"), str(folder / "set")
    generated = ["generate", "--seed", "3", "--symbols", "30", "--sessions", "300", "--to", str(folder / "made")]
    for words in (generated, ["ingest", "--bars", bars, "--basis", "raw", "--to", curated]):
        subprocess.run([sys.executable, "-m", "trainer", *words], check=True, stdout=subprocess.DEVNULL)
    command = [sys.executable, "-m", "execution.exchange", "serve", "--data", curated, "--port", "0"]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
            try:
                url = json.loads(served.stdout.readline() if served.stdout else "")["url"]
                requests.get(f"{url}/v2/clock", headers=HEADERS, timeout=60).raise_for_status()
                times.append(time.perf_counter() - began)
            finally:
                served.terminate()
    return min(times)


def measure(seconds: float) -> dict[str, dict[str, float]]:
    """Return every figure."""
    clock = datetime(2021, 2, 1, 13, tzinfo=UTC)
    figures: dict[str, dict[str, float]] = {}
    with running(bare()) as url:
        figures["loopback, constant answer (peer)"] = hammer(url, seconds, get_account)
    with tempfile.TemporaryDirectory() as folder:
        rich = ExchangeConfig(cash=10**12)
        durable = Exchange(market(), ExchangeVirtualClock(clock), state=Path(folder) / "state", config=rich)
        with running(http.server(durable, Gate("of nobody"))) as url:
            figures["loopback, GET account"] = hammer(url, seconds, get_account)
            figures["loopback, POST order, power-safe"] = hammer(url, seconds, post_order)
        durable.close()
        in_memory = Exchange(market(), ExchangeVirtualClock(clock), config=rich)
        with running(http.server(in_memory, Gate("of nobody"))) as url:
            figures["loopback, POST order, in memory"] = hammer(url, seconds, post_order)
        for name, state, safe in (
            ("in memory", None, True),
            ("on disk", Path(folder) / "b", False),
            ("power-safe", Path(folder) / "c", True),
        ):
            took = submit_in_process(state, 500, power_safe=safe)
            figures[f"in process, 500 orders, {name}"] = {"seconds": took, "per_second": 500 / took}
        figures["from the command to its first answer (goal: 2)"] = {"seconds": start(Path(folder))}
    sessions = advance_a_session()
    figures[f"one session, {NAMES} names, {ORDERS} orders"] = {
        "median_ms": statistics.median(sessions) * 1e3,
        "most_ms": max(sessions) * 1e3,
    }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.seconds)
    if options.json:
        print(json.dumps(figures))
        return
    for name, row in figures.items():
        print(f"{name:45s} " + "  ".join(f"{key} {value:10.2f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
