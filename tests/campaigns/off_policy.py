"""What off-policy estimators, the tuner and sizing policies say of processes whose truth is known.

A tabular process of 12 states, 5 arms and 20 steps (`tests/fakes/decisions.py`): of each draw 500 trajectories of a
uniform policy judge one that leans to the best arm, with cross-fitted tabular fitted Q. A second table leans further, so
that the effective sample falls below 100, where no verdict is given: it shows why.

Run it with `make off-policy` (`python -m tests.campaigns.off_policy [DRAWS]`); exits 1 if the interval of DR covers the
truth in less than 93 or more than 97 % of draws, if a better policy is accepted in less than 95 % or a worse one in more
than 1 %, or if the tuner prefers an arm of noise in more than 8 % of 400 logs (5 % are expected, 1 in 200 counts exceeds 8).

Sizing: of markets of two regimes (Sharpe 3 and -2 of the whole book, 10,000 sessions, a noisy state; `tests/fakes/regimes.py`)
a walk-forward policy by fitted Q has to recover 70 % of the oracle's gain in the mean, and to be accepted in 95 % of seeds;
where the market knows nothing of the state, it may be accepted in 1 of 20. `... off_policy sizing [SEEDS [FIRST]]` runs this part alone.

`... off_policy challengers [SEEDS] [LEARNER ...]` (needs torch) prints what IQL, CQL and a Decision Transformer recover of such
markets next to fitted Q, of seeds on which none of their settings was chosen; it has no limits.

`... off_policy sub_universes [SEEDS]` fits fitted Q on trajectories of sub-universes (each the book of half of the names, its
sessions drawn again in blocks) and compares it with fitted Q on the whole book's own; it has no limits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import Pool

import numpy as np
from scipy.stats import binomtest

from portfolio.policy.sizing import SizingPolicy
from signals.events import arms
from tests.fakes.decisions import by_state, known_process, policies, shadow
from tests.fakes.regimes import noise_market, oracle, regime_market
from trainer.off_policy import tuner
from trainer.off_policy.estimators import (
    cell_means,
    cross_fitted,
    direct_method,
    doubly_robust,
    ips,
    observed,
    overlap,
    per_decision,
    snips,
)
from trainer.off_policy.judged import CHALLENGERS, FITTED_Q, fit_named
from trainer.off_policy.market_env import MarketEnv
from trainer.off_policy.sizing import (
    BLOCK_SESSIONS,
    SizedPath,
    SizingVerdict,
    fitted_sizing,
    fitted_values,
    judge_sizing,
    judged_replay,
    linear_policy,
    walk_forward_sizing,
)

TRAJECTORIES, NOISE_LOGS = 500, 400
SESSIONS, SEEDS = 10_000, 100
NOISE_SEEDS = 240  # of the states that know nothing: 1 in 20 is allowed, about 1 in 100 is expected
UNIVERSES = 8
UNTUNED = 1000  # first seed of the challengers' markets: their settings were chosen on seeds below 100
NAMES = ("IS", "self-normalised IS", "per decision", "weighted per decision", "direct (FQE)", "DR", "weighted DR")


def judged(leaning: float, draws: int) -> tuple[float, float, float]:
    """Print one table; return the coverage of DR and the shares of accepted better and worse policies."""
    process = known_process()
    behaviour, better = policies(process, leaning)
    truth, base = process.value(better), process.value(behaviour)
    rng = np.random.default_rng(1)
    found, covered, accepted, samples = [], [], [], []
    for _ in range(draws):
        log = process.log(behaviour, TRAJECTORIES, rng)
        policy = by_state(better, log)
        q = cross_fitted(log, policy, cell_means)
        estimates = (
            ips(log, policy),
            snips(log, policy),
            per_decision(log, policy),
            per_decision(log, policy, normalised=True),
            direct_method(log, policy, q),
            doubly_robust(log, policy, q),
            doubly_robust(log, policy, q, normalised=True),
        )
        found.append([one.value for one in estimates])
        covered.append([low <= truth <= high for low, high in (one.interval() for one in estimates)])
        gain = estimates[5].minus(observed(log))
        accepted.append((gain.lower() > 0.0, observed(log).minus(estimates[5]).lower() > 0.0))
        samples.append(overlap(log, policy).effective_sample)
    error = np.array(found) - truth
    print(f"\n{draws} draws of {TRAJECTORIES} trajectories, effective sample {np.mean(samples):.0f}")
    print(f"true value {truth:.2f}, of the behaviour {base:.2f}; estimator, bias, RMSE, 95 % interval covers")
    for name, bias, rmse, share in zip(NAMES, error.mean(axis=0), np.sqrt((error**2).mean(axis=0)), np.mean(covered, axis=0), strict=True):
        print(f"| {name} | {bias:+.3f} | {rmse:.3f} | {share:.1%} |")
    shares = np.mean(accepted, axis=0)
    print(f"paired one-sided bound above 0: better policy {shares[0]:.1%}, worse policy {shares[1]:.1%}")
    return float(np.mean(covered, axis=0)[5]), float(shares[0]), float(shares[1])


def sized(seed: int, learner: str = FITTED_Q) -> tuple[SizingVerdict, float, SizingVerdict]:
    """Verdict and recovered share of the oracle's gain on the regime market of a seed, and the verdict on noise."""
    env, good = regime_market(seed, SESSIONS)
    fit = fit_named(learner, 1)
    policies = walk_forward_sizing(env, fit)
    first, found = policies.starts[0], judged_replay(env, policies)
    best = np.where(np.arange(SESSIONS) < first, 1.0, oracle(env, good))
    most = judge_sizing(*(SizedPath.of(env.replay(path), first) for path in (best, np.ones(SESSIONS))))
    return found, found.gain / most.gain, sized_noise(seed, learner)


