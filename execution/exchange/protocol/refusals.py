"""Every refusal of the venue: HTTP status, numeric code and message.

Status and code are the contract; messages may change, as they do at Alpaca. Placeholders in braces are filled by the
check that refuses, and whatever else it tells is added to them in the body.
"""

from dataclasses import dataclass

from signals.text.strict_json import JsonObject


@dataclass(frozen=True)
class ApiRefusal:
    """One documented refusal."""

    name: str
    status: int
    code: int
    message: str


class RefusedByVenue(Exception):
    """The request was refused; nothing was changed.

    Not of the product's error tree: it is an answer of the venue, never an error of this program.
    """

    def __init__(self, refusal: ApiRefusal, **facts: str) -> None:
        super().__init__(refusal.name)
        self.refusal, self.facts = refusal, facts

    @property
    def content(self) -> JsonObject:
        """The body of the answer: code, message, and the facts whose names do not begin with an underscore."""
        shown = {name: value for name, value in self.facts.items() if not name.startswith("_")}
        message = self.refusal.message.format(**self.facts)
        return {"code": self.refusal.code, "message": message, **shown} if self.refusal.code else {"message": message}


UNAUTHORIZED = ApiRefusal("unauthorized", 401, 0, "unauthorized")
NO_SUCH_ENDPOINT = ApiRefusal("no_such_endpoint", 404, 40410000, "endpoint not found")
TOO_MANY_REQUESTS = ApiRefusal("too_many_requests", 429, 42910000, "too many requests.")
FOREIGN_HOST = ApiRefusal("foreign_host", 403, 40310000, "asked for under a name that is not this exchange's")
FOREIGN_ORIGIN = ApiRefusal("foreign_origin", 403, 40310000, "asked by a page of another origin")
SIM_TOKEN_WANTED = ApiRefusal(
    "sim_token_wanted", 401, 40110000, "steering the simulation needs the header X-Sim-Token with the token of its file"
)
BODY_TOO_LARGE = ApiRefusal("body_too_large", 413, 41310000, "the request's body is larger than {_most} bytes")
BODY_TOO_SLOW = ApiRefusal("body_too_slow", 408, 40810000, "the request's body did not arrive within {_seconds} seconds")

BODY_NOT_JSON = ApiRefusal("body_not_json", 400, 40010000, "request body format is invalid")
BODY_NOT_OBJECT = ApiRefusal("body_not_object", 400, 40010000, "request body format is invalid")
BAD_PARAMETER = ApiRefusal("bad_parameter", 422, 42210000, "invalid {parameter}: {given}")
BAD_QUERY = ApiRefusal("bad_query", 400, 40010001, "invalid {parameter}: {given}")
EXCLUSIVE_PARAMETERS = ApiRefusal("exclusive_parameters", 422, 42210000, "{one} cannot be combined with {other}")

QTY_OR_NOTIONAL_REQUIRED = ApiRefusal("qty_or_notional_required", 400, 40010001, "qty or notional is required")
QTY_AND_NOTIONAL = ApiRefusal("qty_and_notional", 400, 40010001, "only one of qty or notional is accepted")
NOT_POSITIVE = ApiRefusal("not_positive", 422, 40010001, "{field} must be > 0")
TOO_MANY_DECIMALS = ApiRefusal("too_many_decimals", 422, 42210000, "{field} must be limited to {places} decimal places")
MISSING_FIELD = ApiRefusal("missing_field", 422, 40010001, "{field} is required")
UNWANTED_FIELD = ApiRefusal("unwanted_field", 422, 42210000, "{type} orders must not have a {field}")
MISSING_PRICE = ApiRefusal("missing_price", 422, 42210000, "{type} orders require a {field}")
TRAIL_EXCLUSIVE = ApiRefusal("trail_exclusive", 422, 40010001, "trailing stop orders must specify one of trail_price or trail_percent")
STOP_LIMIT_ORDER = ApiRefusal("stop_price_wrong_side", 422, 42210000, "stop price must be {relation} the current price {current}")
SUB_PENNY = ApiRefusal("sub_penny", 422, 42210000, "invalid {field} {price}. sub-penny increment does not fulfill minimum pricing criteria")
CLIENT_ORDER_ID_TAKEN = ApiRefusal("client_order_id_taken", 422, 40010001, "client_order_id must be unique")
CLIENT_ORDER_ID_LONG = ApiRefusal("client_order_id_long", 422, 40010001, "client_order_id must be no more than 128 characters")

OPG_WINDOW = ApiRefusal("opg_window", 422, 42210000, "opg orders must be submitted after 7:00pm and before 9:28am")
CLS_WINDOW = ApiRefusal("cls_window", 422, 42210000, "cls orders must be submitted after 7:00pm and before {_cutoff}")
AUCTION_TYPE = ApiRefusal("auction_type", 422, 42210000, "{tif} orders must be market or limit orders")
IMMEDIATE_OUTSIDE_HOURS = ApiRefusal("immediate_outside_hours", 422, 42210000, "{tif} orders are only accepted during market hours")
EXTENDED_HOURS = ApiRefusal("extended_hours", 422, 42210000, "extended hours order must be DAY limit orders")
GROUP_TIF = ApiRefusal("group_tif", 422, 42210000, "{class} orders must have a time in force of day or gtc")
GROUP_NEEDS = ApiRefusal("group_needs", 422, 42210000, "{class} orders require {field}")
OTO_LEGS = ApiRefusal("oto_legs", 422, 42210000, "oto orders require exactly one of take_profit and stop_loss")
OCO_LIMIT = ApiRefusal("oco_limit", 422, 42210000, "oco orders must be limit orders at take_profit.limit_price")
LEGS_CROSS = ApiRefusal("legs_cross", 422, 42210000, "take_profit.limit_price must be on the other side of stop_loss.stop_price")
ENTRY_ORDER = ApiRefusal("entry_order", 422, 42210000, "{class} orders must be entry orders")
EXIT_ORDER = ApiRefusal("exit_order", 422, 42210000, "{class} orders must be exit orders")
LEG_TOO_NEAR = ApiRefusal("leg_too_near", 422, 42210000, "{field} must be {relation} base_price {_sign} 0.01")
GROUP_FIXED = ApiRefusal("group_fixed", 422, 42210000, "only limit_price and stop_price of a {class} order can be changed")
CLASS_NOT_SERVED = ApiRefusal("class_not_served", 422, 42210000, "order class {class} is not served by this exchange")
FIELD_NOT_SERVED = ApiRefusal("field_not_served", 422, 42210000, "{field} is not served on this order by this exchange")
INTENT_CONTRADICTS = ApiRefusal(
    "intent_contradicts", 422, 42210000, "position intent {given} contradicts the side and the position, which is {is}"
)

