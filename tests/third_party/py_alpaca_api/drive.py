"""What a user of py-alpaca-api writes: the program knows Alpaca's own addresses alone."""

from __future__ import annotations

import sys

from py_alpaca_api import PyAlpacaAPI


def main(step: str, buy: str, sell: str, start: str, end: str) -> None:
    api = PyAlpacaAPI(api_key="key", api_secret="secret", api_paper=True)
    if step == "evening":
        held = api.trading.positions.get_all()
        assert {buy, sell} <= set(held["symbol"]), held
        api.trading.positions.close(sell, percentage=100)
        return
    assert api.trading.account.get().cash > 0 and not api.trading.market.clock().is_open
    bars = api.stock.history.get_stock_data(buy, start=start, end=end, timeframe="1d")
    assert len(bars) > 10, bars
    assert api.stock.snapshots.get_snapshot(buy).symbol == buy
    api.trading.orders.market(buy, qty=7, side="buy", time_in_force="opg", client_order_id="third-buy")
    api.trading.orders.market(sell, qty=3, side="sell", time_in_force="opg", client_order_id="third-short")
    api.trading.orders.limit(buy, limit_price=1.0, qty=1, side="buy", client_order_id="third-far")
    api.trading.orders.cancel_by_client_order_id("third-far")


main(*sys.argv[1:])
