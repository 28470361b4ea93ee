"""An exchange that does not open as scheduled: what waited for that session alone ends, with the reason, unfilled.

AAA closes at 100.50 on Friday 2021-11-19 and opens at 102 on 11-23, the session after the one that is struck.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from execution.exchange.api.exchange import Exchange
from execution.exchange.protocol.message import ApiRequest
from signals.market.actions import Action, ActionKind
from tests.fakes.exchange import exchange, new_york

HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}
STRUCK, NEXT = "2021-11-22", "2021-11-23"
ANNOUNCED = f"{STRUCK} 09:00"


def call(served: Exchange, method: str, path: str, body: Any = None, **query: str) -> Any:
    response = served.handle(ApiRequest(method, path, query, HEADERS, json.dumps(body or {}).encode()))
    assert response.status < 300, response.body
    return json.loads(response.body)


def submit(served: Exchange, tif: str, **fields: Any) -> str:
    body = {"symbol": "AAA", "qty": 10, "side": "buy", "type": "market", "time_in_force": tif, "client_order_id": tif}
    return str(call(served, "POST", "/v2/orders", {**body, **fields})["id"])


def strike(served: Exchange, day: str = STRUCK) -> Any:
    return call(served, "POST", "/_sim/closure", {"session": day})


def statuses(served: Exchange) -> dict[str, str]:
    rows = call(served, "GET", "/v2/orders", status="all")
    return {row["client_order_id"]: row["status"] for row in rows}


def waiting(at: str = "2021-11-19 20:00", **settings: Any) -> Exchange:
    """Friday evening: an order of each time in force waits for Monday."""
    served = exchange(at, spread_bps=0, **settings)
    for tif in ("opg", "cls", "day", "gtc"):
        submit(served, tif)
    served.advance(new_york(ANNOUNCED))
    return served


def test_what_waited_for_the_struck_session_alone_is_cancelled_with_the_reason() -> None:
    served = waiting()
    held = Decimal(call(served, "GET", "/v2/account")["buying_power"])
    told = strike(served)
    assert told["closures"] == [STRUCK]
    assert {row["client_order_id"] for row in told["ended"]} == {"opg", "cls", "day"}
    assert {row["reason"] for row in told["ended"]} == {f"the exchange does not open on {STRUCK}"}
    assert statuses(served) == {"opg": "canceled", "cls": "canceled", "day": "canceled", "gtc": "accepted"}
    assert [update.event for update in served.venue.updates.since(4)] == ["canceled"] * 3
    # three orders of 10 shares at 3 % above the last close are no longer reserved
    assert Decimal(call(served, "GET", "/v2/account")["buying_power"]) - held == 3 * 10 * Decimal("103.515")


def test_nothing_trades_on_the_struck_day_and_the_next_session_opens_for_what_still_waits() -> None:
    served = waiting()
    strike(served)
    again = submit(served, "opg", client_order_id="for the next")
    served.advance(new_york(f"{STRUCK} 17:00"))
    assert statuses(served)["gtc"] == "accepted" and call(served, "GET", "/v2/positions") == []
    clock = call(served, "GET", "/v2/clock")
    assert (clock["is_open"], clock["next_open"][:16]) == (False, f"{NEXT}T09:30")
    assert [row["date"] for row in call(served, "GET", "/v2/calendar", start=STRUCK, end=NEXT)] == [NEXT]
    assert date.fromisoformat(STRUCK) not in served.venue.book.marks
    served.advance(new_york(f"{NEXT} 09:30"))
    orders = {row["client_order_id"]: row for row in call(served, "GET", "/v2/orders", status="all")}
    assert (orders["gtc"]["filled_avg_price"], orders["for the next"]["filled_avg_price"]) == ("102", "102")
    assert orders["for the next"]["id"] == again and orders["opg"]["filled_qty"] == "0"
    served.advance(new_york(f"{NEXT} 17:00"))
    days = {
        row["t"][:10]
        for row in call(
            served, "GET", "/v2/stocks/bars", symbols="AAA", timeframe="1Day", start="2021-11-19", end=f"{NEXT}T16:30:00-05:00"
        )["bars"]["AAA"]
    }
    assert days == {"2021-11-19", NEXT}


def test_a_split_of_the_struck_day_happens_once_and_prices_follow_it() -> None:
    """100 shares at 100.50 become 200 at 50.25 at 04:00, five hours before the closure is announced."""
    split = Action(ActionKind.SPLIT, "AAA", date(2021, 11, 22), date(2021, 11, 19), ratio=Decimal(2))
    served = exchange("2021-11-19 12:00", spread_bps=0, actions=[split])
    submit(served, "day", qty=100)
    served.advance(new_york(ANNOUNCED))
    before = call(served, "GET", "/v2/account")["equity"]
    strike(served)
    assert call(served, "GET", "/v2/account")["equity"] == before
    served.advance(new_york(f"{NEXT} 08:00"))
    (row,) = call(served, "GET", "/v2/positions")
    assert (row["qty"], Decimal(row["current_price"])) == ("200", Decimal("50.25"))
    assert len(call(served, "GET", "/v2/account/activities/SPLIT")) == 2


def test_a_restart_remembers_the_closure(tmp_path: Path) -> None:
    first = waiting(state=tmp_path)
    strike(first)
    first.close()
    second = exchange("2021-11-22 08:00", state=tmp_path)
    second.advance(new_york(f"{STRUCK} 12:00"))
    assert not call(second, "GET", "/v2/clock")["is_open"] and call(second, "GET", "/v2/positions") == []
    second.close()


@pytest.mark.parametrize(
    "day",
    [STRUCK, "2021-11-19", "2021-11-25", "2022-12-30", "2030-01-02", "", "soon"],
    ids=["has opened", "is over", "is no session", "is the last", "is beyond", "none given", "no date"],
)
def test_only_a_session_that_has_yet_to_open_can_be_struck(day: str) -> None:
    served = exchange(f"{STRUCK} 09:30")
    body = json.dumps({"session": day}).encode()
    response = served.handle(ApiRequest("POST", "/_sim/closure", {}, HEADERS, body))
    assert response.status in (400, 422) and served.venue.book.closures == frozenset()
