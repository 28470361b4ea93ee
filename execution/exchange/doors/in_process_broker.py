"""An in-process broker backed by the exchange, without HTTP.

It sends the very requests that a client would send and reads the answers with the same parser, so that an order which
an account over HTTP would have refused is refused here. For backtests: the clock is moved by the caller.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from execution.brokers import parsing
from execution.brokers.base import Account, Acked, Activity, Asset, Position, Refused, Submission
from execution.brokers.parsing import order_body
from execution.exchange.api.exchange import KEY_HEADER, SECRET_HEADER, Exchange
from execution.exchange.market.minutes import MinuteMarket
from execution.exchange.protocol.message import ApiRequest
from execution.orders import BrokerOrder, Fill, Intent, Side
from signals.errors import InvariantBroken

HEADERS = {KEY_HEADER: "embedded", SECRET_HEADER: "embedded"}
OK = 200
T = TypeVar("T")


class DirectBroker:
    """One account of an exchange in this process; nothing is late, lost or asked twice."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._fills_read = 0

    def advance(self, to: datetime) -> None:
        """Move the exchange's clock to `to`; everything due by then happens."""
        self._exchange.advance(to)

    @property
    def now(self) -> datetime:
        """The exchange's instant."""
        return self._exchange.now

    @property
    def minutes(self) -> MinuteMarket | None:
        """The minute bars that orders meet; None on daily bars."""
        return self._exchange.venue.market.minutes

    def cancel(self, client_order_id: str) -> None:
        """Ask that an order that was acknowledged be cancelled; one that is over stays as it is."""
        self._ask("DELETE", f"/v2/orders/{self.order(client_order_id).id}", {}, b"")

    def account(self) -> Account:
        """Return the account."""
        return self._get("/v2/account", parsing.account)

    def positions(self) -> tuple[Position, ...]:
        """Return all holdings, sorted by symbol."""
        found = self._list("/v2/positions", {}, parsing.position)
        return tuple(sorted(found, key=lambda held: held.symbol))

    def assets(self) -> dict[str, Asset]:
        """Return every active US equity by symbol."""
        found = self._list("/v2/assets", {"status": "active", "asset_class": "us_equity"}, parsing.asset)
        return {asset.symbol: asset for asset in found}

    def order(self, client_order_id: str) -> BrokerOrder:
        """Return an order that was acknowledged."""
        query = {"client_order_id": client_order_id}
        return self._get("/v2/orders:by_client_order_id", parsing.order, query)

    def submit(self, intent: Intent) -> Submission:
        """Send one order."""
        status, content = self._ask("POST", "/v2/orders", {}, json.dumps(order_body(intent)).encode())
        document = parsing.body(content, "order")
        if status == OK:
            return Acked(parsing.order(document))
        return Refused(status, int(parsing.number(document, "code")), parsing.text(document, "message"))

    def new_entries(self) -> tuple[tuple[Fill, ...], tuple[Activity, ...]]:
        """Return the fills and the other activities since the last call, oldest first."""
        entries = self._exchange.venue.book.entries[self._fills_read :]
        self._fills_read += len(entries)
        fills = tuple(
            Fill(e.id, e.order_id, e.symbol, Side(e.side), e.quantity, e.price, e.at)
            for e in entries
            if e.side is not None and e.quantity is not None and e.price is not None
        )
        others = tuple(
            Activity(e.id, e.kind, e.symbol, e.day, e.at, e.quantity, e.price, e.net_amount, "", "", e.description)
            for e in entries
            if e.side is None
        )
        return fills, others

    def _get(self, path: str, parse: Callable[[parsing.Body], T], query: Mapping[str, str] | None = None) -> T:
        status, content = self._ask("GET", path, query or {}, b"")
        return parse(parsing.body(self._sound(status, path, content), path))

    def _list(self, path: str, query: Mapping[str, str], parse: Callable[[parsing.Body], T]) -> tuple[T, ...]:
        status, content = self._ask("GET", path, query, b"")
        return parsing.listed(self._sound(status, path, content), path, parse)

    def _ask(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, object]:
        response = self._exchange.handle(ApiRequest(method, path, query, HEADERS, body))
        return response.status, json.loads(response.body) if response.body else None

    @staticmethod
    def _sound(status: int, path: str, content: object) -> object:
        if status != OK:
            raise InvariantBroken(f"the exchange answers {status} to a question", where=f"{path}: {content}")
        return content
