"""Order types worked by hand. On session i a name opens at base + i, ranges from -2 to +3 about it, closes at +0.5.

AAA on 2021-11-22 (i = 1): open 101, low 99, high 104, close 101.5; on 11-23: 102, 100, 105, 102.5.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from execution.exchange.api.exchange import Exchange
from execution.exchange.protocol.message import ApiRequest
from tests.fakes.exchange import bars, exchange, new_york

HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}
BEFORE_OPEN, NOON, CLOSE = "2021-11-22 08:00", "2021-11-22 12:00", "2021-11-22 16:00"


def call(served: Exchange, method: str, path: str, body: Any = None, **query: str) -> Any:
    response = served.handle(ApiRequest(method, path, query, HEADERS, json.dumps(body or {}).encode()))
    assert response.status < 300, response.body
    return json.loads(response.body) if response.body else None


def submit(served: Exchange, **fields: Any) -> str:
    body = {"symbol": "AAA", "qty": 10, "side": "buy", "type": "market", "time_in_force": "day", **fields}
    order = call(served, "POST", "/v2/orders", {name: value for name, value in body.items() if value is not None})
    return str(order["id"])


def outcome(served: Exchange, order_id: str) -> tuple[str, str | None]:
    order = call(served, "GET", f"/v2/orders/{order_id}")
    return order["status"], order["filled_avg_price"]


def spread_free(at: str, **config: Any) -> Exchange:
    return exchange(at, spread_bps=0, **config)


@pytest.mark.parametrize(
    ("fields", "status", "price"),
    [
        ({"type": "limit", "limit_price": "101"}, "filled", "101"),
        ({"type": "limit", "limit_price": "103"}, "filled", "101"),  # a better open is had at the open
        ({"type": "limit", "limit_price": "100"}, "filled", "100"),  # met between low and open
        ({"type": "limit", "limit_price": "99"}, "filled", "99"),
        ({"type": "limit", "limit_price": "98.99"}, "expired", None),
        ({"type": "limit", "limit_price": "103", "side": "sell"}, "filled", "103"),
        ({"type": "limit", "limit_price": "104.01", "side": "sell"}, "expired", None),
        ({"type": "stop", "stop_price": "101"}, "filled", "101"),  # gapped: filled at the open
        ({"type": "stop", "stop_price": "103"}, "filled", "103"),
        ({"type": "stop", "stop_price": "104.01"}, "expired", None),
        ({"type": "stop", "stop_price": "100", "side": "sell"}, "filled", "100"),
        ({"type": "stop", "stop_price": "98.99", "side": "sell"}, "expired", None),
        ({"type": "stop_limit", "stop_price": "103", "limit_price": "103.5"}, "filled", "103"),
        ({"type": "stop_limit", "stop_price": "103", "limit_price": "102"}, "filled", "101.5"),  # back at the close
        ({"type": "stop_limit", "stop_price": "103", "limit_price": "101"}, "expired", None),
        ({"type": "limit", "limit_price": "101", "time_in_force": "opg"}, "filled", "101"),
        ({"type": "limit", "limit_price": "100", "time_in_force": "opg"}, "expired", None),  # the open alone counts
        ({"type": "limit", "limit_price": "101.5", "time_in_force": "cls"}, "filled", "101.5"),
        ({"type": "limit", "limit_price": "101.49", "time_in_force": "cls"}, "expired", None),
    ],
)
def test_an_order_that_rests_before_the_open_meets_the_open_then_the_range(fields: dict[str, Any], status: str, price: str | None) -> None:
    served = spread_free(BEFORE_OPEN)
    order = submit(served, **fields)
    served.advance(new_york(CLOSE))
    assert outcome(served, order) == (status, price)


@pytest.mark.parametrize(
    ("fields", "status", "price"),
    [
        ({"type": "limit", "limit_price": "101"}, "filled", "101"),
        ({"type": "limit", "limit_price": "100"}, "expired", None),  # the low may have been before it came
        ({"type": "limit", "limit_price": "101.5", "side": "sell"}, "filled", "101.5"),  # the close is after it
        ({"type": "stop", "stop_price": "101.5"}, "filled", "101.5"),
        ({"type": "stop", "stop_price": "103"}, "expired", None),
    ],
)
def test_an_order_that_arrives_during_the_session_sees_no_range(fields: dict[str, Any], status: str, price: str | None) -> None:
    served = spread_free(NOON)
    order = submit(served, **fields)
    served.advance(new_york(CLOSE))
    assert outcome(served, order) == (status, price)


def test_a_trailing_sell_follows_the_high_and_fills_at_its_stop() -> None:
    """From 101.5 bought; trail 4: water 101 at the open, 104 after the first day (stop 100); the next low is 100."""
    served = spread_free(BEFORE_OPEN)
    submit(served, time_in_force="opg")
    trailing = submit(served, side="sell", type="trailing_stop", trail_price="4", time_in_force="gtc", symbol="BBB")
    served.advance(new_york(CLOSE))
    order = call(served, "GET", f"/v2/orders/{trailing}")
    assert (order["status"], order["hwm"], order["stop_price"]) == ("new", "54", "50")
    served.advance(new_york("2021-11-23 16:00"))
    assert outcome(served, trailing) == ("filled", "50"), "BBB's low of 50 on 11-23 meets the stop before its high"


def test_a_trailing_buy_by_percentage_fills_above_the_low_water() -> None:
    """10 % above the lowest 99 is 108.9; AAA never reaches it, so the stop has only moved down from 111.1."""
    served = spread_free(BEFORE_OPEN)
    trailing = submit(served, type="trailing_stop", trail_percent="10", time_in_force="gtc")
    served.advance(new_york("2021-11-22 09:30"))
    assert call(served, "GET", f"/v2/orders/{trailing}")["stop_price"] == "111.1"
    served.advance(new_york(CLOSE))
    order = call(served, "GET", f"/v2/orders/{trailing}")
    assert (order["status"], order["hwm"], order["stop_price"]) == ("new", "99", "108.9")


def test_a_stop_that_fills_in_part_stays_triggered_and_its_rest_is_a_market_order() -> None:
    """Stop 103 is reached within 11-22 only; on 11-23 (open 102) the rest fills below the stop, at the open."""
    served = exchange(BEFORE_OPEN, spread_bps=0, partial_fill_probability=1.0)
    order = submit(served, qty=2, type="stop", stop_price="103", time_in_force="gtc")
    served.advance(new_york(CLOSE))
    assert (call(served, "GET", f"/v2/orders/{order}")["filled_qty"], outcome(served, order)) == ("1", ("partially_filled", "103"))
    served.advance(new_york("2021-11-23 09:30"))
    assert outcome(served, order) == ("filled", "102.5")


def test_a_gtc_order_lives_through_sessions_and_ends_after_ninety_days() -> None:
    served = spread_free(BEFORE_OPEN)
    order = submit(served, type="limit", limit_price="50", time_in_force="gtc")
    served.advance(new_york("2022-02-18 16:00"))
    assert outcome(served, order) == ("new", None)
    served.advance(new_york("2022-02-22 16:00"))
    assert outcome(served, order) == ("expired", None)


def test_immediate_orders_fill_at_once_or_are_cancelled() -> None:
    served = spread_free(NOON)
    good = submit(served, type="limit", limit_price="101", time_in_force="ioc")
    poor = submit(served, type="limit", limit_price="100", time_in_force="fok")
    assert outcome(served, good) == ("filled", "101") and outcome(served, poor) == ("canceled", None)


def test_notional_buys_as_many_billionths_of_a_share_as_it_pays_for() -> None:
    """1,000 / 101 = 9.900990099 (rounded down); 9.900990099 x 101 = 999.999999999, which is 1,000.00 to the cent."""
    served = spread_free(NOON)
    order = call(served, "GET", f"/v2/orders/{submit(served, qty=None, notional=1000)}")
    assert (order["status"], order["filled_qty"], order["qty"], order["notional"]) == ("filled", "9.900990099", None, "1000")
    assert served.venue.book.cash == Decimal("999000.00")
    rest = submit(served, side="sell", qty="9.900990099")
    assert outcome(served, rest)[0] == "filled" and call(served, "GET", "/v2/positions") == []


def test_numbers_may_come_as_numbers_or_as_text() -> None:
    served = spread_free(NOON)
    assert outcome(served, submit(served, qty=1.5)) == outcome(served, submit(served, qty="1.5")) == ("filled", "101")


def test_replacing_makes_a_new_order_and_ends_the_old() -> None:
    served = spread_free(NOON)
    old = submit(served, type="limit", limit_price="50")
    new = call(served, "PATCH", f"/v2/orders/{old}", {"qty": "4", "limit_price": "101", "client_order_id": "again"})
    before = call(served, "GET", f"/v2/orders/{old}")
    assert (before["status"], before["replaced_by"]) == ("replaced", new["id"])
    assert (new["replaces"], new["client_order_id"]) == (old, "again")
    assert outcome(served, new["id"]) == ("filled", "101") and served.venue.book.quantity("AAA") == 4


def test_partial_fills_are_seeded_and_the_rest_fills_at_the_close_or_expires() -> None:
    def day(seed: int) -> list[tuple[str, str]]:
        served = exchange(BEFORE_OPEN, seed=seed, spread_bps=0, partial_fill_probability=1.0)
        for _ in range(6):
            submit(served, qty=100, time_in_force="opg")
            submit(served, qty=100, time_in_force="day")
        served.advance(new_york(CLOSE))
        return [(o["status"], o["filled_qty"]) for o in call(served, "GET", "/v2/orders", status="all")]

    assert day(1) == day(1) and day(1) != day(2)
    assert {status for status, _ in day(1)} == {"expired"}, "at certainty of a part, one share in a hundred stays open"
    assert all(0 < int(quantity) < 100 for _, quantity in day(1))


def test_about_one_match_in_ten_is_partial_as_on_alpacas_paper() -> None:
    """400 draws at 0.1: 40 expected, 6 the standard deviation; four of them either way."""
    served = exchange(BEFORE_OPEN, partial_fill_probability=0.1, cash="100000000")
    for _ in range(400):
        submit(served, qty=100, time_in_force="opg")
    served.advance(new_york("2021-11-22 09:30"))
    partial = [o for o in served.venue.book.orders.values() if o.filled_quantity < 100]
    assert 16 <= len(partial) <= 64


def test_a_halted_name_neither_opens_nor_closes_and_meets_the_last_price_when_it_resumes() -> None:
    served = spread_free(BEFORE_OPEN)
    call(served, "POST", "/_sim/halt", {"symbol": "AAA", "halted": True})
    opg, day = submit(served, time_in_force="opg"), submit(served)
    served.advance(new_york(NOON))
    assert outcome(served, opg)[0] == "expired" and outcome(served, day) == ("new", None)
    call(served, "POST", "/_sim/halt", {"symbol": "AAA", "halted": False})
    assert outcome(served, day) == ("filled", "101")


def test_short_sales_queued_on_what_became_hard_to_borrow_overnight_are_cancelled_before_the_open() -> None:
    served = spread_free("2021-11-19 20:00")
    order = submit(served, side="sell", time_in_force="opg")
    call(served, "POST", "/_sim/borrow", {"symbol": "AAA", "hard": True})
    served.advance(new_york("2021-11-22 04:00"))
    assert outcome(served, order) == ("canceled", None)
    assert not call(served, "GET", "/v2/assets/AAA")["easy_to_borrow"]


def test_positions_close_whole_in_part_and_all_together() -> None:
    served = spread_free(NOON)
    submit(served, qty=10), submit(served, symbol="BBB", side="sell", qty=5)
    call(served, "DELETE", "/v2/positions/AAA", percentage="50")
    call(served, "DELETE", "/v2/positions/AAA", qty="2")
    assert served.venue.book.quantity("AAA") == 3
    rows = call(served, "DELETE", "/v2/positions", cancel_orders="true")
    assert [(row["symbol"], row["status"], row["body"]["side"]) for row in rows] == [("AAA", 200, "sell"), ("BBB", 200, "buy")]
    assert call(served, "GET", "/v2/positions") == []


def test_dividends_are_paid_only_without_paper_fidelity_and_never_on_total_return_prices() -> None:
    from datetime import date

    from signals.market.actions import Action, ActionKind
    from signals.market.manifest import PriceBasis

    dividend = Action(ActionKind.DIVIDEND, "AAA", date(2021, 11, 23), date(2021, 11, 19), cash=Decimal("0.25"))
    raw, adjusted, total = PriceBasis.RAW, PriceBasis.SPLIT_ADJUSTED, PriceBasis.TOTAL_RETURN
    cash = {}
    for fidelity, basis in ((True, raw), (False, raw), (False, adjusted), (False, total)):
        served = exchange(BEFORE_OPEN, actions=[dividend], basis=basis, paper_fidelity=fidelity)
        submit(served, time_in_force="opg", qty=100)
        served.advance(new_york("2021-11-23 08:00"))
        cash[fidelity, basis] = served.venue.book.cash - Decimal("989900")
    assert list(cash.values()) == [0, 25, 25, 0]


def test_portfolio_history_counts_from_the_equity_before_its_first_point() -> None:
    """Ten AAA from the open of 11-22 (101): +5 at that close, +15 at the next, +25 at the third."""
    served = spread_free(BEFORE_OPEN)
    submit(served, time_in_force="opg")
    served.advance(new_york("2021-11-24 17:00"))
    whole = call(served, "GET", "/v2/account/portfolio/history", period="1M", timeframe="1D")
    assert (whole["equity"], whole["profit_loss"]) == ([1000005.0, 1000015.0, 1000025.0], [5.0, 15.0, 25.0])
    last = call(served, "GET", "/v2/account/portfolio/history", start="2021-11-24", timeframe="1D")
    assert (last["base_value"], last["base_value_asof"], last["profit_loss"]) == (1000015.0, "2021-11-23", [10.0])


def test_a_cash_account_spends_sale_proceeds_only_once_they_have_settled() -> None:
    """Bought 9,000 shares of AAA at 101 = 909,000; sold at 101; two sessions later (2021: T+2) it may be spent."""
    served = spread_free(NOON, multiplier=1)
    submit(served, qty=9000), submit(served, qty=9000, side="sell")
    assert call(served, "GET", "/v2/account")["buying_power"] == "91000"
    served.advance(new_york("2021-11-23 12:00"))
    assert call(served, "GET", "/v2/account")["buying_power"] == "91000"
    served.advance(new_york("2021-11-24 12:00"))
    assert call(served, "GET", "/v2/account")["buying_power"] == "1000000"


def test_silence_during_the_session_keeps_the_last_close_as_the_mark() -> None:
    from datetime import date

    served = exchange(NOON, panel=bars(silent=[("AAA", date(2021, 11, 22))]))
    assert served.venue.market.last_price("AAA", served.now) == Decimal("100.5")
