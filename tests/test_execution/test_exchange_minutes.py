"""The exchange on minute bars: continuous orders meet the market of their minute, and only what has been is answered.

AAA has minutes on 2021-12-01. The n-th one ends n minutes after 09:30, opens at 107 + (n - 1) / 1000, closes at 107 + n / 1000, reaches
0.02 beyond both and trades 1,000 shares; no share of the 61st one trades. On days BBB opens at 57 there. Own orders take a tenth.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from alpaca.data.requests import StockBarsRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from execution.exchange.api.exchange import Exchange
from execution.exchange.market.market import MarketData, minutes_beside
from execution.exchange.market.minutes import MinuteMarket
from execution.exchange.protocol.message import ApiRequest
from signals.errors import BadDataset
from signals.market.dataset import MinuteRows
from signals.market.manifest import PriceBasis
from tests.fakes.exchange import bars, calendar, data, exchange, new_york
from trainer.curation.minutes.ingest import MinuteTerms, ingest_minutes
from trainer.curation.vendors.mapping import Label

DAY = date(2021, 12, 1)
HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}
FREE = {"spread_bps": 0, "impact": 0}
SILENT = 61


def frame(length: int = 1, *, quoted: bool = False) -> pd.DataFrame:
    n = np.arange(1, 391)
    opened, closed = 107 + (n - 1) / 1000, 107 + n / 1000
    ends = pd.Timestamp("2021-12-01 09:30", tz="America/New_York") + pd.to_timedelta(n, unit="m")
    found = pd.DataFrame({"time": ends, "symbol": "AAA", "open": opened, "high": closed + 0.02, "low": opened - 0.02, "close": closed})
    found = found.assign(volume=np.where(n == SILENT, 0.0, 1000.0))
    if quoted:
        found = found.assign(bid=closed - 0.05, ask=closed + 0.05)
    return found[n % length == 0]


def minutes_of(rows: pd.DataFrame, folder: Path) -> MinuteMarket:
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(folder / "minutes.parquet")
    ingest_minutes([folder / "minutes.parquet"], folder / "minutes", MinuteTerms("XNYS", label=Label.END))
    return MinuteMarket(MinuteRows.of(folder / "minutes"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> MinuteMarket:
    return minutes_of(frame(), tmp_path_factory.mktemp("minutes"))


def ask(served: Exchange, method: str, path: str, body: object = None, **query: str) -> Any:
    response = served.handle(ApiRequest(method, path, query, HEADERS, b"" if body is None else json.dumps(body).encode()))
    assert response.status in (200, 204, 207), response.body
    return json.loads(response.body) if response.body else None


def order(served: Exchange, qty: object = 250, **fields: Any) -> str:
    wanted = {"symbol": "AAA", "side": "buy", "type": "market", "time_in_force": "day", "qty": qty} | fields
    return str(ask(served, "POST", "/v2/orders", wanted)["id"])


def fills(served: Exchange) -> list[tuple[str, Decimal, Decimal]]:
    """Time of New York, shares and price of every fill."""
    entries = served.venue.book.entries
    return [(f"{e.at.astimezone(new_york('2021-12-01 00:00').tzinfo):%H:%M}", e.quantity, e.price) for e in entries if e.kind == "FILL"]  # type: ignore[misc]


def at(served: Exchange, moment: str) -> None:
    served.advance(new_york(f"2021-12-01 {moment}"))


def test_an_order_takes_its_share_of_each_minute_at_the_price_at_which_the_minute_begins(kept: MinuteMarket) -> None:
    served = exchange("2021-12-01 10:00", minutes=kept, **FREE)
    sent = order(served, 250)
    assert ask(served, "GET", f"/v2/orders/{sent}")["filled_qty"] == "100", "at once, as far as the minute goes"
    at(served, "10:05")
    first = Decimal("107.030")  # the 31st minute opens at 10:00
    assert fills(served) == [("10:00", 100, first), ("10:01", 100, first + Decimal("0.001")), ("10:02", 50, first + Decimal("0.002"))]
    assert ask(served, "GET", f"/v2/orders/{sent}")["status"] == "filled"


def test_own_orders_share_a_minute_in_the_order_of_arrival_and_nothing_trades_in_a_silent_one(kept: MinuteMarket) -> None:
    served = exchange("2021-12-01 10:29", minutes=kept, **FREE)
    order(served, 60)
    order(served, 60)
    at(served, "10:32")
    # 40 of the second order are left of the 60th minute, none trade in the 61st, and the others in the 62nd.
    assert [(when, quantity) for when, quantity, _ in fills(served)] == [("10:29", 60), ("10:29", 40), ("10:31", 20)]


def test_immediate_orders_get_what_the_minute_has_and_whole_ones_all_or_nothing(kept: MinuteMarket) -> None:
    served = exchange("2021-12-01 10:00", minutes=kept, **FREE)
    found = [ask(served, "GET", f"/v2/orders/{order(served, 150, time_in_force=tif)}") for tif in ("fok", "ioc")]
    assert [(row["status"], row["filled_qty"]) for row in found] == [("canceled", "0"), ("canceled", "100")]


def test_the_price_moves_by_the_square_root_of_own_trading_which_fades_and_is_never_a_gift(kept: MinuteMarket) -> None:
    """Half of the first trade's impact is left after 30 minutes; the sale that follows presses nothing and pays the spread alone."""
    served = exchange("2021-12-01 10:00", minutes=kept, impact_half_life=30)
    closes = 100.5 + np.arange(7)
    sigma, adv = float(np.std(closes[1:] / closes[:-1] - 1, ddof=1)), float(np.mean(closes * 100_000))
    order(served, 100)
    at(served, "10:30:30")  # in the silent minute: the order works from 10:31 on
    order(served, 100)
    at(served, "10:31")
    order(served, 50, side="sell")
    at(served, "10:32")
    (_, _, one), (_, _, two), (_, _, three) = fills(served)
    first, second = 107.030 * 100, 107.061 * 100
    expected = 107.030 * (1 + 0.00025 + sigma * np.sqrt(first / adv))
    assert float(one) == pytest.approx(expected, abs=5e-5)
    before = first * 0.5 ** (31 / 30)
    assert float(two) == pytest.approx(107.061 * (1 + 0.00025 + sigma * np.sqrt((before + second) / adv)), abs=5e-5)
    assert float(three) == pytest.approx(107.062 * (1 - 0.00025), abs=5e-5)


