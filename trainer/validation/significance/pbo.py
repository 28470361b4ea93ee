r"""Probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

Source: Bailey, Borwein, Lopez de Prado and Zhu, The Probability of Backtest Overfitting (2017). A T x N matrix holds
the per-session performance of N trials. Its rows are cut into S even blocks; each of the C(S, S/2) halves is in-sample
once:

    n* = argmax in sample,  w = rank out of sample of n* / (N + 1),  lambda = ln(w / (1 - w))
    PBO = share of splits with lambda <= 0

Ranks are averages for ties. Rows that do not fill a block are dropped from the front and counted. Means and Sharpe
ratios of a half follow from block sums alone, so all halves are one product of a 0/1 matrix with the block sums.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np

from signals.errors import InvariantBroken, TooLittleHistory
from signals.market.bars import Floats

CHUNK_SPLITS = 1024


class Metric(StrEnum):
    """Metric of a half of the sessions, per session."""

    MEAN = "mean"
    SHARPE = "sharpe"


@dataclass(frozen=True, eq=False)
class Overfitting:
    """Result of CSCV.

    Attributes
    ----------
    pbo : float
        Share of splits in which the best trial in sample is at or below the median out of sample.
    logits : float64, shape (C(S, S/2),)
    degradation_slope : float
        Slope of the chosen trials' out-of-sample performance on their in-sample one; NaN when the latter never varies.
    probability_of_loss : float
        Share of splits in which the chosen trial's out-of-sample performance is negative.
    dominates_first, dominates_second : bool
        Whether the chosen trials' out-of-sample performance stochastically dominates that of all trials.
    dropped_rows : int
        Rows dropped from the front.
    """

    pbo: float
    logits: Floats
    degradation_slope: float
    probability_of_loss: float
    dominates_first: bool
    dominates_second: bool
    dropped_rows: int


def probability_of_overfitting(performance: Floats, *, blocks: int = 16, metric: Metric = Metric.SHARPE) -> Overfitting:
    """CSCV over a T x N matrix without NaN.

    Raises
    ------
    InvariantBroken
        An odd number of blocks, fewer than 2 trials, or a NaN.
    TooLittleHistory
        Fewer rows than blocks.
    """
    rows, trials = performance.shape
    if blocks < 2 or blocks % 2 or trials < 2 or not bool(np.isfinite(performance).all()):
        raise InvariantBroken(f"{blocks} blocks of {trials} trials: an even number, two trials and no NaN are needed")
    if rows < blocks:
        raise TooLittleHistory(f"{rows} sessions cannot fill {blocks} blocks", fix="Use fewer blocks")
    dropped = rows % blocks
    cut = performance[dropped:].reshape(blocks, rows // blocks, trials)
    sums, squares = cut.sum(axis=1), (cut**2).sum(axis=1)
    chosen_in, chosen_out, logits, everyone = [], [], [], []
    halves = _halves(blocks)
    count = (rows - dropped) // 2
    for start in range(0, len(halves), CHUNK_SPLITS):
        half = halves[start : start + CHUNK_SPLITS]
        inside = _judge(half @ sums, half @ squares, count, metric)
        outside = _judge((1.0 - half) @ sums, (1.0 - half) @ squares, count, metric)
        best = np.argmax(inside, axis=1)
        at = np.arange(len(half))
        picked = outside[at, best]
        rank = (outside < picked[:, None]).sum(axis=1) + ((outside == picked[:, None]).sum(axis=1) + 1) / 2.0
        share = rank / (trials + 1)
        logits.append(np.log(share / (1.0 - share)))
        chosen_in.append(inside[at, best])
        chosen_out.append(picked)
        everyone.append(outside.mean(axis=1))
    joined = [np.concatenate(parts) for parts in (logits, chosen_in, chosen_out, everyone)]
    return _findings(joined[0], joined[1], joined[2], joined[3], dropped)


def _halves(blocks: int) -> Floats:
    """0/1 matrix (C(S, S/2), S): which blocks are in sample, in lexicographic order."""
    chosen = np.array(list(combinations(range(blocks), blocks // 2)))
    halves = np.zeros((len(chosen), blocks))
    halves[np.arange(len(chosen))[:, None], chosen] = 1.0
    return halves


def _judge(total: Floats, square: Floats, count: int, metric: Metric) -> Floats:
    mean = total / count
    if metric is Metric.MEAN:
        return mean
    variance = np.maximum(square - total**2 / count, 0.0) / max(count - 1, 1)
    return np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 0.0)


def _findings(logits: Floats, inside: Floats, outside: Floats, everyone: Floats, dropped: int) -> Overfitting:
    varies = float(np.ptp(inside)) > 0.0
    slope = float(np.polyfit(inside, outside, 1)[0]) if varies else float("nan")
    grid = np.sort(np.concatenate([outside, everyone]))
    chosen = np.searchsorted(np.sort(outside), grid, side="right") / len(outside)
    anyone = np.searchsorted(np.sort(everyone), grid, side="right") / len(everyone)
    gap = np.cumsum((anyone - chosen)[:-1] * np.diff(grid))
    return Overfitting(
        pbo=float(np.mean(logits <= 0.0)),
        logits=logits,
        degradation_slope=slope,
        probability_of_loss=float(np.mean(outside < 0.0)),
        dominates_first=bool(np.all(chosen <= anyone)) and bool(np.any(chosen < anyone)),
        dominates_second=bool(np.all(gap >= -1e-15)) and bool(np.any(gap > 0.0)),
        dropped_rows=dropped,
    )
