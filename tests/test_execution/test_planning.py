"""Targets minus positions becomes orders: hand-worked quantities, halves of flips, what is refused and why."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.brokers.base import Account, Asset
from execution.config import ExecutionConfig
from execution.orders import Intent, Plan, Provenance, Side, TimeInForce
from execution.planning.config import EntryConfig, EntryStyle, PlanningConfig, PretradeConfig
from execution.planning.plan import PlanInputs, plan, sending_order
from execution.planning.pretrade import signed
from portfolio.weights import TargetWeights
from signals.errors import TripwireSkip

D, ASOF = date(2024, 3, 12), date(2024, 3, 11)
PROVENANCE = Provenance("b", "s", "c", "v")
WIDE = PretradeConfig(max_net=Decimal(1), max_name=Decimal(1), max_order_equity=Decimal(1))
NAMES = ("A", "B", "C", "D")


def account(equity: str = "100000", **changes: Any) -> Account:
    money = Decimal(equity)
    plain = Account("id", "PA1", "ACTIVE", money, money, money, 2 * money, Decimal(2), False, True)
    return dataclasses.replace(plain, **changes)


def planned(
    weights: dict[str, float],
    positions: dict[str, str] | None = None,
    prices: dict[str, str] | None = None,
    book: dict[str, float] | None = None,
    **options: Any,
) -> Plan:
    symbols = tuple(sorted(weights))
    aim = None if book is None else np.array([book[s] for s in symbols], dtype=np.float64)
    targets = TargetWeights(D, ASOF, symbols, np.array([weights[s] for s in symbols], dtype=np.float64), book=aim)
    given_prices = {name: "100" for name in NAMES} if prices is None else prices
    given: dict[str, Any] = {
        "account": account(),
        "positions": {s: Decimal(q) for s, q in (positions or {}).items()},
        "prices": {s: Decimal(p) for s, p in given_prices.items()},
        "assets": {name: Asset(name, True, True, True, True) for name in NAMES},
        "adv_usd": {name: Decimal(10**9) for name in NAMES},
    }
    inputs = {name: options.pop(name) for name in ("account", "assets", "adv_usd", "marks") if name in options}
    rules = {"limits": WIDE, "config": PlanningConfig(max_rounding=1.0), **options}
    return plan(targets, PlanInputs(**given | inputs), provenance=PROVENANCE, **rules)


def told(result: Plan) -> list[tuple[str, int, str, bool]]:
    return [(i.key.symbol, int(signed(i)), i.time_in_force.value, i.reduces) for i in result.intents]


def test_shares_are_whole_and_nearest_half_a_share_is_not_traded() -> None:
    """0.0359 of 100,000 at 100 is 35.9 shares: buy 36. Holding 40 and wanting 35.5, sell 4; wanting 35.4, sell 5."""
    assert told(planned({"A": 0.0359})) == [("A", 36, "opg", False)]
    assert told(planned({"A": 0.0355}, {"A": "40"})) == [("A", -4, "opg", True)]
    assert told(planned({"A": 0.0354}, {"A": "40"})) == [("A", -5, "opg", True)]
    assert told(planned({"A": -0.0359})) == [("A", -36, "opg", False)]


def test_a_held_name_without_a_target_is_closed() -> None:
    assert told(planned({"A": 0.01, "B": 0.0}, {"B": "7", "C": "-3"})) == [
        ("A", 10, "opg", False),
        ("B", -7, "opg", True),
        ("C", 3, "opg", True),
    ]


def test_a_flip_is_a_closing_order_and_an_opening_one_that_waits_for_it() -> None:
    result = planned({"A": -0.03}, {"A": "20"})
    closing, opening = result.intents
    assert told(result) == [("A", -20, "opg", True), ("A", -30, "day", False)]
    assert opening.waits_for == closing.key
    assert (closing.key.slice, opening.key.slice) == (0, 1)


def test_ids_do_not_depend_on_anything_that_a_recomputation_could_change() -> None:
    one = planned({"A": 0.03, "B": -0.02})
    other = planned({"A": -0.01, "B": -0.04}, prices={"A": "80", "B": "120"}, account=account("120000"))
    assert [i.key.client_order_id for i in one.intents] == [i.key.client_order_id for i in other.intents]
    assert one.digest != other.digest
    assert all(len(i.key.client_order_id) <= 48 for i in one.intents)


def test_the_same_arguments_give_the_same_plan() -> None:
    assert planned({"A": 0.03, "B": -0.02}).digest == planned({"B": -0.02, "A": 0.03}).digest


def test_a_change_too_small_to_be_worth_an_order_is_left() -> None:
    config = PlanningConfig(min_trade_usd=Decimal(500), max_rounding=1.0)
    assert told(planned({"A": 0.0544}, {"A": "50"}, config=config)) == []
    assert told(planned({"A": 0.055}, {"A": "50"}, config=config)) == [("A", 5, "opg", False)]
    assert told(planned({"A": 0.0}, {"A": "1"}, config=config)) == [("A", -1, "opg", True)]


def test_rounding_is_that_of_the_target_book_not_of_its_first_step() -> None:
    """Book: 24.4 shares long, 24.4 short, missed by 0.4 x 100 USD twice: 0.08 % of equity, 1.6 % of a gross of 4.88 %.

    The first step of a ramp wants 0.976 of a share each, buys one, and is 2 x 23.4 shares from the book.
    """
    result = planned({"A": 0.000976, "B": -0.000976}, book={"A": 0.0244, "B": -0.0244}, config=PlanningConfig())
    assert told(result) == [("A", 1, "opg", False), ("B", -1, "opg", False)]
    found = result.rounding
    assert (found.target_gross, found.nearest_l1) == (pytest.approx(0.0488), pytest.approx(0.0008))
    assert (found.planned_gross, found.planned_l1) == (pytest.approx(0.002), pytest.approx(0.0468))
    assert (found.share, found.ratio) == (pytest.approx(0.0008 / 0.0488), pytest.approx(58.5))
    assert found.never_held == ()


def test_a_book_that_whole_shares_miss_by_more_than_the_limit_opens_nothing_and_still_closes() -> None:
    """1.6 and -0.4 shares round to 2 and 0: missed by 0.4 twice, 40 % of a gross of 2 shares. C, held, is closed."""
    result = planned({"A": 0.0016, "B": -0.0004, "C": 0.0}, {"C": "3"}, config=PlanningConfig())
    assert result.rounding.share == pytest.approx(0.4)
    assert result.rounding.never_held == ("B",)
    assert told(result) == [("C", -3, "opg", True)]
    assert result.refusals == (("A", "ROUNDING", "the target book is too small for whole shares"),)
    assert told(planned({"A": 0.0016, "B": -0.0004}, config=PlanningConfig(max_rounding=0.4))) == [("A", 2, "opg", False)]


def test_rounding_stops_short_of_the_largest_weight_of_a_name_and_of_zero() -> None:
    """At most 6 % of 100,000 USD at 2,500 is 2.4 shares. 1.6 would round to 2 and does; 2.6 does not round to 3, and
    4 held come down to 2. A fraction of 0.7 that is to end is no whole share to sell."""
    narrow = {"limits": PretradeConfig(max_net=Decimal(1), max_order_equity=Decimal(1)), "prices": {"A": "2500"}}
    assert told(planned({"A": 0.04}, **narrow)) == [("A", 2, "opg", False)]
    assert told(planned({"A": 0.065}, **narrow)) == [("A", 2, "opg", False)]
    assert told(planned({"A": 0.065}, {"A": "4"}, **narrow)) == [("A", -2, "opg", True)]
    assert told(planned({"A": 0.0}, {"A": "0.7"})) == []


def test_steps_that_are_smaller_than_a_share_add_up() -> None:
    """A path of 0.4, 0.8, 1.2, 1.6 and 2.0 shares holds 0, 1, 1, 2 and 2; cut off it would hold 0, 0, 1, 1 and 2, and
    begun again at what is held each time it would hold none for ever."""
    held, holdings = Decimal(0), []
    for step in range(1, 6):
        result = planned({"A": 0.0004 * step}, {"A": str(held)}, config=PlanningConfig(min_trade_usd=Decimal(0)))
        assert result.path == {"A": Decimal("0.4") * step}
        held += sum((signed(intent) for intent in result.intents), Decimal(0))
        holdings.append(int(held))
    assert holdings == [0, 1, 1, 2, 2]


def test_a_flat_target_is_never_refused_for_rounding() -> None:
    assert told(planned({"A": 0.0}, {"A": "7.5"}, config=PlanningConfig())) == [("A", -7, "opg", True)]


@pytest.mark.parametrize("price", ["absent", "NaN", "0", "-1"])
def test_a_name_without_a_reference_price_is_refused_and_its_holding_kept(price: str) -> None:
    prices = {"B": "100"} | ({} if price == "absent" else {"A": price})
    result = planned({"A": 0.02, "B": 0.01}, {"A": "5"}, prices, marks={"A": Decimal(90)})
    assert told(result) == [("B", 10, "opg", False)]
    assert result.refusals == (("A", "NO_PRICE", "it has no reference price"),)


def test_an_unpriced_name_that_is_neither_held_nor_wanted_is_no_refusal() -> None:
    assert planned({"A": 0.0, "B": 0.01}, prices={"B": "100"}).refusals == ()


def test_the_brokers_own_price_measures_a_holding_that_has_no_reference() -> None:
    without = planned({"B": 0.01}, {"A": "5"}, {"B": "100"})
    assert ("B", "GROSS", "a name in the book has no reference price") in without.refusals
    assert planned({"B": 0.01}, {"A": "5"}, {"B": "100"}, marks={"A": Decimal(90)}).references == {"A": Decimal(90), "B": Decimal(100)}


def test_what_the_broker_does_not_trade_or_lend_is_refused_with_its_reason() -> None:
    assets = {"A": Asset("A", False, True, True, True), "B": Asset("B", True, False, False, True)}
    result = planned({"A": 0.02, "B": -0.02, "C": 0.01}, assets=assets)
    assert told(result) == []
    assert {(symbol, check) for symbol, check, _ in result.refusals} == {("A", "ASSET"), ("B", "SHORT"), ("C", "ASSET")}


def test_a_flip_into_what_cannot_be_borrowed_still_closes() -> None:
    result = planned({"A": -0.03}, {"A": "20"}, assets={"A": Asset("A", True, False, False, True)})
    assert told(result) == [("A", -20, "opg", True)]
    assert [check for _, check, _ in result.refusals] == ["SHORT"]


def test_a_fraction_that_is_held_is_closed_but_not_turned_round() -> None:
    result = planned({"A": -0.03}, {"A": "20.5"})
    assert told(result) == [("A", -20, "opg", True)]
    assert result.refusals[0][:2] == ("A", "FRACTION")


def test_auction_orders_fit_the_buying_power_without_counting_their_own_sales() -> None:
    """2,080 USD pay for 20 shares with their reserve of 4 %; the sale of B would pay for more, but only once filled."""
    poor = account(buying_power=Decimal(2080))
    result = planned({"A": 0.01, "B": 0.0, "C": 0.01, "D": 0.01}, {"B": "500"}, account=poor)
    assert told(result) == [("A", 10, "opg", False), ("B", -500, "opg", True), ("C", 10, "opg", False), ("D", 10, "day", False)]


def test_closing_orders_leave_even_when_buying_power_is_negative() -> None:
    assert told(planned({"A": 0.0}, {"A": "5"}, account=account(buying_power=Decimal(-10)))) == [("A", -5, "opg", True)]


def test_a_reduce_only_plan_keeps_what_lowers_a_position() -> None:
    result = planned({"A": 0.03, "B": 0.01, "C": -0.02}, {"B": "20", "C": "10"}, reduce_only=True)
    assert told(result) == [("B", -10, "opg", True), ("C", -10, "opg", True)]
    assert {(symbol, check) for symbol, check, _ in result.refusals} == {("A", "REDUCE"), ("C", "REDUCE")}


@pytest.mark.parametrize("equity", ["0", "-5", "NaN"])
def test_an_account_without_equity_is_not_planned_for(equity: str) -> None:
    with pytest.raises(TripwireSkip, match="equity"):
        planned({"A": 0.01}, account=account(equity))


def test_orders_leave_closings_first_then_openings_then_what_waits() -> None:
    result = planned({"A": 0.03, "B": -0.01, "C": 0.0}, {"B": "10", "C": "-5"})
    assert [(i.key.symbol, i.key.slice) for i in sending_order(result.intents)] == [("B", 0), ("C", 0), ("A", 0), ("B", 1)]


def test_a_plan_freezes_what_its_orders_are_judged_by_again() -> None:
    result = planned({"A": 0.01}, {"B": "5"}, prices={"A": "100", "B": "50", "C": "9"})
    assert result.references == {"A": Decimal(100), "B": Decimal(50)}
    assert set(result.adv_usd) == {"A", "B"}


shares = st.integers(-300, 300)
weights = st.floats(-0.05, 0.05, allow_nan=False)


@settings(max_examples=100)
@given(wanted=st.dictionaries(st.sampled_from(NAMES), weights, min_size=1), held=st.dictionaries(st.sampled_from(NAMES), shares))
def test_filled_in_full_a_plan_lands_within_one_share_of_its_targets(wanted: dict[str, float], held: dict[str, int]) -> None:
    config = PlanningConfig(min_trade_usd=Decimal(0), max_rounding=1.0)
    free = PretradeConfig(max_net=Decimal(1), max_name=Decimal(1), max_order_equity=Decimal(1), max_gross=Decimal(2))
    positions = {symbol: str(quantity) for symbol, quantity in held.items()}
    try:
        result = planned(wanted, positions, config=config, limits=free)
    except TripwireSkip:  # a book too small for whole shares
        return
    after = {symbol: Decimal(quantity) for symbol, quantity in held.items()}
    last: dict[str, Intent] = {}
    for intent in result.intents:
        before = after.get(intent.key.symbol, Decimal(0))
        after[intent.key.symbol] = before + signed(intent)
        assert before * after[intent.key.symbol] >= 0, "an order never crosses zero"
        assert intent.reduces == (abs(after[intent.key.symbol]) < abs(before))
        assert intent.quantity == intent.quantity.to_integral_value()
        last[intent.key.symbol] = intent
    assert result.refusals == ()
    for symbol in {*wanted, *after}:
        exact = Decimal(repr(wanted.get(symbol, 0.0))) * 1000
        assert abs(after.get(symbol, Decimal(0)) - exact) < 1
    assert all(i.waits_for is None or i.time_in_force is TimeInForce.DAY for i in last.values())
    assert {i.side for i in last.values()} <= {Side.BUY, Side.SELL}


def fractions(weights: dict[str, float], positions: dict[str, str] | None = None, **options: Any) -> list[tuple[str, str, str, bool]]:
    """Symbol, signed shares, time in force and whether it only lowers, of a plan in fractions of 5,000 USD."""
    config = PlanningConfig(fractions=True, min_trade_usd=Decimal(1))
    day = EntryConfig(kind=EntryStyle.DAY)
    made = planned(weights, positions, config=config, entry=day, account=account(equity="5000"), **options)
    return [(i.key.symbol, str(signed(i)), i.time_in_force.value, i.reduces) for i in made.intents]


def test_a_small_account_trades_fractions_by_day_orders_and_rounding_gives_up_nothing() -> None:
    """0.01 of 5,000 at 100 is half a share; holding 0.7 of one and wanting 0.5, sell 0.2; less than a dollar is not traded."""
    assert fractions({"A": 0.01}) == [("A", "0.500000", "day", False)]
    assert fractions({"A": 0.01}, {"A": "0.7"}) == [("A", "-0.200000", "day", True)]
    assert fractions({"A": 0.01}, {"A": "0.4910"}) == []
    config = PlanningConfig(fractions=True, min_trade_usd=Decimal(1))
    made = planned({"A": 0.01}, config=config, entry=EntryConfig(kind=EntryStyle.DAY), account=account(equity="5000"))
    assert (made.rounding.share, made.rounding.never_held) == (0.0, ())
    crooked = planned({"A": 0.01 / 3}, config=config, entry=EntryConfig(kind=EntryStyle.DAY), account=account(equity="5000"))
    assert 0 < crooked.rounding.nearest_l1 < 1e-7 and crooked.rounding.ratio is None, "no ratio of nothing"
    assert planned({"A": 0.0009}, account=account(equity="5000")).rounding.never_held == ("A",)


def test_a_fraction_that_is_to_end_is_sold_to_its_last_digit() -> None:
    assert fractions({"A": 0.0}, {"A": "0.123456789"}) == [("A", "-0.123456789", "day", True)]


def test_nothing_is_sold_short_in_fractions() -> None:
    """Wanting 0.5 shares short of an asset that trades in fractions: half a share is not traded for it; 1.6 are two whole ones."""
    assert fractions({"A": -0.01}) == []
    assert fractions({"A": -0.032}) == [("A", "-2", "day", False)]


def test_an_asset_that_does_not_trade_in_fractions_is_held_in_whole_shares() -> None:
    whole = {name: Asset(name, True, True, True, False) for name in NAMES}
    assert fractions({"A": 0.032}, assets=whole) == [("A", "2", "day", False)]


def test_fractions_without_a_day_entry_are_no_settings() -> None:
    with pytest.raises(ValueError, match=r"planning\.fractions needs entry\.kind day"):
        ExecutionConfig(planning=PlanningConfig(fractions=True))
