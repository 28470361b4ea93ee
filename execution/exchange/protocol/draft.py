"""Validates an order request's body: types, required fields and combinations."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar

from execution.exchange.protocol import refusals
from execution.exchange.protocol.refusals import RefusedByVenue
from execution.orders import OrderType, Side, TimeInForce
from signals.text.strict_json import Json

CLIENT_ORDER_ID_MAX = 128
QUANTITY_PLACES = 9
NOTIONAL_PLACES = 2
LARGEST_EXPONENT = 12  # no order has a trillion of anything; beyond it exact arithmetic would run out of digits
PRICED = {
    OrderType.MARKET: (),
    OrderType.LIMIT: ("limit_price",),
    OrderType.STOP: ("stop_price",),
    OrderType.STOP_LIMIT: ("limit_price", "stop_price"),
    OrderType.TRAILING_STOP: (),
}
LEG_KEYS = {"take_profit": ("limit_price",), "stop_loss": ("stop_price", "limit_price")}
LEG_FIELDS = ("take_profit", "stop_loss", "legs")
CLASSES = frozenset({"", "simple", "bracket", "oco", "oto", "mleg"})
INTENTS = frozenset({"buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"})
PRICE_FIELDS = ("limit_price", "stop_price")
TRAIL_FIELDS = ("trail_price", "trail_percent")
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True)
class Draft:
    """An order as asked for. Exactly one of `quantity` and `notional` is set."""

    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal | None
    notional: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None
    client_order_id: str
    extended_hours: bool
    order_class: str
    position_intent: str = ""  # as asserted by the client, empty when it says nothing
    take_profit: Decimal | None = None
    stop_loss: Decimal | None = None
    stop_loss_limit: Decimal | None = None

    @property
    def is_fractional(self) -> bool:
        """Whether it asks for other than whole shares."""
        return self.notional is not None or (self.quantity is not None and self.quantity % 1 != 0)


def parse(body: Mapping[str, Json]) -> Draft:
    """Read an order from a request's body.

    Raises
    ------
    RefusedByVenue
        A field is missing, unreadable, unwanted or in a wrong combination.
    """
    type_ = one_of(OrderType, body.get("type"), "type")
    order_class = _word(body, "order_class", CLASSES) or "simple"
    refuse_unserved(body, *(LEG_FIELDS if order_class == "simple" else ("legs",)), "advanced_instructions")
    profit, loss = (_leg(body, field, keys) for field, keys in LEG_KEYS.items())
    take_profit, limit = _positive(profit, "limit_price"), _positive(body, "limit_price")
    draft = Draft(
        symbol=_text(body, "symbol"),
        side=one_of(Side, body.get("side"), "side"),
        type=type_,
        time_in_force=one_of(TimeInForce, body.get("time_in_force"), "time_in_force"),
        quantity=_positive(body, "qty", QUANTITY_PLACES),
        notional=_positive(body, "notional", NOTIONAL_PLACES),
        limit_price=take_profit if order_class == "oco" and limit is None else limit,
        stop_price=_positive(body, "stop_price"),
        trail_price=_positive(body, "trail_price"),
        trail_percent=_positive(body, "trail_percent"),
        client_order_id=client_order_id(body),
        extended_hours=_flag(body, "extended_hours"),
        order_class=order_class,
        position_intent=_word(body, "position_intent", INTENTS | {""}),
        take_profit=take_profit,
        stop_loss=_positive(loss, "stop_price"),
        stop_loss_limit=_positive(loss, "limit_price"),
    )
    for check in SHAPE_CHECKS:
        check(draft)
    return draft


def client_order_id(body: Mapping[str, Json]) -> str:
    """Return the client's own id, empty when it gave none."""
    given = body.get("client_order_id") or ""
    if not isinstance(given, str):
        raise RefusedByVenue(refusals.BAD_PARAMETER, parameter="client_order_id", given=str(given))
    if len(given) > CLIENT_ORDER_ID_MAX:
        raise RefusedByVenue(refusals.CLIENT_ORDER_ID_LONG)
    return given