def test_what_is_not_known_of_a_name_is_not_free(kept: MinuteMarket, tmp_path: Path) -> None:
    rows = frame().assign(time=lambda known: known["time"] - pd.Timedelta(days=12))
    served = exchange("2021-11-19 10:00", minutes=minutes_of(rows, tmp_path), spread_bps=0)
    order(served, 10)
    assert fills(served)[0][2] == Decimal("107.030") * Decimal("1.05")


def test_a_resting_limit_meets_the_range_that_it_has_lived_through(kept: MinuteMarket) -> None:
    """The 31st minute trades from 107.010 to 107.051: a limit at 107.015 that was there before is filled, one sent within it is not."""
    served = exchange("2021-12-01 10:00:30", minutes=kept, **FREE)
    order(served, 10, type="limit", limit_price="107.01")
    at(served, "10:01")
    assert fills(served) == [], "the low may have been before"
    late = exchange("2021-12-01 09:59:30", minutes=kept, **FREE)
    order(late, 150, type="limit", limit_price="107.01")
    at(late, "10:01")
    assert fills(late) == [("10:01", 100, Decimal("107.01"))]


def test_a_stop_is_reached_in_the_minute_that_trades_there(kept: MinuteMarket) -> None:
    served = exchange("2021-12-01 10:00", minutes=kept, **FREE)
    order(served, 10, type="stop", stop_price="107.20")
    at(served, "15:59")
    # 107 + n / 1000 + 0.02 reaches 107.20 in the 180th minute, which ends at 12:30.
    assert fills(served) == [("12:30", 10, Decimal("107.20"))]


