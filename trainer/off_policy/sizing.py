r"""Sizing policies from full information: fitted Q, its walk-forward replay, and the verdict on it.

    Q(x_t, i, j) <- reward(t, i, j) + g max_k Q(x_{t+1}, j, k)

for all pairs of levels at once by one ridge regression a sweep (Ernst, Geurts and Wehenkel 2005, "Tree-based batch mode
reinforcement learning", here with every action's outcome known). The penalty of the ridge is by session, so that it
does not fade as history grows; it draws the values towards those without a state.

A policy is accepted where the one-sided bounds of its paired gain over the whole book and of its timing are above a
margin, neither the largest drawdown nor the turnover is worse, and no session trips a limit of losses, or of rounding, that the whole
book keeps; `trainer.backtest.sizing` asks the same of the order-exact engine. With s and w the returns of both books,

    gain = mean(log(1 + s) - log(1 + w)),    timing = mean(s - b w),    b = cov(s, w) / var(w)

the timing is Jensen's alpha: what the choice of sessions earns beyond a constant part b of the book (Jensen 1968, "The
performance of mutual funds in the period 1945-1964"). The gain by itself would accept whoever holds nothing while the
whole book has bad luck, in as many histories of noise as the level allows. Where multipliers were drawn at random and their
propensities kept, their log says the gain without the replay's assumption that returns do not answer to size, and a
policy must not fail it: the one-sided bound of

    DR(policy) - DR(always the whole book)

paired by decision, over sessions in a year, is above the margin, with an effective sample of 100 of either. Otherwise it
is refused with the power of that verdict:

    P(a true gain x is seen) = 1 - T(t_level - (x - margin) / SE)

of a replay, where both must be seen, the joint one for a gain that is all timing. The residuals of timing are orthogonal to w, so
that the correlation of both is SE(timing) / SE(gain).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import multivariate_t
from scipy.stats import t as student

from portfolio.nav import Nav
from portfolio.policy.sizing import GRID, WHOLE, SizingPolicy
from portfolio.risk.model import SESSIONS_PER_YEAR
from signals.errors import FixInput
from signals.market.bars import Flags, Floats
from trainer.learners.linear import Ridge
from trainer.learners.parameters import RidgeConfig
from trainer.off_policy.estimators import LEAST_EFFECTIVE, OffPolicyEstimate, cross_fitted, doubly_robust, learned, overlap
from trainer.off_policy.logs import LoggedDecisions
from trainer.off_policy.market_env import MarketEnv

RIDGE, DISCOUNT, SWEEPS = 0.01, 0.9, 40
BLOCK_SESSIONS = 20  # within which gains resemble one another; errors are clustered by it
MARGIN = 0.005  # of equity a year
LEVEL = 0.95
LOSSES = (0.03, 0.05)  # of a session, at which a device reduces and halts
UNJUDGED = "it was judged without what is asked now: learn and judge it again"
SHARPE_OF_INTEREST = 0.25  # the true gain that a refusal names, in units of the whole book's volatility
Fit = Callable[[MarketEnv], SizingPolicy]


def fitted_sizing(env: MarketEnv) -> SizingPolicy:
    """Fit the values of every pair of levels on a history."""
    seen = env.standardised()[0]
    return linear_policy(env, fitted_values(seen[:-1], seen[1:], env.rewards()))


def fitted_values(seen: Floats, following: Floats, rewards: Floats) -> Floats:
    """Coefficients (1 + F, levels, levels) of states (n, 1 + F), each followed by another, with the rewards (n, levels, levels) between."""
    solve = _ridge(seen)  # the same rows in every sweep
    fitted = np.zeros((seen.shape[1], len(GRID), len(GRID)))
    for _ in range(SWEEPS):
        best = np.tensordot(following, fitted, 1).max(axis=2)
        fitted = np.tensordot(solve, rewards + DISCOUNT * best[:, None, :], 1)
    return fitted


def linear_sizing(env: MarketEnv, values: Floats) -> SizingPolicy:
    """Regress values (T, levels, levels) of every pair of levels on the states, by the ridge of fitted Q."""
    return linear_policy(env, np.tensordot(_ridge(env.standardised()[0]), values, 1))


def _ridge(seen: Floats) -> Floats:
    """What takes targets (n, ...) of states (n, 1 + F) to coefficients (1 + F, ...); the constant is not drawn to 0."""
    weighed = np.diag(np.concatenate([[0.0], np.full(seen.shape[1] - 1, RIDGE * len(seen))])) + seen.T @ seen
    return np.asarray(np.linalg.solve(weighed, seen.T), dtype=np.float64)


def linear_policy(env: MarketEnv, fitted: Floats) -> SizingPolicy:
    """Return the policy of coefficients (1 + F, levels, levels) on the standardised states of a history."""
    _, centre, scale = env.standardised()
    return SizingPolicy(env.names, centre, scale, np.ascontiguousarray(np.moveaxis(fitted, 0, 2)))


@dataclass(frozen=True, eq=False)
class WalkForwardSizing:
    """Policies by the session from which each is followed; before the first, the book is whole."""

    starts: tuple[int, ...]
    policies: tuple[SizingPolicy, ...]

    def multipliers(self, states: Floats) -> Floats:
        """Return what the policies choose along a history (T, F)."""
        chosen, before = np.ones(len(states)), 1.0
        for start, end, policy in zip(self.starts, (*self.starts[1:], len(states)), self.policies, strict=True):
            chosen[start:end] = policy.path(states[start:end], before)
            before = float(chosen[end - 1])
        return chosen

    def at(self, row: int) -> SizingPolicy | None:
        """Return the policy of a session; None before the first."""
        place = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.policies[place] if place >= 0 else None


def walk_forward_sizing(env: MarketEnv, fit: Fit = fitted_sizing, blocks: int = 5) -> WalkForwardSizing:
    """Fit on the sessions before each block but the first; no reward of a policy's own block is among what it learned.

    Raises `FixInput` for fewer than two blocks, or blocks of fewer than three sessions.
    """
    starts = np.linspace(0, len(env.states), blocks + 1).astype(int)[1:-1] if blocks > 1 else np.zeros(0, dtype=int)
    if not len(starts) or starts[0] < 3:
        raise FixInput(f"{len(env.states)} sessions in {blocks} blocks", fix="Give more sessions, or two blocks or more")
    return WalkForwardSizing(tuple(starts.tolist()), tuple(fit(env.until(start)) for start in starts.tolist()))


@dataclass(frozen=True, eq=False)
class SizedPath:
    """Log returns after costs and turnover of each session of a replay, (T,); of orders also where whole shares were too coarse."""

    net: Floats
    turnover: Floats
    coarse: Flags | None = None

    @classmethod
    def of(cls, nav: Nav, first: int) -> "SizedPath":
        """Take a replay from session `first` on; what was ruined cannot be judged."""
        if nav.ruined is not None:
            raise FixInput("the book is ruined", where=f"session {nav.ruined}", fix="Judge a book that survives its history")
        return cls(np.diff(np.log(nav.nav[first - 1 :])), nav.turnover[first:])

    @property
    def drawdown(self) -> float:
        """Largest loss from a high, as a fraction of it."""
        value = np.concatenate([[0.0], np.cumsum(self.net)])
        return float(-np.expm1((value - np.maximum.accumulate(value)).min()))


@dataclass(frozen=True, kw_only=True)
class PolicyVerdict:
    """What is said of a policy against the whole book; rates are of equity a year.

    Attributes
    ----------
    gain, bound, standard_error : float
        Of the paired difference.
    gain_of_interest : float
        The true gain that the power is given for.
    reasons : tuple of str
        Why it is refused, in words; empty where it is accepted.
    """

    sessions: int
    gain: float
    bound: float
    standard_error: float
    margin: float
    gain_of_interest: float
    reasons: tuple[str, ...]
    level: float = LEVEL
    sessions_together: ClassVar[int] = 1  # that the error takes as one
    extent: ClassVar[str] = "over {0.sessions} sessions"
    sources: ClassVar[str] = "histories"

    @property
    def is_accepted(self) -> bool:
        """Whether nothing speaks against it, and its bound says so."""
        return not self.reasons and self.bound > self.margin

    def power(self, gain: float) -> float:
        """Share of cases like this one in which a true gain would have been seen; NaN for a policy that never acted."""
        if not self.standard_error > 0:
            return float("nan")
        return float(student.sf(self._quantile - (gain - self.margin) / self.standard_error, self._freedom))

    @property
    def _freedom(self) -> int:
        return max(self.sessions // self.sessions_together - 1, 1)

    @property
    def _quantile(self) -> float:
        return float(student.ppf(self.level, self._freedom))

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.is_accepted:
            return f"accepted: {self.gain:+.2%} a year, at least {self.bound:+.2%}, {self.extent.format(self)}"
        if self.standard_error <= 0:
            seen = "the policy never left the whole book, so nothing is known of a gain"
        else:
            seen = f"a true gain of {self.gain_of_interest:.2%} a year would have been seen in "
            seen += f"{self.power(self.gain_of_interest):.0%} of such {self.sources}"
        return f"refused: {'; '.join(self.reasons) or UNJUDGED}; {seen}"


@dataclass(frozen=True, kw_only=True)
class SizingVerdict(PolicyVerdict):
    """What a replay says, after costs: the gain by log returns, timing by simple ones; turnover is of a session.

    Attributes
    ----------
    timing, timing_bound, timing_error : float
        Of the gain over the part `exposure` of the whole book (Jensen's alpha). What a smaller book saves of impact, which
        grows faster than size, is in it.
    exposure : float
        Regression coefficient of the policy's returns on the whole book's.
    """

    timing: float
    timing_bound: float
    timing_error: float
    exposure: float
    drawdown: float
    whole_drawdown: float
    turnover: float
    whole_turnover: float
    sessions_together: ClassVar[int] = BLOCK_SESSIONS
    extent: ClassVar[str] = "at least {0.timing_bound:+.2%} by timing, over {0.sessions} sessions"

    @property
    def is_accepted(self) -> bool:
        """Whether nothing speaks against it; a verdict of a program that did not ask timing knows none."""
        return super().is_accepted and self.timing_bound > self.margin

    def power(self, gain: float) -> float:
        """Share of histories like this one in which a true gain, all of it by timing, would have been seen in both bounds."""
        by_gain = super().power(gain)
        if not self.timing_error > 0 or not by_gain >= 0:
            return by_gain
        together = min(self.timing_error / self.standard_error, 1.0)
        away = [self._quantile - (gain - self.margin) / error for error in (self.standard_error, self.timing_error)]
        both = multivariate_t(shape=[[1.0, together], [together, 1.0]], df=self._freedom, allow_singular=True, seed=0)
        return float(both.cdf(-np.array(away)))


@dataclass(frozen=True, kw_only=True)
class DecisionsVerdict(PolicyVerdict):
    """What a log says; its error takes each session by itself."""

    decisions: int
    effective_sample: float
    extent: ClassVar[str] = "of {0.decisions} decisions"
    sources: ClassVar[str] = "logs"


def level_of_try(tries: int) -> float:
    """Confidence that each of so many tries needs, so that they share the error that one would have (Bonferroni)."""
    return 1.0 - (1.0 - LEVEL) / tries


def judge_sizing(sized: SizedPath, whole: SizedPath, *, margin: float = MARGIN, level: float = LEVEL) -> SizingVerdict:
    """Judge a replay against the same sessions of the whole book.

    Raises
    ------
    FixInput
        The paths are of different sessions.
    TooLittleHistory
        Fewer sessions than two blocks.
    """
    if sized.net.shape != whole.net.shape:
        raise FixInput("the replays are of different sessions", fix="Replay both over the same ones")
    blocks = np.arange(len(sized.net)) // BLOCK_SESSIONS
    variance = float(whole.net.var(ddof=1))
    # Logs of a constant part of a book grow faster than that part of its log: simple returns are proportional.
    ours, theirs = np.expm1(sized.net), np.expm1(whole.net)
    exposure = float(np.cov(ours, theirs)[0, 1] / theirs.var(ddof=1)) if variance > 0 else 1.0
    difference, timing = (OffPolicyEstimate(SESSIONS_PER_YEAR * x, blocks) for x in (sized.net - whole.net, ours - exposure * theirs))
    bound, timed = difference.lower(level), timing.lower(level)
    turnover, usual = float(sized.turnover.mean()), float(whole.turnover.mean())
    against: tuple[tuple[bool, str], ...] = (
        (not bound > margin, f"the gain is {difference.value:+.2%} a year, its bound {bound:+.2%} is not above {margin:.2%}"),
        (not timed > margin, f"its timing is {timing.value:+.2%} a year, its bound {timed:+.2%} is not above {margin:.2%}"),
        (sized.drawdown > whole.drawdown, f"the largest drawdown is {sized.drawdown:.1%}, not {whole.drawdown:.1%} or less"),
        (turnover > usual, f"the turnover is {turnover:.2%} a session, not {usual:.2%} or less"),
    )
    trips = {f"of {limit:.0%} a session": (ours <= -limit) & (theirs > -limit) for limit in LOSSES}
    if sized.coarse is not None and whole.coarse is not None:
        trips["ROUNDING"] = sized.coarse & ~whole.coarse
    for wire, at in trips.items():
        against += ((bool(at.any()), f"the tripwire {wire} is tripped in {int(at.sum())} where the whole book does not"),)
    return SizingVerdict(
        sessions=len(sized.net),
        gain=difference.value,
        bound=bound,
        standard_error=difference.standard_error,
        margin=margin,
        gain_of_interest=SHARPE_OF_INTEREST * float(np.sqrt(variance * SESSIONS_PER_YEAR)),
        timing=timing.value,
        timing_bound=timed,
        timing_error=timing.standard_error,
        exposure=exposure,
        reasons=tuple(why for is_against, why in against if is_against),
        level=level,
        drawdown=sized.drawdown,
        whole_drawdown=whole.drawdown,
        turnover=turnover,
        whole_turnover=usual,
    )


def judged_replay(env: MarketEnv, policies: WalkForwardSizing, *, margin: float = MARGIN, level: float = LEVEL) -> SizingVerdict:
    """Replay walk-forward policies from their first session on, and judge them."""
    first = policies.starts[0]
    paths = policies.multipliers(env.states), np.ones(len(env.states))
    return judge_sizing(*(SizedPath.of(env.replay(path), first) for path in paths), margin=margin, level=level)


def judge_decisions(
    policy: SizingPolicy, log: LoggedDecisions, *, margin: float = MARGIN, level: float = LEVEL, is_rehearsal: bool = False
) -> DecisionsVerdict:
    """Judge a policy by a log of drawn multipliers, of which the level before and the state are the features.

    Of a rehearsal nothing follows.

    Raises
    ------
    FixInput
        The log was not randomised: where one level was certain, no other can be judged.
    """
    regressor = learned(Ridge(RidgeConfig()))
    by_policy = [policy.path(row[None, 1:], GRID[int(row[0])])[0] for row in log.features[:, 0]]
    chosen = [np.eye(len(GRID))[np.searchsorted(GRID, by)][:, None] for by in (by_policy, [GRID[WHOLE]] * len(by_policy))]
    support = [overlap(log, one) for one in chosen]
    ours, whole = (doubly_robust(log, one, cross_fitted(log, one, regressor)) for one in chosen)
    gain, sample = ours.minus(whole), min(one.effective_sample for one in support)
    value, bound = (SESSIONS_PER_YEAR * x for x in (gain.value, gain.lower(level)))
    against = (
        (not bound > margin, f"the logged gain is {value:+.2%} a year, its bound {bound:+.2%} is not above {margin:.2%}"),
        (sample < LEAST_EFFECTIVE, f"the effective sample is {sample:.0f}, not {LEAST_EFFECTIVE:.0f} or more"),
        *((True, fault) for one in support for fault in one.faults),
        (is_rehearsal, "a device that made its own time drew them: a rehearsal"),
    )
    return DecisionsVerdict(
        decisions=len(by_policy),
        sessions=len(np.unique(log.sessions)),
        effective_sample=sample,
        gain=value,
        bound=bound,
        standard_error=SESSIONS_PER_YEAR * gain.standard_error,
        margin=margin,
        gain_of_interest=SHARPE_OF_INTEREST * float(log.rewards.std() * np.sqrt(SESSIONS_PER_YEAR)),
        reasons=tuple(dict.fromkeys(why for is_against, why in against if is_against)),
        level=level,
    )
