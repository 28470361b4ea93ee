"""A sizing policy's multiplier on the target book: on the grid, never above 1, the level before where nothing is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from portfolio.build import AccountSize, build
from portfolio.config import PortfolioConfig
from portfolio.policy.sizing import GRID, MULTIPLIER, STATE, Sizing, SizingPolicy, state_of
from portfolio.policy.target import TargetBook, target_book
from portfolio.risk.model import RiskModel
from portfolio.weights import TargetWeights
from signals.errors import InvariantBroken
from signals.indicators.regimes import filter_states, split_states
from signals.market.bars import Floats
from tests.test_portfolio.books import SESSION, random_scores, risk_model

CONFIG = PortfolioConfig(step_sessions=1, round_trip_cost_bps=0, turnover_limit=2.0, band_usd=0.0, band_share=0.0)
SCORES = random_scores(300)


def risk(seed: int = 5) -> RiskModel:
    return replace(risk_model(300), returns=np.random.default_rng(seed).normal(0.0, 0.01, (252, 300)))


def policy(coefficients: Floats) -> SizingPolicy:
    """A policy whose values are the same constants after every level, and the coefficients of the first number of the state."""
    values = np.zeros((len(GRID), len(GRID), 1 + len(STATE)))
    values[:, :, : coefficients.shape[1]] = coefficients
    return SizingPolicy(STATE, np.zeros(len(STATE)), np.ones(len(STATE)), values)


def always(level: int) -> SizingPolicy:
    return policy(np.eye(len(GRID))[level][:, None])


BEFORE = ({"S0001": 0.02},)


def built(sizing: Sizing | None) -> TargetWeights:
    return build(SCORES, risk(), CONFIG, {}, SESSION, AccountSize(1e6, sizing=sizing))


@pytest.mark.parametrize("level", range(len(GRID)))
def test_the_chosen_level_multiplies_the_whole_target_book(level: int) -> None:
    """Every weight is the level times that of the whole book; what is said shows the level and where it came from."""
    whole, sized = built(None), built(Sizing(0.75, always(level), source="sizing 3", books=BEFORE))
    assert sized.multiplier == GRID[level] and whole.multiplier == 1.0 and MULTIPLIER not in dict(whole.decisions)
    assert dict(sized.decisions)[MULTIPLIER] == f"{GRID[level]:g}, 0.75 before (sizing 3)"
    wanted = {s: w * GRID[level] for s, w in zip(whole.symbols, whole.aim.tolist(), strict=True) if level}
    assert dict(zip(sized.symbols, sized.aim.tolist(), strict=True)) == pytest.approx(wanted, abs=1e-15)
    assert sized.whole == dict(zip(whole.symbols, whole.aim.tolist(), strict=True)) and whole.whole is None


@pytest.mark.parametrize("before", GRID)
def test_a_refused_policy_keeps_the_level_before(before: float) -> None:
    """So that a file which cannot be read enlarges no book."""
    sized = built(Sizing(before, None, "it expired"))
    assert sized.multiplier == before and dict(sized.decisions)[MULTIPLIER] == f"{before:g}, as before: it expired"
    assert sized.gross == pytest.approx(before * built(None).gross)


def test_no_level_is_left_for_an_equal_one() -> None:
    """Equal values everywhere: the policy stays where it is, whatever that is."""
    for before in GRID:
        assert policy(np.zeros((len(GRID), 1))).path(np.zeros((3, len(STATE))), before).tolist() == [before] * 3


def test_a_state_far_outside_counts_as_four_standard_deviations() -> None:
    """Values 4.5 of the level 0 and x of the level 1: x = 1e9 counts as 4, so nothing is held."""
    values = np.zeros((len(GRID), 2))
    values[0, 0], values[-1, 1] = 4.5, 1.0
    state = np.zeros((1, len(STATE)))
    state[0, 0] = 1e9
    assert policy(values).path(state, 1.0).tolist() == [0.0]
    values[0, 0] = 3.5
    assert policy(values).path(state, 0.0).tolist() == [1.0]


@pytest.mark.parametrize(
    "broken",
    [
        lambda: Sizing(0.3),
        lambda: Sizing(1.25),
        lambda: Sizing(float("nan")),
        lambda: policy(np.full((len(GRID), 1), np.nan)),
        lambda: SizingPolicy(("x",), np.zeros(1), np.zeros(1), np.zeros((5, 5, 2))),
        lambda: SizingPolicy(("x",), np.zeros(1), np.ones(1), np.zeros((5, 6, 2))),
        lambda: Sizing(1.0, SizingPolicy(("x",), np.zeros(1), np.ones(1), np.zeros((5, 5, 2)))),
    ],
)
def test_a_level_off_the_grid_or_a_policy_of_another_form_is_refused(broken: object) -> None:
    with pytest.raises(InvariantBroken):
        broken()  # type: ignore[operator]


def book_of(returns: Floats) -> TargetBook:
    return target_book(SCORES, replace(risk(), returns=returns), CONFIG, {}, 1e6)


def test_the_state_is_that_of_the_book_s_own_past() -> None:
    """Worked by hand from the book's returns over the window, at a gross of 1."""
    returns = np.random.default_rng(9).normal(0.0, 0.01, (252, 300))
    book = book_of(returns)
    state = dict(zip(STATE, state_of(book), strict=True))
    own = returns @ (book.weights / np.abs(book.weights).sum())
    assert state["volatility_20"] == pytest.approx(own[-20:].std(ddof=1) * np.sqrt(252))
    assert state["trend_5"] == pytest.approx(own[-5:].sum() / (own.std(ddof=1) * np.sqrt(5)))
    path = np.concatenate([[0.0], np.cumsum(own[-60:])])
    assert state["drawdown_60"] == pytest.approx(path.max() - path[-1])
    assert state["gross"] == pytest.approx(np.abs(book.weights).sum())
    later = returns.copy()
    later[:100] *= 1.5  # older than every window but the whole one, over which deviations are taken
    changed = dict(zip(STATE, state_of(book_of(later)), strict=True))
    moved = {name for name in STATE if changed[name] != pytest.approx(state[name], rel=1e-12, nan_ok=True)}
    assert moved == {"volatility_ratio", "trend_5", "trend_20", "trend_60", "market_trend_20", "wild"}


