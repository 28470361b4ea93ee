"""Parses the broker's JSON into values: exact numbers, unknown keys ignored, unknown states refused.

Invariants
----------
1. Money and quantities are finite Decimals made from the digits that were sent.
2. Unknown keys are ignored. An unknown order status becomes `OrderStatus.UNKNOWN` next to the broker's word; any other
   unknown word that decides something raises `UnknownBrokerState`.
3. A missing or malformed field raises `BrokerUnreachable`: the report was not received, it is never guessed.
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import TypeVar

from execution.brokers.base import Account, Activity, Asset, BrokerClock, Position
from execution.brokers.reported import ReportedAsset
from execution.orders import BrokerOrder, Intent, OrderStatus, OrderType, Side, TimeInForce
from signals.errors import BrokerUnreachable, UnknownBrokerState
from signals.market.sessions import NEW_YORK, Session
from signals.text import strict_json
from signals.text.strict_json import Json

Body = Mapping[str, Json]
T = TypeVar("T")
Word = TypeVar("Word", bound=StrEnum)

ACCOUNT_STATUSES = frozenset(
    {
        "INACTIVE",
        "PAPER_ONLY",
        "ONBOARDING",
        "SUBMISSION_FAILED",
        "SUBMITTED",
        "ACCOUNT_UPDATED",
        "APPROVAL_PENDING",
        "ACTIVE",
        "REJECTED",
        "ACCOUNT_CLOSED",
        "APPROVED",
        "ACCOUNT_CLOSED_PENDING",
        "ACTION_REQUIRED",
        "LIMITED",
        "DISABLED",
        "EDITED",
        "AML_REVIEW",
    }
)
STATUSES = {status.value: status for status in OrderStatus if status is not OrderStatus.UNKNOWN}
FILL = "FILL"
MULTI_LEG = "mleg"
MAX_EXPONENT = 30  # a number with more digits than this is no quantity of shares or dollars
_INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?(Z|[+-]\d{2}:\d{2})", re.ASCII)
_SIDES = {"buy": Side.BUY, "sell": Side.SELL, "sell_short": Side.SELL}
_SIGNS = {"long": 1, "short": -1}


def unreadable(what: str) -> BrokerUnreachable:
    """Return the error for an answer that did not arrive whole."""
    return BrokerUnreachable("the broker's answer cannot be read", where=what, fix="It is asked again on the next run")


def unknown_word(key: str, value: str) -> UnknownBrokerState:
    """Return the error for a word that decides something and that we do not know."""
    return UnknownBrokerState(f"{key} is {value!r}, a word that we do not know", fix="Look at the account")


def body(content: object, what: str) -> Body:
    """Return `content` as a JSON object."""
    if not isinstance(content, Mapping):
        raise unreadable(f"{what} is not an object")
    return content


def listed(content: object, what: str, parse: Callable[[Body], T]) -> tuple[T, ...]:
    """Parse every element of a JSON array; an absent or partial list is unreadable, never empty."""
    if not isinstance(content, list):
        raise unreadable(f"{what} is not a list")
    return tuple(parse(body(item, what)) for item in content)


def number(source: Body, key: str) -> Decimal:
    """A required decimal; strings and JSON numbers are both accepted, floats are not."""
    value = source.get(key)
    exact: Decimal | None = None
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        exact = Decimal(value)
    elif isinstance(value, str):
        with contextlib.suppress(strict_json.BadJson):
            exact = strict_json.number(value)
    if exact is None or not exact.is_finite() or abs(exact.adjusted()) > MAX_EXPONENT:
        raise unreadable(f"{key} is not a number")
    return exact


def optional_number(source: Body, key: str) -> Decimal | None:
    """A decimal that may be absent, null or empty."""
    return None if source.get(key) in (None, "") else number(source, key)


def text(source: Body, key: str) -> str:
    """A required, non-empty string."""
    value = source.get(key)
    if isinstance(value, str) and value:
        return value
    raise unreadable(f"{key} is not a text")


def optional_text(source: Body, key: str) -> str:
    """A string that may be absent or null: then empty."""
    return "" if source.get(key) is None else str(source[key])


def flag(source: Body, key: str) -> bool:
    """A required boolean."""
    value = source.get(key)
    if isinstance(value, bool):
        return value
    raise unreadable(f"{key} is not true or false")


def instant(source: Body, key: str) -> datetime:
    """A required RFC 3339 instant in UTC; digits beyond the microsecond are cut off."""
    return moment(text(source, key), key)


def moment(written: str, what: str) -> datetime:
    """Parse one RFC 3339 instant."""
    match = _INSTANT.fullmatch(written)
    if match is None:
        raise unreadable(f"{what} is not an instant")
    day, clock, digits, zone = match.groups()
    fraction = (digits or "0")[:6].ljust(6, "0")
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{fraction}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise unreadable(f"{what} is not an instant") from None


def day_of(source: Body, key: str) -> date:
    """A required date; a time that follows it is ignored."""
    try:
        return date.fromisoformat(text(source, key)[:10])
    except ValueError:
        raise unreadable(f"{key} is not a date") from None


def word(source: Body, key: str, kinds: type[Word]) -> Word:
    """A required word of a closed set; raise `UnknownBrokerState` for one that is not in it."""
    value = text(source, key)
    try:
        return kinds(value)
    except ValueError:
        raise unknown_word(key, value) from None


def account(source: Body) -> Account:
    """Parse an account; fields of the retired pattern-day-trader rule are never read."""
    status = text(source, "status")
    if status not in ACCOUNT_STATUSES:
        raise unknown_word("account status", status)
    blocks = [flag(source, key) for key in ("trading_blocked", "account_blocked", "trade_suspended_by_user")]
    return Account(
        id=text(source, "id"),
        number=text(source, "account_number"),
        status=status,
        cash=number(source, "cash"),
        equity=number(source, "equity"),
        last_equity=number(source, "last_equity"),
        buying_power=number(source, "buying_power"),
        multiplier=number(source, "multiplier"),
        is_blocked=any(blocks),
        shorting_enabled=flag(source, "shorting_enabled"),
    )


def position(source: Body) -> Position:
    """Parse a position; a short is negative whichever way its quantity is signed."""
    side = text(source, "side")
    if side not in _SIGNS:
        raise unknown_word("position side", side)
    return Position(
        symbol=text(source, "symbol"),
        quantity=_SIGNS[side] * abs(number(source, "qty")),
        average_entry_price=number(source, "avg_entry_price"),
        current_price=optional_number(source, "current_price"),
        last_close=optional_number(source, "lastday_price"),
    )


def order(source: Body) -> BrokerOrder:
    """Parse an order; a notional order that has no quantity yet has quantity 0.

    One of several legs has no symbol and no side of its own, and a leg of one has no type: they are made up from what
    there is. No order of ours is such a one, but whoever compares the books has to see it.
    """
    if source.get("order_class") == MULTI_LEG:
        source = _in_all_its_legs(source)
    raw_status = text(source, "status")
    side = text(source, "side")
    if side not in _SIDES:
        raise unknown_word("order side", side)
    submitted = instant(source, "submitted_at" if source.get("submitted_at") else "created_at")
    return BrokerOrder(
        id=text(source, "id"),
        client_order_id=text(source, "client_order_id"),
        symbol=text(source, "symbol"),
        side=_SIDES[side],
        type=word(source, "type", OrderType),
        time_in_force=word(source, "time_in_force", TimeInForce),
        status=STATUSES.get(raw_status, OrderStatus.UNKNOWN),
        raw_status=raw_status,
        quantity=optional_number(source, "qty") or Decimal(0),
        filled_quantity=number(source, "filled_qty"),
        filled_average_price=optional_number(source, "filled_avg_price"),
        submitted_at=submitted,
        updated_at=instant(source, "updated_at") if source.get("updated_at") else submitted,
        limit_price=optional_number(source, "limit_price"),
    )


def _in_all_its_legs(source: Body) -> Body:
    legs = listed(source.get("legs") or [], "the order's legs", lambda leg: (text(leg, "symbol"), text(leg, "side")))
    symbols, sides = [symbol for symbol, _ in legs], [side for _, side in legs]
    made_up = {"symbol": " + ".join(symbols) or MULTI_LEG, "side": (*sides, "buy")[0], "type": "limit", "filled_qty": "0"}
    return {**source, **{key: source.get(key) or value for key, value in made_up.items()}}


def asset(source: Body) -> Asset:
    """Parse an asset; `borrow_status` supersedes the deprecated `easy_to_borrow` where it is given."""
    borrow = source.get("borrow_status")
    easy = borrow == "easy_to_borrow" if borrow else source.get("easy_to_borrow") is True
    return Asset(
        symbol=text(source, "symbol"),
        is_tradable=flag(source, "tradable") and optional_text(source, "status") in ("", "active"),
        is_shortable=flag(source, "shortable"),
        is_easy_to_borrow=easy,
        is_fractionable=source.get("fractionable") is True,
    )


def listed_asset(source: Body) -> ReportedAsset:
    """Parse an asset of the venue's list, inactive ones too."""
    active = optional_text(source, "status") == "active"
    return ReportedAsset(text(source, "symbol"), optional_text(source, "name"), optional_text(source, "exchange"), active)


