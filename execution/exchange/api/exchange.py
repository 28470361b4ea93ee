"""The exchange core: deterministic, synchronous, behind `handle(ApiRequest) -> ApiResponse`.

Invariants
----------
1. What is acknowledged is durable: the transaction of a request commits before its answer is returned.
2. Nothing after `now` is readable, and `now` never goes back.
3. The same requests at the same instants on the same data and seed give the same answers, to the byte.
4. A refusal changes nothing but the request log.
5. A scripted fault spoils an answer, never the state behind it.
6. What fails half-way changes nothing: the book is read again as it was last committed, and serves on.

Doors: `InProcessAdapter` (a `requests` transport) and `execution.exchange.doors.http` (loopback HTTP and websocket).
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from execution.exchange.api.routes import SIM_PREFIX, find
from execution.exchange.config import ExchangeConfig
from execution.exchange.core.book import AccountBook, AccountSettings, LogRow
from execution.exchange.core.clock import ExchangeClock, ExchangeVirtualClock
from execution.exchange.core.desk import end_struck
from execution.exchange.core.state import ExchangeState
from execution.exchange.core.timeline import TimelineEvent, events
from execution.exchange.core.venue import ExchangeVenue
from execution.exchange.market.market import MarketData
from execution.exchange.orders.order import Order
from execution.exchange.protocol.faults import FaultScript, struck
from execution.exchange.protocol.message import ApiRequest, ApiResponse, answer
from execution.exchange.protocol.rate_limit import RateLimit
from execution.exchange.protocol.refusals import NO_SUCH_ENDPOINT, TOO_MANY_REQUESTS, UNAUTHORIZED, RefusedByVenue
from signals.errors import BadConfig, InvariantBroken

KEY_HEADER, SECRET_HEADER = "apca-api-key-id", "apca-api-secret-key"
LOGGED_BODY_MAX = 4096


class Exchange:
    """One paper account on one market.

    Parameters
    ----------
    clock : ExchangeClock
        Shared or its own; the exchange catches up with it at every request.
    seed : int
        Of ids, the account number and partial fills.
    state : Path or None
        Folder of the durable state; None keeps everything in memory.

    Raises
    ------
    Locked, BadDataset
        The state folder is held by another exchange, or is not one.
    BadConfig
        The state was made with another seed.
    """

    def __init__(
        self, market: MarketData, clock: ExchangeClock, *, seed: int = 0, state: Path | None = None, config: ExchangeConfig | None = None
    ) -> None:
        config = config or ExchangeConfig()
        self.clock = clock
        self._lock = threading.RLock()
        self._depth, self._is_sound = 0, True
        self._moved_to: datetime | None = None  # a virtual clock moves once what was due by then is kept
        self._store = ExchangeState(state, power_safe=config.power_safe)
        book = AccountBook(config.cash, seed, AccountSettings(max_margin_multiplier=str(config.multiplier)))
        self._market = market
        self.venue = ExchangeVenue(book, market, config)
        self.faults = FaultScript()
        self._rate_limit = RateLimit(config.requests_a_minute)
        self._next: TimelineEvent | None = None
        if not self._store.load(book):
            for fact in ("now", "opened_at"):
                book.set_fact(fact, clock.now())
            self._store.commit(book)
        elif book.seed != seed:
            raise BadConfig(f"the state was made with seed {book.seed}, not {seed}", where=str(state), fix="Give that")
        elif isinstance(clock, ExchangeVirtualClock) and clock.now() < book.now:
            clock.move(book.now)
        if book.closures:
            self._reopen(book.closures)

    @property
    def now(self) -> datetime:
        """The instant up to which everything has happened."""
        return self.venue.now

    def handle(self, request: ApiRequest) -> ApiResponse:
        """Answer one request, after everything that was due by now has happened."""
        with self._whole():
            self._catch_up(self.clock.now())
            response, fault = self._spoilt(request)
            self._log(request, response, fault)
            return response

    def advance(self, to: datetime) -> None:
        """Move a virtual clock to `to` and let everything happen that was due by then."""
        if not isinstance(self.clock, ExchangeVirtualClock):
            raise InvariantBroken("only a virtual clock is moved")
        with self._whole():
            self._catch_up(to)
            self._moved_to = to

    def catch_up(self) -> None:
        """Let everything happen that is due by the clock, and make it durable."""
        with self._whole():
            self._catch_up(self.clock.now())

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Commit what happens in the block, or take all of it back; a block inside another is part of that one."""
        with self._lock:
            if self._depth == 0 and not self._is_sound:
                self._restore()
            self._depth, sent = self._depth + 1, self.venue.updates.count
            try:
                yield
                if self._depth == 1:
                    self._store.commit(self.venue.book)
                    if self._moved_to is not None and isinstance(self.clock, ExchangeVirtualClock):
                        self.clock.move(self._moved_to)
            except BaseException:
                self._is_sound = False
                if self._depth == 1:
                    self.venue.updates.cut(sent)
                    self._restore()
                raise
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._moved_to = None

    def _restore(self) -> None:
        """Read the book again as it was last committed."""
        venue = self.venue
        book = AccountBook(venue.config.cash, venue.book.seed, AccountSettings())
        if not self._store.load(book):
            raise InvariantBroken("the state of this exchange is gone", fix="Start it again")
        market = self._market.closed_on(book.closures) if book.closures != venue.market.closures else venue.market
        self.venue, self._next, self._is_sound = replace(venue, book=book, market=market), None, True

    def strike(self, day: date) -> list[Order]:
        """Let the exchange stay closed on `day`, a session that has yet to open; return the orders that end with it."""
        with self._whole():
            self.venue.book.set_fact("closures", self.venue.book.closures | {day})
            self._reopen(frozenset({day}))
            return end_struck(self.venue, day)

    def _reopen(self, closures: frozenset[date]) -> None:
        self.venue = replace(self.venue, market=self.venue.market.closed_on(closures))
        self._next = None  # what was due next may have been the opening of a session that is no more

    def close(self) -> None:
        """Release the state folder."""
        self._store.close()

    def _catch_up(self, to: datetime) -> None:
        book, market = self.venue.book, self.venue.market
        if to <= book.now:
            return
        if self._next is None or to >= self._next.at:
            for event in events(market, book.now, to):
                book.set_fact("now", event.at)
                event.happen(self.venue, event.session)
            self._next = next(events(market, to, market.calendar.sessions[-1].close), None)
        book.set_fact("now", to)

    def _spoilt(self, request: ApiRequest) -> tuple[ApiResponse, str]:
        if request.path.startswith(SIM_PREFIX):
            return self._answer(request), ""
        fault = self.faults.pick(request.method, request.path)
        if fault is None:
            return self._limited(request), ""
        return struck(fault, request, self._limited), fault.words

    def _limited(self, request: ApiRequest) -> ApiResponse:
        key = request.headers.get(KEY_HEADER, "")
        allowed, headers = self._rate_limit.take(key, request.received_at or self.now)
        if not allowed:
            refused = RefusedByVenue(TOO_MANY_REQUESTS)
            return answer(refused.content, TOO_MANY_REQUESTS.status, headers)
        response = self._answer(request)
        return replace(response, headers={**response.headers, **headers}) if headers else response

    def _answer(self, request: ApiRequest) -> ApiResponse:
        try:
            if not request.path.startswith(SIM_PREFIX):
                self._authorize(request)
            found = find(request.method, request.path)
            if found is None:
                raise RefusedByVenue(NO_SUCH_ENDPOINT)
            endpoint, arguments = found
            return endpoint(self, request, *arguments)
        except RefusedByVenue as refused:
            return answer(refused.content, refused.refusal.status)

    def _authorize(self, request: ApiRequest) -> None:
        config = self.venue.config
        given = request.headers.get(KEY_HEADER, ""), request.headers.get(SECRET_HEADER, "")
        wanted = (config.key_id, config.secret_key)
        if request.headers.get("authorization") and wanted == ("", ""):
            return
        if not all(given) or (wanted != ("", "") and given != wanted):
            raise RefusedByVenue(UNAUTHORIZED)

    def _log(self, request: ApiRequest, response: ApiResponse, fault: str) -> None:
        if request.path.startswith(SIM_PREFIX):
            return
        book = self.venue.book
        row = LogRow(
            book.requests + 1,
            book.now,
            request.received_at,
            request.method,
            request.path,
            json.dumps(dict(request.query), sort_keys=True),
            request.body[:LOGGED_BODY_MAX].decode("utf-8", "replace"),
            response.status,
            fault,
        )
        book.log_request(row)
