"""What is acknowledged survives: restarts, SIGKILL of the real process, one writer, one seed."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import apsw
import pytest
import requests
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import LimitOrderRequest, MarketOrderRequest

from execution.exchange.__main__ import main
from execution.exchange.api.exchange import Exchange
from execution.exchange.protocol.message import ApiRequest
from signals.errors import BadConfig, BadDataset, Locked
from signals.serving.connections import listen
from signals.serving.gate import LOOPBACK
from tests.fakes import steering
from tests.fakes.exchange import exchange, new_york, trading

HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}
READ = ("/v2/account", "/v2/positions", "/v2/account/activities", "/v2/clock", "/v2/account/configurations")


def snapshot(served: Exchange) -> list[bytes]:
    """Everything that a client can read of the account."""
    asked = [ApiRequest("GET", path, {}, HEADERS) for path in READ]
    asked.append(ApiRequest("GET", "/v2/orders", {"status": "all", "limit": "500"}, HEADERS))
    asked.append(ApiRequest("GET", "/v2/account/portfolio/history", {"timeframe": "1D"}, HEADERS))
    return [served.handle(request).body for request in asked]


def busy(served: Exchange) -> None:
    """Leave orders of every kind of end, a long, a short and a configuration behind."""
    client = trading(served)
    for symbol, side, tif in (("AAA", "buy", "opg"), ("BBB", "sell", "opg"), ("CCC", "buy", "cls")):
        client.submit_order(MarketOrderRequest(symbol=symbol, qty=7, side=OrderSide(side), time_in_force=TimeInForce(tif)))
    far = LimitOrderRequest(symbol="AAA", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=50, client_order_id="far")
    client.submit_order(far)
    client.patch("/account/configurations", {"no_shorting": True})
    served.advance(new_york("2021-11-23 12:00"))
    client.submit_order(far.model_copy(update={"client_order_id": "open still"}))
    client.cancel_order_by_id(client.get_order_by_client_id("far").id)
    client.close_position("BBB")


def test_a_restart_finds_everything_as_it_was(tmp_path: Path) -> None:
    first = exchange("2021-11-22 08:00", state=tmp_path)
    busy(first)
    before = snapshot(first)
    log = [row for row in first.venue.book.log if row.method != "GET"]
    first.close()
    second = exchange("2021-11-22 08:00", state=tmp_path)
    assert snapshot(second) == before
    assert [row for row in second.venue.book.log if row.method != "GET"] == log and len(log) == 8
    second.advance(new_york("2021-11-24 12:00"))
    assert len(second.venue.book.open_orders()) == 1 and second.venue.book.reserved == 50


def test_a_restarted_exchange_goes_on_exactly_like_one_that_never_stopped(tmp_path: Path) -> None:
    def later(served: Exchange) -> list[bytes]:
        client = trading(served)
        client.submit_order(MarketOrderRequest(symbol="CCC", qty=2, side=OrderSide.SELL, time_in_force=TimeInForce.DAY))
        served.advance(new_york("2021-11-26 17:00"))
        return snapshot(served)

    straight = exchange("2021-11-22 08:00")
    busy(straight)
    stopped = exchange("2021-11-22 08:00", state=tmp_path)
    busy(stopped)
    stopped.close()
    assert later(exchange("2021-11-22 08:00", state=tmp_path)) == later(straight)


def test_a_second_exchange_cannot_open_the_same_state(tmp_path: Path) -> None:
    first = exchange(state=tmp_path)
    with pytest.raises(Locked):
        exchange(state=tmp_path)
    first.close()
    exchange(state=tmp_path).close()


def test_another_seed_or_a_foreign_file_or_a_newer_state_is_refused(tmp_path: Path) -> None:
    exchange(state=tmp_path / "a", seed=1).close()
    with pytest.raises(BadConfig):
        exchange(state=tmp_path / "a", seed=2)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "exchange.db").write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(BadDataset):
        exchange(state=tmp_path / "b")
    exchange(state=tmp_path / "c").close()
    newer = apsw.Connection(str(tmp_path / "c" / "exchange.db"))
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(BadDataset, match="newer"):
        exchange(state=tmp_path / "c")


def test_the_same_requests_give_the_same_bytes() -> None:
    first, second = exchange("2021-11-22 08:00", seed=5), exchange("2021-11-22 08:00", seed=5)
    busy(first), busy(second)
    assert snapshot(first) == snapshot(second)


ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def process(state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the exchange in a process of its own and kill it without mercy at the end."""
    started = subprocess.Popen([sys.executable, "-m", "tests.fakes.exchange", str(state)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    try:
        yield started, started.stdout.readline().strip()
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


def test_no_acknowledged_order_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    """Orders stream in, and the process dies in their midst. Every acknowledged one is there, none twice."""
    acknowledged: list[str] = []
    with process(tmp_path) as (running, url):
        client = TradingClient("key", "secret", url_override=url)
        killer = threading.Timer(0.1, os.kill, (running.pid, signal.SIGKILL))
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):  # before an answer, or within one
            for number in itertools.count():
                order = client.submit_order(
                    MarketOrderRequest(symbol="AAA", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.OPG, client_order_id=f"n{number}")
                )
                acknowledged.append(order.client_order_id)
                if number == 10:
                    killer.start()
        client._session.close()
        killer.join()
    found = exchange("2021-11-22 08:00", state=tmp_path)
    ids = [order.client_order_id for order in found.venue.book.orders.values()]
    assert ids[: len(acknowledged)] == acknowledged and len(ids) - len(acknowledged) in (0, 1)
    assert [row.method for row in found.venue.book.log] == ["POST"] * len(ids), "the log lost nothing either"
    found.close()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated dataset as `trainer ingest` leaves it."""
    folder = tmp_path_factory.mktemp("dataset")
    commands = [
        ["trainer", "generate", "--seed", "3", "--symbols", "30", "--sessions", "300", "--to", str(folder / "made")],
        [
            "trainer",
            "ingest",
            "--bars",
            str(folder / "made/bars.parquet"),
            "--actions",
            str(folder / "made/actions.parquet"),
            "--basis",
            "raw",
            "--to",
            str(folder / "set"),
        ],
    ]
    for module, *arguments in commands:
        made = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True)
        if "No module named" in made.stderr:
            pytest.skip("the trainer is not installed here")
        assert made.returncode == 0, made.stderr
    return folder / "set"


def command(dataset: Path, *options: str) -> list[str]:
    serve = ["serve", "--data", str(dataset), *options]
    return [sys.executable, "-m", "execution.exchange", *serve, *(() if "--port" in options else ("--port", "0"))]


@contextmanager
def served(dataset: Path, *options: str) -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    """Run the command; yield what its first line tells."""
    running = subprocess.Popen(command(dataset, *options), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    try:
        yield json.loads(running.stdout.readline()), running
    finally:
        running.terminate()
        running.wait()
        running.stdout.close()


def test_the_command_serves_a_dataset_at_the_instant_asked_for(tmp_path: Path, dataset: Path) -> None:
    options = ("--state", str(tmp_path / "state"), "--cash", "250000", "--at", "2025-12-30T17:00:00")
    with served(dataset, *options) as (told, _):
        account = requests.get(f"{told['url']}/v2/account", headers=HEADERS, timeout=120).json()
        clock = requests.get(f"{told['url']}/v2/clock", headers=HEADERS, timeout=120).json()
    assert account["cash"] == "250000" and clock["timestamp"] == "2025-12-30T17:00:00-05:00"
    assert date.fromisoformat(clock["next_open"][:10]) == date(2025, 12, 31)


def test_a_restart_without_an_instant_goes_on_where_the_state_stands(tmp_path: Path, dataset: Path) -> None:
    """The token outlives the restart too; it is next to the state, for its owner only."""
    state = ("--state", str(tmp_path / "state"))
    with served(dataset, *state, "--at", "2025-12-01T08:00:00-05:00") as (told, _):
        token_file = Path(told["token_file"])
        assert token_file == tmp_path / "state" / "sim-token" and token_file.stat().st_mode & 0o777 == 0o600
        first = steering.told(json.dumps(told))
        steering.advance(first, "2025-12-02T12:00:00-05:00")
        token = token_file.read_text()
    with served(dataset, *state) as (told, _):
        assert told["now"] == "2025-12-02T17:00:00+00:00" and token_file.read_text() == token
        now = requests.get(f"{told['url']}/_sim/clock", timeout=120).json()["now"]
    assert now == "2025-12-02T17:00:00Z"


def test_a_state_in_memory_keeps_its_token_in_a_folder_that_goes_with_it(dataset: Path) -> None:
    with served(dataset) as (told, _):
        token_file = Path(told["token_file"])
        assert token_file.stat().st_mode & 0o777 == 0o600 and token_file.parent.stat().st_mode & 0o777 == 0o700
        assert told["now"].startswith("2025-12-31T13:00"), "the last session of the data"
    assert not token_file.parent.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--port", "70000"), "no such port"),
        (("--port", "-1"), "no such port"),
        (("--cash", "abc"), "cash"),
        (("--cash", "NaN"), "cash"),
        (("--cash", "-5"), "cash"),
        (("--cash", "Infinity"), "cash"),
        (("--cash", "1E+400"), "cash"),
        (("--cash", "0.001"), "cash"),
        (("--state", "/proc/x"), "the state cannot be kept here"),
        (("--state", __file__), "the state cannot be kept here"),
        (("--at", "tomorrow"), "not an ISO 8601 instant"),
        (("--at", "2099-01-01T08:00:00"), "the calendar of the data ends with"),
        (("--at", "9999-12-31T23:59:59-05:00"), "not an ISO 8601 instant"),
        (("--config", "/proc"), "cannot be read"),
        (("--stand-in-port", "0"), "a port and a file"),
        (("--stand-in-port", "70000", "--stand-in-ca", "ca.pem"), "no such port"),
        (("--stand-in-port", "0", "--stand-in-ca", "/proc/x/ca.pem"), "the stand-in cannot be set up"),
        (("--data", "/nowhere"), "nowhere"),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_one_line_and_leaves_no_state(
    options: tuple[str, ...], said: str, tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, through the entry point itself: the server must not even begin."""
    kept = () if "--state" in options else ("--state", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["paper-exchange", *command(dataset, *kept, *options)[3:]])
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: pytest.fail("it serves"))
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1) and said in err, err
    assert not (tmp_path / "state").exists() and not (tmp_path / "ca.pem").exists()


def test_a_port_that_is_taken_is_one_line(tmp_path: Path, dataset: Path) -> None:
    with listen(LOOPBACK, 0) as bound:
        port = str(bound.getsockname()[1])
        options = ("--port", port, "--state", str(tmp_path / "state"))
        ended = subprocess.run(command(dataset, *options), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr
    assert f"--port {port}" in ended.stderr and not (tmp_path / "state").exists()
