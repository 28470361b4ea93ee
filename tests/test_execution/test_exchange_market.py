"""The gate in front of the bars, the names that securities bore, and the clock that never goes back."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.market.market import MarketData, directory, tenures
from execution.exchange.protocol.message import ApiRequest
from signals.errors import BadBars, InvariantBroken
from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars
from tests.fakes.exchange import bars, calendar, exchange, new_york

MONDAY = date(2021, 11, 22)


def changed(panel: Bars, opens_from: int, rest_from: int) -> Bars:
    """The same panel with opens from one row on, and all else from another row on, multiplied by seven."""
    rows = np.arange(len(panel.sessions))[:, None]
    since = {"open": opens_from, "high": rest_from, "low": rest_from, "close": rest_from, "volume": rest_from}
    fields = {name: getattr(panel, name) * np.where(rows >= row, 7.0, 1.0) for name, row in since.items()}
    return Bars(
        panel.sessions,
        panel.symbols,
        **fields,
        total_return=panel.total_return.copy(),
        overnight_return=panel.overnight_return.copy(),
        eligible=panel.eligible.copy(),
    )


@pytest.mark.parametrize(
    ("at", "opens_known", "closes_known"),
    [("2021-11-22 09:29:59.999999", 1, 1), ("2021-11-22 09:30", 2, 1), ("2021-11-22 15:59:59.999999", 2, 1), ("2021-11-22 16:00", 2, 2)],
)
def test_changing_what_is_not_known_yet_changes_no_answer(at: str, opens_known: int, closes_known: int) -> None:
    paths = ("/v2/stocks/bars/latest", "/v2/stocks/quotes/latest", "/v2/stocks/trades/latest", "/v2/assets")
    headers = {"apca-api-key-id": "k", "apca-api-secret-key": "s"}

    def told(panel: Bars) -> list[Any]:
        served = exchange(at, panel=panel)
        everything = {"symbols": "AAA,BBB,CCC", "timeframe": "1Day", "start": "2021-01-01", "end": "2021-12-31"}
        asked = [ApiRequest("GET", path, {"symbols": "AAA,BBB,CCC"}, headers) for path in paths]
        asked.append(ApiRequest("GET", "/v2/stocks/bars", everything, headers))
        return [json.loads(served.handle(request).body) for request in asked]

    assert told(bars()) == told(changed(bars(), opens_known, closes_known))
    assert told(bars()) != told(changed(bars(), opens_known - 1, closes_known)), "the newest open does show"
    assert told(bars()) != told(changed(bars(), opens_known, closes_known - 1)), "the newest close does show"


def test_asking_the_market_itself_too_early_is_a_fault() -> None:
    market = MarketData(bars(), calendar())
    before = new_york("2021-11-22 09:29:59")
    with pytest.raises(InvariantBroken, match="before the open"):
        market.opening("AAA", MONDAY, before)
    with pytest.raises(InvariantBroken, match="before its close"):
        market.day_bar("AAA", MONDAY, before + timedelta(hours=6))
    assert market.opening("AAA", MONDAY, new_york("2021-11-22 09:30")) == Decimal(101)


def test_bars_on_a_day_without_a_session_are_refused() -> None:
    panel = bars()
    shifted = panel.sessions.copy()
    shifted[-1] = np.datetime64("2021-12-04")  # a Saturday
    with pytest.raises(BadBars):
        MarketData(
            Bars(
                shifted,
                *(
                    getattr(panel, name)
                    for name in ("symbols", "open", "high", "low", "close", "volume", "total_return", "overnight_return", "eligible")
                ),
            ),
            calendar(),
        )


def test_a_symbol_that_was_given_up_may_be_borne_by_another_security() -> None:
    """Column 0 is Y today and was X until 06-01; column 1 lists as X on 07-01; column 2 was Q and was delisted."""
    actions = (
        Action(ActionKind.SYMBOL_CHANGE, "X", date(2021, 6, 1), date(2021, 5, 28), new_symbol="Y"),
        Action(ActionKind.DELISTING, "Q", date(2021, 9, 1), date(2021, 8, 31), cash=Decimal(1)),
    )
    until = date(2021, 12, 31)
    spans = ((date(2021, 1, 4), until), (date(2021, 7, 1), until), (date(2021, 1, 4), date(2021, 8, 31)), None)
    rows = tenures(("Y", "X", "Q", "NEVER"), spans, actions)
    assert directory(rows, date(2021, 5, 28)) == {"X": 0, "Q": 2}
    assert directory(rows, date(2021, 6, 1)) == {"Y": 0, "Q": 2}
    assert directory(rows, date(2021, 7, 1)) == {"Y": 0, "X": 1, "Q": 2}
    assert directory(rows, date(2021, 9, 1)) == {"Y": 0, "X": 1}


def test_whoever_bore_a_symbol_is_listed_under_it_in_its_time_whoever_bears_it_since() -> None:
    """Q died on 03-01, listed again and died on 06-01; a security that was P is Q since 08-02: three columns of one panel."""
    actions = (
        Action(ActionKind.DELISTING, "Q", date(2021, 3, 1), date(2021, 2, 26), cash=Decimal(0)),
        Action(ActionKind.DELISTING, "Q", date(2021, 6, 1), date(2021, 5, 28), cash=Decimal(1)),
        Action(ActionKind.SYMBOL_CHANGE, "P", date(2021, 8, 2), date(2021, 7, 30), new_symbol="Q"),
    )
    begin, spans = date(2021, 1, 4), ((date(2021, 1, 4), date(2021, 2, 26)), (date(2021, 4, 1), date(2021, 5, 28)))
    rows = tenures(("Q@2021-02-26", "Q@2021-05-28", "Q"), (*spans, (begin, date(2021, 12, 31))), actions)
    assert directory(rows, date(2021, 2, 1)) == {"Q": 0, "P": 2}
    assert directory(rows, date(2021, 3, 1)) == {"P": 2}
    assert directory(rows, date(2021, 5, 3)) == {"Q": 1, "P": 2}
    assert directory(rows, date(2021, 6, 1)) == {"P": 2} and directory(rows, date(2021, 8, 2)) == {"Q": 2}


def test_a_chain_of_renamings_is_followed_to_its_beginning() -> None:
    actions = tuple(
        Action(ActionKind.SYMBOL_CHANGE, old, day, day, new_symbol=new)
        for old, new, day in (("A", "B", date(2021, 3, 1)), ("B", "C", date(2021, 5, 3)))
    )
    rows = tenures(("C",), ((date(2021, 1, 4), date(2021, 12, 31)),), actions)
    bore = [next(iter(directory(rows, day))) for day in (date(2021, 2, 1), date(2021, 3, 1), date(2021, 5, 3))]
    assert bore == ["A", "B", "C"]


def test_the_clock_never_goes_back_and_an_instant_carries_its_zone() -> None:
    clock = ExchangeVirtualClock(new_york("2021-11-22 12:00"))
    with pytest.raises(InvariantBroken, match="cannot go back"):
        clock.move(new_york("2021-11-22 11:59"))
    with pytest.raises(InvariantBroken, match="time zone"):
        ExchangeVirtualClock(new_york("2021-11-22 12:00").replace(tzinfo=None))
    served = exchange("2021-11-22 12:00")
    body = json.dumps({"to": "2021-11-22T11:00:00-05:00"}).encode()
    assert served.handle(ApiRequest("POST", "/_sim/advance", body=body)).status == 422
    assert served.now == new_york("2021-11-22 12:00")


def test_a_shared_clock_that_jumps_back_moves_nothing_back() -> None:
    served = exchange("2021-11-22 12:00")
    served.clock = ExchangeVirtualClock(new_york("2021-11-22 10:00"))
    served.catch_up()
    assert served.now == new_york("2021-11-22 12:00")


def test_configured_credentials_are_asked_for() -> None:
    served = exchange(key_id="mine", secret_key="secret")

    def status(key: str, secret: str) -> int:
        headers = {"apca-api-key-id": key, "apca-api-secret-key": secret}
        return served.handle(ApiRequest("GET", "/v2/account", {}, headers)).status

    assert [status("mine", "secret"), status("mine", "other"), status("", "")] == [200, 401, 401]
