"""Programs that others wrote for Alpaca, unmodified, against `paper-exchange serve` as a process: `make third-party`.

`alpaca-mcp-server` and `py-alpaca-api` know Alpaca's own addresses alone and come through the stand-in; the first is
driven over its own protocol. `alpaca-trade-api`, `alpaca-py` and the official JavaScript SDK are given an address by a
script such as their users write. Each stands in its own locked environment under `var/third-party/`. What is asserted
is what the exchange's own books and log say.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import requests

from tests.fakes import steering

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / "var" / "third-party"
KEYS = {"APCA-API-KEY-ID": "key", "APCA-API-SECRET-KEY": "secret"}
SILENT = {"NO_PROXY": "", "no_proxy": "", "PYTHONWARNINGS": "ignore"}
PROTOCOL = "2025-03-26"


@dataclass(frozen=True)
class Served:
    """A running exchange, and its stand-in."""

    url: str
    proxy: str
    authority: Path

    def read(self, path: str, **query: str) -> Any:
        answer = requests.get(self.url + path, params=query, headers=KEYS, timeout=20)
        answer.raise_for_status()
        return answer.json()

    def advance(self, to: str) -> None:
        steering.advance(self.url, to)

    def orders(self) -> dict[str, dict[str, Any]]:
        return {order["client_order_id"]: order for order in self.read("/v2/orders", status="all", limit="500")}

    def held(self) -> dict[str, str]:
        return {held["symbol"]: held["qty"] for held in self.read("/v2/positions")}

    def statuses(self) -> list[int]:
        return [row["status"] for row in steering.log(self.url)]


def market(folder: Path) -> Path:
    """A curated dataset of a generated market."""
    made = folder / "made"
    for arguments in (
        ["generate", "--seed", "3", "--symbols", "30", "--sessions", "300", "--to", str(made)],
        [
            "ingest",
            "--bars",
            str(made / "bars.parquet"),
            "--actions",
            str(made / "actions.parquet"),
            "--basis",
            "raw",
            "--to",
            str(folder / "set"),
        ],
    ):
        subprocess.run([sys.executable, "-m", "trainer", *arguments], cwd=ROOT, check=True, capture_output=True)
    return folder / "set"


@contextmanager
def exchange(data: Path, folder: Path) -> Iterator[Served]:
    """Serve the exchange and its stand-in as a process, at 08:00 of a session with a later one in the data."""
    authority = folder / "authority.pem"
    command = [sys.executable, "-m", "execution.exchange", "serve", "--data", str(data), "--port", "0"]
    command += ["--state", str(folder / "state"), "--at", "2025-12-29T08:00:00-05:00"]
    command += ["--stand-in-port", "0", "--stand-in-ca", str(authority)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            told = json.loads(line)
            yield Served(steering.told(line), told["stand_in"], authority)
        finally:
            process.terminate()


def led(served: Served) -> dict[str, str]:
    """Return the environment that leads a program to the stand-in."""
    authority = str(served.authority)
    return {"HTTPS_PROXY": served.proxy, "REQUESTS_CA_BUNDLE": authority, "SSL_CERT_FILE": authority}


class Server:
    """alpaca-mcp-server over stdio: one JSON-RPC message a line."""

    def __init__(self, served: Served, folder: Path) -> None:
        program = ENVIRONMENTS / "alpaca_mcp_server" / "bin" / "alpaca-mcp-server"
        environment = {**os.environ, **SILENT, "ALPACA_API_KEY": "key", "ALPACA_SECRET_KEY": "secret"}
        environment |= led(served)
        self._process = subprocess.Popen(
            [str(program), "serve"],
            cwd=folder,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "mcp.log").open("w"),
        )
        self._number = 0

    def __enter__(self) -> Self:
        hello = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": {"name": "campaign", "version": "1"}}
        self.ask("initialize", hello)
        self._say({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _say(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdout is not None
        self._number += 1
        self._say({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        while line := self._process.stdout.readline():
            answer = json.loads(line)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                found: dict[str, Any] = answer["result"]
                return found
        raise AssertionError("the server ended")

    def call(self, tool: str, **arguments: Any) -> str:
        result = self.ask("tools/call", {"name": tool, "arguments": arguments})
        text = "".join(part.get("text", "") for part in result["content"])
        assert not result.get("isError"), text
        return text


def mcp_server(served: Served, folder: Path, names: list[str]) -> None:
    """Account, bars, an auction order, a limit order cancelled, the fill, and everything closed the day after."""
    buy, other = names[0], names[1]
    with Server(served, folder) as server:
        server.call("get_account_info")
        server.call("get_clock")
        server.call("get_stock_bars", symbols=buy, start="2025-12-01", timeframe="1Day")
        assert buy in server.call("get_stock_snapshot", symbols=buy)
        server.call("place_stock_order", symbol=buy, side="buy", qty="5", time_in_force="opg", client_order_id="mcp-open")
        server.call("place_stock_order", symbol=other, side="buy", qty="2", type="limit", limit_price="1.00", client_order_id="mcp-far")
        assert {name: order["status"] for name, order in served.orders().items()} == {"mcp-open": "accepted", "mcp-far": "accepted"}
        server.call("cancel_order_by_id", order_id=served.orders()["mcp-far"]["id"])
        served.advance("2025-12-29T16:05:00-05:00")
        orders = served.orders()
        assert orders["mcp-open"]["status"] == "filled" and orders["mcp-open"]["filled_qty"] == "5"
        assert orders["mcp-far"]["status"] == "canceled" and orders["mcp-far"]["filled_qty"] == "0"
        assert served.held() == {buy: "5"}
        assert buy in server.call("get_all_positions")
        server.call("close_all_positions", cancel_orders=True)
        served.advance("2025-12-30T16:05:00-05:00")
    assert served.held() == {}


def driven(served: Served, folder: Path, names: list[str], program: list[str], about: dict[str, str]) -> None:
    """Bars, auction orders on both sides, a limit order found and cancelled, fills, a close: by a user's own script."""
    environment = {**os.environ, **SILENT, **about}
    asked = [*names[:2], "2025-12-01", "2025-12-26"]
    subprocess.run([*program, "morning", *asked], cwd=folder, env=environment, check=True, timeout=120)
    served.advance("2025-12-29T16:05:00-05:00")
    orders = served.orders()
    assert {name: order["status"] for name, order in orders.items()} == {
        "third-buy": "filled",
        "third-short": "filled",
        "third-far": "canceled",
    }
    assert served.held() == {names[0]: "7", names[1]: "-3"}
    subprocess.run([*program, "evening", *asked], cwd=folder, env=environment, check=True, timeout=120)
    served.advance("2025-12-30T16:05:00-05:00")
    assert served.held() == {names[0]: "7"}