def sized_noise(seed: int, learner: str = FITTED_Q) -> SizingVerdict:
    """Verdict on the market of a seed that knows nothing of the state."""
    noise = noise_market(seed, SESSIONS)
    return judged_replay(noise, walk_forward_sizing(noise, fit_named(learner, 1)))


def sizing(seeds: int, first: int = 0) -> bool:
    """Print the figures of sizing; return whether they are inside the limits."""
    with Pool(2) as pool:
        found, recovered, noise = zip(*pool.map(sized, range(first, first + seeds)), strict=True)
        noise = (*noise, *pool.map(sized_noise, range(first + seeds, first + max(seeds, NOISE_SEEDS))))
    accepted, false = np.mean([one.is_accepted for one in found]), np.mean([one.is_accepted for one in noise])
    power = np.mean([one.power(one.gain_of_interest) for one in noise])
    print(f"\nsizing, {seeds} markets of {SESSIONS} sessions, of which the last 80 % are judged")
    print(f"| the state knows the regime | accepted {accepted:.1%} | gain {np.mean([one.gain for one in found]):+.2%} a year |")
    least = f"least {min(recovered):.1%}, 5 % of seeds below {np.quantile(recovered, 0.05):.1%}"
    print(f"| of the oracle's gain | mean {np.mean(recovered):.1%} | {least} |")
    count = sum(one.is_accepted for one in noise)
    low, high = binomtest(count, len(noise)).proportion_ci(0.95)
    alone = sum(one.bound > one.margin for one in noise)
    said = f"accepted {count} of {len(noise)} ({low:.1%} to {high:.1%}); by the bound of the gain alone {alone}"
    print(f"| the state knows nothing | {said} | gain {np.mean([one.gain for one in noise]):+.2%} a year |")
    print(f"a refusal on noise gives a true gain of a quarter of the volatility a power of {power:.0%} in the mean")
    for reason in sorted({why.split(" is ")[0] for one in (*found, *noise) for why in one.reasons}):
        print(
            f"refused because of {reason}: {sum(any(w.startswith(reason) for w in one.reasons) for one in found)}"
            f" with a regime, {sum(any(w.startswith(reason) for w in one.reasons) for one in noise)} of noise"
        )
    return bool(np.mean(recovered) >= 0.7 and accepted >= 0.95 and false <= 0.05)


def challengers(seeds: int, learners: Sequence[str]) -> int:
    """Print what each learner recovers of the oracle's gain; return the exit status."""
    print(f"{seeds} markets of {SESSIONS} sessions; learner, share of the oracle's gain: mean, least; accepted, of noise accepted")
    for learner in learners or (FITTED_Q, *CHALLENGERS):
        found, recovered, noise = zip(*(sized(seed, learner) for seed in range(UNTUNED, UNTUNED + seeds)), strict=True)
        accepted, false = (sum(one.is_accepted for one in verdicts) for verdicts in (found, noise))
        print(f"| {learner} | {np.mean(recovered):.0%} | {min(recovered):.0%} | {accepted} | {false} |", flush=True)
    return 0


