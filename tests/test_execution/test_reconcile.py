"""Two books compared: the nine invariants of the module's header, each by its number."""

from __future__ import annotations

import dataclasses
import random
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.brokers.base import Activity, Position
from execution.orders import BrokerOrder, OrderStatus, OrderType, Side, TimeInForce
from execution.reconcile import (
    AgreedBook,
    Cause,
    OrderState,
    Ours,
    OwnOrder,
    Reconciliation,
    Remedy,
    Theirs,
    cash_change,
    fill_of,
    reconcile,
    share_change,
)
from signals.errors import UnknownBrokerState

AT = datetime(2024, 3, 12, 14, 30, tzinfo=UTC)
DAY = date(2024, 3, 12)
NIL = Decimal(0)


def fill(number: int, symbol: str = "A", shares: int = 10, price: str = "100", order: str = "b1") -> Activity:
    side = "buy" if shares > 0 else "sell"
    return Activity(f"f{number}", "FILL", symbol, DAY, AT, abs(Decimal(shares)), Decimal(price), NIL, side, order, "")


def action(number: int, kind: str, symbol: str, shares: str | None, cash: str = "0") -> Activity:
    moved = None if shares is None else Decimal(shares)
    return Activity(f"a{number}", kind, symbol, DAY, None, moved, None, Decimal(cash), "", "", "")


def order(cid: str = "c1", **changes: Any) -> BrokerOrder:
    plain = BrokerOrder(
        "b1",
        cid,
        "A",
        Side.BUY,
        OrderType.MARKET,
        TimeInForce.OPG,
        OrderStatus.FILLED,
        "filled",
        Decimal(10),
        Decimal(10),
        Decimal(100),
        AT,
        AT,
    )
    return dataclasses.replace(plain, **changes)


def ours(cash: str = "1000", positions: dict[str, int] | None = None, **changes: Any) -> Ours:
    book = AgreedBook(Decimal(cash), {s: Decimal(q) for s, q in (positions or {}).items()})
    return dataclasses.replace(Ours(book, frozenset(), (), frozenset(), {}), **changes)


def theirs(cash: str = "1000", positions: dict[str, int] | None = None, **changes: Any) -> Theirs:
    held = tuple(Position(s, Decimal(q), Decimal(1), None) for s, q in sorted((positions or {}).items()))
    return dataclasses.replace(Theirs(Decimal(cash), held, (), (), frozenset()), **changes)


def compared(one: Ours, other: Theirs, tolerance: str = "0") -> Reconciliation:
    return reconcile(one, other, cash_tolerance=Decimal(tolerance))


def told(result: Reconciliation) -> list[tuple[str, str, str, str, bool]]:
    return [(d.cause.value, d.subject, d.ours, d.theirs, d.is_break) for d in result.differences]


OWN = OwnOrder("c1", OrderState.ENDED, Decimal(10), Decimal(10))
TRADED = {"orders": (order(),), "activities": (fill(1),)}


def test_1_equal_books_yield_nothing() -> None:
    result = compared(ours(positions={"A": 5, "B": -3}), theirs(positions={"A": 5, "B": -3, "C": 0}))
    assert (result.is_clean, result.differences, result.news) == (True, (), ())


def test_1_a_day_of_a_fill_worked_by_hand() -> None:
    """1,000 USD less 10 shares at 100.005, to the cent, half-even: 1,000.05 leaves -0.05."""
    one = ours(orders=(OWN,), positions={"B": 2})
    other = theirs("-0.05", {"A": 10, "B": 2}, orders=(order(),), activities=(fill(1, price="100.0050"),))
    result = compared(one, other)
    assert told(result) == []
    assert result.expected == AgreedBook(Decimal("-0.05"), {"A": Decimal(10), "B": Decimal(2)})


activities = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from("ABC"),
        st.integers(-50, 50).filter(bool),
        st.integers(1, 99),
        st.sampled_from(["FILL", "SPLIT", "NC", "DIV", "FEE"]),
    ),
    max_size=12,
    unique_by=lambda row: row[0],
)


def made(rows: list[tuple[int, str, int, int, str]]) -> list[Activity]:
    return [
        fill(number, symbol, shares, str(price)) if kind == "FILL" else action(number, kind, symbol, str(shares), str(price))
        for number, symbol, shares, price, kind in rows
    ]


