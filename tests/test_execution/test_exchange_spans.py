"""Bars of hours, weeks and months, snapshots and the clocks of markets, from the hand-worked market; never the future.

AAA on session i (0 is 2021-11-19) opens at 100 + i, trades from 98 + i to 103 + i and closes at 100.5 + i.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from execution.exchange.api.exchange import Exchange
from execution.exchange.market.spans import Frame
from execution.exchange.protocol.message import ApiRequest
from signals.market.actions import Action, ActionKind
from tests.fakes.exchange import bars, exchange, new_york

HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}


def get(served: Exchange, path: str, status: int = 200, **query: str) -> Any:
    response = served.handle(ApiRequest("GET", path, query, HEADERS))
    assert response.status == status, response.body
    return json.loads(response.body)


def rows(served: Exchange, frame: str, start: str = "2021-11-01", **query: str) -> list[tuple[Any, ...]]:
    found = get(served, "/v2/stocks/AAA/bars", timeframe=frame, start=start, **query)["bars"]
    return [(row["t"], row["o"], row["h"], row["l"], row["c"], row["v"]) for row in found]


def test_a_week_is_stamped_at_its_monday_and_holds_what_has_closed_of_it() -> None:
    """Thanksgiving's week has four sessions, 11-22 to 11-26; at noon of 11-24 two of them have closed."""
    first = ("2021-11-15T05:00:00Z", 100, 103, 98, 100.5, 100_000)
    assert rows(exchange("2021-11-24 12:00"), "1Week") == [first, ("2021-11-22T05:00:00Z", 101, 105, 99, 102.5, 200_000)]
    assert rows(exchange("2021-11-26 13:05"), "1Week") == [first, ("2021-11-22T05:00:00Z", 101, 107, 99, 104.5, 400_000)]
    served = exchange("2021-11-29 08:00")
    assert rows(served, "1W", "2021-11-16") == rows(served, "1Week")[1:], "a week counts whole or not at all"
    assert rows(served, "1Week", end="2021-11-22T12:00:00-05:00") == rows(served, "1Week")


def test_a_month_is_stamped_at_its_first_day() -> None:
    served = exchange("2021-12-02 08:00")
    november = ("2021-11-01T04:00:00Z", 100, 109, 98, 106.5, 700_000)
    assert rows(served, "1Month") == [november, ("2021-12-01T05:00:00Z", 107, 110, 105, 107.5, 100_000)]
    assert [row[0] for row in rows(served, "3Month", "2021-10-01")] == ["2021-10-01T04:00:00Z"]


def test_an_hour_tells_the_opening_print_and_at_the_close_the_rest() -> None:
    """2021-11-22 from 09:30 to 16:00; the hours of both together are the day again."""
    opening = ("2021-11-22T14:00:00Z", 101, 101, 101, 101, 1)
    closing = ("2021-11-22T20:00:00Z", 101, 104, 99, 101.5, 99_999)
    seen = {at: rows(exchange(f"2021-11-22 {at}"), "1Hour", "2021-11-22") for at in ("09:59", "10:00", "15:59", "16:00")}
    assert seen == {"09:59": [], "10:00": [opening], "15:59": [opening], "16:00": [opening, closing]}
    assert rows(exchange("2021-11-22 16:00"), "12Hour", "2021-11-22") == [
        ("2021-11-22T05:00:00Z", 101, 101, 101, 101, 1),
        ("2021-11-22T17:00:00Z", 101, 104, 99, 101.5, 99_999),
    ]
    assert rows(exchange("2021-11-22 16:00"), "23Hour", "2021-11-22") == [("2021-11-22T05:00:00Z", 101, 104, 99, 101.5, 100_000)], (
        "one bar holds both"
    )
    early = rows(exchange("2021-11-26 13:00"), "1Hour", "2021-11-26")
    assert [row[0] for row in early] == ["2021-11-26T14:00:00Z", "2021-11-26T17:00:00Z"]
    silent = exchange("2021-11-22 16:00", panel=bars(silent=[("AAA", date(2021, 11, 22))]))
    assert rows(silent, "1Hour", "2021-11-22") == [], "nothing was traded"


def test_a_split_within_a_week_is_restated_day_by_day() -> None:
    split = Action(ActionKind.SPLIT, "AAA", date(2021, 11, 23), date(2021, 11, 19), ratio=Decimal(2))
    served = exchange("2021-11-23 17:00", actions=[split])
    (week,) = rows(served, "1Week", "2021-11-22", adjustment="split")
    assert week == ("2021-11-22T05:00:00Z", 50.5, 105, 49.5, 102.5, 300_000)


def test_what_is_served_of_a_span_is_what_its_days_make() -> None:
    """Whole days of one factor are merged before they are divided by it: the prices are the same, split and holes included."""
    split = Action(ActionKind.SPLIT, "AAA", date(2021, 11, 24), date(2021, 11, 19), ratio=Decimal(4))
    gap = bars(silent=[("AAA", date(2021, 11, 22))])
    served = exchange("2021-12-02 08:00", panel=gap, actions=[split])
    for adjustment in ("raw", "split"):
        days = [row for row in rows(served, "1Day", adjustment=adjustment) if row[0] < "2021-12"]
        november = rows(served, "1Month", adjustment=adjustment)[0]
        assert november[1:] == (days[0][1], max(d[2] for d in days), min(d[3] for d in days), days[-1][4], sum(d[5] for d in days))