def decimal_of(value: object, field: str) -> Decimal:
    """Read a number or a numeral exactly; refuse what is neither, not finite, or absurdly large or small."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise RefusedByVenue(refusals.BAD_PARAMETER, parameter=field, given=str(value)) from None
    if not number.is_finite() or isinstance(value, bool) or abs(number.adjusted()) > LARGEST_EXPONENT:
        raise RefusedByVenue(refusals.BAD_PARAMETER, parameter=field, given=str(value))
    return number


def one_of(kind: type[E], value: Any, field: str) -> E:
    """Read one word of a closed set."""
    if value is None:
        raise RefusedByVenue(refusals.MISSING_FIELD, field=field)
    try:
        return kind(value)
    except ValueError:
        raise RefusedByVenue(refusals.BAD_PARAMETER, parameter=field, given=str(value)) from None


def check_increment(price: Decimal, field: str) -> None:
    """Refuse more than two decimals from one dollar on, more than four below."""
    places = 2 if price >= 1 else 4
    if price != round(price, places):
        raise RefusedByVenue(refusals.SUB_PENNY, field=field, price=str(price))


def refuse_unserved(body: Mapping[str, Json], *fields: str) -> None:
    """Refuse an order that says what this exchange would have to drop without a word."""
    for field in fields:
        if body.get(field) is not None:
            raise RefusedByVenue(refusals.FIELD_NOT_SERVED, field=field)


def _leg(body: Mapping[str, Json], field: str, keys: Collection[str]) -> Mapping[str, Json]:
    """Read the prices of an exit; empty where there is none."""
    given = body.get(field)
    if given is None:
        return {}
    if not isinstance(given, dict) or not given or not set(given) <= set(keys):
        raise RefusedByVenue(refusals.BAD_PARAMETER, parameter=field, given=f"its prices are {' and '.join(keys)}")
    return given


def _flag(body: Mapping[str, Json], field: str) -> bool:
    value = body.get(field)
    if value is not None and not isinstance(value, bool):
        raise RefusedByVenue(refusals.BAD_PARAMETER, parameter=field, given=str(value))
    return value is True


def _word(body: Mapping[str, Json], field: str, allowed: Collection[str]) -> str:
    value = body.get(field) or ""
    if not isinstance(value, str) or value not in allowed:
        raise RefusedByVenue(refusals.BAD_PARAMETER, parameter=field, given=str(value))
    return value


def _text(body: Mapping[str, Json], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise RefusedByVenue(refusals.MISSING_FIELD, field=field)
    return value


def _positive(body: Mapping[str, Json], field: str, places: int | None = None) -> Decimal | None:
    if body.get(field) is None:
        return None
    number = decimal_of(body[field], field)
    if number <= 0:
        raise RefusedByVenue(refusals.NOT_POSITIVE, field=field)
    if places is not None and number != round(number, places):
        raise RefusedByVenue(refusals.TOO_MANY_DECIMALS, field=field, places=str(places))
    return number


# -- combinations of fields: one rule a function ----------------------------------------------------------------


def _one_size(draft: Draft) -> None:
    if draft.quantity is None and draft.notional is None:
        raise RefusedByVenue(refusals.QTY_OR_NOTIONAL_REQUIRED)
    if draft.quantity is not None and draft.notional is not None:
        raise RefusedByVenue(refusals.QTY_AND_NOTIONAL)


def _class_served(draft: Draft) -> None:
    if draft.order_class == "simple":
        return
    if draft.is_fractional:
        raise RefusedByVenue(refusals.FRACTIONAL_SIMPLE)
    name = {"class": draft.order_class}
    if draft.order_class == "mleg" or draft.type is OrderType.TRAILING_STOP:
        raise RefusedByVenue(refusals.CLASS_NOT_SERVED, **name)
    if draft.time_in_force not in (TimeInForce.DAY, TimeInForce.GTC) or draft.extended_hours:
        raise RefusedByVenue(refusals.GROUP_TIF, **name)


def _legs_fit_class(draft: Draft) -> None:
    if draft.order_class == "simple":
        return
    exits = {"take_profit.limit_price": draft.take_profit, "stop_loss.stop_price": draft.stop_loss}
    missing = [field for field, price in exits.items() if price is None]
    if draft.stop_loss is None and draft.stop_loss_limit is not None:
        raise RefusedByVenue(refusals.GROUP_NEEDS, **{"class": draft.order_class}, field="stop_loss.stop_price")
    if draft.order_class == "oto" and len(missing) != 1:
        raise RefusedByVenue(refusals.OTO_LEGS)
    if draft.order_class != "oto" and missing:
        raise RefusedByVenue(refusals.GROUP_NEEDS, **{"class": draft.order_class}, field=missing[0])
    if draft.order_class == "oco" and (draft.type is not OrderType.LIMIT or draft.limit_price != draft.take_profit):
        raise RefusedByVenue(refusals.OCO_LIMIT)
    up = -draft.side.sign if draft.order_class == "oco" else draft.side.sign
    if draft.take_profit is not None and draft.stop_loss is not None and up * (draft.take_profit - draft.stop_loss) <= 0:
        raise RefusedByVenue(refusals.LEGS_CROSS)


def _prices_fit_type(draft: Draft) -> None:
    for field in PRICE_FIELDS:
        given = getattr(draft, field) is not None
        if given != (field in PRICED[draft.type]):
            refusal = refusals.UNWANTED_FIELD if given else refusals.MISSING_PRICE
            raise RefusedByVenue(refusal, type=draft.type.value, field=field)


def _one_trail(draft: Draft) -> None:
    given = [field for field in TRAIL_FIELDS if getattr(draft, field) is not None]
    if draft.type is OrderType.TRAILING_STOP and len(given) != 1:
        raise RefusedByVenue(refusals.TRAIL_EXCLUSIVE)
    if draft.type is not OrderType.TRAILING_STOP and given:
        raise RefusedByVenue(refusals.UNWANTED_FIELD, type=draft.type.value, field=given[0])


def _increments(draft: Draft) -> None:
    for field in (*PRICE_FIELDS, "take_profit", "stop_loss", "stop_loss_limit"):
        price = getattr(draft, field)
        if price is not None:
            check_increment(price, field)


def _auction_type(draft: Draft) -> None:
    auction = draft.time_in_force in (TimeInForce.OPG, TimeInForce.CLS)
    if auction and draft.type not in (OrderType.MARKET, OrderType.LIMIT):
        raise RefusedByVenue(refusals.AUCTION_TYPE, tif=draft.time_in_force.value)


def _fractional_day(draft: Draft) -> None:
    if draft.is_fractional and draft.time_in_force is not TimeInForce.DAY:
        raise RefusedByVenue(refusals.FRACTIONAL_DAY)


def _extended_hours(draft: Draft) -> None:
    fits = draft.type is OrderType.LIMIT and draft.time_in_force is TimeInForce.DAY
    if draft.extended_hours and not fits:
        raise RefusedByVenue(refusals.EXTENDED_HOURS)


SHAPE_CHECKS: tuple[Callable[[Draft], None], ...] = (
    _one_size,
    _class_served,
    _legs_fit_class,
    _prices_fit_type,
    _one_trail,
    _increments,
    _auction_type,
    _fractional_day,
    _extended_hours,
)
