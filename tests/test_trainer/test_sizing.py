"""Sizing policies by replay with every outcome known: rewards by hand, what is learned, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from appliance.controls.limits import TripwireLimits
from portfolio.nav import Nav, NavCosts
from portfolio.policy.sizing import GRID, SizingPolicy
from signals.errors import FixInput
from signals.market.bars import Floats
from tests.fakes.regimes import noise_market, oracle, regime_market
from trainer.off_policy.logs import LoggedDecisions
from trainer.off_policy.market_env import MarketEnv
from trainer.off_policy.sizing import (
    LOSSES,
    SizedPath,
    SizingVerdict,
    fitted_sizing,
    judge_decisions,
    judge_sizing,
    judged_replay,
    level_of_try,
    walk_forward_sizing,
)

SESSIONS = 5000


@pytest.fixture(scope="module")
def market() -> tuple[MarketEnv, np.ndarray]:
    return regime_market(4, SESSIONS)


def one_name(returns: list[float], drawdown: float = 0.02, turnover: float = 0.0, weight: float = 0.8, borrow: float = 0.0) -> MarketEnv:
    count = len(returns)
    costs = NavCosts(np.array(0.001), np.array(0.0), np.full((count, 1), borrow))
    book, moved = np.full((count, 1), weight), np.array(returns)[:, None]
    return MarketEnv(("x",), np.zeros((count, 1)), book, moved, costs, None, drawdown, turnover)


def test_rewards_worked_by_hand() -> None:
    """A weight of 0.8 that falls by 10 %, then gains 5 %; half a spread of 0.1 %.

    Session 0 from nothing to the half: cost 0.001 x 0.4, growth 1 - 0.04; net = ln 0.96 + ln(1 - 0.0004).
    Session 1 from the half: held 0.4 x 0.9 / 0.96 = 0.375; to the whole, 0.425 are traded, growth 1.04.
    """
    env = one_name([0.0, -0.1, 0.05], drawdown=0.5, turnover=0.01)
    rewards = env.rewards()
    first = np.log(0.96) + np.log(1 - 0.0004)
    assert rewards[0, 4, 2] == pytest.approx(first + 0.5 * first - 0.01 * 0.2, abs=1e-15)
    second = np.log(1.04) + np.log(1 - 0.001 * 0.425)
    assert rewards[1, 2, 4] == pytest.approx(second - 0.01 * 0.425 / 2, abs=1e-15)
    assert rewards[1, 0, 0] == 0.0
    short = one_name([0.0, -0.1, 0.05], drawdown=0.0, weight=-0.5, borrow=0.01)
    assert short.rewards()[0, 0, 4] == pytest.approx(np.log(1 + 0.05 - 0.005) + np.log(1 - 0.0005), abs=1e-15)


def test_the_table_s_rewards_along_a_path_are_the_replay_s_value(market: tuple[MarketEnv, np.ndarray]) -> None:
    """Any path of levels: the sum of its entries is the log of the exact value, within 0.05 % over 300 sessions."""
    env = replace(market[0].until(300), drawdown_penalty=0.0)
    levels = np.random.default_rng(1).integers(0, len(GRID), 300)
    table = env.rewards()
    summed = sum(table[t, levels[t - 1] if t else 4, levels[t]] for t in range(299))
    nav = env.replay(np.array(GRID)[levels])
    last = np.log(nav.nav[-1] / (1.0 - nav.cost[-1]))
    assert summed == pytest.approx(last, abs=5e-4)


def test_a_policy_that_knows_a_regime_earns_most_of_what_knowing_it_is_worth(market: tuple[MarketEnv, np.ndarray]) -> None:
    """70 % of the oracle's gain at the least, out of sample; accepted. `make off-policy` counts seeds of 10,000 sessions."""
    env, good = market
    policies = walk_forward_sizing(env)
    first, verdict = policies.starts[0], judged_replay(env, policies)
    best = np.where(np.arange(SESSIONS) < first, 1.0, oracle(env, good))
    most = judge_sizing(*(SizedPath.of(env.replay(path), first) for path in (best, np.ones(SESSIONS))))
    assert verdict.is_accepted and verdict.sentence.startswith("accepted")
    assert verdict.gain > 0.7 * most.gain > 0.05
    assert verdict.drawdown < verdict.whole_drawdown and verdict.turnover < verdict.whole_turnover


