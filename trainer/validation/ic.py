r"""The rank information coefficient and its standard error under overlapping labels.

Every standard error of a session series in this program is one of those below. With c_t the deviation from the
mean, 0 on a session without a figure, n the sessions that have one and g_l = sum_t c_t c_{t+l}:

    SE^2 = (sum_{|l| <= L} w_l g_l) / n^2

`overlapping_mean`, for what is made of k-session labels: w = 1, L = k - 1 (Hansen and Hodrick 1980, "Forward exchange
rates as optimal predictors of future spot rates"). Labels of sessions k apart share nothing, so the autocovariances end
there, and every one that exists counts in full. The sum is divided by 1 - P / n^2, P the number of its pairs: what the
estimated mean takes from it (for k = 1 that is ddof 1).

`persistent_mean`, for what depends on the past without an end: w_l = 1 - l / (L + 1) (Newey and West 1987, Bartlett
weights), times the fixed-b critical value over 1.96 (Kiefer and Vogelsang 2005, "A new asymptotic theory for
heteroskedasticity-autocorrelation robust tests"). It stands in for the first where that is not positive.

`traded_mean`, for what is made of trades that end when a barrier is met: `persistent_mean` with L = `LIVES` lives of the longest
one, which share what happens while both are open, over sqrt(1 - L / n). The fixed-b value is that of series that depend on little:
of scores and trades that persist together a history of n sessions holds few independent stretches.

`block_mean`, for a book's returns: the standard error of the mean under the circular block bootstrap (Politis and
Romano 1992), in closed form: (b/n) times the variance of the means of all n circular blocks of b sessions, over
1 - b/n. Nothing is drawn, so nothing depends on a seed.

Each t is to be compared with the standard normal distribution. A t-statistic over splits or paths is never
formed: they share their data.
"""

import numpy as np

from signals.market.bars import Floats
from signals.scoring.evidence import Mean
from signals.scoring.scores import rank_ic

__all__ = ["BLOCK_SESSIONS", "Mean", "block_mean", "by_offset", "lag_of", "overlapping_mean", "persistent_mean", "rank_ic", "traded_mean"]

NORMAL_975 = 1.96
BLOCK_SESSIONS = 21  # a month: dependence within it stays
LIVES = 3
FALLBACK_LAGS = 5  # times k: so long a Bartlett window keeps 90 % and more of what the overlap adds


def overlapping_mean(series: Floats, k: int) -> Mean:
    """Mean of a session series made of k-session labels.

    Parameters
    ----------
    series : float64, shape (T,)
        By session; NaN where a session has no figure, which keeps the distances of the others.
    k : int, sessions
        1 for figures that share nothing.
    """
    centred, mean, count = _centred(series)
    if count < 2:
        return Mean(mean, float("nan"), float("nan"), count)
    known = np.isfinite(series).astype(np.float64)
    uniform = np.ones(min(k, len(series)))
    pairs = _weighted(known, uniform) / count**2
    total = _weighted(centred, uniform)
    if pairs >= 1.0 or total <= 0.0:
        return persistent_mean(series, FALLBACK_LAGS * k) if k > 1 else _with_t(mean, 0.0, count)
    return _with_t(mean, total / (1.0 - pairs), count)


def persistent_mean(series: Floats, lag: int) -> Mean:
    """Mean of a session series that depends on its past for longer than labels overlap.

    Parameters
    ----------
    series : float64, shape (T,)
        As in `overlapping_mean`.
    lag : int, sessions
        Cut to the sessions that have a figure, less one.
    """
    centred, mean, count = _centred(series)
    if count < 2:
        return Mean(mean, float("nan"), float("nan"), count)
    window = min(lag, count - 1) + 1
    total = _weighted(centred, 1.0 - np.arange(window) / window)
    return _with_t(mean, max(total, 0.0) * (_fixed_b(window / count) / NORMAL_975) ** 2, count)


def lag_of(life: int, least: int) -> int:
    """Return the lag for trades of which the longest lives `life` sessions, all in sessions; `least` where that is longer."""
    return max(least, LIVES * life)


def traded_mean(series: Floats, life: int, least: int) -> Mean:
    """Mean of a session series of trades of which the longest lives `life` sessions; its error is NaN of `LIVES` lives or fewer.

    Parameters
    ----------
    series : float64, shape (T,)
        As in `overlapping_mean`.
    life, least : int, sessions
        As in `lag_of`; 0 is the life of a trade that ends with its session.
    """
    found = persistent_mean(series, lag_of(life, least))
    independent = 1.0 - LIVES * life / max(found.sessions, 1)
    widened = 1.0 / np.sqrt(independent) if independent > 0.0 else float("nan")
    return Mean(found.mean, found.standard_error * widened, found.t / widened, found.sessions)


def block_mean(series: Floats, block: int = BLOCK_SESSIONS) -> Mean:
    """Mean of a book's session returns, no NaN; t is NaN of fewer than two blocks and of returns that do not vary."""
    count = len(series)
    mean = float(series.mean()) if count else float("nan")
    if count < 2 * block:
        return Mean(mean, float("nan"), float("nan"), count)
    means = block_sums(series, block) / block
    variance = float(means.var()) if np.ptp(series) > 0.0 else 0.0
    return _with_t(mean, count * block * variance / (1.0 - block / count), count)


def block_sums(series: Floats, block: int) -> Floats:
    """Sum of the circular block that starts at each session, shape as `series`, (T, ...)."""
    running = np.cumsum(np.concatenate([series, series[: block - 1]]), axis=0)
    return np.concatenate([running[block - 1 : block], running[block:] - running[:-block]])


def by_offset(series: Floats, k: int) -> tuple[Mean, ...]:
    """Means of the k series that take every k-th session, whose labels do not overlap."""
    return tuple(overlapping_mean(series[offset::k], 1) for offset in range(k))


def _centred(series: Floats) -> tuple[Floats, float, int]:
    known = np.isfinite(series)
    count = int(known.sum())
    mean = float(series[known].mean()) if count else float("nan")
    return np.where(known, series - mean, 0.0), mean, count


def _weighted(values: Floats, weights: Floats) -> float:
    """Sum over |l| < len(weights) of w_l sum_t v_t v_{t+l}."""
    total = float(values @ values)
    for lag in range(1, len(weights)):
        total += 2.0 * float(weights[lag]) * float(values[lag:] @ values[:-lag])
    return total


def _fixed_b(b: float) -> float:
    """Two-sided 5 % critical value of a t with Bartlett weights over the share b of the sessions."""
    return NORMAL_975 + 2.9694 * b + 0.4160 * b**2 - 0.5324 * b**3


def _with_t(mean: float, total: float, count: int) -> Mean:
    error = float(np.sqrt(total)) / count
    return Mean(mean, error, mean / error if error > 0.0 else float("nan"), count)
