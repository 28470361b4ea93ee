"""The value of a policy from another one's log: published cases, exactness, coverage, and logs that must be refused."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from signals.errors import FixInput, TooLittleHistory
from signals.events import arms
from signals.market.bars import Floats
from signals.scoring.shadow_logs import KINDS, THIRDS
from tests.fakes.decisions import FOUR_POLICY, FOUR_Q, FOUR_ROWS, by_state, known_process, policies, shadow
from trainer.commands import policies as policies_commands
from trainer.learners.linear import Ridge
from trainer.learners.parameters import RidgeConfig
from trainer.off_policy import estimators, tuner
from trainer.off_policy.estimators import (
    OffPolicyEstimate,
    cell_means,
    cross_fitted,
    direct_method,
    doubly_robust,
    fitted_q,
    importance_weights,
    ips,
    learned,
    observed,
    overlap,
    per_decision,
    snips,
)
from trainer.off_policy.logs import LoggedDecisions
from trainer.off_policy.tuner import report_of

NINE = 5e-10
SEEDS = st.integers(0, 2**32 - 1)


def bandit(seed: int, rows: int = 40, arms: int = 3) -> LoggedDecisions:
    """Random features, propensities and rewards; two decisions a session."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(arms, 2.0), rows)
    actions = (rng.random(rows)[:, None] >= np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1)
    taken = chances[np.arange(rows), actions]
    return LoggedDecisions.of_one_step(np.arange(rows) // 2, rng.random((rows, 1)), actions, rng.standard_normal(rows), taken, arms)


def random_policy(log: LoggedDecisions, seed: int) -> Floats:
    return np.random.default_rng(seed).dirichlet(np.ones(log.arms), log.actions.shape)


def test_the_four_rows_give_the_published_values_to_nine_digits() -> None:
    assert importance_weights(FOUR_ROWS, FOUR_POLICY)[:, 0] == pytest.approx([1.6, 0.4, 0.4, 1.2], abs=NINE)
    found = {
        "ips": ips(FOUR_ROWS, FOUR_POLICY),
        "snips": snips(FOUR_ROWS, FOUR_POLICY),
        "per decision": per_decision(FOUR_ROWS, FOUR_POLICY),
        "dm": direct_method(FOUR_ROWS, FOUR_POLICY, FOUR_Q),
        "dr": doubly_robust(FOUR_ROWS, FOUR_POLICY, FOUR_Q),
        "weighted dr": doubly_robust(FOUR_ROWS, FOUR_POLICY, FOUR_Q, normalised=True),
    }
    wanted = {"ips": 0.70, "snips": 7 / 9, "per decision": 0.70, "dm": 0.575, "dr": 0.785, "weighted dr": 0.575 + 0.84 / 3.6}
    assert {name: one.value for name, one in found.items()} == pytest.approx(wanted, abs=NINE)
    assert overlap(FOUR_ROWS, FOUR_POLICY).effective_sample == pytest.approx(3.0, abs=NINE)


def test_two_steps_worked_by_hand() -> None:
    """Two trajectories, the second ended after one step; discount 1/2, weights 2, 1 and 1/2, 1/2."""
    log = LoggedDecisions(
        sessions=np.array([1, 2]),
        features=np.zeros((2, 2, 1)),
        actions=np.array([[0, 1], [1, -1]]),
        rewards=np.array([[1.0, 4.0], [2.0, np.nan]]),
        propensities=np.array([[0.25, 0.5], [1.0 - 0.25, np.nan]]),
        arms=2,
        discount=0.5,
    )
    policy = np.full((2, 2, 2), [0.5, 0.5])
    policy[0, 1] = [0.75, 0.25]
    policy[1, 0] = [0.625, 0.375]
    q = np.full((2, 2, 2), 1.0)
    q[0, 1] = [0.0, 2.0]
    assert importance_weights(log, policy).tolist() == [[2.0, 1.0], [0.5, 0.5]]
    assert ips(log, policy).value == pytest.approx((1.0 * (1.0 + 2.0) + 0.5 * 2.0) / 2)
    assert snips(log, policy).value == pytest.approx((1.0 * (1.0 + 2.0) + 0.5 * 2.0) / 1.5)
    assert per_decision(log, policy).value == pytest.approx((2.0 * 1.0 + 1.0 * 2.0 + 0.5 * 2.0) / 2)
    assert per_decision(log, policy, normalised=True).value == pytest.approx((2.0 + 1.0) / 2.5 + 0.5 * 4.0 / 1.5)
    first = 1.0 + 2.0 * (1.0 - 1.0) + 0.5 * (2.0 * 0.5 + 1.0 * (4.0 - 2.0))
    second = 1.0 + 0.5 * (2.0 - 1.0)
    assert doubly_robust(log, policy, q).value == pytest.approx((first + second) / 2)
    weighted = 1.0 + (0.5 * 1.0) / 2.5 + 0.5 * (2.0 * 0.5 / 2.5 + 1.0 * 2.0 / 1.5)
    assert doubly_robust(log, policy, q, normalised=True).value == pytest.approx(weighted)


@settings(max_examples=25)
@given(SEEDS)
def test_of_the_policy_that_was_logged_every_estimator_by_weights_is_the_mean(seed: int) -> None:
    log = bandit(seed)
    uniform = replace(log, propensities=np.full(log.rewards.shape, 1 / 3))
    policy = np.full((*log.actions.shape, 3), 1 / 3)
    for estimator in (ips, snips, per_decision):
        assert estimator(uniform, policy).value == pytest.approx(float(log.rewards.mean()))
    assert overlap(uniform, policy).effective_sample == pytest.approx(len(log.rewards))


@settings(max_examples=25)
@given(SEEDS, SEEDS)
def test_doubly_robust_is_exact_with_a_right_model_whatever_the_propensities(seed: int, other: int) -> None:
    log = bandit(seed)
    policy, q = random_policy(log, other), np.random.default_rng(other).standard_normal((*log.actions.shape, 3))
    log = replace(log, rewards=log.taken(q))
    truth = float((policy * q).sum(axis=2).mean())
    for normalised in (False, True):
        assert doubly_robust(log, policy, q, normalised=normalised).value == pytest.approx(truth)
    assert abs(ips(log, policy).value - truth) > 1e-6, "the propensities are of this log, but one draw of it is no expectation"


@settings(max_examples=25)
@given(SEEDS)
def test_doubly_robust_is_exact_with_right_propensities_whatever_the_model(seed: int) -> None:
    """A log with every arm as often as its propensity says is the expectation itself."""
    rng = np.random.default_rng(seed)
    actions = np.array([0, 1, 1, 2, 2, 2])
    rewards, q = rng.standard_normal(3), rng.standard_normal((6, 1, 3))
    q[:] = q[0]
    log = LoggedDecisions.of_one_step(np.arange(6), np.zeros((6, 1)), actions, rewards[actions], (actions + 1) / 6, 3)
    policy = np.broadcast_to(rng.dirichlet(np.ones(3)), (6, 1, 3))
    truth = float(policy[0, 0] @ rewards)
    assert doubly_robust(log, policy, q).value == pytest.approx(truth)
    assert abs(direct_method(log, policy, q).value - truth) > 1e-9, "the model is wrong"


@settings(max_examples=25)
@given(SEEDS, SEEDS)
def test_the_self_normalised_estimate_stays_among_the_rewards_and_shifts_with_them(seed: int, other: int) -> None:
    log = bandit(seed)
    policy = random_policy(log, other)
    found = snips(log, policy).value
    assert log.rewards.min() <= found <= log.rewards.max()
    assert snips(replace(log, rewards=log.rewards + 7.0), policy).value == pytest.approx(found + 7.0)


def test_fitted_values_of_a_log_that_holds_the_whole_process_are_the_true_ones() -> None:
    """Two states in turn, deterministic: arm 1 earns 1 in state 0, arm 0 earns 2 in state 1; four steps, discount 1/2."""
    actions = np.array([[(row >> step) & 1 for step in range(4)] for row in range(16)] * 2)
    states = np.array([[(start + step) % 2 for step in range(4)] for start in (0, 1) for _ in range(16)])
    rewards = np.where(states == 0, 1.0 * (actions == 1), 2.0 * (actions == 0))
    log = LoggedDecisions(np.arange(32), states[:, :, None].astype(float), actions, rewards, np.full((32, 4), 0.5), 2, 0.5)
    policy = np.eye(2)[1 - states]
    fitted = fitted_q(log, policy, cell_means)
    truth = {0: 1.0 + 0.5 * 2.0 + 0.25 * 1.0 + 0.125 * 2.0, 1: 2.0 + 0.5 * 1.0 + 0.25 * 2.0 + 0.125 * 1.0}
    at_start = (policy * fitted.values(log.features)).sum(axis=2)[:, 0]
    assert at_start == pytest.approx([truth[int(state)] for state in states[:, 0]])
    by_learner = fitted_q(log, policy, learned(Ridge(RidgeConfig(alpha=1e-9))))
    assert by_learner.values(log.features) == pytest.approx(fitted.values(log.features), abs=1e-5), "two states are a line"


def test_no_trajectory_is_judged_by_a_model_that_saw_its_session() -> None:
    log = bandit(3)
    policy = random_policy(log, 4)
    seen: list[tuple[set[float], set[float]]] = []

    def spying(features: Floats, targets: Floats):  # type: ignore[no-untyped-def]
        def predict(rows: Floats) -> Floats:
            seen.append((set(features[:, 0]), set(rows[:, 0])))
            return np.full(len(rows), targets.mean())

        return predict

    cross_fitted(log, policy, spying, folds=4)
    session = dict(zip(log.features[:, 0, 0].tolist(), log.sessions.tolist(), strict=True))
    assert len(seen) == 4 * 3
    assert all({session[x] for x in taught}.isdisjoint({session[x] for x in judged}) for taught, judged in seen)
    with pytest.raises(TooLittleHistory, match="20 sessions cannot be cut into 21 folds"):
        cross_fitted(log, policy, cell_means, folds=21)


def test_errors_are_clustered_by_session() -> None:
    """The same decision written twice in its session says no more; written as another session's, it would seem to."""
    values, sessions = np.array([1.0, 2.0, 4.0, 9.0]), np.arange(4)
    once = OffPolicyEstimate(values, sessions)
    assert once.standard_error == pytest.approx(values.std(ddof=1) / 2.0)
    twice = OffPolicyEstimate(np.tile(values, 2), np.tile(sessions, 2))
    assert twice.standard_error == pytest.approx(once.standard_error)
    assert OffPolicyEstimate(np.tile(values, 2), np.arange(8)).standard_error < 0.8 * once.standard_error
    assert once.lower() == pytest.approx(4.0 - 2.353363435 * once.standard_error), "t of three degrees of freedom"
    with pytest.raises(TooLittleHistory, match="two sessions"):
        _ = OffPolicyEstimate(values, np.zeros(4, dtype=np.int64)).standard_error


def test_a_paired_bound_sees_a_gain_that_two_intervals_hide() -> None:
    rng = np.random.default_rng(5)
    market, sessions = 10.0 * rng.standard_normal(200), np.arange(200)
    ours, theirs = OffPolicyEstimate(market + 0.3 + 0.5 * rng.standard_normal(200), sessions), OffPolicyEstimate(market, sessions)
    assert ours.interval()[0] < theirs.interval()[1]
    assert ours.minus(theirs).lower() > 0.0 > theirs.minus(ours).lower()
    with pytest.raises(FixInput, match="different logs"):
        ours.minus(replace(theirs, sessions=sessions + 1))


def test_on_a_process_of_known_value_the_interval_covers_and_the_better_policy_is_accepted() -> None:
    """A small count; `make off-policy` runs the full one, with limits of 93 and 97 %."""
    process = known_process()
    behaviour, better = policies(process)
    truth, rng, covered, errors = process.value(better), np.random.default_rng(11), 0, []
    for _ in range(20):
        log = process.log(behaviour, 250, rng)
        policy = by_state(better, log)
        q = cross_fitted(log, policy, cell_means)
        dr, base = doubly_robust(log, policy, q), observed(log)
        low, high = dr.interval()
        covered += low <= truth <= high
        errors.append([dr.value - truth, per_decision(log, policy).value - truth, ips(log, policy).value - truth])
        assert dr.minus(base).lower() > 0.0 > base.minus(dr).lower()
    assert covered >= 17, "of 95 % of 20, fewer are seen once in 400 draws"
    rmse = np.sqrt((np.array(errors) ** 2).mean(axis=0))
    assert rmse[0] < rmse[1] < rmse[2], "what each refinement is for"


@pytest.mark.parametrize("true", [0.8, 0.2])
def test_propensities_that_are_wrong_are_found_by_the_weights(true: float) -> None:
    rng = np.random.default_rng(2)
    actions = (rng.random(400) >= true).astype(np.int64)
    chance = np.where(actions == 0, true, 1.0 - true)
    log = LoggedDecisions.of_one_step(np.arange(400), np.zeros((400, 1)), actions, rng.random(400), chance, 2)
    leaning, uniform = np.full((400, 1, 2), [0.9, 0.1]), np.full((400, 1, 2), 0.5)
    assert overlap(log, leaning).faults == () == overlap(log, uniform).faults
    planted = replace(log, propensities=np.full((400, 1), 0.5))
    assert ips(planted, leaning).value != pytest.approx(ips(log, leaning).value, rel=0.1), "the fault matters"
    assert any("the mean weight is" in fault for fault in overlap(planted, leaning).faults)
    unseen = overlap(planted, uniform)
    assert unseen.mean_weight == 1.0 and len(unseen.faults) == 1, "here every weight is 1, and only the arms say it"
    assert f"arm {actions.mean() > 0.5:d} was taken" in unseen.faults[0]


def test_weights_that_are_all_the_same_wrong_number_are_a_fault() -> None:
    log = replace(FOUR_ROWS, actions=np.zeros((4, 1), dtype=int), propensities=np.full((4, 1), 0.5))
    found = overlap(log, np.full((4, 1, 2), [0.75, 0.25]))
    assert (found.mean_weight, found.mean_weight_t) == (1.5, np.inf) and len(found.faults) == 2


def test_a_log_of_certain_actions_cannot_judge_another_policy() -> None:
    certain = replace(FOUR_ROWS, propensities=np.ones((4, 1)))
    for estimate in (ips, snips, per_decision, lambda log, policy: doubly_robust(log, policy, FOUR_Q)):
        with pytest.raises(FixInput, match="took one action with certainty in 4 decisions where the policy would take others"):
            estimate(certain, FOUR_POLICY)
    same = np.eye(2)[certain.actions]
    assert ips(certain, same).value == 0.5, "the policy that it followed can be"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"propensities": np.array([[0.5], [0.0], [0.5], [0.5]])},
            r"a propensity is outside \(0, 1\] \(trajectory 1, step 0; 1 of the log\)",
        ),
        ({"propensities": np.array([[0.5], [0.5], [1.5], [0.5]])}, r"a propensity is outside \(0, 1\] \(trajectory 2"),
        ({"propensities": np.full((4, 1), np.nan)}, "4 of the log"),
        ({"propensities": np.full((4, 2), 0.5)}, r"propensities has the shape \(4, 2\)"),
        ({"propensities": np.full((4, 1), "0.5")}, "propensities does not hold numbers"),
        ({"rewards": np.array([[1.0], [np.inf], [0.0], [0.0]])}, r"a reward is not a finite number \(trajectory 1"),
        ({"features": np.full((4, 1, 1), np.nan)}, "a feature is not a finite number"),
        ({"actions": np.array([[0], [1], [2], [0]])}, r"an action is none of the 2 arms \(trajectory 2"),
        ({"actions": np.array([[0], [-1], [1], [0]])}, r"a gap or no first step \(trajectory 1"),
        ({"actions": np.zeros((4, 1))}, "actions does not hold whole numbers"),
        ({"actions": np.zeros((0, 1), dtype=int)}, "holds no decision"),
        ({"sessions": np.arange(3)}, r"sessions has the shape \(3,\)"),
        ({"discount": 0.0}, "the discount is 0.0"),
        ({"discount": float("nan")}, "the discount is nan"),
    ],
)
def test_a_log_with_a_fault_is_refused_with_its_place(change: dict[str, object], message: str) -> None:
    with pytest.raises(FixInput, match=message):
        replace(FOUR_ROWS, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (FOUR_POLICY[:, :, :1], r"the policy has the shape \(4, 1, 1\)"),
        (FOUR_POLICY * 1.01, "do not sum to 1"),
        (np.full((4, 1, 2), [-0.5, 1.5]), "are negative"),
        (np.full((4, 1, 2), np.nan), "the policy is not a finite number"),
        (np.eye(2)[1 - FOUR_ROWS.actions], "no logged trajectory is one that the policy could take"),
    ],
)
def test_what_is_no_policy_or_shares_nothing_with_the_log_is_refused(policy: Floats, message: str) -> None:
    with pytest.raises(FixInput, match=message):
        ips(FOUR_ROWS, policy)