def activity(source: Body) -> Activity:
    """Parse an activity: a fill by its transaction time, anything else by its date."""
    kind = text(source, "activity_type")
    filled = kind == FILL
    at = instant(source, "transaction_time") if filled else None
    return Activity(
        id=text(source, "id"),
        kind=kind,
        symbol=optional_text(source, "symbol"),
        day=_day_in_new_york(at) if at is not None else day_of(source, "date"),
        at=at,
        quantity=number(source, "qty") if filled else optional_number(source, "qty"),
        price=number(source, "price") if filled else optional_number(source, "price"),
        net_amount=optional_number(source, "net_amount") or Decimal(0),
        side=optional_text(source, "side"),
        order_id=text(source, "order_id") if filled else optional_text(source, "order_id"),
        description=optional_text(source, "description"),
    )


def clock(source: Body) -> BrokerClock:
    """Parse the broker's clock."""
    return BrokerClock(
        now=instant(source, "timestamp"),
        is_open=flag(source, "is_open"),
        next_open=instant(source, "next_open"),
        next_close=instant(source, "next_close"),
    )


def session(source: Body) -> Session:
    """Parse a calendar day; its clock times are New York's."""
    day = day_of(source, "date")
    return Session(day, _at(day, text(source, "open")), _at(day, text(source, "close")))


def _day_in_new_york(at: datetime) -> date:
    try:
        return at.astimezone(NEW_YORK).date()
    except OverflowError:  # the first hours of the year 1
        raise unreadable(f"{at} is on no day in New York") from None


def _at(day: date, written: str) -> datetime:
    try:
        return datetime.combine(day, time.fromisoformat(written), NEW_YORK).astimezone(UTC)
    except (ValueError, OverflowError):
        raise unreadable(f"{written!r} is not a clock time") from None


QUANTITY_STEP = Decimal("0.000000001")


def order_body(intent: Intent) -> dict[str, str | bool]:
    """Return the request body of an order; every number is a string, quantities cut off at nine decimals."""
    quantity = intent.quantity.quantize(QUANTITY_STEP, ROUND_DOWN).normalize()
    sent: dict[str, str | bool] = {
        "symbol": intent.key.symbol,
        "qty": format(quantity, "f"),
        "side": intent.side.value,
        "type": intent.type.value,
        "time_in_force": intent.time_in_force.value,
        "client_order_id": intent.key.client_order_id,
        "extended_hours": False,
    }
    if intent.limit_price is not None:
        sent["limit_price"] = format(intent.limit_price, "f")
    return sent