ASSET_UNKNOWN = ApiRefusal("asset_unknown", 422, 42210000, 'asset "{symbol}" not found')
ASSET_INACTIVE = ApiRefusal("asset_inactive", 422, 42210000, "asset {symbol} is not active")
ASSET_NOT_TRADABLE = ApiRefusal("asset_not_tradable", 422, 42210000, "asset {symbol} is not tradable")
NOT_FRACTIONABLE = ApiRefusal("not_fractionable", 403, 40310000, 'asset "{symbol}" is not fractionable')
FRACTIONAL_OFF = ApiRefusal("fractional_off", 403, 40310000, "account is not allowed to trade fractional shares")
FRACTIONAL_DAY = ApiRefusal("fractional_day", 422, 42210000, "fractional orders must be DAY orders")
FRACTIONAL_SIMPLE = ApiRefusal("fractional_simple", 422, 42210000, "fractional orders must be simple orders")
FRACTIONAL_TYPE = ApiRefusal("fractional_type", 422, 42210000, "fractional orders must be market or limit orders")
FRACTIONAL_SHORT = ApiRefusal("fractional_short", 422, 42210000, "fractional orders cannot be sold short")
NOTIONAL_MARKET = ApiRefusal("notional_market", 422, 42210000, "notional orders must be market orders")
NOTIONAL_SMALL = ApiRefusal("notional_small", 403, 40310000, "cost basis must be >= minimal amount of order {minimum}")
NOTIONAL_WHILE_CLOSING = ApiRefusal(
    "notional_while_closing", 403, 40310000, "unable to open new notional orders while having open closing position orders"
)

SHORT_NOT_ALLOWED = ApiRefusal("short_not_allowed", 403, 40310000, "account is not allowed to short")
SHORT_EQUITY = ApiRefusal("short_equity", 403, 40310000, "account equity must be at least 2000 to short")
SHORT_ASSET = ApiRefusal("short_asset", 422, 42210000, 'asset "{symbol}" cannot be sold short')
HTB_DAY_ONLY = ApiRefusal("htb_day_only", 422, 42210000, 'only day orders are allowed for hard-to-borrow asset "{symbol}"')
INSUFFICIENT_QTY = ApiRefusal(
    "insufficient_qty", 403, 40310000, "insufficient qty available for order (requested: {_requested}, available: {available})"
)
INSUFFICIENT_BUYING_POWER = ApiRefusal("insufficient_buying_power", 403, 40310000, "insufficient buying power")
WASH_TRADE = ApiRefusal("wash_trade", 403, 40310000, "potential wash trade detected. use complex orders")
TRADING_BLOCKED = ApiRefusal("trading_blocked", 403, 40310000, "account is not allowed to trade")
NO_PRICE = ApiRefusal("no_price", 422, 42210000, "no price is known for {symbol}")

ORDER_UNKNOWN = ApiRefusal("order_unknown", 404, 40410000, "order not found for {_id}")
NOT_CANCELABLE = ApiRefusal("not_cancelable", 422, 42210000, 'order is already in "{_status}" state')
NOT_REPLACEABLE = ApiRefusal("not_replaceable", 422, 42210000, "cannot replace order in {_status} status")
NOTIONAL_NOT_REPLACEABLE = ApiRefusal("notional_not_replaceable", 422, 42210000, "notional orders cannot be replaced")
FRACTIONAL_QTY_FIXED = ApiRefusal("fractional_qty_fixed", 422, 42210000, "qty of a fractional order cannot be changed")
NOTHING_TO_REPLACE = ApiRefusal("nothing_to_replace", 422, 42210000, "order parameters are not changed")
QTY_BELOW_FILLED = ApiRefusal("qty_below_filled", 422, 42210000, "qty must be more than the filled qty {filled_qty}")
POSITION_UNKNOWN = ApiRefusal("position_unknown", 404, 40410000, "position does not exist")
ASSET_NOT_FOUND = ApiRefusal("asset_not_found", 404, 40410000, "asset not found for {_symbol}")
CLOCK_BACKWARDS = ApiRefusal("clock_backwards", 422, 42210000, "the clock stands at {now} and never goes back")
CALENDAR_ENDS = ApiRefusal("calendar_ends", 422, 42210000, "the calendar of the data ends with {last}")
NOT_TO_CLOSE = ApiRefusal("not_to_close", 422, 42210000, "{day} is no session that has yet to open, or the last one")
CLOCK_NOT_VIRTUAL = ApiRefusal("clock_not_virtual", 422, 42210000, "the clock is the wall's: it advances by itself")
PERCENTAGE_OR_QTY = ApiRefusal("percentage_or_qty", 422, 42210000, "only one of qty or percentage is accepted")
