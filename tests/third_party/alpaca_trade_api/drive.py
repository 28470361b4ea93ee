"""What a user of alpaca-trade-api writes: it knows nothing of the exchange, its address is in the environment."""

from __future__ import annotations

import sys

from alpaca_trade_api.rest import REST, TimeFrame


def main(step: str, buy: str, sell: str, start: str, end: str) -> None:
    api = REST()
    if step == "morning":
        assert api.get_account().status == "ACTIVE" and not api.get_account().trading_blocked
        assert len(api.get_bars([buy, sell], TimeFrame.Day, start, end, adjustment="raw")) > 0
        api.submit_order(buy, qty=7, side="buy", type="market", time_in_force="opg", client_order_id="third-buy")
        api.submit_order(sell, qty=3, side="sell", type="market", time_in_force="opg", client_order_id="third-short")
        api.submit_order(buy, qty=1, side="buy", type="limit", limit_price="1.00", time_in_force="day", client_order_id="third-far")
        api.cancel_order(api.get_order_by_client_order_id("third-far").id)
        assert api.get_clock().is_open is False and api.get_asset(buy).tradable
    else:
        held = {held.symbol: held.qty for held in api.list_positions()}
        assert held[buy] == "7" and held[sell] == "-3", held
        assert {fill.order_id for fill in api.get_activities("FILL")}
        api.close_position(sell)


main(*sys.argv[1:])