def on_sub_universes(env: MarketEnv) -> SizingPolicy:
    """Fitted Q on `UNIVERSES` books of half of the names, of the whole book's gross, each of sessions drawn in blocks of 20."""
    rng, seen, names = np.random.default_rng(1), env.standardised()[0], env.weights.shape[1]
    parts = []
    for _ in range(UNIVERSES):
        kept = np.isin(np.arange(names), rng.permutation(names)[: names // 2])
        part = env.weights * kept
        part *= np.abs(env.weights).sum(axis=1, keepdims=True) / np.abs(part).sum(axis=1, keepdims=True)
        starts = rng.integers(0, len(seen) - BLOCK_SESSIONS, len(seen) // BLOCK_SESSIONS)
        drawn = (starts[:, None] + np.arange(BLOCK_SESSIONS)).ravel()
        parts.append((seen[drawn], seen[drawn + 1], replace(env, weights=part).rewards()[drawn]))
    return linear_policy(env, fitted_values(*(np.concatenate(one) for one in zip(*parts, strict=True))))


def sub_universes(seeds: int) -> int:
    """Print what trajectories of sub-universes add to fitted Q; return the exit status."""
    for sessions in (1_500, 5_000):
        rows = []
        for seed in range(UNTUNED, UNTUNED + seeds):
            (env, good), noise = regime_market(seed, sessions), noise_market(seed, sessions)
            verdicts = [
                judged_replay(one, walk_forward_sizing(one, fit)) for one in (env, noise) for fit in (fitted_sizing, on_sub_universes)
            ]
            first = walk_forward_sizing(env, blocks=5).starts[0]
            best = np.where(np.arange(sessions) < first, 1.0, oracle(env, good))
            most = judge_sizing(*(SizedPath.of(env.replay(path), first) for path in (best, np.ones(sessions))))
            rows.append([*(one.gain for one in verdicts), most.gain, *(one.is_accepted for one in verdicts)])
        own, parts, noise_own, noise_parts, most_gain, *accepted = np.mean(rows, axis=0)
        paired = np.diff(np.array(rows)[:, :2], axis=1)[:, 0]
        error = paired.std(ddof=1) / np.sqrt(seeds)
        print(f"{seeds} markets of {sessions} sessions: gain {own:+.2%} by the book, {parts:+.2%} by {UNIVERSES} sub-universes")
        print(f"  a difference of {paired.mean():+.2%} (error {error:.2%}) where the oracle has {most_gain:+.2%}")
        shares = ", ".join(f"{x:.0%}" for x in accepted)
        print(f"  noise: {noise_own:+.2%}, {noise_parts:+.2%}; accepted by each, of noise by each: {shares}", flush=True)
    return 0


def main(draws: int) -> int:
    """Run both parts; return the exit status."""
    coverage, better, worse = judged(0.15, draws)
    judged(0.3, max(draws // 5, 2))
    noise = [any(one.preferred for one in tuner.tune(shadow(seed, 0.0, 2000), arms.DEFAULT, cell_means)) for seed in range(NOISE_LOGS)]
    gains = [tuner.tune(shadow(seed, 0.5, 2000), arms.DEFAULT, cell_means)[2].preferred for seed in range(NOISE_LOGS // 4)]
    print(f"\ntuner, 2,000 events: an arm preferred on noise in {np.mean(noise):.1%} of {NOISE_LOGS} logs,")
    print(f"a true gain of half a standard deviation seen in {np.mean(gains):.0%} of {NOISE_LOGS // 4}")
    good = 0.93 <= coverage <= 0.97 and better >= 0.95 and worse <= 0.01 and np.mean(noise) <= 0.08
    return 0 if sizing(SEEDS) and good else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["challengers"]:
        sys.exit(challengers(int(sys.argv[2]) if len(sys.argv) > 2 else 5, sys.argv[3:]))
    if sys.argv[1:2] == ["sub_universes"]:
        sys.exit(sub_universes(int(sys.argv[2]) if len(sys.argv) > 2 else 20))
    if sys.argv[1:2] == ["sizing"]:
        sys.exit(0 if sizing(*map(int, sys.argv[2:] or [SEEDS])) else 1)
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
