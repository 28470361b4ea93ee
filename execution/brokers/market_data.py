"""Alpaca's market data through alpaca-py's own clients: raw daily bars of the consolidated tape, corporate actions.

Both hosts ask through it: the trainer fills gaps, the device completes its evening. What answers may be an embedded
exchange that speaks the same protocol.

Invariants
----------
1. feed=sip: the bars of one venue are no bars of the market, so the feed `iex` is refused. Bars are raw; closes for a
   comparison are in shares of now.
2. Nothing later than 16 minutes ago is asked for, and no session that had not closed by then: a bar that is still
   being made is not a bar.
3. A request leaves for Alpaca's data host or this machine only, paced and with time-outs; only reads leave, and one
   that fails is repeated a few times, then `BrokerUnreachable`. A part of an answer is no answer.
4. Symbols are meant as they traded (`asof=-`): histories are joined by recorded symbol changes, never by the vendor.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, cast

from alpaca.common.rest import RESTClient
from alpaca.data.enums import Adjustment, CorporateActionsType, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest, StockBarsRequest, StockLatestTradeRequest
from alpaca.data.timeframe import TimeFrame
from requests.adapters import BaseAdapter

from execution.brokers.rate_limit import RateClock, TokenBucket
from execution.brokers.reported import ReportedAction, ReportedBar
from execution.brokers.retrying import Asking, tame
from execution.brokers.transport import GuardedTransport, is_permitted
from signals.errors import BadBars, BadConfig
from signals.market.sessions import NEW_YORK, Calendar
from signals.text import strict_json
from signals.text.strict_json import Json
from signals.text.wording import reason_of

Row = Mapping[str, Json]
DATA_URL = "https://data.alpaca.markets"
FEED = "sip"
DELAY = timedelta(minutes=16)  # what a key without real-time rights may see is 15 minutes old
REQUESTS_PER_MINUTE, BURST = 150, 20
SYMBOLS_PER_REQUEST = 100  # keeps addresses short
MOST_PAGES = 1000  # of one request: 10 million bars, 250 times the largest that we ask for
PARTS: dict[str, tuple[str, type]] = {  # by path: what an answer holds, and of what its rows are, by symbol or kind
    "/stocks/bars": ("bars", list),
    "/stocks/trades/latest": ("trades", dict),
    "/corporate-actions": ("corporate_actions", list),
}
KEY_FILE, SECRET_FILE = "alpaca-key-id", "alpaca-secret-key"


@dataclass(frozen=True)
class Keys:
    """A key pair; never shown."""

    key_id: str = field(repr=False)
    secret_key: str = field(repr=False)


def read_keys(folder: Path | None) -> Keys:
    """Read a key pair from a folder of credentials; raise `BadConfig` where there is none."""
    if folder is None:
        raise BadConfig("Alpaca's data need a key pair", where="--credentials", fix=f"Name a folder with {KEY_FILE} and {SECRET_FILE}")
    try:
        return Keys(*((folder / name).read_text(encoding="utf-8").strip() for name in (KEY_FILE, SECRET_FILE)))
    except OSError as error:
        raise BadConfig(f"no key pair ({reason_of(error)})", where=str(folder), fix=f"It must hold {KEY_FILE} and {SECRET_FILE}") from None


class _Paged(RESTClient):
    """Pages that end: Alpaca says "nothing" in several ways, and alpaca-py follows any token that is not null.

    An empty token ends the pages, a null where a list is expected is an empty list, and a token that was followed
    already, which would count its page twice, is no answer.
    """

    _followed: frozenset[str] = frozenset()

    def get(self, path: str, data: Any = None, **options: Any) -> Any:
        """Return one page; raise `ValueError` for what is none, which alpaca-py would stumble over."""
        answer = super().get(path, data, **options)
        if not isinstance(answer, dict):
            raise ValueError("the answer is no JSON object")
        _require_rows(answer, *PARTS[path])
        asked, following = (data or {}).get("page_token"), answer.get("next_page_token") or None
        self._followed = frozenset() if asked is None else self._followed | {str(asked)}
        if following is not None and (str(following) in self._followed or len(self._followed) >= MOST_PAGES):
            raise ValueError(f"the pages do not end: {str(following)[:40]!r} is repeated")
        page = {key: _without_null(part) for key, part in answer.items()}
        return {**page, "next_page_token": following}


def _require_rows(answer: Mapping[str, object], name: str, kind: type) -> None:
    """Raise `ValueError` unless the answer holds what was asked for; null represents none at all."""
    if name not in answer:
        raise ValueError(f"the answer has no {name}")
    part = answer[name]
    if part is not None and not isinstance(part, Mapping):
        raise ValueError(f"{name} is no JSON object")
    if part and not all(rows is None or isinstance(rows, kind) for rows in part.values()):
        raise ValueError(f"{name} holds something else than rows")


def _without_null(part: object) -> object:
    if isinstance(part, Mapping):
        return {key: [] if rows is None else rows for key, rows in part.items()}
    return {} if part is None else part


class _Bars(_Paged, StockHistoricalDataClient):
    """Bars, page by page."""


class _Actions(_Paged, CorporateActionsClient):
    """Corporate actions, page by page."""


class AlpacaData:
    """Bars and corporate actions of Alpaca, or of an embedded exchange that speaks its protocol.

    Parameters
    ----------
    url : str
        Alpaca's data host, or a loopback address; without the version.
    clock : RateClock
        Says what may be asked for, and paces the requests.
    feed : str
        `sip`; anything else is refused.
    adapter : BaseAdapter, optional
        What really sends; the in-process door of an exchange in tests.
    patience : int
        As of `Asking`.

    Raises
    ------
    BadConfig
        Another feed than `sip`, or an address that is neither Alpaca's data host nor this machine.
    """

    name = "alpaca"

    def __init__(
        self, url: str, keys: Keys, clock: RateClock, *, feed: str = FEED, adapter: BaseAdapter | None = None, patience: int = 0
    ) -> None:
        if feed != FEED:
            raise BadConfig(
                f"bars of the feed {feed!r} are no bars of the whole market",
                where="--feed",
                fix=f"Use {FEED}: features and fills need the consolidated tape's prices and volume",
            )
        if not is_permitted(url):
            raise BadConfig("neither Alpaca's data host nor this machine", where=url, fix=f"Use {DATA_URL}")
        self._clock, self._asking = clock, Asking(self.name, clock, patience)
        bucket = TokenBucket(REQUESTS_PER_MINUTE, BURST, clock)
        base = url.rstrip("/")
        self._bars = _Bars(keys.key_id, keys.secret_key, raw_data=True, url_override=base)
        self._actions = _Actions(keys.key_id, keys.secret_key, raw_data=True, url_override=base)
        for client in (self._bars, self._actions):
            tame(client, GuardedTransport(bucket, adapter))

    def bars(self, symbols: Sequence[str], first: date, last: date, calendar: Calendar) -> list[ReportedBar]:
        """Return raw daily bars of the closed sessions in [first, last]; no row for what Alpaca does not have.

        Raises
        ------
        BrokerUnreachable
            No whole answer came.
        BadBars
            An answer is not in the shape of bars.
        """
        return self._raw(symbols, first, last, calendar, Adjustment.RAW)

    def months(self, symbols: Sequence[str], first: date, last: date, calendar: Calendar) -> list[ReportedBar]:
        """Return raw monthly bars from the month of `first` to that of `last`, each of its first day; raises as `bars`."""
        return self._raw(symbols, first.replace(day=1), last, calendar, Adjustment.RAW, TimeFrame.Month)

    def closes(self, symbols: Sequence[str], day: date, calendar: Calendar) -> dict[str, Decimal]:
        """Return the close of `day` in shares of now, by every split that has become effective since; raises as `bars`.

        A symbol without a bar, or whose close is no price, is absent.
        """
        rows = self._raw(symbols, day, day, calendar, Adjustment.SPLIT)
        return {row.symbol: Decimal(repr(row.close)) for row in rows if math.isfinite(row.close) and row.close > 0}

    def latest(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        """Return today's newest trade price of each symbol, as a key without real-time rights sees it.

        A symbol that has not traded today, by New York's date, is absent: an older price is in shares of another day.
        Raises as `bars`.
        """
        today = self._clock.now().astimezone(NEW_YORK).date()
        found: dict[str, Decimal] = {}
        for some in _groups(symbols):
            asked = StockLatestTradeRequest(symbol_or_symbols=some, feed=DataFeed.DELAYED_SIP)
            found |= _trades_in(self._read(partial(self._bars.get_stock_latest_trade, asked)), today)
        return found

    def _raw(
        self, symbols: Sequence[str], first: date, last: date, calendar: Calendar, adjustment: Adjustment, frame: TimeFrame = TimeFrame.Day
    ) -> list[ReportedBar]:
        final = self.final(first, last, calendar)
        if not final or not symbols:
            return []
        end = min(datetime.combine(final[-1], datetime.max.time(), NEW_YORK), self._newest())
        rows: list[ReportedBar] = []
        for some in _groups(symbols):
            asked = StockBarsRequest(
                symbol_or_symbols=some,
                timeframe=frame,
                end=end,
                start=datetime.combine(first, datetime.min.time(), NEW_YORK),
                adjustment=adjustment,
                feed=DataFeed.SIP,
                asof="-",
            )
            rows += _bars_in(self._read(partial(self._bars.get_stock_bars, asked)))
        # The same bar on two pages is one bar.
        return [row for row in dict.fromkeys(rows) if first <= row.day <= final[-1]]

    def final(self, first: date, last: date, calendar: Calendar) -> list[date]:
        """Sessions in [first, last] whose bars may be asked for now, oldest first."""
        newest = self._newest()
        return [s.day for s in calendar.sessions if first <= s.day <= last and s.close <= newest]

    def actions(self, symbols: Sequence[str], first: date, last: date) -> tuple[list[ReportedAction], list[str]]:
        """Return the corporate actions effective in [first, last] that we can represent, and the names of the others.

        Splits, stock and cash dividends, symbol changes, cash mergers and worthless removals. The others (stock
        mergers, spin-offs, unit splits, redemptions, rights) are named for a person. Raises as `bars`.
        """
        found: list[ReportedAction] = []
        unsupported: list[str] = []
        for some in _groups(symbols):
            asked = CorporateActionsRequest(symbols=some, start=first, end=last, limit=None)
            represented, others = _actions_in(self._read(partial(self._actions.get_corporate_actions, asked)))
            found += represented
            unsupported += others
        # An action that concerns two of the symbols asked for comes with each group that holds one of them.
        return list(dict.fromkeys(found)), list(dict.fromkeys(unsupported))

    def name_changes(self, first: date, last: date) -> list[ReportedAction]:
        """Return every change of a symbol processed in [first, last], of every name. Raises as `bars`."""
        asked = CorporateActionsRequest(types=[CorporateActionsType.NAME_CHANGE], start=first, end=last, limit=None)
        return list(dict.fromkeys(_actions_in(self._read(partial(self._actions.get_corporate_actions, asked)))[0]))

    def _newest(self) -> datetime:
        return self._clock.now() - DELAY

    def _read(self, request: Callable[[], Any]) -> Mapping[str, Json]:
        answer: Mapping[str, Json] = self._asking.read(request)
        return answer


def _groups(symbols: Sequence[str]) -> list[list[str]]:
    names = sorted(set(symbols))
    return [names[at : at + SYMBOLS_PER_REQUEST] for at in range(0, len(names), SYMBOLS_PER_REQUEST)]


def _bars_in(answer: Mapping[str, Json]) -> list[ReportedBar]:
    try:
        return [
            ReportedBar(_day_of(bar), symbol, *(_number(bar, key) for key in "ohlcv"))
            for symbol, bars in answer.items()
            for bar in _rows(bars)
        ]
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise BadBars(f"an answer is not in the shape of bars ({reason_of(error)})", where="alpaca", fix="Try later") from None


def _trades_in(answer: Mapping[str, Json], today: date) -> dict[str, Decimal]:
    try:
        known = [(symbol, _row(row)) for symbol, row in answer.items() if row not in (None, [])]
        rows = [(symbol, _day_of(row), Decimal(str(row["p"]))) for symbol, row in known]
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise BadBars(f"an answer is not in the shape of trades ({reason_of(error)})", where="alpaca", fix="Try later") from None
    return {symbol: price for symbol, day, price in rows if day == today and price.is_finite() and price > 0}


def _actions_in(answer: Mapping[str, Json]) -> tuple[list[ReportedAction], list[str]]:
    """Actions that we can represent, and the names of the others."""
    found: list[ReportedAction] = []
    unsupported: list[str] = []
    try:
        for family, rows in sorted(answer.items()):
            reader = ACTIONS.get(family)
            if reader is None:
                unsupported += [f"{family}: {_names(row)} {row.get('process_date', '')}" for row in _rows(rows)]
            else:
                found += [reader(row) for row in _rows(rows)]
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise BadBars(f"an answer is not in the shape of corporate actions ({reason_of(error)})", where="alpaca", fix="Try later") from None
    return found, unsupported


def _day_of(row: Row) -> date:
    """New York's date of a row's instant."""
    return datetime.fromisoformat(str(row["t"]).replace("Z", "+00:00")).astimezone(NEW_YORK).date()


def _split(row: Row) -> ReportedAction:
    ratio = _number(row, "new_rate") / _number(row, "old_rate")
    return ReportedAction("split", _text(row, "symbol"), _day(row, "ex_date"), ratio=ratio)


def _name_change(row: Row) -> ReportedAction:
    return ReportedAction("symbol_change", _text(row, "old_symbol"), _day(row, "process_date"), new_symbol=_text(row, "new_symbol"))


def _cash_merger(row: Row) -> ReportedAction:
    return ReportedAction("delisting", _text(row, "acquiree_symbol"), _day(row, "effective_date"), cash=_number(row, "rate"))


ACTIONS: dict[str, Callable[[Row], ReportedAction]] = {
    "forward_splits": _split,
    "reverse_splits": _split,
    "stock_dividends": lambda row: ReportedAction("split", _text(row, "symbol"), _day(row, "ex_date"), ratio=1.0 + _number(row, "rate")),
    "cash_dividends": lambda row: ReportedAction("dividend", _text(row, "symbol"), _day(row, "ex_date"), cash=_number(row, "rate")),
    "name_changes": _name_change,
    "cash_mergers": _cash_merger,
    "worthless_removals": lambda row: ReportedAction("delisting", _text(row, "symbol"), _day(row, "process_date"), cash=0.0),
}


def _number(row: Row, key: str) -> float:
    return float(strict_json.number(str(row[key])))


def _day(row: Row, key: str) -> date:
    return date.fromisoformat(str(row[key]))


def _text(row: Row, key: str) -> str:
    if not isinstance(value := row[key], str):
        raise ValueError(f"{key} is no text")
    return value


def _row(value: Json) -> Row:
    if not isinstance(value, Mapping):
        raise TypeError("not an object")
    return value


def _rows(value: Json) -> list[Row]:
    return [_row(row) for row in cast("list[Json]", value)]  # a list: `_require_rows` has asked


def _names(row: Row) -> str:
    return ", ".join(str(value) for key, value in sorted(row.items()) if key.endswith("symbol") and value)
