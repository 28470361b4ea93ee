"""A sizing policy against decisions that were drawn: the doubly robust gain over the whole book, where propensities exist.

A replay needs no log. Where multipliers were drawn at random and their propensities kept, their log says the same without
the replay's assumption that returns do not answer to size, and a policy must not fail it: the one-sided bound of

    DR(policy) - DR(always the whole book)

paired by decision, over sessions in a year, is above the margin, with an effective sample of 100 of either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from portfolio.policy.sizing import GRID, WHOLE, SizingPolicy
from portfolio.risk.scaling import SESSIONS_PER_YEAR
from signals.errors import FixInput
from signals.storage.arrow import days, floats, read_parquet
from signals.text.wording import reason_of
from trainer.learners.linear import Ridge
from trainer.learners.parameters import RidgeConfig
from trainer.off_policy.arms.tuner import LEAST_EFFECTIVE
from trainer.off_policy.estimators import doubly_robust, overlap
from trainer.off_policy.fitted_q import cross_fitted, learned
from trainer.off_policy.logs import LoggedDecisions
from trainer.off_policy.sizing import LEVEL, MARGIN, SHARPE_OF_INTEREST, power

COLUMNS = ("before", "multiplier", "propensity", "reward")
FIX = "Give a Parquet file with session (date), before, multiplier, propensity, reward and the state, all numbers float64"


@dataclass(frozen=True)
class DecisionsVerdict:
    """What a log says of a policy; rates are of equity a year."""

    decisions: int
    sessions: int
    effective_sample: float
    gain: float
    bound: float
    standard_error: float
    margin: float
    gain_of_interest: float
    reasons: tuple[str, ...]
    level: float = LEVEL

    @property
    def is_accepted(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.is_accepted:
            return f"accepted: {self.gain:+.2%} a year, at least {self.bound:+.2%}, of {self.decisions} decisions"
        seen = power(self.gain_of_interest - self.margin, self.standard_error, self.sessions - 1, self.level)
        seen_in = f"a true gain of {self.gain_of_interest:.2%} a year would have been seen in {seen:.0%} of such logs"
        return f"refused: {'; '.join(self.reasons)}; {seen_in}"


def read_decisions(path: Path, names: Sequence[str]) -> LoggedDecisions:
    """Read decisions on sizes: the level before and the state (`names`) are the features, levels of the grid the arms.

    Raises
    ------
    FixInput
        The file cannot be read, lacks a column, or holds a multiplier that is not on the grid.
    """
    try:
        table = read_parquet(path.read_bytes())
        if missing := sorted({"session", *COLUMNS, *names} - {*table.column_names}):
            raise FixInput(f"there is no column {', '.join(missing)}", where=str(path), fix=FIX)
        known = table.select(["session", *COLUMNS, *names]).cast(
            pa.schema([("session", pa.date32()), *((c, pa.float64()) for c in (*COLUMNS, *names))])
        )
    except (OSError, pa.ArrowException) as error:
        raise FixInput(f"decisions cannot be read: {reason_of(error)}", where=str(path), fix=FIX) from None
    before, chosen, chance, reward = (floats(known.column(name)) for name in COLUMNS)
    levels = np.array(GRID)
    for name, values in (("before", before), ("multiplier", chosen)):
        if not np.isin(values, levels).all():
            raise FixInput(f"a {name} is none of {GRID}", where=str(path), fix=FIX)
    states = [floats(known.column(name)) for name in names]
    features = np.column_stack([np.searchsorted(levels, before), *states])
    sessions = days(known.column("session")).astype(np.int64)
    return LoggedDecisions.of_one_step(sessions, features, np.searchsorted(levels, chosen), reward, chance, len(GRID))


def judge_decisions(
    policy: SizingPolicy, log: LoggedDecisions, *, margin: float = MARGIN, level: float = LEVEL, is_rehearsal: bool = False
) -> DecisionsVerdict:
    """Judge a policy by a log of `read_decisions` or of devices; of a rehearsal nothing follows.

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
