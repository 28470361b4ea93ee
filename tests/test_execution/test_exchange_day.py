"""A trading day through the unmodified alpaca-py clients, in process; every figure is worked by hand."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment
from alpaca.data.requests import CorporateActionsRequest, StockBarsRequest, StockLatestQuoteRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import GetAssetsRequest, GetCalendarRequest, GetOrdersRequest, MarketOrderRequest

from signals.market.actions import Action, ActionKind
from signals.market.manifest import PriceBasis
from tests.fakes.exchange import actions_client, data, exchange, new_york, trading


def market_order(symbol: str, quantity: float, side: str, time_in_force: str, client_id: str | None = None) -> MarketOrderRequest:
    return MarketOrderRequest(
        symbol=symbol, qty=quantity, side=OrderSide(side), time_in_force=TimeInForce(time_in_force), client_order_id=client_id
    )


def test_the_account_opens_with_its_cash_and_twice_that_as_buying_power() -> None:
    account = trading(exchange()).get_account()
    assert (account.cash, account.equity, account.buying_power, account.multiplier) == ("1000000", "1000000", "2000000", "2")
    assert account.status == "ACTIVE" and account.account_number.startswith("PA")


def test_clock_and_calendar_know_the_holiday_and_the_early_close() -> None:
    client = trading(exchange("2021-11-24 16:30"))
    clock = client.get_clock()
    assert not clock.is_open
    assert clock.next_open == new_york("2021-11-26 09:30") and clock.next_close == new_york("2021-11-26 13:00")
    days = client.get_calendar(GetCalendarRequest(start=date(2021, 11, 24), end=date(2021, 11, 29)))
    assert [(day.date, day.close.strftime("%H:%M")) for day in days] == [
        (date(2021, 11, 24), "16:00"),
        (date(2021, 11, 26), "13:00"),
        (date(2021, 11, 29), "16:00"),
    ]


def test_an_opening_auction_order_fills_at_the_open_and_not_before() -> None:
    served = exchange("2021-11-22 08:00")
    client = trading(served)
    order = client.submit_order(market_order("AAA", 10, "buy", "opg", "first"))
    assert order.status is OrderStatus.ACCEPTED
    served.advance(new_york("2021-11-22 09:29:59"))
    assert client.get_order_by_client_id("first").status is OrderStatus.ACCEPTED
    served.advance(new_york("2021-11-22 09:30"))
    filled = client.get_order_by_id(order.id)
    assert (filled.status, filled.filled_qty, filled.filled_avg_price) == (OrderStatus.FILLED, "10", "101")
    (held,) = client.get_all_positions()
    assert (held.symbol, held.qty, held.avg_entry_price, held.current_price) == ("AAA", "10", "101", "101")
    assert client.get_account().cash == "998990"


def test_a_closing_auction_order_fills_at_the_early_close() -> None:
    served = exchange("2021-11-26 09:00")
    client = trading(served)
    order = client.submit_order(market_order("AAA", 4, "sell", "cls"))
    served.advance(new_york("2021-11-26 13:00"))
    filled = client.get_order_by_id(order.id)
    assert (filled.status, filled.filled_avg_price) == (OrderStatus.FILLED, "104.5")
    assert client.get_all_positions()[0].side == "short" and client.get_all_positions()[0].qty == "-4"
    assert client.get_account().cash == "1000418" and client.get_account().equity == "1000000"


def test_a_day_order_pays_half_the_spread_during_the_session_and_none_at_the_open() -> None:
    """5 bps around 101: 101 x 1.00025 = 101.02525, to four decimals half-even 101.0252."""
    served = exchange("2021-11-22 08:00")
    client = trading(served)
    queued = client.submit_order(market_order("AAA", 1, "buy", "day"))
    served.advance(new_york("2021-11-22 11:00"))
    during = client.submit_order(market_order("AAA", 1, "buy", "day"))
    assert during.status is OrderStatus.PENDING_NEW, "an acknowledgement never shows the fill"
    assert client.get_order_by_id(queued.id).filled_avg_price == "101"
    assert client.get_order_by_id(during.id).filled_avg_price == "101.0252"


def test_without_a_trade_that_session_auction_orders_expire_at_their_auction_and_day_orders_at_the_close() -> None:
    from tests.fakes.exchange import bars

    served = exchange("2021-11-22 08:00", panel=bars(silent=[("AAA", date(2021, 11, 22))]))
    client = trading(served)
    opg, cls, day = (client.submit_order(market_order("AAA", 1, "buy", tif)) for tif in ("opg", "cls", "day"))
    served.advance(new_york("2021-11-22 15:59"))
    states = [client.get_order_by_id(order.id).status for order in (opg, cls, day)]
    assert states == [OrderStatus.EXPIRED, OrderStatus.NEW, OrderStatus.NEW]
    served.advance(new_york("2021-11-22 16:00"))
    states = [client.get_order_by_id(order.id).status for order in (opg, cls, day)]
    assert states == [OrderStatus.EXPIRED] * 3


def test_cancelling_ends_an_open_order_and_refuses_a_finished_one() -> None:
    served = exchange()
    client = trading(served)
    first, second, third = (client.submit_order(market_order("AAA", 1, "buy", "opg")) for _ in range(3))
    client.cancel_order_by_id(first.id)
    assert client.get_order_by_id(first.id).status is OrderStatus.CANCELED
    assert {row.id for row in client.cancel_orders()} == {second.id, third.id}
    with pytest.raises(APIError) as refused:
        client.cancel_order_by_id(first.id)
    assert refused.value.status_code == 422 and refused.value.code == 42210000


def test_orders_page_newest_first_and_exclusively_by_submission_time() -> None:
    client = trading(exchange())
    sent = [client.submit_order(market_order("AAA", 1, "buy", "opg", f"id-{i}")) for i in range(7)]
    listed = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, limit=3))
    assert [order.client_order_id for order in listed] == ["id-6", "id-5", "id-4"]
    rest = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, until=listed[-1].submitted_at))
    assert [order.id for order in rest] == [order.id for order in reversed(sent[:4])]


def test_assets_are_those_listed_by_now() -> None:
    client = trading(exchange(hard_to_borrow=("BBB",)))
    active = client.get_all_assets(GetAssetsRequest(status="active"))
    assert {asset.symbol: asset.easy_to_borrow for asset in active} == {"AAA": True, "BBB": False, "CCC": True}
    assert client.get_asset("AAA").fractionable
    with pytest.raises(APIError) as missing:
        client.get_asset("ZZZ")
    assert missing.value.status_code == 404 and missing.value.code == 40410000


def test_bars_end_where_the_clock_stands_and_page_completely() -> None:
    """On 11-24 at 15:59 only three sessions have closed; 9 bars in pages of 4 are three pages."""
    served = exchange("2021-11-24 15:59")
    request = StockBarsRequest(
        symbol_or_symbols=["CCC", "AAA", "BBB"], timeframe=TimeFrame.Day, start=datetime(2021, 11, 1), end=datetime(2021, 12, 31)
    )
    whole = data(served).get_stock_bars(request).data
    assert {symbol: [bar.close for bar in rows] for symbol, rows in whole.items()} == {
        "AAA": [100.5, 101.5, 102.5],
        "BBB": [50.5, 51.5, 52.5],
        "CCC": [20.5, 21.5, 22.5],
    }
    client, pages = data(served), []
    token = None
    while True:
        page = client.get(
            "/stocks/bars", {"symbols": "AAA,BBB,CCC", "timeframe": "1Day", "start": "2021-11-01", "limit": 4, "page_token": token}
        )
        pages.append([(symbol, row["t"]) for symbol, rows in page["bars"].items() for row in rows])
        token = page["next_page_token"]
        if token is None:
            break
    assert [len(page) for page in pages] == [4, 4, 1]
    assert [row for page in pages for row in page] == [
        (symbol, bar.timestamp.strftime("%Y-%m-%dT%H:%M:%SZ")) for symbol in sorted(whole) for bar in whole[symbol]
    ]


def test_quotes_show_the_last_price_with_half_the_spread_on_either_side() -> None:
    quotes = data(exchange("2021-11-22 12:00")).get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=["AAA"]))
    assert (quotes["AAA"].bid_price, quotes["AAA"].ask_price) == (100.9748, 101.0252)


SPLIT = Action(ActionKind.SPLIT, "AAA", date(2021, 11, 23), date(2021, 11, 19), ratio=Decimal("1.5"))


def test_a_split_multiplies_raw_shares_pays_the_fraction_and_explains_itself() -> None:
    """7 x 1.5 = 10.5: ten are kept; half a share at the restated close 101.5 / 1.5 = 67.6667 pays 33.83."""
    served = exchange("2021-11-22 08:00", actions=[SPLIT])
    client = trading(served)
    client.submit_order(market_order("AAA", 7, "buy", "opg"))
    served.advance(new_york("2021-11-23 08:00"))
    (held,) = client.get_all_positions()
    assert (held.qty, held.avg_entry_price, held.lastday_price) == ("10", "67.333333", "67.6667")
    assert client.get_account().cash == "999326.83", "1,000,000 - 707 + 33.83"
    rows = client.get("/account/activities/SPLIT")
    assert sum(Decimal(row["qty"]) for row in rows) == 3
    assert [row["net_amount"] for row in rows if row["net_amount"] != "0"] == ["33.83"]


def test_on_adjusted_prices_a_recorded_split_changes_no_quantity() -> None:
    served = exchange("2021-11-22 08:00", actions=[SPLIT], basis=PriceBasis.SPLIT_ADJUSTED)
    client = trading(served)
    client.submit_order(market_order("AAA", 7, "buy", "opg"))
    served.advance(new_york("2021-11-23 08:00"))
    assert client.get_all_positions()[0].qty == "7"
    assert client.get("/account/activities/SPLIT") == []


def test_a_renamed_holding_keeps_its_shares_and_a_delisted_one_is_paid_out() -> None:
    changes = [
        Action(ActionKind.SYMBOL_CHANGE, "OLD", date(2021, 11, 23), date(2021, 11, 22), new_symbol="AAA"),
        Action(ActionKind.DELISTING, "BBB", date(2021, 11, 24), date(2021, 11, 23), cash=Decimal("60.25")),
    ]
    served = exchange("2021-11-22 08:00", actions=changes)
    client = trading(served)
    with pytest.raises(APIError):
        client.submit_order(market_order("AAA", 2, "buy", "opg"))
    client.submit_order(market_order("OLD", 2, "buy", "opg"))
    client.submit_order(market_order("BBB", 4, "buy", "opg"))
    served.advance(new_york("2021-11-23 04:00"))
    assert {held.symbol: held.qty for held in client.get_all_positions()} == {"AAA": "2", "BBB": "4"}
    served.advance(new_york("2021-11-24 04:00"))
    assert [held.symbol for held in client.get_all_positions()] == ["AAA"]
    assert client.get_account().cash == "999835", "1,000,000 - 2 x 101 - 4 x 51 + 4 x 60.25"
    assert client.get_asset("BBB").status == "inactive"
    told = actions_client(served).get_corporate_actions(CorporateActionsRequest(start=date(2021, 11, 1), end=date(2021, 12, 31)))
    assert {family: len(rows) for family, rows in told.data.items()} == {"name_changes": 1, "cash_mergers": 1}


def test_a_renamed_security_keeps_its_history_unless_the_bare_symbol_is_asked_for() -> None:
    """OLD became AAA on 11-23. Two sessions were traded as OLD, two as AAA by the evening of 11-24."""
    rename = Action(ActionKind.SYMBOL_CHANGE, "OLD", date(2021, 11, 23), date(2021, 11, 22), new_symbol="AAA")
    served = exchange("2021-11-24 17:00", actions=[rename])

    def closes(symbol: str, asof: str | None) -> list[float]:
        query = {"symbols": symbol, "timeframe": "1Day", "start": "2021-11-01", "asof": asof}
        return [row["c"] for row in data(served).get("/stocks/bars", query)["bars"].get(symbol, [])]

    assert closes("AAA", None) == [100.5, 101.5, 102.5, 103.5]
    assert closes("AAA", "-") == [102.5, 103.5] and closes("OLD", "-") == [100.5, 101.5]
    assert closes("OLD", "2021-11-22") == [100.5, 101.5, 102.5, 103.5] and closes("OLD", None) == [100.5, 101.5]
    assert closes("AAA", "2021-11-22") == [102.5, 103.5], "nobody bore the name then"


def test_equity_follows_the_marks_and_last_equity_the_close_before() -> None:
    """Ten shares from 101: 101.5 at the close of 11-22, 102 at the open of 11-23."""
    served = exchange("2021-11-22 08:00")
    client = trading(served)
    client.submit_order(market_order("AAA", 10, "buy", "opg"))
    served.advance(new_york("2021-11-22 17:00"))
    assert (client.get_account().equity, client.get_account().last_equity) == ("1000005", "1000000")
    served.advance(new_york("2021-11-23 10:00"))
    assert (client.get_account().equity, client.get_account().last_equity) == ("1000010", "1000005")


def test_adjusted_bars_divide_by_later_splits_alone() -> None:
    served = exchange("2021-11-23 17:00", actions=[SPLIT])
    request = StockBarsRequest(symbol_or_symbols="AAA", timeframe=TimeFrame.Day, start=datetime(2021, 11, 19), adjustment=Adjustment.SPLIT)
    assert [round(bar.close, 6) for bar in data(served).get_stock_bars(request).data["AAA"]] == [67.0, 67.666667, 102.5]