def test_noise_is_refused_with_the_power() -> None:
    env = noise_market(0, SESSIONS)
    verdict = judged_replay(env, walk_forward_sizing(env))
    assert not verdict.is_accepted and verdict.bound < verdict.margin
    share = verdict.power(verdict.gain_of_interest)
    assert 0.05 < share < 0.95
    assert verdict.sentence.endswith(f"would have been seen in {share:.0%} of such histories")
    # Drawn: 4,000 sessions are 200 blocks; both bounds of a gain that is all timing, correlated as their errors are to one another.
    errors = np.array([verdict.standard_error, verdict.timing_error])
    rng, together = np.random.default_rng(3), errors[1] / errors[0]
    pair = rng.standard_normal((400_000, 2)) @ np.array([[1.0, together], [0.0, np.sqrt(1.0 - together**2)]])
    seen = pair / np.sqrt(rng.chisquare(199, (400_000, 1)) / 199) + (verdict.gain_of_interest - verdict.margin) / errors
    assert share == pytest.approx((seen > student.ppf(0.95, 199)).all(axis=1).mean(), abs=0.004)


def test_a_policy_knows_nothing_of_what_comes_after_it_begins(market: tuple[MarketEnv, np.ndarray]) -> None:
    """Turning every later return round leaves what was learned before: one session earlier, and it changes."""
    env = market[0].until(1000)
    start = walk_forward_sizing(env, blocks=2).starts[0]

    def learned(changed: int) -> Floats:
        returns = env.returns.copy()
        returns[changed:] *= -1.0
        return walk_forward_sizing(replace(env, returns=returns), blocks=2).policies[0].coefficients

    assert np.array_equal(learned(start), learned(1000))
    assert not np.array_equal(learned(start - 1), learned(1000))


def path(net: Floats, turnover: float) -> SizedPath:
    return SizedPath(net, np.full(len(net), turnover))


WHOLE = np.random.default_rng(0).normal(0.0, 0.01, 2000)


@pytest.mark.parametrize(
    ("sized", "reason"),
    [
        (path(WHOLE + 2e-4, 0.05), None),
        (path(WHOLE + 2e-4, 0.0501), "turnover"),
        (path(WHOLE + 1e-5, 0.05), "bound"),
        (path(WHOLE + 3e-4 - np.where(np.arange(2000) == 700, 0.3, 0.0), 0.05), "drawdown"),
    ],
)
def test_each_ground_of_refusal_refuses_by_itself(sized: SizedPath, reason: str | None) -> None:
    verdict = judge_sizing(sized, path(WHOLE, 0.05))
    assert verdict.is_accepted == (reason is None)
    assert reason is None or any(reason in why for why in verdict.reasons)


@pytest.mark.parametrize("part", [0.0, 0.5])
def test_a_constant_part_of_a_losing_book_is_no_timing(part: float) -> None:
    """Whoever holds less of what loses gains for sure; the choice of sessions earns nothing, so it is no policy."""
    losing = WHOLE - WHOLE.mean() - 2e-3
    verdict = judge_sizing(path(np.log1p(part * np.expm1(losing)), 0.02), path(losing, 0.05))
    assert verdict.bound > 0.2 * (1 - part) and verdict.timing == pytest.approx(0.0, abs=1e-9) and verdict.exposure == pytest.approx(part)
    assert [why.split(" is ")[0] for why in verdict.reasons] == ["its timing"]


