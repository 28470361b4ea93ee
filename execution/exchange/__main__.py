"""`paper-exchange serve`: an Alpaca-compatible paper exchange on loopback."""

import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, time
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from execution.exchange.api.exchange import Exchange
from execution.exchange.config import ExchangeConfig
from execution.exchange.core.clock import ExchangeClock, ExchangeVirtualClock, ExchangeWallClock
from execution.exchange.core.state import stored_instant
from execution.exchange.doors.http import TOKEN_FILE, Gate
from execution.exchange.market.market import MarketData
from signals.config import load, parse
from signals.errors import BadConfig
from signals.market.sessions import NEW_YORK
from signals.serving.gate import LOOPBACK, OWN_HOSTS, token_in
from signals.text.command_line import version_option
from signals.text.console import run
from signals.text.wording import reason_of

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
BEFORE_TRADING = time(8, 0)
PORT_MAX = 65_535


class ClockKind(StrEnum):
    """Where the exchange's time comes from."""

    VIRTUAL = "virtual"
    WALL = "wall"


@app.callback()
def main_help(version: bool = version_option("paper-exchange", "execution")) -> None:
    """Serve an Alpaca-compatible paper exchange on loopback."""


@app.command()
def serve(
    data: Path = typer.Option(..., help="Curated dataset folder."),
    state: Path = typer.Option(None, help="Folder of the durable state; without it everything is in memory."),
    port: int = typer.Option(8765, help="Loopback port; 0 takes a free one."),
    seed: int = typer.Option(0, min=0, help="Seed of ids and of partial fills."),
    clock: ClockKind = typer.Option(ClockKind.VIRTUAL, help="Virtual: moved by POST /_sim/advance."),
    cash: str = typer.Option("", help="USD at the opening of the account."),
    at: str = typer.Option("", help="ISO 8601 instant of a virtual clock; without it a state goes on from its present state."),
    config: Path = typer.Option(None, help="YAML of ExchangeConfig."),
    stand_in_port: int = typer.Option(None, help="Loopback port of a proxy for Alpaca's paper hosts; 0 a free one."),
    stand_in_ca: Path = typer.Option(None, help="Where the authority's certificate for such programs is written."),
) -> None:
    """Serve until interrupted. The first line of output holds, as JSON, the address and the file of the token."""
    from execution.exchange.doors import http

    settings = _settings(config, cash)
    with ExitStack() as standing:
        # Before anything is announced or made: whoever reads the first line may end us at once, and the folder goes with us.
        signal.signal(signal.SIGTERM, _end)
        bound = standing.enter_context(_listen(port))
        hosts, announced = OWN_HOSTS, {"url": f"http://{LOOPBACK}:{bound.getsockname()[1]}"}
        if stand_in_port is not None or stand_in_ca is not None:
            proxy, stood_for = standing.enter_context(_stand_in(stand_in_port, bound, stand_in_ca))
            hosts, announced = hosts | stood_for, announced | {"stand_in": proxy}
        market = MarketData.from_dataset(data, minutes=settings.minutes)
        exchange = Exchange(market, _clock(clock, at, market, state), seed=seed, state=state, config=settings)
        standing.callback(exchange.close)
        folder = state or Path(standing.enter_context(TemporaryDirectory(prefix="paper-exchange-")))
        gate = Gate(token_in(folder / TOKEN_FILE), hosts)
        announced |= {"now": exchange.now.isoformat(), "token_file": str((folder / TOKEN_FILE).absolute())}
        sys.stdout.write(json.dumps(announced) + "\n")
        sys.stdout.flush()
        http.server(exchange, gate).run(sockets=[bound])


def _end(number: int, frame: object) -> None:
    sys.exit(0)


def _settings(config: Path | None, cash: str) -> ExchangeConfig:
    settings = load(config, ExchangeConfig) if config else ExchangeConfig()
    return parse(settings.model_dump() | {"cash": cash}, ExchangeConfig, where=f"--cash {cash}") if cash else settings


def _listen(port: int) -> socket.socket:
    from signals.serving.connections import listen

    _require_port(port, "--port")
    try:
        return listen(LOOPBACK, port)
    except OSError as error:
        raise BadConfig(
            f"the port cannot be listened on: {reason_of(error)}",
            where=f"--port {port}",
            fix="Stop what listens there, name another one, or 0 for a free one",
        ) from None


def _require_port(port: int, option: str) -> None:
    if not 0 <= port <= PORT_MAX:
        raise BadConfig("no such port", where=f"{option} {port}", fix=f"Name one up to {PORT_MAX}, or 0 for a free one")


@contextmanager
def _stand_in(port: int | None, exchange: socket.socket, authority: Path | None) -> Iterator[tuple[str, frozenset[str]]]:
    """Stand in for Alpaca's paper hosts; yield the proxy's address and their names."""
    from execution.exchange.doors.standin import HOSTS, standing_in  # brings cryptography: only when asked for

    if port is None or authority is None:
        where = "--stand-in-port, --stand-in-ca"
        raise BadConfig("a stand-in needs a port and a file", where=where, fix="Give both or neither")
    _require_port(port, "--stand-in-port")
    with ExitStack() as standing:
        try:
            proxy = standing.enter_context(standing_in(port, exchange.getsockname()[1], authority, ExchangeWallClock().now()))
        except OSError as error:
            raise BadConfig(
                f"the stand-in cannot be set up: {reason_of(error)}",
                where=f"--stand-in-port {port} --stand-in-ca {authority}",
                fix="Name a free port and a file to write",
            ) from None
        yield proxy, frozenset(HOSTS)


def _clock(kind: ClockKind, at: str, market: MarketData, state: Path | None) -> ExchangeClock:
    """Return the wall's clock, or a virtual one: at `at`, else at the state's own time, else before the last session.

    Raises
    ------
    BadConfig
        The calendar of the data does not reach beyond that instant: nothing could be answered.
    """
    start, where = ExchangeWallClock().now(), "--clock wall"
    if kind is ClockKind.VIRTUAL:
        stored = None if state is None else stored_instant(state)
        default = datetime.combine(market.trading_day(market.ends()), BEFORE_TRADING, NEW_YORK)
        start, where = (_instant(at), f"--at {at}") if at else (stored or default, f"--state {state}")
        start = max(start, stored or start)
    if start >= market.calendar.sessions[-1].open:
        raise BadConfig(
            f"the calendar of the data ends with {market.calendar.days[-1]}",
            where=where,
            fix="Name an earlier instant by --at, or data that reach further",
        )
    return ExchangeWallClock() if kind is ClockKind.WALL else ExchangeVirtualClock(start)


def _instant(at: str) -> datetime:
    try:
        start = datetime.fromisoformat(at)
        return (start if start.tzinfo else start.replace(tzinfo=NEW_YORK)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadConfig("not an ISO 8601 instant", where=f"--at {at}", fix="Write 2021-10-01T08:00:00-04:00") from None


def main() -> None:
    """Entry point of `paper-exchange`."""
    run(app)


if __name__ == "__main__":
    main()
