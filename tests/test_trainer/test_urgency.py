"""Urgency of an order by its modelled cost: hand-worked numbers, common shocks, and a verdict that noise does not earn."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from scipy.optimize import minimize

from execution.planning.slicing import remaining
from execution.planning.urgency import URGENCIES, ScheduledOrder, cost_bps, least_cost, order_of
from signals.errors import InvariantBroken
from signals.market.bars import Floats
from tests.fakes.scheduled import REAL, entry, real_orders
from trainer.off_policy.urgency import ALMGREN_CHRISS, TWAP, judged

CALM = np.ones((1, 2))
TWO = ScheduledOrder(0.01, 0.02, 0.00025, np.array([0.0, 39.0]), np.array([0.5, 0.5]))


def test_the_cost_of_two_even_steps_by_hand() -> None:
    """1 % of the volume at 2 % a day, in halves a tenth of a session apart, of which a half has faded.

    F is 0.5 %, then 0.25 % + 0.5 %; the square roots are 14.142 and 17.321 bp, their mean is 15.731, the spread 2.5. At lambda 10 a half
    that waits a tenth of a session costs 10 x 0.0004 x 0.25 x 0.1 = 1 bp.
    """
    assert cost_bps(TWO, remaining(TWAP, 2), CALM, 0.0, 39.0) == pytest.approx([18.231], abs=5e-4)
    assert cost_bps(TWO, remaining(TWAP, 2), CALM, 10.0, 39.0) == pytest.approx([19.231], abs=5e-4)
    assert cost_bps(TWO, remaining(TWAP, 2), 4 * CALM, 0.0, 39.0) == pytest.approx([2.5 + 15.731 / 2], abs=5e-4), "four times the volume"


def test_impact_alone_asks_for_calm_and_risk_alone_for_haste() -> None:
    assert least_cost(TWO, entry()) == 0.0
    assert least_cost(replace(TWO, participation=0.0), entry(10.0)) == max(URGENCIES)
    assert least_cost(replace(TWO, participation=0.0), entry()) == 0.0, "nothing to choose by"


def test_no_urgency_is_chosen_that_the_participation_cap_would_cut_while_another_is_whole() -> None:
    """Two steps of half the volume: even halves of 1 % need a cap of 1 %, an urgency of 0.75 puts 0.5354 of it into the first."""
    small = replace(TWO, volume=np.array([0.5, 0.5]))
    risky = [least_cost(small, entry(1000.0, cap)) for cap in (0.0100001, 0.0107084, 0.0191, 1.0)]
    assert risky == [0.0, 0.75, 3.0, 3.0]
    assert least_cost(small, entry(1000.0, 0.008)) == 0.75, "where all are cut, the cheapest of those that are cut least"


def test_an_order_is_what_the_plan_knows_of_it_and_none_where_that_is_too_little() -> None:
    """20,000 of a usual 1,000,000 USD; six steps from 15 minutes after the open to 35 before the close, 68 apart."""
    value, adv = Decimal(20_000), Decimal(1_000_000)
    found = order_of(value, adv, 0.02, None, entry())
    assert found is not None and (found.participation, found.sigma) == (0.02, 0.02)
    assert found.minutes == pytest.approx(15 + 68 * np.arange(6)) and found.volume == pytest.approx(np.full(6, 1 / 6))
    curve = tuple(map(Decimal, ("0.5", "0.1", "0.1", "0.1", "0.1", "0")))
    nothing = [(None, 0.02, None), (Decimal(0), 0.02, None), (Decimal("NaN"), 0.02, None), (adv, None, None), (adv, float("nan"), None)]
    for known in (*nothing, (adv, float("inf"), None), (adv, 0.02, curve)):
        assert order_of(value, *known, entry()) is None


def shocks(rng: np.random.Generator, *shape: int) -> Floats:
    return np.exp(0.5 * rng.standard_normal(shape) - 0.125)


def orders(rng: np.random.Generator, sizes: Floats) -> list[ScheduledOrder]:
    minutes, volume = np.linspace(15.0, 355.0, 6), np.array([0.24, 0.13, 0.11, 0.11, 0.14, 0.2])
    return [
        ScheduledOrder(size, sigma, 3e-4, minutes, volume) for size, sigma in zip(sizes, rng.uniform(0.01, 0.04, len(sizes)), strict=True)
    ]


def test_orders_that_differ_are_worth_a_choice_and_orders_that_are_alike_are_not() -> None:
    """Small orders leave in haste and large ones calmly; where TWAP is best for every order nothing is saved against it."""
    rng = np.random.default_rng(3)
    mixed, sessions = orders(rng, 10.0 ** rng.uniform(-5, -1, 60)), np.arange(60)
    unseen = shocks(rng, 60, 50, 6)
    picked = [least_cost(order, entry(0.5)) for order in mixed]
    by_size = [least_cost(replace(mixed[0], participation=size), entry(0.5)) for size in (1e-5, 1e-3, 1e-1)]
    assert by_size == sorted(by_size, reverse=True) and len({*by_size}) > 1 and len({*picked}) > 2
    verdicts = judged(mixed, unseen, sessions, entry(0.5))
    assert [*verdicts] == [TWAP, ALMGREN_CHRISS]
    assert all(saved.lower() > 0 and saved.contributions.shape == (60,) for saved in verdicts.values())
    even = [replace(order, volume=np.full(6, 1 / 6)) for order in orders(rng, np.full(60, 0.05))]
    alike = judged(even, unseen, sessions, entry())
    assert (alike[TWAP].value, alike[TWAP].lower() > 0, alike[ALMGREN_CHRISS].lower() > 0) == (0.0, False, True)


def test_common_shocks_make_the_difference_surer_than_shocks_of_their_own() -> None:
    rng = np.random.default_rng(5)
    (order,) = orders(rng, np.array([0.02]))
    one, other = shocks(rng, 400, 6), shocks(rng, 400, 6)
    calm, hasty = (cost_bps(order, remaining(urgency, 6), one, 0.0, 30.0) for urgency in (0.0, 3.0))
    apart = cost_bps(order, remaining(3.0, 6), other, 0.0, 30.0)
    assert (hasty - calm).std() < 0.6 * (apart - calm).std()


def test_an_order_of_unknown_volatility_or_without_volume_is_no_order() -> None:
    for wrong in ({"sigma": float("nan")}, {"participation": -0.1}, {"volume": np.array([0.5, 0.0])}, {"volume": np.ones(3)}):
        with pytest.raises(InvariantBroken, match="its size, volatility, spread"):
            replace(TWO, **wrong)


@pytest.mark.slow  # by hand
def test_on_real_volumes_the_choice_saves_against_twap_and_nothing_for_sure_against_one_usual_urgency() -> None:
    """Without a price of waiting an urgency of 1.5 for all is as cheap: the verdict that keeps `least_cost` off by default."""
    if not REAL.is_file():
        pytest.skip(f"{REAL} is absent: the choice on real volumes is not judged")
    orders, met, sessions = real_orders(1)
    for risk_aversion in (0.0, 0.5, 5.0):
        for against, saved in judged(orders, met, sessions, entry(risk_aversion, 0.05)).items():
            said = f"lambda {risk_aversion}, against {against}: {saved.value:+.3f} bp, at least {saved.lower():+.3f}"
            print(f"{said}, {len(orders):,} orders")
            assert (saved.lower() > 0) == (risk_aversion > 0 or against == TWAP)


@pytest.mark.slow  # by hand
def test_who_knew_the_volumes_of_the_day_would_save_little() -> None:
    """More than any policy can that decides step by step how much of a rest leaves: the reason why there is none."""
    if not REAL.is_file():
        pytest.skip(f"{REAL} is absent: no volumes are known")
    orders, met, _ = real_orders(1)
    saved = []
    for place in np.random.default_rng(0).choice(len(orders), 150, replace=False):
        order, shocks = orders[place], met[place]

        def cost(x: Floats, order: ScheduledOrder = order, shocks: Floats = shocks) -> float:
            slices = np.exp(x - x.max())
            return float(cost_bps(order, np.append(1.0, 1.0 - np.cumsum(slices) / slices.sum()), shocks, 0.0)[0])

        starts = (np.zeros(6), np.log(order.volume * shocks[0]), -0.4 * np.arange(6))
        least = min(minimize(cost, x, method="BFGS", options={"maxiter": 60}).fun for x in starts)
        saved.append(float(cost_bps(order, remaining(ALMGREN_CHRISS, 6), shocks, 0.0)[0]) - least)
    print(f"saved against {ALMGREN_CHRISS} for all: {np.mean(saved):.2f} bp, error {np.std(saved) / 150**0.5:.2f}")
    assert 0 < np.mean(saved) < 1
