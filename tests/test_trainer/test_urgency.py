"""Urgency of an order by its modelled cost: hand-worked numbers, common shocks, and a verdict that noise does not earn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signals.errors import InvariantBroken
from signals.market.bars import Floats
from trainer.off_policy.urgency import ALMGREN_CHRISS, TWAP, URGENCIES, ScheduledOrder, chosen, cost_bps, judged

CALM = np.ones((1, 2))
TWO = ScheduledOrder(0.01, 0.02, 0.00025, np.array([0.0, 39.0]), np.array([0.5, 0.5]))


def test_the_cost_of_two_even_steps_by_hand() -> None:
    """1 % of the volume at 2 % a day, in halves a tenth of a session apart, of which a half has faded.

    F is 0.5 %, then 0.25 % + 0.5 %; the square roots are 14.142 and 17.321 bp, their mean is 15.731, the spread 2.5. At lambda 10 a half
    that waits a tenth of a session costs 10 x 0.0004 x 0.25 x 0.1 = 1 bp.
    """
    assert cost_bps(TWO, TWAP, CALM, 0.0, 39.0) == pytest.approx([18.231], abs=5e-4)
    assert cost_bps(TWO, TWAP, CALM, 10.0, 39.0) == pytest.approx([19.231], abs=5e-4)
    assert cost_bps(TWO, TWAP, 4 * CALM, 0.0, 39.0) == pytest.approx([2.5 + 15.731 / 2], abs=5e-4), "four times the volume"


def test_impact_alone_asks_for_calm_and_risk_alone_for_haste() -> None:
    assert chosen(TWO, CALM, 0.0, 39.0) == 0.0
    assert chosen(replace(TWO, participation=0.0), CALM, 10.0, 39.0) == max(URGENCIES)
    assert chosen(replace(TWO, participation=0.0), CALM, 0.0, 39.0) == 0.0, "nothing to choose by"


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
    mixed = orders(rng, 10.0 ** rng.uniform(-5, -1, 60))
    learned, unseen = shocks(rng, 200, 6), shocks(rng, 60, 50, 6)
    picked = [chosen(order, learned, 0.5, 30.0) for order in mixed]
    by_size = [chosen(replace(mixed[0], participation=size), learned, 0.5, 30.0) for size in (1e-5, 1e-3, 1e-1)]
    assert by_size == sorted(by_size, reverse=True) and len({*by_size}) > 1 and len({*picked}) > 2
    verdicts = judged(mixed, learned, unseen, 0.5, 30.0)
    assert [verdict.against for verdict in verdicts] == [TWAP, ALMGREN_CHRISS]
    assert all(verdict.is_accepted and verdict.orders == 60 for verdict in verdicts)
    even = [replace(order, volume=np.full(6, 1 / 6)) for order in orders(rng, np.full(60, 0.05))]
    alike = judged(even, learned, unseen, 0.0, 30.0)
    assert (alike[0].saved_bps, alike[0].is_accepted, alike[1].is_accepted) == (0.0, False, True)


def test_common_shocks_make_the_difference_surer_than_shocks_of_their_own() -> None:
    rng = np.random.default_rng(5)
    (order,) = orders(rng, np.array([0.02]))
    one, other = shocks(rng, 400, 6), shocks(rng, 400, 6)
    calm, hasty = (cost_bps(order, urgency, one, 0.0, 30.0) for urgency in (0.0, 3.0))
    apart = cost_bps(order, 3.0, other, 0.0, 30.0)
    assert (hasty - calm).std() < 0.6 * (apart - calm).std()


def test_an_order_of_unknown_volatility_or_without_volume_is_no_order() -> None:
    for wrong in ({"sigma": float("nan")}, {"participation": -0.1}, {"volume": np.array([0.5, 0.0])}, {"volume": np.ones(3)}):
        with pytest.raises(InvariantBroken, match="its size, volatility, spread"):
            replace(TWO, **wrong)
