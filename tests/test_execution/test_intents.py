"""What may not even be said: an order of nothing, a plan with a key twice, provenance with a gap, ids that collide."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from execution.orders import Intent, IntentKey, OrderType, Plan, Provenance, Side, TimeInForce
from signals.errors import InvariantBroken

D, ASOF = date(2024, 3, 12), date(2024, 3, 11)
PROVENANCE = Provenance("b", "s", "c", "v")


def intent(symbol: str = "A", book: str = "main", quantity: str = "5", price: str = "100") -> Intent:
    key = IntentKey("PA1", D, book, symbol)
    return Intent(key, Side.BUY, Decimal(quantity), OrderType.MARKET, TimeInForce.OPG, Decimal(price))


def plan(*intents: Intent) -> Plan:
    return Plan(D, ASOF, "PA1", Decimal(100_000), intents, PROVENANCE)


@pytest.mark.parametrize("quantity", ["0", "-1"])
def test_an_order_is_of_a_positive_quantity(quantity: str) -> None:
    with pytest.raises(InvariantBroken, match="quantity is positive"):
        intent(quantity=quantity)


@pytest.mark.parametrize("price", ["0", "-0.01"])
def test_an_order_is_valued_at_a_positive_price(price: str) -> None:
    with pytest.raises(InvariantBroken, match="positive reference price"):
        intent(price=price)


@pytest.mark.parametrize("gap", ["bundle_sha256", "snapshot_id", "config_hash", "code_version"])
def test_provenance_has_no_gap(gap: str) -> None:
    """I4: an order that does not say where it came from cannot be built."""
    with pytest.raises(InvariantBroken, match="provenance is incomplete"):
        replace(PROVENANCE, **{gap: ""})


def test_a_plan_lists_each_key_once_and_in_order() -> None:
    assert plan(intent("A"), intent("B")).intents[0].key.symbol == "A"
    for wrong in ((intent("B"), intent("A")), (intent("A"), intent("A"))):
        with pytest.raises(InvariantBroken, match="sorted and distinct"):
            plan(*wrong)


def two_books_with_one_id() -> tuple[str, str]:
    """Two names whose first eight letters and six hash digits agree: 24 bits meet after some thousand tries."""
    seen: dict[str, str] = {}
    for number in range(200_000):
        book = f"bookbook{number}"
        other = seen.setdefault(IntentKey("PA1", D, book, "A").client_order_id, book)
        if other != book:
            return other, book
    raise AssertionError("no two ids met")


def test_a_plan_whose_client_order_ids_collide_is_refused() -> None:
    """The broker would take the second order for the first."""
    one, two = sorted(two_books_with_one_id())
    with pytest.raises(InvariantBroken, match="collide or are too long"):
        plan(intent(book=one), intent(book=two))


def test_an_id_that_is_longer_than_the_broker_takes_is_refused() -> None:
    longest = replace(intent(), key=IntentKey("PA1", D, "bookbook", "ABCDEFGH", slice=99, attempt=99))
    assert len(longest.key.client_order_id) <= 48
    with pytest.raises(InvariantBroken, match="collide or are too long"):
        plan(replace(longest, key=replace(longest.key, slice=10**9)))