def test_the_state_knows_the_regime_the_ic_and_the_plans_before() -> None:
    """P(wild) by the row-wise filter of the chain; seven books of one name each: the last five changes count, at 5 bps of turnover.

    From 0.02 of S0001 to 0.01 n of it: half of 0.01 a change, and the book of today replaces 0.07 of it.
    """
    returns = np.random.default_rng(9).normal(0.0, 0.01, (252, 300))
    book = target_book(SCORES, replace(risk(), returns=returns), CONFIG.model_copy(update={"round_trip_cost_bps": 5.0}), {}, 1e6)
    weight = dict(zip(book.candidates.symbols, book.weights.tolist(), strict=True))
    before = [{"S0001": 0.01 * n} for n in range(1, 8)]
    state = dict(zip(STATE, state_of(book, before), strict=True))
    market = returns.mean(axis=1)
    assert state["wild"] == pytest.approx(filter_states(market, split_states(market))[-1, 1], rel=1e-9)
    assert state["shrunk_ic"] == risk().ic.shrunk > 0
    last = (sum(map(abs, weight.values())) - abs(weight["S0001"]) + abs(weight["S0001"] - 0.07)) / 2
    assert state["book_turnover"] == pytest.approx(last)
    assert state["cost_5"] == pytest.approx((4 * 0.005 + last) / 5 * 5e-4)


def test_a_number_that_cannot_be_known_is_no_zero() -> None:
    """Without a plan before there is no turnover: who reads it stays and says so, who was learned without it goes on."""
    state = dict(zip(STATE, state_of(book_of(risk().returns)), strict=True))
    assert {name for name in STATE if np.isnan(state[name])} == {"book_turnover", "cost_5"}
    sized = built(Sizing(0.75, always(2)))
    assert sized.multiplier == 0.75
    assert dict(sized.decisions)[MULTIPLIER] == "0.75, as before: of its state book_turnover, cost_5 cannot be known yet"
    earlier = SizingPolicy(STATE[:16], np.zeros(16), np.ones(16), always(2).coefficients[:, :, :17])
    assert built(Sizing(0.75, earlier)).multiplier == 0.5


def test_a_book_without_returns_or_weights_is_in_no_state() -> None:
    book = target_book(SCORES, risk_model(300), CONFIG, {}, 1e6)
    assert book.candidates.returns is None and state_of(book) is None
    flat = target_book(SCORES, replace(risk_model(300, ic=-0.01), returns=risk().returns), CONFIG, {}, 1e6)
    assert not flat.weights.any() and state_of(flat) is None
    sized, chosen = Sizing(0.5, always(4)).sized(flat)
    assert chosen.multiplier == 0.5 and not sized.weights.any()
