"""Judges a Sharpe ratio given the number of trials: deflation, PBO, minimum track record length.

Two hurdles stand for the trials, and a verdict takes the stricter:

* raw: N, every trial that counts, with the variance of their Sharpe ratios;
* effective: K clusters of trials whose returns correlate beyond 0.9, with the variance of the clusters' Sharpe ratios.

K is never above N, so its expected maximum is smaller; but a hundred clones make the raw variance small, and the
clusters' is not. DSR is the smaller of both.

A series that is no book's has no Sharpe ratio to deflate. `judge_search` asks in its place what the chosen trial gains on the
recipe as configured, in pairs, as the largest gain of all trials; PBO ranks trials by their means.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from signals.market.bars import Days, Floats
from trainer.runs.trials import BestOfAll, Hurdles, OverfittingFigures, SearchFigures, SharedBins, SharpeFigures, Trials
from trainer.search.counting import Counted
from trainer.search.trial_log import Series, sharpe_of
from trainer.validation.deciles import SESSIONS_PER_YEAR
from trainer.validation.forecasts import session_mean
from trainer.validation.significance import dsr
from trainer.validation.significance.dsr import Hurdle
from trainer.validation.significance.max_t import BLOCK_SESSIONS, DRAWS, max_t
from trainer.validation.significance.pbo import Metric, probability_of_overfitting

SAME = 0.9  # return correlation beyond which two trials are one
MIN_COMMON = 60  # sessions: fewer in common show no likeness, and no gain of one on the other
ENOUGH_CLUSTERS = 10  # equally skilled trials score a PBO of 0.2 to 0.9 by construction: fewer say nothing
BLOCKS = 16
COVERS = 0.8  # share of the chosen sessions that a trial must have to be a column of CSCV's matrix
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class SearchEvidence:
    """The chosen returns, and all that was tried to find them.

    `searched` are the returns by which a search chose them, when it shared bins; None otherwise.
    """

    chosen: Series
    counted: Counted
    searched: Floats | None = None


def judge(case: SearchEvidence) -> Trials:
    """Return the figures; one that does not exist is None."""
    net, counted = case.chosen.net, case.counted
    known = Trials(n_trials=counted.tries, states=dict(counted.states), blind=counted.blind, retrained=counted.retrained, bins=gap(case))
    if not np.isfinite(sharpe_of(net)):  # a book that never moved has no Sharpe ratio to judge
        return known
    moments = dsr.sharpe_moments(net)
    shape = {"skewness": moments.skewness, "kurtosis": moments.kurtosis}
    raw, effective = hurdles(counted)
    count = moments.observations
    annual = moments.sharpe * float(np.sqrt(SESSIONS_PER_YEAR))
    recent = [
        dsr.deflated_sharpe_ratio_2025(moments.sharpe, count, trials=hurdle.trials, variance_of_trials=hurdle.variance, **shape)
        for hurdle in (raw, effective)
    ]
    return replace(
        known,
        sharpe=SharpeFigures(moments.sharpe, annual, count, **shape),
        variance_of_sharpes=max(raw.variance, 1.0 / (count - 1)),
        hurdles=Hurdles(raw, effective),
        benchmark_sharpe=max(dsr.deflation_benchmark(h.trials, h.variance, count) for h in (raw, effective)),
        psr=dsr.probabilistic_sharpe_ratio(moments.sharpe, count, **shape),
        dsr=dsr.strictest(moments, (raw, effective)),
        dsr_2025=min(recent),
        min_trl_sessions=_finite(dsr.sessions_needed(moments, (raw, effective), CONFIDENCE)),
        min_btl_years=dsr.minimum_backtest_length(counted.tries, annual) if annual > 0.0 else None,
        min_btl_bound_years=dsr.minimum_backtest_length_bound(counted.tries, annual) if annual > 0.0 else None,
        years=count / SESSIONS_PER_YEAR,
        pbo=overfitting(case),
        max_t=best_of_all(case),
    )


def judge_search(case: SearchEvidence, configured: Series) -> SearchFigures:
    """Return the figures of a chosen trial by a task's own metric, against those of the recipe as configured."""
    counted = case.counted
    _, matrix = aligned([configured, case.chosen, *counted.series])
    gains = matrix[:, 1:] - matrix[:, :1]
    gains = gains[:, np.isfinite(gains).any(axis=0)]
    known = SearchFigures(
        n_trials=counted.tries,
        states=dict(counted.states),
        blind=counted.blind,
        value=float(case.chosen.net.mean()),
        configured=float(configured.net.mean()),
        pbo=overfitting(case, Metric.MEAN),
    )
    if not np.nanstd(gains[:, 0]) > 0.0:
        return known
    mean = float(np.nanmean(gains[:, 0]))
    if np.isfinite(gains[:, 0]).sum() < MIN_COMMON:  # whole blocks of so few sessions are all alike
        return replace(known, gain=mean)
    found = max_t(gains[:, 0], gains[:, 1:], blind=counted.blind)
    return replace(known, gain=mean, low=mean - found.critical * found.error, p=found.p)


def hurdles(counted: Counted) -> tuple[Hurdle, Hurdle]:
    """Return the raw and the effective hurdle; a trial without returns is a cluster of its own."""
    if not counted.series:
        return Hurdle(counted.tries, 0.0), Hurdle(counted.tries, 0.0)
    matrix = aligned(counted.series)[1]
    member = clusters(matrix)
    count = int(member.max()) + 1
    groups = [session_mean(matrix[:, member == cluster]) for cluster in range(count)]
    raw = variance_of_sharpes([series.net for series in counted.series])
    return Hurdle(counted.tries, raw), Hurdle(count + counted.blind, variance_of_sharpes(groups))


