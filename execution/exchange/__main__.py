"""`paper-exchange serve`: an Alpaca-compatible paper exchange on loopback."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime, time
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import typer

from execution.exchange.clock import ExchangeClock, VirtualClock, WallClock
from execution.exchange.config import ExchangeConfig
from execution.exchange.exchange import Exchange
from execution.exchange.market import Market
from signals.config import load
from signals.console import run
from signals.errors import BadConfig
from signals.sessions import NEW_YORK

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
BEFORE_TRADING = time(8, 0)


class ClockKind(StrEnum):
    """Where the exchange's time comes from."""

    VIRTUAL = "virtual"
    WALL = "wall"


@app.callback()
def main_help() -> None:
    """Serve an Alpaca-compatible paper exchange on loopback."""


@app.command()
def serve(
    data: Path = typer.Option(..., help="Curated dataset folder."),
    state: Path = typer.Option(None, help="Folder of the durable state; without it everything is in memory."),
    port: int = typer.Option(8765, help="Loopback port; 0 takes a free one."),
    seed: int = typer.Option(0, help="Seed of ids and of partial fills."),
    clock: ClockKind = typer.Option(ClockKind.VIRTUAL, help="Virtual: moved by POST /_sim/advance."),
    cash: str = typer.Option("", help="USD at the opening of the account."),
    at: str = typer.Option("", help="ISO 8601 instant at which a new virtual clock starts."),
    config: Path = typer.Option(None, help="YAML of ExchangeConfig."),
    stand_in_port: int = typer.Option(-1, help="Loopback port of a proxy for Alpaca's paper hosts; 0 a free one."),
    stand_in_ca: Path = typer.Option(None, help="Where the authority's certificate for such programs is written."),
) -> None:
    """Serve until interrupted. The first line of output tells the address as JSON."""
    from execution.exchange import http

    if (stand_in_port < 0) != (stand_in_ca is None):
        raise BadConfig(
            "a stand-in needs a port and a file", where="--stand-in-port, --stand-in-ca",
            mend="Give both or neither",
        )  # fmt: skip
    settings = load(config, ExchangeConfig) if config else ExchangeConfig()
    if cash:
        settings = settings.model_copy(update={"cash": Decimal(cash)})
    market = Market.from_dataset(data)
    exchange = Exchange(market, _clock(clock, at, market), seed=seed, state=state, config=settings)
    bound = http.listen(port)
    told = {"url": f"http://{http.LOOPBACK}:{bound.getsockname()[1]}", "now": exchange.now.isoformat()}
    try:
        with ExitStack() as standing:
            if stand_in_ca is not None:
                told |= {"stand_in": standing.enter_context(_stand_in(stand_in_port, bound, stand_in_ca))}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            http.server(exchange).run(sockets=[bound])
    finally:
        exchange.close()


def _stand_in(port: int, exchange: socket.socket, authority: Path) -> AbstractContextManager[str]:
    from execution.exchange.standin import standing_in

    return standing_in(port, exchange.getsockname()[1], authority, WallClock().now())


def _clock(kind: ClockKind, at: str, market: Market) -> ExchangeClock:
    if kind is ClockKind.WALL:
        return WallClock()
    if not at:
        return VirtualClock(datetime.combine(market.trading_day(market.ends()), BEFORE_TRADING, NEW_YORK))
    try:
        start = datetime.fromisoformat(at)
    except ValueError:
        raise BadConfig("not an ISO 8601 instant", where=f"--at {at}", mend="Write 2021-10-01T08:00:00-04:00") from None
    return VirtualClock(start if start.tzinfo else start.replace(tzinfo=NEW_YORK))


def main() -> None:
    """Entry point of `paper-exchange`."""
    run(app)


if __name__ == "__main__":
    main()
