"""The broker over Alpaca's trading API, for the paper account and for the embedded exchange.

Invariants
----------
1. Paper only: the client is built with `paper=True` and an address that `require_permitted` let through, and the
   transport checks every request again.
2. POST and DELETE leave exactly once per call, whatever comes back: the client's own retries are switched off, and
   construction fails where that cannot be done.
3. GET is repeated at most `read_retries` times, honouring Retry-After and X-RateLimit-Reset; when it still has no
   whole answer it raises `BrokerUnreachable`. An unanswered report is never an empty one.
4. `submit` answers `Refused` only for a documented refusal of Alpaca's own; everything else but a parsed
   acknowledgement of our own id is `Unknown`.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TypeVar
from urllib.parse import quote

import requests
import urllib3
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from pydantic import Field
from requests.adapters import BaseAdapter

from execution.brokers import parsing
from execution.brokers.base import Account, Acked, Activity, Asset, BrokerClock, Position, Refused, Submission, Unknown
from execution.brokers.parsing import order_body
from execution.brokers.rate_limit import RateClock as Clock
from execution.brokers.rate_limit import TokenBucket, asked_wait
from execution.brokers.retrying import tame
from execution.brokers.transport import GuardedTransport, require_permitted
from execution.orders import BrokerOrder, Intent
from signals.config import Config
from signals.errors import BrokerUnreachable, UnknownBrokerState, UnknownOrder
from signals.market.sessions import Session
from signals.text.strict_json import Json
from signals.text.wording import reason_of

ORDERS_PER_PAGE = 500
ACTIVITIES_PER_PAGE = 100
# Codes by which Alpaca says that it has no such order. 40010001 is not among them: it also answers a duplicate id.
REFUSAL_CODES = frozenset({40010000, 40310000, 40410000, 42210000, 42910000})
# Whatever a transport or a JSON reader raises: the request may have left, the answer did not arrive whole.
TRANSPORT_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, RecursionError)
AGAIN_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
DUPLICATE_ID = (422, 40010001)  # among other mistakes of a request: only a look-up shows which
NOT_ALLOWED = (401, 403)
NOT_FOUND = 404
T = TypeVar("T")
Params = dict[str, str | int]


class BrokerConfig(Config):
    """How politely the broker is asked.

    Attributes
    ----------
    requests_per_minute : int
        Ceiling over any minute; Alpaca allows 200 per key.
    burst : int
        Requests that may leave at once.
    read_retries : int
        Repeats of a request that changes nothing.
    backoff_seconds, longest_wait_seconds : float
        First wait before a repeat, doubled for each further one and jittered; and the longest that is honoured.
    """

    requests_per_minute: int = Field(default=150, ge=2, le=150)
    burst: int = Field(default=30, ge=1, le=149)
    read_retries: int = Field(default=3, ge=0, le=3)
    backoff_seconds: float = Field(default=0.5, ge=0, le=10)
    longest_wait_seconds: float = Field(default=60.0, ge=0, le=120)


@dataclass(frozen=True)
class Credentials:
    """A key pair of a paper account; never shown."""

    key_id: str = field(repr=False)
    secret_key: str = field(repr=False)


class AlpacaBroker:
    """The `Broker` of an Alpaca paper account or of the embedded exchange.

    Parameters
    ----------
    url : str
        `PAPER_URL` or a loopback address, without the version.
    jitter : random.Random
        Spreads repeats of reads; seeded by the composition root.
    adapter : BaseAdapter or None
        What really sends; the in-process door of an exchange in simulations.

    Raises
    ------
    BadConfig
        `url` is neither Alpaca's paper host nor this machine.
    InvariantBroken
        The installed alpaca-py cannot be held to time-outs and single requests.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        clock: Clock,
        jitter: random.Random,
        *,
        adapter: BaseAdapter | None = None,
        config: BrokerConfig | None = None,
    ) -> None:
        require_permitted(url)
        self._config = config or BrokerConfig()
        self._clock, self._jitter = clock, jitter
        bucket = TokenBucket(self._config.requests_per_minute, self._config.burst, clock)
        client = TradingClient(credentials.key_id, credentials.secret_key, paper=True, raw_data=True, url_override=url.rstrip("/"))
        tame(client, GuardedTransport(bucket, adapter))
        self._client = client

    # -- reading --------------------------------------------------------------------------------------------------

    def account(self) -> Account:
        """Return the account."""
        return self._read("/account", {}, _one("account", parsing.account))

    def clock(self) -> BrokerClock:
        """Return the broker's time."""
        return self._read("/clock", {}, _one("clock", parsing.clock))

    def calendar(self, first: date, last: date) -> tuple[Session, ...]:
        """Return the broker's sessions in the closed interval, oldest first."""
        days = self._read("/calendar", {"start": first.isoformat(), "end": last.isoformat()}, _many("calendar", parsing.session))
        return tuple(sorted((day for day in days if first <= day.day <= last), key=lambda day: day.day))

    def assets(self) -> dict[str, Asset]:
        """Return every active US equity by symbol."""
        found = self._read("/assets", {"status": "active", "asset_class": "us_equity"}, _many("assets", parsing.asset))
        return {asset.symbol: asset for asset in found}

    def positions(self) -> tuple[Position, ...]:
        """Return all holdings, sorted by symbol."""
        found = self._read("/positions", {}, _many("positions", parsing.position))
        if len({held.symbol for held in found}) != len(found):
            raise parsing.unreadable("a symbol is held twice in the positions")
        return tuple(sorted(found, key=lambda held: held.symbol))

    def orders(self, *, open_only: bool, after: datetime | None = None) -> tuple[BrokerOrder, ...]:
        """Return all orders submitted after `after`, every page of them, oldest first."""
        asked: Params = {"status": "open" if open_only else "all", "limit": ORDERS_PER_PAGE, "direction": "asc", "nested": "false"}
        first = asked if after is None else {**asked, "after": after.astimezone(UTC).isoformat().replace("+00:00", "Z")}
        return self._pages(
            "/orders",
            first,
            lambda last: {**asked, "after_order_id": last.id},
            _many("orders", parsing.order),
            size=ORDERS_PER_PAGE,
            identity=lambda order: order.id,
        )

    def activities(self, after: date) -> tuple[Activity, ...]:
        """Return all activities of the days after `after`, every page of them, oldest first."""
        asked: Params = {"after": after.isoformat(), "direction": "asc", "page_size": ACTIVITIES_PER_PAGE}
        return self._pages(
            "/account/activities",
            asked,
            lambda last: {**asked, "page_token": last.id},
            _many("activities", parsing.activity),
            size=ACTIVITIES_PER_PAGE,
            identity=lambda activity: activity.id,
        )

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order, or None when the broker itself says that it has none."""
        found = self._order("/orders:by_client_order_id", {"client_order_id": client_order_id})
        return _asked_for(found, client_order_id, found.client_order_id if found else None)

    def order_of_id(self, order_id: str) -> BrokerOrder | None:
        """Return the order that has the broker's own id, or None when the broker itself says that it has none."""
        found = self._order(f"/orders/{quote(order_id, safe='')}", {})
        return _asked_for(found, order_id, found.id if found else None)

    def _order(self, path: str, asked: Params) -> BrokerOrder | None:
        parse: Callable[[object], BrokerOrder | None] = _one("order", parsing.order)
        return self._read(path, asked, parse, missing=lambda: None)

    def _pages(
        self,
        path: str,
        first: Params,
        following: Callable[[T], Params],
        parse: Callable[[object], tuple[T, ...]],
        *,
        size: int,
        identity: Callable[[T], str],
    ) -> tuple[T, ...]:
        """Return every page, each item once; an item that comes again would hide another, so it is an error."""
        found: dict[str, T] = {}
        page = self._read(path, first, parse)
        while True:
            for item in page:
                if identity(item) in found:
                    raise parsing.unreadable(f"{path} repeats {identity(item)} on a later page")
                found[identity(item)] = item
            if len(page) < size:
                return tuple(found.values())
            page = self._read(path, following(page[-1]), parse)

    def _read(self, path: str, params: Params, parse: Callable[[object], T], missing: Callable[[], T] | None = None) -> T:
        """Ask, and ask again while the answer is late, busy or torn (invariant 3).

        `missing` answers for a 404 that is Alpaca's own; without it a 404 is a refusal like any other.
        """
        reason, wait = "", 0.0
        for attempt in range(self._config.read_retries + 1):
            if attempt:
                self._clock.sleep(wait)
            wait = float(self._config.backoff_seconds * 2**attempt * (0.5 + self._jitter.random()))
            try:
                return parse(self._client.get(path, dict(params)))
            except APIError as error:
                status = error.status_code
                if missing is not None and status == NOT_FOUND and _problem(error) is not None:
                    return missing()
                if status in NOT_ALLOWED:
                    raise UnknownBrokerState(
                        f"the broker refuses this key or account with {status}",
                        where=path,
                        fix="Check the credentials and the account at the broker",
                    ) from None
                if status not in AGAIN_STATUSES:
                    raise BrokerUnreachable(f"the broker refuses the question with {status}", where=path) from None
                longest = self._config.longest_wait_seconds
                reason, wait = f"status {status}", asked_wait(error.response.headers, wait, self._clock.now(), longest)
            except TRANSPORT_ERRORS as error:
                reason = reason_of(error)
            except BrokerUnreachable as error:
                reason = error.where
        raise BrokerUnreachable("the broker does not answer", where=f"{path}: {reason}", fix="It is asked again later")

    # -- changing -------------------------------------------------------------------------------------------------

    def submit(self, intent: Intent) -> Submission:
        """Send one order, once.

        Raises
        ------
        UnknownOrder
            The broker acknowledged an order with another id than ours.
        """
        try:
            order = _one("order", parsing.order)(self._client.post("/orders", order_body(intent)))
        except APIError as error:
            return _refusal(error)
        except TRANSPORT_ERRORS as error:
            return Unknown(f"{reason_of(error)}; the request may have left")
        except (BrokerUnreachable, UnknownBrokerState) as error:
            return Unknown(str(error))
        if order.client_order_id != intent.key.client_order_id:
            raise UnknownOrder(
                "the broker acknowledged another order than the one sent",
                where=f"sent {intent.key.client_order_id}, got {order.client_order_id}",
                fix="Look at the account's orders before anything is sent again",
            )
        return Acked(order)

    def cancel(self, order_id: str) -> bool | None:
        """Ask once to cancel: True accepted, False not cancelable any more, None unknown."""
        try:
            self._client.delete(f"/orders/{quote(order_id, safe='')}")
        except APIError as error:
            return False if isinstance(_refusal(error), Refused) else None
        except TRANSPORT_ERRORS:
            return None
        return True

    def cancel_all(self) -> bool:
        """Ask once to cancel every open order: True when the broker took the request for each of them."""
        try:
            answer = self._client.delete("/orders")
            outcomes = parsing.listed(answer, "cancellations", lambda item: parsing.number(item, "status"))
        except (APIError, BrokerUnreachable, *TRANSPORT_ERRORS):
            return False
        return all(status < 500 for status in outcomes)


