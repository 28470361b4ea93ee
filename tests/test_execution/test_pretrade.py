"""Checks before an order may leave: each row just inside, just outside, and on missing input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from execution.brokers.base import Asset
from execution.orders import Intent, IntentKey, OrderType, Side, TimeInForce
from execution.planning.pretrade import (
    CHECKS,
    Circumstances,
    Pending,
    PretradeConfig,
    PretradeRefusal,
    lowers,
    refusal,
    reserved,
    screen,
    signed,
)

LIMITS = PretradeConfig()
NAN, INF = Decimal("NaN"), Decimal("Infinity")


def key(symbol: str, order_slice: int = 0) -> IntentKey:
    return IntentKey("PA1", date(2024, 3, 12), "main", symbol, order_slice)


def order(symbol: str, shares: int | str, price: str = "100", **changes: Any) -> Intent:
    quantity = Decimal(shares)
    side = Side.BUY if quantity > 0 else Side.SELL
    plain = Intent(key(symbol), side, abs(quantity), OrderType.MARKET, TimeInForce.OPG, Decimal(price))
    return replace(plain, **changes)


def now(**changes: Any) -> Circumstances:
    """An account of 100,000 USD, empty; four names at 100 USD, each with a billion of volume."""
    names = ("A", "B", "C", "D")
    plain = Circumstances(
        equity=Decimal(100_000),
        buying_power=Decimal(200_000),
        shorting_enabled=True,
        positions={},
        pending=(),
        references={name: Decimal(100) for name in names},
        market={},
        adv_usd={name: Decimal(10**9) for name in names},
        assets={name: Asset(name, True, True, True, True) for name in names},
    )
    return replace(plain, **changes)


def held(**shares: int | str) -> dict[str, Decimal]:
    return {symbol: Decimal(quantity) for symbol, quantity in shares.items()}


def pending(**shares: int) -> tuple[Pending, ...]:
    return tuple(Pending(symbol, Decimal(quantity)) for symbol, quantity in shares.items())


def priced(b: str) -> dict[str, Decimal]:
    return {"A": Decimal(100), "B": Decimal(b)}


ASSETS = now().assets
LONG_ONLY = PretradeConfig(allow_short=False)
NET_FREE = PretradeConfig(max_net=Decimal(1))
UNPRICED = {"A": Decimal(1), "B": NAN}
OVERDRAWN = now(positions=held(A=5), buying_power=Decimal(-9))
HELD_95 = {"B": Decimal(500), "C": Decimal(-450)}

# check, order, circumstances, limits, whether it is refused
TABLE: dict[str, tuple[str, Intent, Circumstances, PretradeConfig, bool]] = {
    "equity missing": ("INPUTS", order("A", 1), now(equity=NAN), LIMITS, True),
    "equity infinite": ("INPUTS", order("A", 1), now(equity=INF), LIMITS, True),
    "equity zero": ("INPUTS", order("A", 1), now(equity=Decimal(0)), LIMITS, True),
    "equity owed": ("INPUTS", order("A", 1), now(equity=Decimal("-0.5")), LIMITS, True),
    "equity of half a dollar": ("INPUTS", order("A", 1), now(equity=Decimal("0.5")), LIMITS, False),
    "buying power missing": ("INPUTS", order("A", 1), now(buying_power=NAN), LIMITS, True),
    "all inputs": ("INPUTS", order("A", 1), now(), LIMITS, False),
    "reduces a long": ("REDUCE_ONLY", order("A", -5, reduces=True), now(positions=held(A=5)), LIMITS, False),
    "would cross zero": ("REDUCE_ONLY", order("A", -6, reduces=True), now(positions=held(A=5)), LIMITS, True),
    "would just cross zero": ("REDUCE_ONLY", order("A", "-0.9", reduces=True), now(positions=held(A="0.5")), LIMITS, True),
    "position is gone": ("REDUCE_ONLY", order("A", -5, reduces=True), now(), LIMITS, True),
    "covers a short": ("REDUCE_ONLY", order("A", 5, reduces=True), now(positions=held(A=-5)), LIMITS, False),
    "adds to a short": ("REDUCE_ONLY", order("A", -5, reduces=True), now(positions=held(A=-5)), LIMITS, True),
    "asset unknown": ("ASSET", order("Z", 1), now(), LIMITS, True),
    "asset halted": ("ASSET", order("A", 1), now(assets={"A": Asset("A", False, True, True, True)}), LIMITS, True),
    "asset fine": ("ASSET", order("A", 1), now(), LIMITS, False),
    "short allowed": ("SHORT", order("A", -1), now(), LIMITS, False),
    "long only": ("SHORT", order("A", -1), now(), LONG_ONLY, True),
    "long only sells what it has": ("SHORT", order("A", -1), now(positions=held(A=1)), LONG_ONLY, False),
    "long only sells a part": ("SHORT", order("A", -1), now(positions=held(A=5)), LONG_ONLY, False),
    "account may not short": ("SHORT", order("A", -1), now(shorting_enabled=False), LIMITS, True),
    "hard to borrow": ("SHORT", order("A", -1), now(assets={"A": Asset("A", True, True, False, True)}), LIMITS, True),
    "not shortable": ("SHORT", order("A", -1), now(assets={"A": Asset("A", True, False, True, True)}), LIMITS, True),
    "fraction short": ("SHORT", order("A", "-0.5"), now(), LIMITS, True),
    "one and a half short": ("SHORT", order("A", "-1.5"), now(), LIMITS, True),
    "a fraction into one short": ("SHORT", order("A", "-0.5"), now(positions=held(A="-0.5")), LIMITS, True),
    "one and a half into one short": ("SHORT", order("A", "-1.5"), now(positions=held(A="0.5")), LIMITS, True),
    "one into one and a half short": ("SHORT", order("A", -1), now(positions=held(A="-0.5")), LIMITS, True),
    "whole order into a fraction short": ("SHORT", order("A", -1), now(positions=held(A="0.5")), LIMITS, True),
    "too poor to short": ("SHORT", order("A", -1), now(equity=Decimal("1999.99")), LIMITS, True),
    "just rich enough to short": ("SHORT", order("A", -1), now(equity=Decimal(2000)), LIMITS, False),
    "buying needs no borrow": ("SHORT", order("A", 1), now(positions=held(A=-5)), LONG_ONLY, False),
    "collar inside": ("PRICE_COLLAR", order("A", 1, "105"), now(), LIMITS, False),
    "collar outside": ("PRICE_COLLAR", order("A", 1, "105.01"), now(), LIMITS, True),
    "collar below": ("PRICE_COLLAR", order("A", 1, "94.99"), now(), LIMITS, True),
    "collar below inside": ("PRICE_COLLAR", order("A", 1, "95"), now(), LIMITS, False),
    "collar by the market": ("PRICE_COLLAR", order("A", 1), now(market={"A": Decimal(106)}), LIMITS, True),
    "collar of a limit": ("PRICE_COLLAR", order("A", 1, limit_price=Decimal(106)), now(), LIMITS, True),
    "cheap inside": ("PRICE_COLLAR", order("A", 1, "4.4"), now(references={"A": Decimal(4)}), LIMITS, False),
    "cheap outside": ("PRICE_COLLAR", order("A", 1, "4.41"), now(references={"A": Decimal(4)}), LIMITS, True),
    "five dollars are not cheap": ("PRICE_COLLAR", order("A", 1, "5.26"), now(market={"A": Decimal(5)}), LIMITS, True),
    "half a dollar is a price": ("PRICE_COLLAR", order("A", 1, "0.5"), now(market={"A": Decimal("0.5")}), LIMITS, False),
    "newest price inside": ("PRICE_COLLAR", order("A", 1), now(latest={"A": Decimal("142.85")}), LIMITS, False),
    "newest price outside": ("PRICE_COLLAR", order("A", 1), now(latest={"A": Decimal("142.86")}), LIMITS, True),
    "newest price of another scale": ("PRICE_COLLAR", order("A", 1), now(latest={"A": Decimal(1000)}), LIMITS, True),
    "newest price NaN": ("PRICE_COLLAR", order("A", 1), now(latest={"A": NAN}), LIMITS, True),
    "the market counts before the newest price": (
        "PRICE_COLLAR",
        order("A", 1),
        now(market={"A": Decimal(106)}, latest={"A": Decimal(100)}),
        LIMITS,
        True,
    ),
    "no market price": ("PRICE_COLLAR", order("A", 1), now(references={}), LIMITS, True),
    "market price NaN": ("PRICE_COLLAR", order("A", 1), now(market={"A": NAN}), LIMITS, True),
    "market price zero": ("PRICE_COLLAR", order("A", 1), now(market={"A": Decimal(0)}), LIMITS, True),
    "market price negative": ("PRICE_COLLAR", order("A", 1, limit_price=Decimal(-1)), now(market={"A": Decimal(-1)}), LIMITS, True),
    "limit NaN": ("PRICE_COLLAR", order("A", 1, limit_price=NAN), now(), LIMITS, True),
    "order at 5 % of equity": ("ORDER_NOTIONAL", order("A", 50), now(), LIMITS, False),
    "order above 5 % of equity": ("ORDER_NOTIONAL", order("A", 51), now(), LIMITS, True),
    "order at 1 % of volume": ("ORDER_NOTIONAL", order("A", 10), now(adv_usd={"A": Decimal(100_000)}), LIMITS, False),
    "order above 1 % of volume": ("ORDER_NOTIONAL", order("A", 11), now(adv_usd={"A": Decimal(100_000)}), LIMITS, True),
    "volume missing": ("ORDER_NOTIONAL", order("A", 1), now(adv_usd={}), LIMITS, True),
    "volume NaN": ("ORDER_NOTIONAL", order("A", 1), now(adv_usd={"A": NAN}), LIMITS, True),
    "large closing": ("ORDER_NOTIONAL", order("A", -900), now(positions=held(A=900), adv_usd={}), LIMITS, False),
    "gross at the limit": ("GROSS", order("A", 70), now(positions=HELD_95), LIMITS, False),
    "gross above the limit": ("GROSS", order("A", 71), now(positions=HELD_95), LIMITS, True),
    "gross counts pending": ("GROSS", order("A", 1), now(positions=HELD_95, pending=pending(D=-70)), LIMITS, True),
    "gross eased by pending": ("GROSS", order("A", 71), now(positions=HELD_95, pending=pending(B=-1)), LIMITS, False),
    "gross far above, but lowered": ("GROSS", order("A", -1), now(positions=held(A=2000)), LIMITS, False),
    "gross unpriced name": ("GROSS", order("A", 1), now(positions=held(Z=1)), LIMITS, True),
    "gross price NaN": ("GROSS", order("A", 1), now(positions=held(B=1), references=UNPRICED), LIMITS, True),
    "gross price zero": ("GROSS", order("A", 1), now(positions=held(B=1), references=priced("0")), LIMITS, True),
    "gross price negative": ("GROSS", order("A", 1), now(positions=held(B=1), references=priced("-1")), LIMITS, True),
    "gross price of cents": ("GROSS", order("A", 1), now(positions=held(B=1), references=priced("0.5")), LIMITS, False),
    "net at the limit": ("NET", order("A", 40), now(), LIMITS, False),
    "net above the limit": ("NET", order("A", 41), now(), LIMITS, True),
    "net short above the limit": ("NET", order("A", -41), now(), LIMITS, True),
    "net balanced by pending": ("NET", order("A", 41), now(pending=pending(B=-1)), LIMITS, False),
    "net improves": ("NET", order("A", -40), now(positions=held(B=200)), LIMITS, False),
    "net as far on the other side": ("NET", order("A", -100), now(positions=held(B=50)), LIMITS, False),
    "net of a long-only book": ("NET", order("A", 41), now(), LONG_ONLY, False),
    "net closing": ("NET", order("A", -50), now(positions=held(A=50, B=-200)), LIMITS, False),
    "name at the limit": ("NAME", order("A", 60), now(), NET_FREE, False),
    "name above the limit": ("NAME", order("A", 61), now(), NET_FREE, True),
    "name with what is held": ("NAME", order("A", 11), now(positions=held(A=50)), NET_FREE, True),
    "name lowered": ("NAME", order("A", -1), now(positions=held(A=500)), NET_FREE, False),
    "name unpriced": ("NAME", order("A", 1), now(references={}), NET_FREE, True),
    "buying power exact": ("BUYING_POWER", order("A", 10), now(buying_power=Decimal(1040)), LIMITS, False),
    "buying power short": ("BUYING_POWER", order("A", 10), now(buying_power=Decimal("1039.99")), LIMITS, True),
    "closing without buying power": ("BUYING_POWER", order("A", -5), OVERDRAWN, LIMITS, False),
    "short takes buying power": ("BUYING_POWER", order("A", -10), now(buying_power=Decimal(1039)), LIMITS, True),
}


@pytest.mark.parametrize(("name", "intent", "circumstances", "limits", "is_refused"), TABLE.values(), ids=TABLE)
def test_each_row_refuses_just_outside_and_passes_just_inside(
    name: str, intent: Intent, circumstances: Circumstances, limits: PretradeConfig, is_refused: bool
) -> None:
    rows = [check for check in CHECKS if check.name == name]
    found = refusal(intent, circumstances, limits, rows)
    assert (found is not None) is is_refused
    if found is not None:
        assert (found.check, found.symbol) == (name, intent.key.symbol)
        assert refusal(intent, circumstances, limits) is not None


def test_every_row_has_both_outcomes_in_the_table() -> None:
    told = {(name, refused) for name, _, _, _, refused in TABLE.values()}
    assert told == {(check.name, refused) for check in CHECKS for refused in (True, False)}


def test_an_intent_with_a_reference_that_is_no_number_is_refused() -> None:
    assert refusal(order("A", 1, reference_price=INF), now(), LIMITS) is not None


CLOSING = order("A", -5, reduces=True)
OPENING = order("A", -3, key=key("A", 1), waits_for=CLOSING.key, time_in_force=TimeInForce.DAY)


def test_an_opening_half_is_judged_with_its_closing_half_filled() -> None:
    assert screen([CLOSING, OPENING], now(positions=held(A=5)), LIMITS) == ((CLOSING, OPENING), ())


def test_an_opening_half_falls_with_its_closing_half() -> None:
    standing, refused = screen([CLOSING, OPENING], now(), LIMITS)
    assert standing == ()
    assert [(r.check, r.reason) for r in refused] == [
        ("REDUCE_ONLY", "it should lower a position of 0 shares and would not"),
        ("FLIP", "its closing half may not leave"),
    ]


def test_an_opening_half_meets_the_market_after_its_closing_half() -> None:
    """Holding five, selling five and then three is three short: a long-only device sells the five only."""
    standing, refused = screen([CLOSING, OPENING], now(positions=held(A=5)), LONG_ONLY)
    assert standing == (CLOSING,)
    assert [(r.symbol, r.check) for r in refused] == [("A", "SHORT")]
    standing, refused = screen([CLOSING, OPENING], now(positions=held(A=5), buying_power=Decimal(311)), LIMITS)
    assert [(r.symbol, r.check) for r in refused] == [("A", "BUYING_POWER")]
    assert screen([CLOSING, OPENING], now(positions=held(A=5), buying_power=Decimal(312)), LIMITS)[1] == ()


def test_an_opening_half_names_its_closing_half_by_key_not_by_object() -> None:
    """Both halves filled are 3 % short; the closing half counted twice would be 8 %."""
    opening = order("A", -30, key=key("A", 1), waits_for=key("A"), time_in_force=TimeInForce.DAY)
    closing = order("A", -50, reduces=True)
    assert screen([closing, opening], now(positions=held(A=50)), LIMITS) == ((closing, opening), ())


ZERO_TO_ONE = ("max_order_equity", "max_order_adv", "max_net", "max_name")


@pytest.mark.parametrize(
    ("limit", "value"),
    [(name, value) for name in ZERO_TO_ONE for value in ("0", "1.01")]
    + [(name, value) for name in ("collar", "cheap_collar", "gap_collar") for value in ("0", "1")]
    + [("max_gross", "0"), ("max_gross", "2.01"), ("cheap_below_usd", "-0.01"), ("min_short_equity_usd", "-0.01")]
    + [("reserve", "-0.01"), ("reserve", "1.01")],
)
def test_a_limit_that_limits_nothing_is_refused(limit: str, value: str) -> None:
    with pytest.raises(ValidationError):
        PretradeConfig(**{limit: Decimal(value)})


@pytest.mark.parametrize(
    ("limit", "value"),
    [(name, value) for name in ZERO_TO_ONE for value in ("0.01", "1")]
    + [(name, value) for name in ("collar", "cheap_collar", "gap_collar") for value in ("0.01", "0.99")]
    + [("max_gross", "0.01"), ("max_gross", "2"), ("cheap_below_usd", "0"), ("min_short_equity_usd", "0")]
    + [("reserve", "0"), ("reserve", "1")],
)
def test_a_limit_may_reach_its_bounds(limit: str, value: str) -> None:
    assert getattr(PretradeConfig(**{limit: Decimal(value)}), limit) == Decimal(value)


def test_the_limits_are_those_of_the_operating_rules() -> None:
    assert PretradeConfig().model_dump() == {
        "max_order_equity": Decimal("0.05"),
        "max_order_adv": Decimal("0.01"),
        "collar": Decimal("0.05"),
        "cheap_collar": Decimal("0.10"),
        "cheap_below_usd": Decimal(5),
        "max_gross": Decimal("1.02"),
        "max_net": Decimal("0.04"),
        "max_name": Decimal("0.06"),
        "allow_short": True,
        "min_short_equity_usd": Decimal(2000),
        "reserve": Decimal("0.04"),
        "gap_collar": Decimal("0.30"),
    }


@pytest.mark.parametrize("value", [now(), pending(A=1)[0], CHECKS[0], PretradeRefusal("A", "NET", "x")], ids=lambda v: type(v))
def test_what_an_order_is_judged_by_cannot_be_changed(value: object) -> None:
    with pytest.raises(FrozenInstanceError):
        value.name = value.symbol = value.equity = None  # type: ignore[attr-defined]


def test_a_balanced_list_stands_though_each_order_alone_would_break_the_net() -> None:
    both = [order("A", 50), order("B", -50)]
    assert refusal(both[0], now(), LIMITS) is not None
    assert screen(both, now(), LIMITS)[0] == tuple(both)


def test_when_one_side_falls_the_other_is_cut_until_the_net_fits() -> None:
    """The short is not lendable; of the two longs of 3 % each, one must go to stay within 4 %."""
    lendable = {**ASSETS, "B": Asset("B", True, False, False, True)}
    orders = [order("B", -45), order("A", 30), order("C", 30)]
    standing, refused = screen(orders, now(assets=lendable), LIMITS)
    assert [intent.key.symbol for intent in standing] == ["C"]
    assert [(r.symbol, r.check) for r in refused] == [("B", "SHORT"), ("A", "NET")]


def test_buying_power_is_used_up_in_the_order_given() -> None:
    orders = [order("A", 10), order("B", -10), order("C", 10)]
    standing, refused = screen(orders, now(buying_power=Decimal(2080)), LIMITS)
    assert [intent.key.symbol for intent in standing] == ["A", "B"]
    assert [(r.symbol, r.check) for r in refused] == [("C", "BUYING_POWER")]


def test_what_an_order_reserves() -> None:
    assert reserved(order("A", 10), Decimal(0), LIMITS) == Decimal("1040.00")
    assert reserved(order("A", -10), Decimal(10), LIMITS) == 0
    assert reserved(order("A", -11), Decimal(10), LIMITS) == Decimal("1144.00")


shares = st.integers(-80, 80).filter(bool)


@settings(max_examples=100)
@given(
    positions=st.dictionaries(st.sampled_from("ABCD"), shares, max_size=4),
    wanted=st.dictionaries(st.sampled_from("ABCD"), shares, min_size=1, max_size=4),
)
def test_what_stands_keeps_every_limit_or_the_book_broke_it_already(positions: dict[str, int], wanted: dict[str, int]) -> None:
    before = {symbol: Decimal(quantity) for symbol, quantity in positions.items()}
    standing, refused = screen([order(s, q) for s, q in sorted(wanted.items())], now(positions=before), LIMITS)
    assert len(standing) + len(refused) == len(wanted)
    after = dict(before)
    for intent in standing:
        after[intent.key.symbol] = after.get(intent.key.symbol, Decimal(0)) + signed(intent)

    def gross(book: dict[str, Decimal]) -> Decimal:
        return sum((abs(q) for q in book.values()), Decimal(0)) / 1000

    def opens(intent: Intent) -> bool:
        return not lowers(intent, before.get(intent.key.symbol, Decimal(0)))

    for intent in standing:
        if opens(intent):
            assert abs(after[intent.key.symbol]) <= 60 or abs(after[intent.key.symbol]) <= abs(before[intent.key.symbol])
            assert intent.quantity <= 50
    assert gross(after) <= max(Decimal("1.02"), gross(before))


Move = Callable[[Decimal], Decimal]


@settings(max_examples=100)
@given(position=st.integers(-500, 500).filter(bool), share=st.integers(1, 100))
def test_an_order_that_lowers_risk_is_never_refused_by_a_limit_on_risk(position: int, share: int) -> None:
    """Whatever else is held, without buying power, volume or prices of other names."""
    quantity = max(1, abs(position) * share // 100)
    closing = order("A", -quantity if position > 0 else quantity, reduces=True)
    worst = now(positions={"A": Decimal(position), "B": Decimal(99_999), "Z": Decimal(5)}, adv_usd={}, buying_power=Decimal(-1))
    assert refusal(closing, worst, LIMITS) is None