def test_pages_meet_every_bar_once_in_both_orders() -> None:
    served = exchange("2021-12-02 08:00")
    for frame, order in (("1Hour", "asc"), ("1Hour", "desc"), ("1Week", "asc"), ("1Month", "desc")):
        asked = {"symbols": "AAA,BBB", "timeframe": frame, "start": "2021-11-01", "sort": order}
        whole = get(served, "/v2/stocks/bars", **asked)["bars"]
        pages: dict[str, list[Any]] = {}
        token = ""
        while token is not None:
            page = get(served, "/v2/stocks/bars", **asked, limit="3", **({"page_token": token} if token else {}))
            for symbol, found in page["bars"].items():
                pages.setdefault(symbol, []).extend(found)
            token = page["next_page_token"]
        assert pages == whole and all(len(found) >= 2 for found in whole.values())


@pytest.mark.parametrize("text", ["0Min", "60Min", "5t", "0Day", "2Day", "2Week", "5Month", "24Hour", "1", "Day", "1day ", "1Y"])
def test_a_frame_that_is_not_served_is_refused(text: str) -> None:
    assert Frame.read(text) is None
    assert get(exchange(), "/v2/stocks/AAA/bars", 400, timeframe=text)["code"] == 40010001


def test_a_snapshot_holds_what_is_known_and_nothing_of_the_rest_of_the_day() -> None:
    served = exchange("2021-11-22 12:00", spread_bps=0)
    found = get(served, "/v2/stocks/AAA/snapshot")
    assert found["symbol"] == "AAA" and found["latestTrade"]["p"] == 101 and found["latestQuote"]["ap"] == 101
    assert (found["dailyBar"]["t"], found["dailyBar"]["h"], found["dailyBar"]["v"]) == ("2021-11-22T05:00:00Z", 101, 1)
    assert found["minuteBar"]["t"] == "2021-11-22T14:30:00Z"
    assert (found["prevDailyBar"]["t"], found["prevDailyBar"]["c"]) == ("2021-11-19T05:00:00Z", 100.5)
    served.advance(new_york("2021-11-22 16:00"))
    both = get(served, "/v2/stocks/snapshots", symbols="AAA,ZZZ")
    assert list(both) == ["AAA"] and both["AAA"]["dailyBar"]["c"] == both["AAA"]["minuteBar"]["c"] == 101.5
    assert both["AAA"]["minuteBar"]["t"] == "2021-11-22T20:59:00Z" and both["AAA"]["prevDailyBar"]["c"] == 100.5
    morning = get(exchange("2021-11-19 12:00"), "/v2/stocks/AAA/snapshot")
    assert "prevDailyBar" not in morning, "there is no day before the first"


@pytest.mark.parametrize(("kind", "one"), [("bars", "bar"), ("quotes", "quote"), ("trades", "trade")])
def test_the_latest_of_one_name_is_that_of_many(kind: str, one: str) -> None:
    served = exchange("2021-11-23 12:00")
    single = get(served, f"/v2/stocks/AAA/{kind}/latest")
    assert single == {"symbol": "AAA", "currency": "USD", one: single[one]}
    assert get(served, f"/v2/stocks/{kind}/latest", symbols="AAA")[kind] == {"AAA": single[one]}
    assert get(served, f"/v2/stocks/ZZZ/{kind}/latest", 404)["code"] == 40410000


@pytest.mark.parametrize(
    ("at", "phase", "until", "is_day"),
    [
        ("2021-11-24 03:00", "closed", "2021-11-24T04:00:00-05:00", True),
        ("2021-11-24 08:00", "pre", "2021-11-24T09:30:00-05:00", True),
        ("2021-11-24 12:00", "core", "2021-11-24T16:00:00-05:00", True),
        ("2021-11-24 16:00", "post", "2021-11-24T20:00:00-05:00", True),
        ("2021-11-24 21:00", "closed", "2021-11-26T04:00:00-05:00", True),
        ("2021-11-25 12:00", "closed", "2021-11-26T04:00:00-05:00", False),
        ("2021-11-26 14:00", "post", "2021-11-26T17:00:00-05:00", True),
    ],
)
def test_the_clock_of_a_market_tells_its_phase(at: str, phase: str, until: str, is_day: bool) -> None:
    (clock,) = get(exchange(at), "/v3/clock", markets="XNYS")["clocks"]
    assert (clock["phase"], clock["phase_until"], clock["is_market_day"]) == (phase, until, is_day)
    asked = get(exchange("2021-11-19 08:00"), "/v3/clock", markets="NYSE", time=new_york(at).isoformat())["clocks"]
    assert asked == [clock], "the calendar is public"


def test_the_calendar_of_a_market_has_its_phases_and_early_closes() -> None:
    served = exchange("2021-11-24 08:00")
    found = get(served, "/v3/calendar/XNYS")
    assert [day["date"] for day in found["calendar"]] == ["2021-11-24", "2021-11-26", "2021-11-29", "2021-11-30", "2021-12-01"]
    assert found["calendar"][1]["core_end"] == "2021-11-26T13:00:00-05:00"
    assert get(served, "/v3/calendar/NASDAQ", timezone="UTC")["calendar"][0]["core_start"] == "2021-11-24T14:30:00+00:00"
    assert get(served, "/v3/calendar/XLON", 400)["code"] == get(served, "/v3/clock", 400, markets="X")["code"] == 40010001
    assert get(served, "/v3/clock", 422, time="2150-01-01")["code"] == 42210000