def test_numbers_that_leave_their_range_are_refused() -> None:
    log = LoggedDecisions(np.arange(2), np.zeros((2, 3, 1)), np.zeros((2, 3), dtype=int), np.ones((2, 3)), np.full((2, 3), 1e-200), 1)
    with pytest.raises(FixInput, match="weights leave the range"):
        ips(log, np.ones((2, 3, 1)))
    huge = replace(FOUR_ROWS, rewards=np.full((4, 1), 1e308), propensities=np.full((4, 1), 0.01))
    with pytest.raises(FixInput, match="weights or rewards leave the range"):
        ips(huge, FOUR_POLICY)


def test_a_log_cannot_be_changed_after_it_was_checked() -> None:
    mine = np.array([[1.0], [0.0], [0.0], [1.0]])
    log = replace(FOUR_ROWS, rewards=mine)
    mine[0] = np.nan
    assert log.rewards[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        log.propensities[0] = 0.0


def test_regressions_refuse_what_they_cannot_learn() -> None:
    with pytest.raises(FixInput, match="do not number states"):
        cell_means(np.array([[0.5]]), np.zeros(1))
    only_first = replace(FOUR_ROWS, actions=np.zeros((4, 1), dtype=int))
    with pytest.raises(FixInput, match="takes arm 1, which no logged decision took"):
        fitted_q(only_first, FOUR_POLICY, cell_means)


def test_the_tuner_prefers_an_arm_that_earns_more_and_none_on_noise() -> None:
    better = tuner.tune(shadow(1, 0.5), arms.DEFAULT, cell_means)
    assert [one.arm for one in better if one.preferred] == [2]
    assert better[2].gain == pytest.approx(0.5, abs=0.15) and 0.0 < better[2].gain_bound < better[2].gain
    assert better[2].ips == pytest.approx(1.0, abs=0.2) and better[2].snips == pytest.approx(1.0, abs=0.2)
    assert better[arms.DEFAULT].gain == 0.0 and better[arms.DEFAULT].overlap.effective_sample > 3000
    noise = [any(one.preferred for one in tuner.tune(shadow(seed, 0.0, 2000), arms.DEFAULT, cell_means)) for seed in range(10)]
    assert sum(noise) <= 2, "of 5 % of 10, more are seen once in 87 campaigns; `make off-policy` counts 400"


def test_the_tuner_prefers_nothing_by_few_draws_or_wrong_propensities() -> None:
    few = tuner.tune(shadow(1, 3.0, 600), arms.DEFAULT, cell_means)
    assert few[2].gain_bound > 0.0 and few[2].overlap.effective_sample < tuner.LEAST_EFFECTIVE and not few[2].preferred
    log = shadow(1, 0.5)
    planted = replace(log, propensities=np.where(log.actions == 2, log.propensities / 2, log.propensities))
    found = tuner.tune(planted, arms.DEFAULT, cell_means)[2]
    assert found.gain_bound > 0.0 and found.overlap.faults and not found.preferred


def test_the_draw_of_an_arm_follows_its_chances() -> None:
    chances = arms.exploring(6, arms.DEFAULT)
    assert chances.sum() == pytest.approx(1.0) and chances[arms.DEFAULT] == pytest.approx(0.9 + 0.1 / 6)
    drawn = [arms.draw(chances, (number + 0.5) / 6000)[0] for number in range(6000)]
    assert np.bincount(drawn, minlength=6) / 6000 == pytest.approx(chances)
    assert arms.draw(chances, np.nextafter(1.0, 0.0)) == (5, pytest.approx(0.1 / 6))
    for wrong in (1.0, -0.1, float("nan")):
        with pytest.raises(FixInput, match="the draw is"):
            arms.draw(chances, wrong)
    for count, default, exploration in ((6, 6, 0.1), (6, 0, 0.0), (6, 0, 1.5)):
        with pytest.raises(FixInput, match="no draw of arm"):
            arms.exploring(count, default, exploration)
    with pytest.raises(FixInput, match="single decisions"):
        tuner.tune(replace(FOUR_ROWS, arms=5), 5, cell_means)


@pytest.mark.parametrize("module", [estimators, arms], ids=lambda module: module.__name__)
def test_the_examples_of_the_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.failed == 0 and result.attempted > 0


def recorded(count: int, gain: float, first: date = date(2020, 1, 1)) -> list[dict[str, Any]]:
    """Events of sessions of twelve, whose arm 1 (a nearer target, the whole size) makes `gain` R more than the recipe's."""
    rng, rows = np.random.default_rng(3), []
    for number, noise in enumerate(rng.standard_normal(count)):
        asof, symbol = first + timedelta(days=number // 12), f"S{number % 12:02d}"
        arm, propensity = arms.drawn("seed", asof, symbol)
        row = {"asof": str(asof), "symbol": symbol, "kind": KINDS[1 + number % 5], "third": THIRDS[number % 3], "seed": "seed"}
        rows.append({**row, "arm": arm, "propensity": propensity, "exit": "time", "realised_r": 0.3 * noise + gain * (arm == 1)})
    return rows


def written(path: Path, rows: list[dict[str, Any]], **changes: Any) -> Path:
    own = [[arm.target, arm.size] for arm in arms.ARMS]
    path.write_text(
        json.dumps({"format": "trademl-arms-1", "venue": "exchange", "is_rehearsal": True, "arms": own, "decisions": rows} | changes)
    )
    return path


def test_the_arms_of_a_shadow_s_log_are_judged_by_what_they_drew(tmp_path: Path) -> None:
    """A gain of half an R is seen in 9,000 events; the newest sessions wait for their open trades; an abandoned one is left out."""
    rows = recorded(9000, 0.5)
    rows[0] |= {"exit": None, "realised_r": None}
    rows[100] |= {"exit": "not-entered", "realised_r": None}
    rows[-30] |= {"exit": None, "realised_r": None}
    found = report_of(written(tmp_path / "log.json", rows))
    assert [one.arm for one in found.arms if one.preferred] == [1]
    better = found.arms[1]
    assert better.overlap.effective_sample > 100 and better.overlap.faults == ()
    assert [better.ips, better.snips, better.dr] == pytest.approx([0.5] * 3, abs=0.12) and better.gain_bound > 0.3
    assert (found.decisions, found.is_open, found.without_result) == (9000 - 36 - 2, 36, 2) and found.is_rehearsal
    policies_commands.register(app := typer.Typer())
    shown = CliRunner().invoke(app, ["tuner", "--recorded", str(tmp_path)])
    assert shown.exit_code == 0 and shown.stdout.count("preferred") == 1 and "REHEARSAL" in shown.stdout


@pytest.mark.parametrize(
    ("planted", "why"),
    [
        (lambda rows: rows[5].update(arm=(rows[5]["arm"] + 1) % 6), "did not draw arm"),
        (lambda rows: rows[5].update(propensity=0.5), "did not draw arm"),
        (lambda rows: rows[5].update(seed="another"), "did not draw arm|and an arm was never drawn"),
        (lambda rows: rows.append(rows[5]), "an event is there twice"),
        (lambda rows: rows[5].update(kind="rumour"), "no word of an event"),
        (lambda rows: rows[5].update(exit=None), "a result and no exit"),
        (lambda rows: rows.clear(), "0 trades have ended"),
    ],
)
def test_a_log_of_arms_that_was_changed_is_refused(tmp_path: Path, planted: Any, why: str) -> None:
    rows = recorded(24, 0.0)
    planted(rows)
    with pytest.raises((FixInput, TooLittleHistory), match=why):
        report_of(written(tmp_path / "log.json", rows))


def test_an_export_of_before_next_to_one_of_today_changes_nothing_and_two_endings_of_one_trade_are_refused(tmp_path: Path) -> None:
    rows = recorded(2400, 0.5)
    alone = report_of(written(tmp_path / "alone.json", rows))
    (both := tmp_path / "both").mkdir()
    written(both / "new.json", rows)
    written(both / "old.json", [row | {"exit": None, "realised_r": None} for row in rows[:1200]])
    found = report_of(both)
    assert (found.arms, found.drawn, found.decisions, found.is_open) == (alone.arms, alone.drawn, alone.decisions, alone.is_open)
    written(both / "other.json", [rows[0] | {"realised_r": 9.0}])
    with pytest.raises(FixInput, match="different endings of the trade"):
        report_of(both)


def test_a_log_of_other_arms_or_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FixInput, match="others than this version's"):
        report_of(written(tmp_path / "log.json", [], arms=[[1.0, 1.0]]))
    with pytest.raises(FixInput, match="cannot be read"):
        report_of(tmp_path / "none.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FixInput, match="there is no log of arms"):
        report_of(tmp_path / "empty")