@settings(max_examples=150)
@given(rows=activities, seed=st.integers(0, 2**32))
def test_2_neither_order_nor_repetition_of_activities_matters(rows: list[tuple[int, str, int, int, str]], seed: int) -> None:
    items = made(rows)
    again = [*items, *items[: len(items) // 2]]
    random.Random(seed).shuffle(again)
    assert compared(ours(), theirs(activities=tuple(items))) == compared(ours(), theirs(activities=tuple(again)))


@settings(max_examples=150)
@given(rows=activities)
def test_2_what_is_booked_counts_no_second_time(rows: list[tuple[int, str, int, int, str]]) -> None:
    items = tuple(made(rows))
    first = compared(ours(), theirs(activities=items))
    booked = frozenset(item.id for item in first.news)
    later = compared(dataclasses.replace(ours(), book=first.expected, booked=booked), theirs(activities=items))
    assert (later.news, later.expected) == ((), first.expected)


@settings(max_examples=150)
@given(
    mine=st.dictionaries(st.sampled_from("ABCD"), st.integers(-9, 9)), broker=st.dictionaries(st.sampled_from("ABCD"), st.integers(-9, 9))
)
def test_3_every_symbol_that_differs_is_one_break_with_both_numbers(mine: dict[str, int], broker: dict[str, int]) -> None:
    clean = {symbol: shares for symbol, shares in mine.items() if shares}
    result = compared(ours(positions=clean), theirs(positions=broker))
    expected = [("quantity", s, str(mine.get(s, 0)), str(broker.get(s, 0)), True) for s in "ABCD" if mine.get(s, 0) != broker.get(s, 0)]
    assert told(result) == expected


def test_4_a_split_is_explained_by_its_activities() -> None:
    """11 shares, 1 for 3: 3 remain and the fraction is paid out."""
    moved = (action(1, "SPLIT", "A", "-11"), action(2, "SPLIT", "A", "3.666666667"), action(3, "SPLIT", "A", "-0.666666667", "12.34"))
    result = compared(ours(positions={"A": 11}), theirs("1012.34", {"A": 3}, activities=moved))
    assert told(result) == [("corporate_action", "A", "SPLIT", "-8.000000000 shares and 12.34 USD", False)]


def test_4_a_symbol_change_is_explained_under_both_names() -> None:
    moved = (action(1, "NC", "OLD", "-5"), action(2, "NC", "NEW", "5"))
    result = compared(ours(positions={"OLD": 5}), theirs(positions={"NEW": 5}, activities=moved))
    assert result.is_clean
    assert [difference.subject for difference in result.differences] == ["NEW", "OLD"]


@pytest.mark.parametrize("kind", ["REO", "REORG", "FOPT", "SPIN", "MA", "ACATS"])
def test_shares_that_an_activity_brings_or_takes_are_explained_by_its_kind(kind: str) -> None:
    assert share_change(action(1, kind, "A", "-3")) == -3
    assert share_change(action(1, "DIV", "A", "-3")) == 0


@pytest.mark.parametrize("shares", [9, 11, 20])
def test_4_a_split_whose_activities_do_not_add_up_is_a_break(shares: int) -> None:
    moved = (action(1, "SPLIT", "A", "5"),)
    result = compared(ours(positions={"A": 5}), theirs(positions={"A": shares}, activities=moved))
    assert [(d.cause, d.ours, d.theirs) for d in result.breaks] == [(Cause.QUANTITY, "10", str(shares))]


def test_4_the_quantity_of_a_dividend_moves_no_share_but_its_amount_moves_cash() -> None:
    paid = (action(1, "DIV", "A", "5", "1.20"), action(2, "FEE", "", None, "-0.03"))
    result = compared(ours(positions={"A": 5}), theirs("1001.17", {"A": 5}, activities=paid))
    assert result.is_clean
    assert [d.subject for d in result.differences] == ["A", "cash"]


@pytest.mark.parametrize(
    ("cash", "tolerance", "is_break"),
    [("1000.01", "0", True), ("999.99", "0", True), ("1001", "1", False), ("1001.01", "1", True), ("999", "1", False)],
)
def test_5_cash_is_exact_or_within_its_tolerance_and_never_unseen(cash: str, tolerance: str, is_break: bool) -> None:
    assert told(compared(ours(), theirs(cash), tolerance)) == [("cash", "cash", "1000", cash, is_break)]


def test_6_a_foreign_order_breaks_the_first_time_it_is_seen() -> None:
    stranger = order("by-hand", id="x9", filled_quantity=NIL, status=OrderStatus.NEW, raw_status="new")
    first = compared(ours(), theirs(orders=(stranger,)))
    assert [(d.cause, d.subject, d.remedy) for d in first.breaks] == [(Cause.FOREIGN_ORDER, "by-hand", Remedy.ADOPT_AND_HALT)]
    assert compared(ours(known_foreign=frozenset({"x9"})), theirs(orders=(stranger,))).is_clean


@pytest.mark.parametrize("is_listed", [True, False])
def test_6_a_foreign_fill_breaks_though_it_explains_the_shares(is_listed: bool) -> None:
    orders = (order("by-hand", id="x9"),) if is_listed else ()
    done = theirs("0", {"A": 10}, orders=orders, activities=(fill(1, order="x9"),))
    first = compared(ours(), done)
    assert Cause.FOREIGN_FILL in {d.cause for d in first.breaks}
    assert Cause.QUANTITY not in {d.cause for d in first.breaks}
    assert compared(ours(known_foreign=frozenset({"x9"})), done).is_clean


def test_6_a_fill_of_our_own_order_is_no_stranger_though_the_list_ends_before_it() -> None:
    late = theirs("0", {"A": 10}, activities=(fill(1, order="b1"),))
    assert compared(ours(filled={"b1": NIL}), late).is_clean
    assert not compared(ours(), late).is_clean


LIVE = OwnOrder("c1", OrderState.LIVE, Decimal(10), NIL)
UNSENT = OwnOrder("c1", OrderState.UNSENT, Decimal(10), NIL)
NEW = {"filled_quantity": NIL, "status": OrderStatus.NEW, "raw_status": "new"}


@pytest.mark.parametrize(
    ("own", "reported", "cause", "is_break"),
    [
        (LIVE, (), Cause.ORDER_MISSING, True),
        (OWN, (), Cause.ORDER_MISSING, True),
        (UNSENT, (), None, False),
        (UNSENT, (order(**NEW),), Cause.ORDER_UNEXPECTED, True),
        (LIVE, (order(**NEW),), None, False),
        (LIVE, (order(**NEW), order(id="b2", **NEW)), Cause.DUPLICATE_ORDER, True),
        (LIVE, (order(**{**NEW, "status": OrderStatus.UNKNOWN, "raw_status": "?"}),), Cause.UNKNOWN_STATUS, True),
        (LIVE, (order(**{**NEW, "status": OrderStatus.CANCELED}),), Cause.ORDER_MOVED_ON, False),
    ],
)
def test_7_an_order_of_ours_is_where_we_think_it_is(
    own: OwnOrder, reported: tuple[BrokerOrder, ...], cause: Cause | None, is_break: bool
) -> None:
    result = compared(ours(orders=(own,)), theirs(orders=reported, listed_since=frozenset({"c1", "c0"})))
    assert [(d.cause, d.is_break) for d in result.differences] == ([] if cause is None else [(cause, is_break)])


def test_7_an_over_fill_is_a_break() -> None:
    over = order(filled_quantity=Decimal(11))
    result = compared(ours(orders=(OWN,)), theirs("-100", {"A": 11}, orders=(over,), activities=(fill(1, shares=11),)))
    assert [(d.cause, d.ours, d.theirs) for d in result.breaks] == [(Cause.OVERFILL, "10", "11")]


def test_7_a_live_order_that_filled_is_to_be_taken_over() -> None:
    result = compared(ours(orders=(LIVE,)), theirs("0", {"A": 10}, **TRADED))
    assert [(d.cause, d.remedy) for d in result.differences] == [(Cause.ORDER_MOVED_ON, Remedy.TAKE_OVER)]


def test_7_an_order_that_ended_does_not_fill_on() -> None:
    ended = OwnOrder("c1", OrderState.ENDED, Decimal(10), Decimal(4))
    result = compared(ours(orders=(ended,)), theirs("0", {"A": 10}, **TRADED))
    assert [(d.cause, d.ours) for d in result.breaks] == [(Cause.FILLS_DIFFER, "ended with 4")]


def test_8_an_order_is_filled_by_the_sum_of_its_fills() -> None:
    two = (fill(1, shares=4), fill(2, shares=6))
    assert compared(ours(orders=(OWN,)), theirs("0", {"A": 10}, orders=(order(),), activities=two)).is_clean
    short = compared(ours(orders=(OWN,)), theirs("600", {"A": 4}, orders=(order(),), activities=two[:1]))
    assert [(d.cause, d.ours, d.theirs) for d in short.breaks] == [(Cause.FILLS_DIFFER, "fills of 4", "10 filled")]


def test_8_booked_fills_count_with_new_ones() -> None:
    one = ours("600", {"A": 4}, orders=(OWN,), booked=frozenset({"f1"}), filled={"b1": Decimal(4)})
    two = (fill(1, shares=4), fill(2, shares=6))
    assert compared(one, theirs("0", {"A": 10}, orders=(order(),), activities=two)).is_clean


@settings(max_examples=150)
@given(rows=activities, positions=st.dictionaries(st.sampled_from("ABC"), st.integers(-60, 60)), cash=st.integers(0, 99))
def test_9_without_a_break_the_expected_book_is_the_brokers(
    rows: list[tuple[int, str, int, int, str]], positions: dict[str, int], cash: int
) -> None:
    items = tuple(made(rows))
    known = ours(known_foreign=frozenset({"b1"}))
    shares: dict[str, Decimal] = {}
    money = Decimal(1000)
    for item in items:
        shares[item.symbol] = shares.get(item.symbol, NIL) + share_change(item)
        money += cash_change(item)
    exact = theirs(str(money), activities=items)
    held = tuple(Position(s, q, Decimal(1), None) for s, q in sorted(shares.items()) if q)
    agreed = compared(known, dataclasses.replace(exact, positions=held))
    assert agreed.is_clean
    assert agreed.expected == AgreedBook(money, {p.symbol: p.quantity for p in held})
    other = theirs(str(cash), {s: q for s, q in positions.items() if q}, activities=items)
    result = compared(known, other)
    same = {p.symbol: p.quantity for p in other.positions} == result.expected.positions
    assert result.is_clean == (same and other.cash == result.expected.cash)


def test_breaks_come_first_and_read_as_a_sentence() -> None:
    result = compared(ours(positions={"A": 1}), theirs("1000.5", {"A": 2}), "1")
    assert [d.is_break for d in result.differences] == [True, False]
    assert result.differences[0].sentence() == "quantity A: ours 1, the broker's 2"


@pytest.mark.parametrize("changes", [{"side": "sideways"}, {"at": None}, {"quantity": None}, {"price": None}], ids=lambda c: next(iter(c)))
def test_a_fill_that_cannot_be_understood_is_never_guessed(changes: dict[str, Any]) -> None:
    with pytest.raises(UnknownBrokerState):
        compared(ours(), theirs(activities=(dataclasses.replace(fill(1), **changes),)))


def test_a_short_sale_is_a_sale() -> None:
    assert fill_of(dataclasses.replace(fill(1), side="sell_short")).side is Side.SELL


CAME = {
    "a transfer": (False, ["JNLS A 5"], ["A"]),
    "a transfer into what we hold": (False, ["ACATS OWN 5"], ["OWN"]),
    "a transfer out": (True, ["JNLS OWN -5"], []),
    "a spin-off while nothing is kept": (False, ["SPIN NEW 5"], []),
    "a spin-off of ours, or of what is kept": (True, ["SPIN NEW 5"], ["NEW"]),
    "a split of ours": (True, ["SPLIT OWN -10", "SPLIT OWN 30"], []),
    "a split of what we do not hold": (True, ["SPLIT NEW 30"], ["NEW"]),
    "our own change of name": (True, ["NC OWN -10", "NC NEW 10"], []),
    "the change of a kept name": (True, ["NC NEW 10"], ["NEW"]),
    "both, which nothing tells apart": (True, ["NC OWN -10", "NC NEW 10", "NC ZZZ 10"], ["NEW", "ZZZ"]),
    "a merger of a kept name into what we hold": (True, ["MA OWN 4"], ["OWN"]),
    "a merger of ours for shares": (True, ["MA OWN -10", "MA NEW 4"], []),
    "ours for cash, a kept one for shares": (True, ["MA OWN -10 500", "MA NEW 4"], ["NEW"]),
}


@pytest.mark.parametrize("case", CAME)
def test_10_shares_that_nothing_of_ours_became_are_a_persons_to_decide(case: str) -> None:
    keeps, rows, foreign = CAME[case]
    parts = [(*row.split(), "0")[:4] for row in rows]
    moved = tuple(action(n, kind, symbol, shares, cash) for n, (kind, symbol, shares, cash) in enumerate(parts))
    result = compared(ours(positions={"OWN": 10}, keeps=keeps), theirs(activities=moved))
    assert [d.subject for d in result.breaks if d.cause is Cause.FOREIGN_SHARES] == foreign
    assert all(d.is_break for d in result.differences if d.cause is Cause.FOREIGN_SHARES)
