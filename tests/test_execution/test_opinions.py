"""The broker's second opinion, by hand: prices, corporate actions, shares, and the account of now."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest

from appliance.market.snapshot import CompletedSession
from appliance.market.vendor_curation import fresh_actions
from appliance.safety.broker_cross_check import extreme_returns
from execution.brokers.base import Activity, Position
from execution.brokers.market_data import AlpacaData, Keys
from execution.exchange.doors.inprocess import InProcessAdapter
from execution.planning.opinions import (
    OpinionConfig,
    contradicted,
    disputed,
    in_shares_of_d,
    moved,
    shares_disputed,
    unexplained,
    unexplained_shares,
    unlike_actions,
)
from execution.planning.restating import reference_prices
from signals.audit.extremes import WaitingReturn, waiting_returns
from signals.market.actions import Action, ActionKind
from signals.market.manifest import PriceBasis
from tests.fakes import exchange as fake
from tests.fakes.bars import synthetic_bars
from tests.fakes.vendor import Evening

D, ASOF = date(2024, 3, 12), date(2024, 3, 11)
CONFIG = OpinionConfig()


def action(kind: ActionKind, symbol: str, **figures: object) -> Action:
    return Action(kind, symbol, D, ASOF, **figures)  # type: ignore[arg-type]


def split(ratio: str, symbol: str = "A") -> Action:
    return action(ActionKind.SPLIT, symbol, ratio=Decimal(ratio))


def held(symbol: str, quantity: int, price: str | None = "100") -> Position:
    return Position(symbol, Decimal(quantity), Decimal(1), None if price is None else Decimal(price))


@pytest.mark.parametrize(
    ("ours", "theirs", "is_disputed"),
    [
        ("105", "100", False),  # 5 % above, the collar
        ("105.01", "100", True),
        ("95", "100", False),
        ("94.99", "100", True),
        ("10", "100", True),  # a tenth
        ("100", "10", True),
        ("4.4", "4", False),  # 10 % below 5 USD
        ("4.41", "4", True),
        ("5.26", "5", True),  # 5 USD is not cheap
        ("4.5", "5", True),  # the broker's price says what is cheap
        ("100", "0", True),
        ("100", "NaN", True),
        ("100", None, True),
    ],
)
def test_a_name_is_believed_when_both_name_its_price_within_the_collar(ours: str, theirs: str | None, is_disputed: bool) -> None:
    opinions = {} if theirs is None else {"A": Decimal(theirs)}
    assert bool(disputed({"A": Decimal(ours)}, opinions, CONFIG)) is is_disputed


def test_the_reason_says_both_prices() -> None:
    found = disputed({"A": Decimal(10), "B": Decimal(7)}, {"A": Decimal(100)}, CONFIG)
    assert found == {"A": "its close is 10 by the data and 100 by the broker", "B": "the broker has no close of it"}


@pytest.mark.parametrize("basis", list(PriceBasis))
def test_the_broker_s_close_knows_the_split_of_d_and_not_its_dividend_or_name(basis: PriceBasis) -> None:
    """100 before a 4:1 split is told as 25; 0.50 of dividend are paid on D, and the name changes."""
    actions = [split("4"), action(ActionKind.DIVIDEND, "A", cash=Decimal("0.5")), action(ActionKind.SYMBOL_CHANGE, "A", new_symbol="AX")]
    expected = "25.0000" if basis is PriceBasis.TOTAL_RETURN else "24.5000"
    assert {s: str(p) for s, p in in_shares_of_d({"A": Decimal(25)}, actions, basis).items()} == {"AX": expected}


@pytest.mark.parametrize(
    ("ours", "theirs", "is_disputed"),
    [
        ([], [], False),
        ([split("4")], [split("4")], False),
        ([], [split("0.1")], True),  # a reverse split that the dataset has a day late
        ([split("0.1")], [], True),
        ([split("4")], [split("2")], True),
        ([], [split("1.02")], False),  # a stock dividend of 2 % moves no size past the collar
        ([], [split("1.06")], True),
        ([], [action(ActionKind.DIVIDEND, "A", cash=Decimal(9))], False),  # the prices say it
        ([], [action(ActionKind.SYMBOL_CHANGE, "A", new_symbol="B")], True),
        ([], [action(ActionKind.DELISTING, "A", cash=Decimal(9))], True),
        ([action(ActionKind.DELISTING, "A", cash=Decimal(9))],) * 2 + (False,),
    ],
)
def test_splits_new_names_and_ends_must_be_stated_alike(ours: list[Action], theirs: list[Action], is_disputed: bool) -> None:
    assert set(unlike_actions(ours, theirs, CONFIG)) == ({"A"} if is_disputed else set())


def test_shares_that_moved_without_a_trade_and_without_an_action_of_ours_are_named() -> None:
    def booked(kind: str, symbol: str, shares: int) -> Activity:
        return Activity(f"{kind}{shares}", kind, symbol, D, None, Decimal(shares), None, Decimal(0), "", "", "")

    rows = [booked("SPLIT", "A", -100), booked("SPLIT", "A", 10), booked("NC", "B", -5), booked("DIV", "C", 7)]
    assert unexplained_shares(rows, []) == {
        "A": "the broker changed it by -90 shares and our data name no corporate action",
        "B": "the broker changed it by -5 shares and our data name no corporate action",
    }
    explained = [split("0.1"), action(ActionKind.SYMBOL_CHANGE, "X", new_symbol="B")]
    assert unexplained_shares(rows, explained) == {}


def test_a_holding_that_came_went_or_changed_has_moved() -> None:
    agreed = [held("A", 1), held("B", 2), held("C", 3), held("Z", 0)]
    assert moved(agreed, [held("B", 2, "7"), held("A", 1)]) == ("C",)
    assert moved(agreed, [held("A", 1), held("B", -2), held("C", 3), held("N", 1)]) == ("B", "N")


@pytest.mark.parametrize(
    ("equity", "mark", "share"),
    [
        ("11000", "100", 0.0),  # 1,000 in cash and 100 shares at 100
        ("13000", "120", 0.0),  # the price rose, and the equity with it
        ("11330", "100", 0.03),
        ("22000", "100", 1.0),  # twice the equity, and nothing says why
        ("101000", "1000", 101000 / 11000 - 1),  # a price that is no price explains nothing: the plan's 100 stands
        ("1000", None, 0.0),  # what the broker has no price of is not in its equity either
    ],
)
def test_equity_is_explained_by_what_was_agreed_and_by_credible_prices(equity: str, mark: str | None, share: float) -> None:
    found = unexplained(Decimal(1000), [held("A", 100)], [held("A", 100, mark)], Decimal(equity), {"A": Decimal(100)}, Decimal("0.25"))
    assert found == pytest.approx(share, abs=1e-12)


def test_an_account_that_was_agreed_to_be_worth_nothing_has_no_figure() -> None:
    assert unexplained(Decimal(0), [], [], Decimal(1), {}, Decimal("0.25")) is None
    assert unexplained(Decimal(1), [], [], Decimal("NaN"), {}, Decimal("0.25")) is None


def test_shares_are_of_the_compared_names_and_of_the_gross_exposure() -> None:
    """One of 20 names, and 0.04 of 0.50 gross."""
    exposure = {"A": 0.04, "B": 0.06, "C": 0.40}
    assert shares_disputed({"A"}, 20, exposure) == (0.05, pytest.approx(0.08))
    assert shares_disputed(set(), 20, {}) == (0.0, 0.0)
    assert shares_disputed(set(), 0, {}) == (None, 0.0)


@pytest.mark.parametrize("basis", list(PriceBasis))
@pytest.mark.parametrize("kind", [None, ActionKind.SPLIT, ActionKind.DIVIDEND, ActionKind.SYMBOL_CHANGE])
def test_an_exchange_confirms_the_very_dataset_it_serves_whatever_its_prices_are_adjusted_for(
    basis: PriceBasis, kind: ActionKind | None
) -> None:
    """On the morning of an action: the broker's closes come over its market data, the plan's from the dataset."""
    asof, day = date(2021, 11, 22), date(2021, 11, 23)
    figures = {"ratio": Decimal(4), "cash": Decimal(30), "new_symbol": "AAX"}
    which = {ActionKind.SPLIT: "ratio", ActionKind.DIVIDEND: "cash", ActionKind.SYMBOL_CHANGE: "new_symbol"}
    actions = [Action(kind, "AAA", day, asof, **{which[kind]: figures[which[kind]]})] if kind else []  # type: ignore[arg-type]
    served = fake.exchange("2021-11-23 08:00", actions=actions, basis=basis)
    market = AlpacaData(fake.URL, Keys("k", "s"), Evening(served.now), adapter=InProcessAdapter(served))
    theirs = in_shares_of_d(market.closes(sorted(fake.BASES), asof, fake.calendar()), actions, basis)
    ours = reference_prices({"AAA": Decimal("101.5"), "BBB": Decimal("51.5"), "CCC": Decimal("21.5")}, actions, basis)
    assert theirs == ours and len(ours) == 3
    told, _ = market.actions(sorted(fake.BASES), day, day)
    reported = fresh_actions(told, (), fake.calendar(), asof)
    assert [(a.kind, a.symbol) for a in reported] == [(a.kind, a.symbol) for a in actions]
    assert unlike_actions(actions, reported, CONFIG) == {}


ROSE = WaitingReturn("A", date(2024, 3, 8), ASOF, 1.5)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("10", "25", ""),
        ("4", "10", ""),  # in other shares: the move counts
        ("10", "26.2", ""),  # 25 against 26.2: 4.6 %
        ("10", "26.4", "+150% by the data; +164% by the broker's closes"),
        ("10", "10.2", "+150% by the data; +2% by the broker's closes"),
        ("10", None, "+150% by the data; the broker has no close of it"),
        ("10", "NaN", "+150% by the data; the broker has no close of it"),
        (None, "25", "the broker has no close before it"),
        ("0", "25", "the broker has no close before it"),
    ],
)
def test_an_extreme_return_is_borne_out_by_the_same_move_within_the_collar(before: str | None, after: str | None, reason: str) -> None:
    closes = (None if text is None else Decimal(text) for text in (before, after))
    assert contradicted(ROSE, *closes, CONFIG) == reason


def test_a_return_that_is_no_number_is_borne_out_by_nothing() -> None:
    assert contradicted(replace(ROSE, move=float("nan")), Decimal(10), Decimal(25), CONFIG)


class Closes:
    """A broker that bears out whatever it is asked, and counts the questions."""

    name = "alpaca"

    def __init__(self) -> None:
        self.asked: list[date] = []

    def closes(self, symbols: list[str], day: date, calendar: object) -> dict[str, Decimal]:
        self.asked.append(day)
        return dict.fromkeys(symbols, Decimal(25) if day == ASOF else Decimal(10))


@pytest.mark.parametrize(
    ("vendor", "own", "is_hosted", "quantity", "is_confirmed"),
    [
        ("stooq", (), False, 3, True),
        ("stooq", (), False, -3, True),
        ("alpaca", (), False, 3, False),  # a dataset of the broker's own bars
        ("stooq", (ASOF,), False, 3, False),  # a session that the device completed from the broker
        ("stooq", (), True, 3, False),  # an exchange that replays the dataset
        ("stooq", (), False, 0, None),  # not held: not scored, and nothing to end
    ],
)
def test_a_broker_is_no_second_source_of_its_own_bars(
    vendor: str, own: tuple[date, ...], is_hosted: bool, quantity: int, is_confirmed: bool | None
) -> None:
    prices = {name: np.array([[10.0], [10.0], [25.0]]) for name in ("open", "high", "low", "close", "volume")}
    bars = synthetic_bars(1, sessions=3, symbols=1, missing=0.0)
    days = np.array([date(2024, 3, 7), date(2024, 3, 8), ASOF], dtype="datetime64[D]")
    moves = np.array([[np.nan], [0.0], [1.5]])
    bars = replace(bars, sessions=days, symbols=("A",), **prices, total_return=moves, undecided=moves == 1.5)
    assert waiting_returns(bars) == (ROSE,)
    source = Closes()
    deps = SimpleNamespace(
        calendar=SimpleNamespace(previous=lambda day: ASOF),
        market=SimpleNamespace(actions=lambda day, asof: ()),
        config=SimpleNamespace(venue=SimpleNamespace(is_hosted=is_hosted), execution=SimpleNamespace(opinions=CONFIG)),
        sources=SimpleNamespace(manifest=lambda folder: SimpleNamespace(vendor=vendor)),
        folder=None,
        prices=source,
    )
    snapshot = SimpleNamespace(completed=tuple(CompletedSession(day, "0" * 64) for day in own))
    found = extreme_returns(deps, D, bars, snapshot, [held("A", quantity)])  # type: ignore[arg-type]
    assert (list(found.confirmed), list(found.waiting)) == (["A"] * (is_confirmed is True), ["A"] * (is_confirmed is False))
    assert source.asked == ([ROSE.before, ROSE.session] if is_confirmed else [])
    assert is_confirmed is not False or "no second source" in found.sentence()
