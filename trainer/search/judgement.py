"""What a Sharpe ratio is worth after so many tries: deflation, overfitting, and how long a record it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from signals.bars import Floats
from signals.errors import InvariantBroken
from trainer.search.trial import State, Trial, sharpe_of
from trainer.validation import dsr
from trainer.validation.deciles import SESSIONS_PER_YEAR
from trainer.validation.pbo import probability_of_overfitting

SAME = 0.9  # return correlation beyond which two trials are one
ENOUGH_CLUSTERS = 10  # equally skilled trials score a PBO of 0.2 to 0.9 by construction: fewer say nothing
BLOCKS = 16
FIGURES = (
    "sharpe", "variance_of_sharpes", "benchmark_sharpe", "psr", "dsr", "dsr_2025", "min_trl_sessions", "min_btl_years",
    "min_btl_bound_years", "years", "pbo",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Evidence:
    """The chosen returns, float64 (T,), and all that was tried to find them; `tries` counts every study's trials.

    `searched` are the returns by which a search chose them, when it shared bins; None otherwise.
    """

    chosen: Floats
    trials: tuple[Trial, ...]
    baselines: Mapping[str, Floats]
    tries: int
    searched: Floats | None = None


def judge(case: Evidence) -> dict[str, Any]:
    """Return the figures as a document; a figure that does not exist is None.

    Raises
    ------
    InvariantBroken
        Fewer tries are claimed than there are trials.
    """
    if case.tries < max(1, len(case.trials)):
        raise InvariantBroken(f"{case.tries} tries cannot be fewer than the {len(case.trials)} trials that there are")
    states = {str(state): sum(trial.state is state for trial in case.trials) for state in State}
    if not np.isfinite(sharpe_of(case.chosen)):  # a book that never moved has no Sharpe ratio to judge
        return {"n_trials": case.tries, "states": states, "bins": gap(case), **dict.fromkeys(FIGURES)}
    moments = dsr.sharpe_moments(case.chosen)
    shape = {"skewness": moments.skewness, "kurtosis": moments.kurtosis}
    variance = variance_of_sharpes(case.trials)
    count = moments.observations
    annual = moments.sharpe * float(np.sqrt(SESSIONS_PER_YEAR))
    benchmark = dsr.deflation_benchmark(case.tries, variance, count)
    return {
        "n_trials": case.tries,
        "states": states,
        "bins": gap(case),
        "sharpe": {"per_session": moments.sharpe, "annual": annual, "sessions": count, **shape},
        "variance_of_sharpes": max(variance, 1.0 / (count - 1)),
        "benchmark_sharpe": benchmark,
        "psr": dsr.probabilistic_sharpe_ratio(moments.sharpe, count, **shape),
        "dsr": dsr.deflated_sharpe_ratio(
            moments.sharpe, count, trials=case.tries, variance_of_trials=variance, **shape
        ),
        "dsr_2025": dsr.deflated_sharpe_ratio_2025(
            moments.sharpe, count, trials=case.tries, variance_of_trials=variance, **shape
        ),
        "min_trl_sessions": _finite(dsr.minimum_track_record_length(moments.sharpe, benchmark=benchmark, **shape)),
        "min_btl_years": dsr.minimum_backtest_length(case.tries, annual) if annual > 0.0 else None,
        "min_btl_bound_years": dsr.minimum_backtest_length_bound(case.tries, annual) if annual > 0.0 else None,
        "years": count / SESSIONS_PER_YEAR,
        "pbo": overfitting(case),
    }


def gap(case: Evidence) -> dict[str, Any] | None:
    """Annual Sharpe ratio of the chosen recipe under the bins that trials shared, and with bins of each split's own.

    The shared ones saw the quantiles of tested features: what the first is above the second was not earned.
    """
    if case.searched is None:
        return None
    shared, own = (sharpe_of(net) * float(np.sqrt(SESSIONS_PER_YEAR)) for net in (case.searched, case.chosen))
    return {"shared": _finite(shared), "per_split": _finite(own), "gap": _finite(shared - own)}


def variance_of_sharpes(trials: tuple[Trial, ...]) -> float:
    """Variance (ddof 1) of the Sharpe ratios of all trials that have one, pruned ones too; 0 for fewer than two."""
    ratios = np.array([trial.sharpe for trial in trials if np.isfinite(trial.sharpe)])
    return float(ratios.var(ddof=1)) if len(ratios) > 1 else 0.0


def clusters(returns: Floats) -> NDArray[np.int64]:
    """Cluster of each column of (T, n) returns: chains of correlations beyond `SAME` are one."""
    varies = np.ptp(returns, axis=0) > 0.0
    centred = returns - returns.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=0))
    alike = (centred.T @ centred) > SAME * np.outer(scale, scale)
    _, labels = connected_components(alike & np.outer(varies, varies), directed=False)
    return np.asarray(labels, dtype=np.int64)


def overfitting(case: Evidence) -> dict[str, Any]:
    """PBO over clusters of complete trials and the baselines; under ten clusters what takes its place.

    A pruned trial has no later sessions and cannot stand in the matrix; it counts as a try all the same.
    """
    whole = [trial.net for trial in case.trials if trial.state is State.COMPLETED]
    of_trials = np.column_stack(whole) if whole else case.chosen[:, None]
    member = clusters(of_trials)
    found = int(member.max()) + 1
    means = [of_trials[:, member == cluster].mean(axis=1) for cluster in range(found)]
    columns = [*means, *case.baselines.values()]
    matrix = np.column_stack(columns if len(columns) > 1 else columns * 2)
    blocks = min(BLOCKS, len(matrix) // 2 * 2)
    result = probability_of_overfitting(matrix, blocks=blocks)
    is_enough = found >= ENOUGH_CLUSTERS
    return {
        "value": result.pbo if is_enough else None,
        "applicable": is_enough,
        "reason": "" if is_enough else f"not applicable: {found} clusters of trials, {ENOUGH_CLUSTERS} are needed",
        "clusters": found, "complete_trials": len(whole), "baselines": sorted(case.baselines), "blocks": blocks,
        "splits": len(result.logits), "dropped_sessions": result.dropped_rows,
        "probability_of_loss": result.probability_of_loss,
        "degradation_slope": _finite(result.degradation_slope),
        "dominates_first": result.dominates_first, "dominates_second": result.dominates_second,
        "logits": np.histogram(result.logits, bins=20, range=(-5.0, 5.0))[0].tolist() if is_enough else None,
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