def test_what_one_exit_fills_the_other_asks_for_no_more(kept: MinuteMarket) -> None:
    """The profit of 107.20 is in reach from the 180th minute on, which ends at 12:30, a hundred shares a minute."""
    served = exchange("2021-12-01 10:00", minutes=kept, **FREE)
    exits = {"take_profit": {"limit_price": "107.20"}, "stop_loss": {"stop_price": "106.50"}}
    entry = order(served, 250, order_class="bracket", **exits)

    def legs() -> list[tuple[str, str, str]]:
        found = ask(served, "GET", f"/v2/orders/{entry}", nested="true")["legs"]
        return [(leg["status"], leg["qty"], leg["filled_qty"]) for leg in found]

    at(served, "10:01")
    assert legs() == [("held", "250", "0")] * 2, "the entry is filled in part"
    at(served, "10:02")
    assert legs() == [("new", "250", "0")] * 2
    at(served, "12:30")
    assert legs() == [("partially_filled", "250", "100"), ("new", "150", "0")]
    at(served, "12:33")
    assert legs() == [("filled", "250", "250"), ("canceled", "50", "0")]
    assert served.venue.book.quantity("AAA") == 0


def test_a_halted_name_waits_and_goes_on_in_the_minute_in_which_it_resumes(kept: MinuteMarket) -> None:
    served = exchange("2021-12-01 10:00", minutes=kept, **FREE)
    ask(served, "POST", "/_sim/halt", {"symbol": "AAA", "halted": True})
    order(served, 10)
    at(served, "10:10")
    assert fills(served) == []
    ask(served, "POST", "/_sim/halt", {"symbol": "AAA", "halted": False})
    assert fills(served) == [("10:10", 10, Decimal("107.040"))]


def test_the_spread_is_the_quoted_one_where_minutes_have_quotes(tmp_path: Path) -> None:
    served = exchange("2021-12-01 10:00", minutes=minutes_of(frame(quoted=True), tmp_path), impact=0)
    order(served, 10)
    assert fills(served) == [("10:00", 10, Decimal("107.080"))], "half of 0.10 at the END before"


def test_auctions_and_names_without_minutes_are_as_on_daily_bars(kept: MinuteMarket) -> None:
    def seen(minutes: MinuteMarket | None) -> list[Any]:
        served = exchange("2021-12-01 08:00", minutes=minutes)
        for fields in (
            {"time_in_force": "opg"},
            {"time_in_force": "cls"},
            {"symbol": "BBB"},
            {"symbol": "BBB", "type": "limit", "limit_price": "56"},
        ):
            order(served, 300, **fields)
        at(served, "11:00")
        order(served, 300, symbol="BBB")
        at(served, "16:30")
        return [served.venue.book.entries, ask(served, "GET", "/v2/account"), ask(served, "GET", "/v2/orders", status="all")]

    assert seen(kept) == seen(None)


def test_a_restart_knows_what_own_orders_took_of_the_minute_and_of_the_price(kept: MinuteMarket, tmp_path: Path) -> None:
    before = exchange("2021-12-01 10:00", minutes=kept, state=tmp_path, spread_bps=0)
    order(before, 70)
    before.close()
    again = exchange("2021-12-01 10:00", minutes=kept, state=tmp_path, spread_bps=0)
    whole = exchange("2021-12-01 10:00", minutes=kept, spread_bps=0)
    order(whole, 70)
    for served in (again, whole):
        order(served, 70)
    assert [row[1] for row in fills(again)] == [70, 30]
    assert fills(again) == fills(whole)
    again.close()