def test_a_constant_part_of_a_wild_book_gains_by_its_logs_and_not_by_timing() -> None:
    """Half of a book of 40 % a year and no drift: its log grows by m (1 - m) sigma^2 / 2 = 2 % a year, its timing is nothing."""
    wild = np.expm1(WHOLE - WHOLE.mean()) * 0.4 / (WHOLE.std() * 252**0.5)
    half, whole = np.log1p(0.5 * wild), np.log1p(wild)
    by_logs = 252 * (half.mean() - 0.5 * whole.mean())
    verdict = judge_sizing(path(half, 0.02), path(whole, 0.05))
    assert by_logs == pytest.approx(0.02, rel=0.2) and verdict.timing == pytest.approx(0.0, abs=1e-9) and not verdict.is_accepted


def test_a_verdict_that_knows_no_timing_is_not_accepted() -> None:
    held = np.arange(2000) // 20 % 2 == 0
    moved = WHOLE + np.where(held, 1e-3, -1e-3)
    verdict = judge_sizing(path(np.where(held, moved, 0.0), 0.02), path(moved, 0.05))
    before = replace(verdict, timing=np.nan, timing_bound=np.nan, timing_error=np.nan)
    assert verdict.is_accepted and not before.is_accepted and "learn and judge it again" in before.sentence


def test_timing_is_what_a_regression_on_the_whole_book_leaves() -> None:
    """Held whole in every other month of 20 sessions: alpha and beta by least squares, the error of alpha's by blocks of 20."""
    held = np.arange(2000) // 20 % 2 == 0
    moved = WHOLE + np.where(held, 1e-3, -1e-3)
    verdict = judge_sizing(path(np.where(held, moved, 0.0), 0.02), path(moved, 0.05))
    ours, theirs = np.expm1(np.where(held, moved, 0.0)), np.expm1(moved)
    beta, alpha = np.polyfit(theirs, ours, 1)
    assert (verdict.exposure, verdict.timing) == pytest.approx((beta, 252 * alpha)) and verdict.is_accepted
    left = (ours - beta * theirs - alpha).reshape(100, 20).sum(axis=1)
    assert verdict.timing_error == pytest.approx(252 * np.sqrt(100 / 99 * (left @ left)) / 2000)


def test_no_tripwire_trips_that_the_whole_book_keeps_and_the_limits_of_losses_are_those_of_a_device() -> None:
    """A session of -4 % where the whole book gains: one wire of two, in one session; where the book loses as much, none."""
    assert (TripwireLimits().reduce_daily_loss, TripwireLimits().halt_daily_loss) == LOSSES
    fallen = WHOLE + 3e-4
    fallen[700] = np.log(0.96)
    verdict = judge_sizing(path(fallen, 0.05), path(WHOLE, 0.05))
    assert verdict.reasons == ("the tripwire of 3% a session is tripped in 1 where the whole book does not",)
    coarse = np.arange(2000) < 3
    small, large = (replace(path(WHOLE + 3e-4, 0.05), coarse=flags) for flags in (coarse, coarse & False))
    whole = path(WHOLE, 0.05)
    assert judge_sizing(small, replace(whole, coarse=large.coarse)).reasons == (
        "the tripwire ROUNDING is tripped in 3 where the whole book does not",
    )
    assert judge_sizing(small, replace(whole, coarse=coarse)).is_accepted and judge_sizing(large, replace(whole, coarse=coarse)).is_accepted
    both = WHOLE.copy()
    both[700] = np.log(0.96)
    assert judge_sizing(path(fallen, 0.05), path(both, 0.05)).is_accepted


def test_a_policy_that_never_acts_is_refused_without_a_power() -> None:
    verdict: SizingVerdict = judge_sizing(path(WHOLE, 0.05), path(WHOLE, 0.05))
    assert not verdict.is_accepted and np.isnan(verdict.power(1.0)) and "never left the whole book" in verdict.sentence


