"""Orders through the day, cut when the plan is frozen: what leaves never exceeds the order, the cap, or zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.brokers.base import Account, Asset
from execution.orders import FIRST_STEP, IntentKey, Plan, Provenance, TimeInForce
from execution.planning.config import EntryConfig, EntryStyle, PlanningConfig, PretradeConfig
from execution.planning.plan import PlanInputs, plan
from execution.planning.pretrade import signed
from execution.planning.sending import is_filled, room
from execution.planning.volume_curve import StepShares
from portfolio.weights import TargetWeights

D, ASOF = date(2024, 3, 12), date(2024, 3, 11)
WIDE = PretradeConfig(max_net=Decimal(1), max_name=Decimal(1), max_order_equity=Decimal(1), max_order_adv=Decimal(1))
EQUITY = Decimal(100_000)
DEEP = Decimal(10**9)
STEPPED = (EntryStyle.TWAP, EntryStyle.ALMGREN_CHRISS, EntryStyle.LEAST_COST)


def planned(
    weights: dict[str, float],
    held: dict[str, int],
    entry: EntryConfig,
    adv: Decimal = DEEP,
    buying_power: Decimal = 2 * EQUITY,
    curves: Mapping[str, StepShares] | None = None,
    volatility: float | None = 0.02,
) -> Plan:
    """Plan at 100 USD a share; a weight of 0.01 is ten shares."""
    symbols = tuple(sorted(weights))
    account = Account("id", "PA1", "ACTIVE", EQUITY, EQUITY, EQUITY, buying_power, Decimal(2), False, True)
    return plan(
        TargetWeights(D, ASOF, symbols, np.array([weights[s] for s in symbols])),
        PlanInputs(
            account,
            {s: Decimal(q) for s, q in held.items()},
            dict.fromkeys({*weights, *held}, Decimal(100)),
            {s: Asset(s, True, True, True, True) for s in symbols},
            dict.fromkeys(symbols, adv),
            step_shares=(curves or {}).get,
            volatility={} if volatility is None else dict.fromkeys(symbols, volatility),
        ),
        Provenance("b", "s", "c", "v"),
        PlanningConfig(max_rounding=1.0),
        WIDE,
        entry=entry,
    )


def steps(found: Plan) -> list[tuple[int, int, bool]]:
    return [(intent.step, int(signed(intent)), intent.reduces) for intent in found.intents]


def test_twap_buys_in_equal_steps() -> None:
    """60 shares in six steps are six of ten."""
    found = planned({"A": 0.06}, {}, EntryConfig(kind=EntryStyle.TWAP))
    assert steps(found) == [(number, 10, False) for number in range(1, 7)]
    assert {intent.time_in_force for intent in found.intents} == {TimeInForce.DAY}


def test_almgren_chriss_hurries_by_its_urgency() -> None:
    """sinh(1.5 (1 - j/3)) / sinh(1.5) of 100 shares is 55.15 and 24.46 left after two of three: 45, 31 and 24."""
    found = planned({"A": 0.1}, {}, EntryConfig(kind=EntryStyle.ALMGREN_CHRISS, steps=3, urgency=1.5))
    assert [quantity for _, quantity, _ in steps(found)] == [45, 31, 24]
    even = planned({"A": 0.1}, {}, EntryConfig(kind=EntryStyle.ALMGREN_CHRISS, steps=4, urgency=0))
    assert [quantity for _, quantity, _ in steps(even)] == [25] * 4


def test_each_order_leaves_by_the_urgency_of_its_least_cost_and_by_the_configured_one_where_that_is_unknown() -> None:
    """Where waiting costs, a small order hurries (3) and one of a tenth of the usual volume is calm (0.75); both are whole."""
    entry = EntryConfig(kind=EntryStyle.LEAST_COST, steps=3, participation=0.9, risk_aversion=1)
    small, large = (planned({"A": 0.6}, {}, entry, adv) for adv in (DEEP, Decimal(600_000)))
    assert (dict(small.urgencies), dict(large.urgencies)) == ({"A": 3.0}, {"A": 0.75})
    for found, urgency in ((small, 3.0), (large, 0.75), (planned({"A": 0.6}, {}, entry, volatility=None), entry.urgency)):
        like = planned({"A": 0.6}, {}, EntryConfig(kind=EntryStyle.ALMGREN_CHRISS, steps=3, urgency=urgency))
        assert steps(found) == steps(like)
    assert planned({"A": 0.6}, {}, EntryConfig(kind=EntryStyle.ALMGREN_CHRISS)).urgencies == {}


def test_a_step_takes_no_more_than_its_share_of_the_usual_volume() -> None:
    """5 % of 60,000 USD is 30 shares a day at 100, five in each of six steps; 30 of 60 shares are left, and said."""
    found = planned({"A": 0.06}, {}, EntryConfig(kind=EntryStyle.TWAP), adv=Decimal(60_000))
    assert [quantity for _, quantity, _ in steps(found)] == [5] * 6
    ((symbol, check, reason),) = found.refusals
    assert (symbol, check) == ("A", "PARTICIPATION") and reason.startswith("30 of 60 shares are left")


@pytest.mark.parametrize("adv", [Decimal(0), Decimal("NaN"), Decimal(-1)])
def test_a_name_of_unknown_volume_is_not_traded_in_steps(adv: Decimal) -> None:
    found = planned({"A": 0.06}, {}, EntryConfig(kind=EntryStyle.TWAP), adv=adv)
    assert found.intents == () and [check for _, check, _ in found.refusals] == ["PARTICIPATION"]


def test_a_flip_in_steps_closes_before_it_opens() -> None:
    """From 30 long to 60 short: 90 shares; two of six steps close, four open, each waiting for the last closing one."""
    found = planned({"A": -0.06}, {"A": 30}, EntryConfig(kind=EntryStyle.TWAP))
    assert steps(found) == [(1, -15, True), (2, -15, True), *((n, -15, False) for n in range(3, 7))]
    last = found.intents[1].key
    assert [intent.waits_for for intent in found.intents] == [None, None, last, last, last, last]
    both = [(intent.key, intent.quantity) for intent in found.intents[:2]]
    assert is_filled(found, both, last)
    assert not is_filled(found, both[1:], last)  # the first closing step is missing: opening would cross zero
    assert not is_filled(found, [(both[0][0], Decimal(14)), both[1]], last)


def test_a_flip_whose_closing_half_is_capped_opens_nothing() -> None:
    found = planned({"A": -0.06}, {"A": 60}, EntryConfig(kind=EntryStyle.TWAP), adv=Decimal(60_000))
    assert all(reduces for _, _, reduces in steps(found))
    assert sum(quantity for _, quantity, _ in steps(found)) == -15  # three closing steps of five
    assert found.refusals[0][2].startswith("105 of 120 shares are left")


def test_the_closing_auction_gets_the_closing_half_of_a_flip_alone() -> None:
    found = planned({"A": -0.02, "B": 0.02}, {"A": 10}, EntryConfig(kind=EntryStyle.CLS))
    assert [(i.key.symbol, int(signed(i)), i.time_in_force) for i in found.intents] == [
        ("A", -10, TimeInForce.CLS),
        ("B", 20, TimeInForce.CLS),
    ]
    assert [(symbol, check) for symbol, check, _ in found.refusals] == [("A", "FLIP")]


def test_the_closing_auction_fits_buying_power_without_counting_its_sells() -> None:
    """2,500 USD pay for 20 shares at 100 with a reserve of 4 %, not for a second 20; selling 90 shares adds nothing."""
    found = planned({"A": 0.02, "B": 0.02, "C": 0.0}, {"C": 90}, EntryConfig(kind=EntryStyle.CLS), buying_power=Decimal(2500))
    assert {i.key.symbol for i in found.intents} == {"A", "C"}
    assert [(symbol, check) for symbol, check, _ in found.refusals] == [("B", "BUYING_POWER")]


@settings(max_examples=150)
@given(
    st.sampled_from(STEPPED), st.integers(2, 12), st.floats(0, 50), st.integers(-90, 90), st.integers(-90, 90), st.integers(1, 2_000_000)
)
def test_steps_never_exceed_the_order_nor_the_cap_nor_cross_zero(
    kind: EntryStyle, count: int, urgency: float, held: int, wanted: int, adv: int
) -> None:
    entry = EntryConfig(kind=kind, steps=count, urgency=urgency)
    found = planned({"A": wanted / 1000}, {"A": held}, entry, adv=Decimal(adv))
    traded = [int(signed(intent)) for intent in found.intents]
    order = wanted - held
    assert abs(sum(traded)) <= abs(order) and all(shares * order > 0 for shares in traded)
    assert all(abs(shares) <= adv * 0.05 / 100 / count + 1e-9 for shares in traded)
    if sum(traded) != order and abs(order) > 0:
        assert found.refusals
    assert [i.key for i in found.intents] == sorted({i.key for i in found.intents})
    assert all(FIRST_STEP <= i.key.slice < FIRST_STEP + count for i in found.intents)
    running = [held, *(held + sum(traded[: n + 1]) for n in range(len(traded)))]
    for intent, (before, after) in zip(found.intents, pairwise(running), strict=True):
        assert before * after >= 0
        assert intent.reduces == (before * after >= 0 and abs(after) < abs(before))


def test_the_same_morning_freezes_the_same_steps() -> None:
    entry = EntryConfig(kind=EntryStyle.ALMGREN_CHRISS)
    first, second = (planned({"A": -0.06, "B": 0.05}, {"A": 30}, entry) for _ in range(2))
    assert first.digest == second.digest
    assert len({intent.key.client_order_id for intent in first.intents}) == len(first.intents)


def test_an_order_that_is_no_step_has_step_zero() -> None:
    found = planned({"A": 0.02}, {}, EntryConfig())
    assert [(i.step, i.key) for i in found.intents] == [(0, IntentKey("PA1", D, "main", "A"))]


def test_without_a_volume_no_rest_is_attempted_again() -> None:
    """1 % of 1,000,000 USD over two steps is 50 shares a step, 40 of them the step's own: 10 are left for a rest."""
    entry = EntryConfig(kind=EntryStyle.TWAP, steps=2, participation=0.01)
    found = planned({"A": 0.08}, {}, entry, adv=Decimal(1_000_000))
    first = found.intents[0]
    assert [intent.quantity for intent in found.intents] == [40, 40]
    assert room(found, entry, first, 2) == 10
    assert room(replace(found, adv_usd={}), entry, first, 2) == 0


@pytest.mark.parametrize(
    ("kind", "word"), [("opg", "opg"), ("cls", "cls"), ("twap", "day"), ("almgren_chriss", "day"), ("least_cost", "day")]
)
def test_an_entry_is_named_as_bundles_name_it(kind: str, word: str) -> None:
    assert EntryConfig(kind=EntryStyle(kind)).in_manifest == word