def test_time_frames_of_minutes_and_hours_are_made_of_the_minutes_that_are_over(kept: MinuteMarket) -> None:
    served = exchange("2021-12-01 09:42:30", minutes=kept)
    asked = {"start": "2021-12-01T00:00:00Z", "end": "2021-12-02T00:00:00Z"}

    def rows(timeframe: str) -> list[tuple[Any, ...]]:
        found = ask(served, "GET", "/v2/stocks/AAA/bars", timeframe=timeframe, **asked)["bars"]
        return [(row["t"], row["o"], row["h"], row["l"], row["c"], row["v"]) for row in found]

    assert len(rows("1Min")) == 12 and rows("1Min")[-1] == ("2021-12-01T14:41:00Z", 107.011, 107.032, 106.991, 107.012, 1000)
    assert rows("5Min") == [
        ("2021-12-01T14:30:00Z", 107.0, 107.025, 106.98, 107.005, 5000),
        ("2021-12-01T14:35:00Z", 107.005, 107.03, 106.985, 107.01, 5000),
    ]
    assert rows("1Hour") == []
    snapshot = ask(served, "GET", "/v2/stocks/AAA/snapshot")
    assert (snapshot["dailyBar"]["v"], snapshot["minuteBar"]["c"], snapshot["latestTrade"]["p"]) == (12_000, 107.012, 107.012)
    at(served, "16:00")
    assert [row[0][11:16] for row in rows("1Hour")] == [f"{hour}:00" for hour in range(14, 21)]
    assert sum(row[-1] for row in rows("30Min")) == 389_000
    client = data(served).get_stock_bars(
        StockBarsRequest(symbol_or_symbols="AAA", timeframe=TimeFrame(15, TimeFrameUnit.Minute), start=new_york("2021-12-01 09:30"))  # type: ignore[arg-type]
    )
    assert len(client["AAA"]) == 26  # type: ignore[index]


def test_minutes_are_refused_where_there_are_none_and_where_bars_are_longer(tmp_path: Path) -> None:
    five = minutes_of(frame(5), tmp_path)
    for served, timeframe in ((exchange("2021-12-01 12:00"), "1Min"), (exchange("2021-12-01 12:00", minutes=five), "1Min")):
        response = served.handle(ApiRequest("GET", "/v2/stocks/AAA/bars", {"timeframe": timeframe}, HEADERS))
        assert (response.status, json.loads(response.body)["message"]) == (400, "invalid timeframe: 1Min")


def test_minutes_that_have_not_ended_change_no_answer(kept: MinuteMarket, tmp_path: Path) -> None:
    """Every figure but the open of the bar in progress comes from bars that have ended."""
    n = np.arange(1, 391)
    spoilt = frame().assign(close=lambda known: np.where(n > 31, 7.0, 1.0) * known["close"])
    spoilt = spoilt.assign(
        high=lambda known: known[["high", "close"]].max(axis=1), volume=lambda known: np.where(n > 31, 5.0, known["volume"])
    )
    spoilt.loc[n > 32, "open"] *= 3
    spoilt["high"] = spoilt[["high", "open", "close"]].max(axis=1)
    others = minutes_of(spoilt, tmp_path)

    def told(minutes: MinuteMarket) -> list[Any]:
        served = exchange("2021-12-01 10:01:59", minutes=minutes)
        asked = {"symbols": "AAA", "timeframe": "1Min", "start": "2021-12-01", "end": "2021-12-31"}
        paths = ("bars", "bars/latest", "quotes/latest", "trades/latest", "snapshots")
        return [ask(served, "GET", f"/v2/stocks/{path}", **(asked if path == "bars" else {"symbols": "AAA"})) for path in paths]

    assert told(kept) == told(others)
    later = [
        exchange("2021-12-01 10:02", minutes=one).venue.market.last_price("AAA", new_york("2021-12-01 10:02")) for one in (kept, others)
    ]
    assert later[0] != later[1], "the next open does show"


def test_minutes_of_another_basis_or_none_at_all_are_refused(kept: MinuteMarket, tmp_path: Path) -> None:
    folder = kept.rows.folder.parent
    daily = replace(kept.rows.manifest, basis=PriceBasis.TOTAL_RETURN)
    with pytest.raises(BadDataset, match="minutes of XNYS raw beside daily bars of XNYS total_return"):
        minutes_beside(folder, daily)
    with pytest.raises(BadDataset, match="no manifest here"):
        minutes_beside(tmp_path, kept.rows.manifest)
    assert minutes_beside(folder, kept.rows.manifest).length == 1
    assert MarketData(bars(), calendar()).minutes is None


def test_minutes_end_with_an_early_close(kept: MinuteMarket) -> None:
    friday = calendar().session(date(2021, 11, 26))
    ends = kept.ends(friday)
    assert (len(ends), ends[-1]) == (210, friday.close)
    assert ends[0] == friday.open + timedelta(minutes=1) and ends[0].tzinfo == UTC