def _asked_for(found: BrokerOrder | None, asked: str, answered: str | None) -> BrokerOrder | None:
    if found is not None and answered != asked:
        raise UnknownOrder(
            "the broker answered with another order",
            where=f"asked {asked}, got {answered}",
            fix="Look at the account's orders before anything is sent again",
        )
    return found


def _one(what: str, parse: Callable[[parsing.Body], T]) -> Callable[[object], T]:
    return lambda content: parse(parsing.body(content, what))


def _many(what: str, parse: Callable[[parsing.Body], T]) -> Callable[[object], tuple[T, ...]]:
    return lambda content: parsing.listed(content, what, parse)


def _refusal(error: APIError) -> Refused | Unknown:
    """Read an error answer: a documented refusal, or an outcome that only a look-up shows (invariant 4)."""
    status, problem = error.status_code or 0, _problem(error)
    code = problem.get("code") if problem is not None else None
    if problem is None or not 400 <= status < 500 or not isinstance(code, int) or code not in REFUSAL_CODES:
        said = f"status {status}" + ("" if code is None else f" code {code}")
        return Unknown(said, is_taken=(status, code) == DUPLICATE_ID)
    return Refused(status, code, str(problem.get("message", "")))


def _problem(error: APIError) -> Mapping[str, Json] | None:
    """Return Alpaca's own error body, or None for anything else that answered in its name (a proxy's page)."""
    try:
        content = error.response.json()
    except TRANSPORT_ERRORS:
        return None
    return content if isinstance(content, Mapping) and ("code" in content or "message" in content) else None