def test_what_cannot_be_replayed_is_refused_in_words() -> None:
    env = one_name([0.0, -0.1, 0.05])
    with pytest.raises(FixInput, match="grid"):
        env.replay(np.array([1.0, 0.3, 1.0]))
    with pytest.raises(FixInput, match="loses everything"):
        one_name([0.0, -1.3, 0.05]).rewards()
    with pytest.raises(FixInput, match="finite"):
        replace(env, states=np.full((3, 1), np.nan))
    with pytest.raises(FixInput, match="blocks"):
        walk_forward_sizing(env, blocks=1)
    with pytest.raises(FixInput, match="ruined"):
        SizedPath.of(Nav(np.array([1.0, 0.5, 0.0]), np.zeros(3), np.zeros(3), np.zeros(3), ruined=2), 1)
    assert fitted_sizing(env).coefficients.shape == (5, 5, 2)  # three sessions of a constant state still give a policy


def test_tries_share_the_error_of_one(market: tuple[MarketEnv, np.ndarray]) -> None:
    """Two tries at 97.5 % each: t of 99 degrees of freedom 1.984 in place of 1.660, and a gain between them is no gain."""
    assert (level_of_try(1), level_of_try(2)) == (0.95, 0.975)
    net = WHOLE + 0.0000485
    once, twice = (judge_sizing(path(net + NOISE, 0.05), path(WHOLE, 0.05), level=level_of_try(tries)) for tries in (1, 2))
    assert (once.gain - once.bound) / once.standard_error == pytest.approx(student.ppf(0.95, 99))
    assert (twice.gain - twice.bound) / twice.standard_error == pytest.approx(student.ppf(0.975, 99))
    assert once.bound > twice.bound and once.power(once.gain_of_interest) > twice.power(once.gain_of_interest)


NOISE = np.random.default_rng(1).normal(0.0, 0.001, 2000)


def holding_nothing(env: MarketEnv) -> SizingPolicy:
    values = np.zeros((len(GRID), len(GRID), 1 + len(env.names)))
    values[:, 0, 0] = 1.0
    return SizingPolicy(env.names, np.zeros(len(env.names)), np.ones(len(env.names)), values)


def drawn(env: MarketEnv, first: int, last: int, chance: Floats) -> LoggedDecisions:
    """Levels drawn with these chances along a history, as a shadow would log them; what each earned is the table's."""
    rng = np.random.default_rng(2)
    levels = rng.choice(len(GRID), last, p=chance)
    table, at = env.rewards(), np.arange(first, last)
    features = np.column_stack([levels[at - 1], env.states[at]])
    return LoggedDecisions.of_one_step(at, features, levels[at], table[at, levels[at - 1], levels[at]], chance[levels[at]], len(GRID))


def test_a_log_of_drawn_levels_accepts_what_the_replay_accepts_and_says_when_it_knows_too_little(
    market: tuple[MarketEnv, np.ndarray],
) -> None:
    env = replace(market[0], drawdown_penalty=0.0)
    policy, even = fitted_sizing(env.until(1500)), np.full(len(GRID), 0.2)
    log = drawn(env, 1500, SESSIONS - 1, even)
    much, little = judge_decisions(policy, log), judge_decisions(policy, log.of(np.arange(3499) < 300))
    assert much.is_accepted and much.effective_sample > 600 and much.bound > much.margin, much.sentence
    assert "a rehearsal" in judge_decisions(policy, log, is_rehearsal=True).sentence
    wrong = judge_decisions(policy, replace(log, propensities=0.9 * log.propensities))
    assert not wrong.is_accepted and any("the mean weight is 1.1" in why for why in wrong.reasons), wrong.reasons
    nothing = judge_decisions(holding_nothing(env), log)
    assert [why.split(" is ")[0] for why in nothing.reasons] == ["the logged gain"] and nothing.effective_sample > 600, nothing.reasons
    assert not little.is_accepted and little.effective_sample < 100 and "would have been seen in" in little.sentence
    with pytest.raises(FixInput, match="took one action with certainty"):
        judge_decisions(policy, drawn(env, 1500, 2500, np.eye(len(GRID))[4]))