def aligned(series: Sequence[Series]) -> tuple[Days, Floats]:
    """Return all sessions of the series in order, and their returns as columns, NaN where one has none."""
    days = np.unique(np.concatenate([one.days for one in series]))
    matrix = np.full((len(days), len(series)), np.nan)
    for column, one in enumerate(series):
        matrix[np.searchsorted(days, one.days), column] = one.net
    return days, matrix


def best_of_all(case: SearchEvidence) -> BestOfAll:
    """Test the chosen returns as the best of all that were tried (max-t), however these correlate."""
    _, matrix = aligned([case.chosen, *case.counted.series])
    found = max_t(matrix[:, 0], matrix[:, 1:], blind=case.counted.blind)
    return BestOfAll(
        p=found.p,
        t=found.t,
        critical_t=found.critical,
        trials=len(case.counted.series),
        blind=case.counted.blind,
        block_sessions=BLOCK_SESSIONS,
        draws=DRAWS,
    )


def gap(case: SearchEvidence) -> SharedBins | None:
    """Annual Sharpe ratio of the chosen recipe under the bins that trials shared, and with bins of each split's own.

    The shared ones saw the quantiles of tested features: what the first is above the second was not earned.
    """
    if case.searched is None:
        return None
    shared, own = (sharpe_of(net) * float(np.sqrt(SESSIONS_PER_YEAR)) for net in (case.searched, case.chosen.net))
    return SharedBins(_finite(shared), _finite(own), _finite(shared - own))


def variance_of_sharpes(returns: Sequence[Floats]) -> float:
    """Variance (ddof 1) of the Sharpe ratios of all returns that have one, pruned ones too; 0 for fewer than two."""
    ratios = np.array([sharpe_of(net[np.isfinite(net)]) for net in returns])
    ratios = ratios[np.isfinite(ratios)]
    return float(ratios.var(ddof=1)) if len(ratios) > 1 else 0.0


def clusters(returns: Floats) -> NDArray[np.int64]:
    """Cluster of each column of (T, n) returns: chains of correlations beyond `SAME` are one.

    Two columns are compared on the sessions that both have, NaN elsewhere; on fewer than `MIN_COMMON` they are unlike,
    unless the whole is as short.
    """
    known = np.isfinite(returns).astype(np.float64)
    filled = np.nan_to_num(returns)
    common = known.T @ known
    total = filled.T @ known  # of the first one's returns, over the sessions in common
    square = (filled**2).T @ known
    count = np.maximum(common, 1.0)
    product = filled.T @ filled - total * total.T / count
    spread = np.maximum(square - total**2 / count, 0.0)
    scale = np.sqrt(spread * spread.T)
    alike = (product > SAME * scale) & (scale > 0.0) & (common >= min(MIN_COMMON, len(returns)))
    _, labels = connected_components(alike, directed=False)
    return np.asarray(labels, dtype=np.int64)


def overfitting(case: SearchEvidence, metric: Metric = Metric.SHARPE) -> OverfittingFigures:
    """PBO over clusters of complete trials and the baselines; under ten clusters what takes its place.

    A column of CSCV's matrix has most of the chosen sessions; the rows are the sessions that all columns have. A pruned
    trial has no later sessions and is no column; it counts as a try, and in the max-t test, all the same.
    """
    whole = [one for one in case.counted.series if _covers(one, case.chosen)] or [case.chosen]
    baselines = {name: one for name, one in case.counted.baselines.items() if _covers(one, case.chosen)}
    _, matrix = aligned([*whole, *baselines.values()])
    matrix = matrix[np.isfinite(matrix).all(axis=1)]
    if len(matrix) < BLOCKS:
        whole, baselines, matrix = [case.chosen], {}, case.chosen.net[:, None]
    of_trials = matrix[:, : len(whole)]
    member = clusters(of_trials)
    found = int(member.max()) + 1
    means = [of_trials[:, member == cluster].mean(axis=1) for cluster in range(found)]
    columns = [*means, *matrix[:, len(whole) :].T]
    performance = np.column_stack(columns if len(columns) > 1 else columns * 2)
    blocks = min(BLOCKS, len(performance) // 2 * 2)
    result = probability_of_overfitting(performance, blocks=blocks, metric=metric)
    is_enough = found >= ENOUGH_CLUSTERS
    return OverfittingFigures(
        value=result.pbo if is_enough else None,
        applicable=is_enough,
        reason="" if is_enough else f"not applicable: {found} clusters of trials, {ENOUGH_CLUSTERS} are needed",
        clusters=found,
        complete_trials=len(whole),
        baselines=tuple(sorted(baselines)),
        blocks=blocks,
        splits=len(result.logits),
        dropped_sessions=result.dropped_rows,
        probability_of_loss=result.probability_of_loss,
        degradation_slope=_finite(result.degradation_slope),
        dominates_first=result.dominates_first,
        dominates_second=result.dominates_second,
        logits=tuple(np.histogram(result.logits, bins=20, range=(-5.0, 5.0))[0].tolist()) if is_enough else None,
    )


def _covers(one: Series, chosen: Series) -> bool:
    return bool(np.isin(chosen.days, one.days).mean() >= COVERS)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
