"""A small hand-worked market for the exchange, and clients on it: prices that a reader can check in the head.

Sessions 2021-11-19 .. 2021-12-03 hold Thanksgiving (no session on 11-25) and the early close of 11-26. On session
number i (0 is 11-19) a name opens at base + i, trades from base + i - 2 to base + i + 3 and closes at base + i + 0.5.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.trading.client import TradingClient

from execution.exchange.api.exchange import Exchange
from execution.exchange.config import ExchangeConfig
from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.doors import http
from execution.exchange.doors.http import Gate
from execution.exchange.doors.inprocess import InProcessAdapter
from execution.exchange.market.market import MarketData
from execution.exchange.market.minutes import MinuteMarket
from signals.market.actions import Action
from signals.market.bars import Bars, days_array
from signals.market.manifest import PriceBasis
from signals.market.sessions import NEW_YORK, Calendar, xnys
from signals.serving.connections import listen
from signals.serving.gate import LOOPBACK, OWN_HOSTS
from tests.fakes import steering

FIRST, LAST = date(2021, 11, 19), date(2021, 12, 3)
BASES = {"AAA": 100.0, "BBB": 50.0, "CCC": 20.0}
URL = "http://127.0.0.1"


@cache
def calendar() -> Calendar:
    """Sessions of New York, well beyond the bars."""
    return xnys(date(2021, 1, 4), date(2022, 12, 30))


def bars(bases: Mapping[str, float] | None = None, *, silent: Iterable[tuple[str, date]] = ()) -> Bars:
    """Bars of the rule above; `silent` pairs of name and session have a bar without volume."""
    bases = bases or BASES
    names = tuple(sorted(bases))
    days = calendar().between(FIRST, LAST)
    level = np.arange(len(days), dtype=np.float64)[:, None] + np.array([bases[name] for name in names])
    volume = np.full(level.shape, 100_000.0)
    for name, day in silent:
        volume[days.index(day), names.index(name)] = 0.0
    close = level + 0.5
    returns = np.full(level.shape, np.nan)
    returns[1:] = close[1:] / close[:-1] - 1
    return Bars(
        days_array(days), names, level, level + 3, level - 2, close, volume, returns, returns.copy(), np.ones(level.shape, dtype=np.bool_)
    )


def new_york(text: str) -> datetime:
    """Read `2021-11-22 08:00` as New York time."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


def exchange(
    at: str = "2021-11-22 08:00",
    *,
    panel: Bars | None = None,
    actions: Iterable[Action] = (),
    basis: PriceBasis = PriceBasis.RAW,
    seed: int = 1,
    state: Any = None,
    minutes: MinuteMarket | None = None,
    **config: Any,
) -> Exchange:
    """Return an exchange on the small market with a virtual clock at `at`, New York."""
    market = MarketData(panel if panel is not None else bars(), calendar(), actions, basis=basis, minutes=minutes)
    settings = ExchangeConfig.model_validate(config)
    return Exchange(market, ExchangeVirtualClock(new_york(at)), seed=seed, state=state, config=settings)


def trading(served: Exchange, **options: Any) -> TradingClient:
    """Return an unmodified TradingClient on `served`, in process."""
    client = TradingClient("key", "secret", url_override=URL, **options)
    client._session.mount(URL, InProcessAdapter(served))
    return client


def trading_at(url: str) -> TradingClient:
    """Return an unmodified TradingClient on an exchange that serves `url`."""
    return TradingClient("key", "secret", url_override=url)


def data(served: Exchange) -> StockHistoricalDataClient:
    """Return an unmodified StockHistoricalDataClient on `served`, in process."""
    client = StockHistoricalDataClient("key", "secret", url_override=URL)
    client._session.mount(URL, InProcessAdapter(served))
    return client


def actions_client(served: Exchange) -> CorporateActionsClient:
    """Return an unmodified CorporateActionsClient on `served`, in process."""
    client = CorporateActionsClient("key", "secret", url_override=URL)
    client._session.mount(URL, InProcessAdapter(served))
    return client


def money(text: str | None) -> Decimal:
    """Read a money string of the wire."""
    assert text is not None
    return Decimal(text)


@contextmanager
def serving(served: Exchange, *, patience: float = http.PATIENCE_SECONDS, hosts: Iterable[str] = ()) -> Iterator[str]:
    """Serve `served` over real HTTP on a free loopback port; yield its address."""
    bound = listen(LOOPBACK, 0)
    server = http.server(served, Gate(steering.TOKEN, OWN_HOSTS | set(hosts)), patience=patience)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    while not server.started:
        time.sleep(0.005)
    address = f"{URL}:{bound.getsockname()[1]}"
    steering.forget(address)
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def main() -> None:
    """Serve the small market from the state folder in argv[1] in a process of its own, until it is killed."""
    with serving(exchange("2021-11-22 08:00", state=Path(sys.argv[1]), power_safe=False)) as address:
        sys.stdout.write(address + "\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
