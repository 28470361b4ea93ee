"""What a user of alpaca-py writes: bars, snapshots, orders and a stream, at an address of their own."""

from __future__ import annotations

import os
import sys
from datetime import datetime

from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest, StockLatestQuoteRequest, StockSnapshotRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, PositionIntent, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import GetOrdersRequest, LimitOrderRequest, MarketOrderRequest, ReplaceOrderRequest


def main(step: str, buy: str, sell: str, start: str, end: str) -> None:
    url = os.environ["EXCHANGE_URL"]
    client = TradingClient("key", "secret", url_override=url)
    data = StockHistoricalDataClient("key", "secret", url_override=url)
    if step == "evening":
        assert {held.symbol: held.qty for held in client.get_all_positions()} == {buy: "7", sell: "-3"}
        client.close_position(sell)
        return
    assert not client.get_account().trading_blocked and not client.get_clock().is_open
    for frame in (TimeFrame.Hour, TimeFrame.Day, TimeFrame.Week, TimeFrame.Month):
        asked = StockBarsRequest(
            symbol_or_symbols=[buy, sell], timeframe=frame, start=datetime.fromisoformat(start[:8] + "01"), end=datetime.fromisoformat(end)
        )
        assert set(data.get_stock_bars(asked).df.index.get_level_values("symbol")) == {buy, sell}, frame
    snapshot = data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=buy))[buy]
    quote = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=buy))[buy]
    assert snapshot.latest_trade.price == snapshot.daily_bar.close and quote.bid_price < quote.ask_price
    for symbol, side, quantity, intent, name in (
        (buy, OrderSide.BUY, 7, PositionIntent.BUY_TO_OPEN, "third-buy"),
        (sell, OrderSide.SELL, 3, PositionIntent.SELL_TO_OPEN, "third-short"),
    ):
        client.submit_order(
            MarketOrderRequest(
                symbol=symbol, qty=quantity, side=side, time_in_force=TimeInForce.OPG, client_order_id=name, position_intent=intent
            )
        )
    far = client.submit_order(
        LimitOrderRequest(
            symbol=buy, qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, limit_price=1.0, client_order_id="third-far"
        )
    )
    open_orders = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, symbols=[buy]))
    assert far.id in {order.id for order in open_orders} and ReplaceOrderRequest(limit_price=1.01)
    client.cancel_order_by_id(far.id)


main(*sys.argv[1:])