def python(name: str) -> list[str]:
    """Return the command that runs the script of a program in its own environment."""
    return [str(ENVIRONMENTS / name / "bin" / "python"), str(HERE / name / "drive.py")]


def trade_api(served: Served, folder: Path, names: list[str]) -> None:
    """The older SDK, in the world of `APCA_API_BASE_URL`."""
    about = {"APCA_API_BASE_URL": served.url, "APCA_API_DATA_URL": served.url}
    about |= {"APCA_API_KEY_ID": "key", "APCA_API_SECRET_KEY": "secret"}
    driven(served, folder, names, python("alpaca_trade_api"), about)


def alpaca_py(served: Served, folder: Path, names: list[str]) -> None:
    """The official SDK, in an environment of its own."""
    driven(served, folder, names, python("alpaca_py"), {"EXCHANGE_URL": served.url})


def py_alpaca_api(served: Served, folder: Path, names: list[str]) -> None:
    """A wrapper that hard-codes Alpaca's addresses."""
    driven(served, folder, names, python("py_alpaca_api"), led(served))


def javascript(served: Served, folder: Path, names: list[str]) -> None:
    """The official JavaScript SDK, its stream included."""
    sdk = ENVIRONMENTS / "alpaca_js" / "node_modules" / "@alpacahq" / "alpaca-trade-api"
    program = ["node", str(HERE / "alpaca_js" / "drive.cjs")]
    driven(served, folder, names, program, {"EXCHANGE_URL": served.url, "SDK": str(sdk)})


PROGRAMS = {
    "alpaca-mcp-server": mcp_server,
    "alpaca-trade-api": trade_api,
    "alpaca-py": alpaca_py,
    "py-alpaca-api": py_alpaca_api,
    "alpaca-trade-api-js": javascript,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", choices=sorted(PROGRAMS), action="append")
    chosen = parser.parse_args().program or sorted(PROGRAMS)
    with tempfile.TemporaryDirectory() as scratch:
        data = market(Path(scratch))
        for name in chosen:
            folder = Path(scratch) / name
            folder.mkdir()
            began = time.perf_counter()
            with exchange(data, folder) as served:
                latest = served.read("/v2/assets", status="active")
                names = sorted(asset["symbol"] for asset in latest if asset["tradable"] and asset["shortable"])
                try:
                    PROGRAMS[name](served, folder, names)
                except BaseException:
                    print(f"{name} at {datetime.now(UTC):%H:%M:%S}: the exchange's log, newest last")
                    for row in steering.log(served.url)[-12:]:
                        print("  ", row["method"], row["path"], row["status"])
                    raise
                statuses = served.statuses()
            refused = sorted(status for status in statuses if status >= 400)
            took = time.perf_counter() - began
            print(f"{name}: {len(statuses)} requests, {refused or 'none'} refused, books as expected; {took:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
