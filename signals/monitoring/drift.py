"""Drift of features and scores against the training reference, by the population stability index.

    PSI = sum_b (a_b - e_b) ln(a_b / e_b)

a_b is the share of recent values in bin b and e_b that of the reference; bins are the reference's deciles, and a
feature has one more for missing values. The statistic pools a trailing window of 60 sessions: one session against a
pooled reference differs on every day of real data. What counts as too much is not a rule of thumb: it is the 99.9th
percentile of the same statistic over every such window of the training history.

A sleeve of events has few rows a session, and some sessions have none. Its window is one pool, of which nothing is said below 200 rows,
and whose limit is no lower than what so many independent rows of the reference reach once in a thousand pools: n PSI is then about
chi-squared with B - 1 degrees of freedom (Yurdakul 2018, "Statistical Properties of Population Stability Index"). The training history's
own windows, which hold whole sessions of events, set the limit wherever theirs is higher.

Features that are the same for every name of a session (the calendar's) and per-session ranks are left out: the first
repeat by construction, the second are uniform by construction.

The reference carries the limits of `signals.monitoring.continuity` too, which sees a fault within sessions where this statistic
takes weeks.

Entry points: `reference` on the trainer, `trailing_psi` and `trailing_score_psi` on the device, `psi` anywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from signals.errors import BundleRefused, InvariantBroken, TooLittleHistory
from signals.features.panel import FeaturePanel
from signals.market.bars import Floats
from signals.monitoring import continuity
from signals.monitoring.continuity import ContinuityLimits
from signals.text.documents import BadDocument, absent, from_json

FORMAT = "trademl-drift/1"
WINDOW_SESSIONS = 60
LIMIT_QUANTILE = 0.999
DECILES = np.linspace(0.1, 0.9, 9)
MIN_SHARE = 1e-4  # an empty bin counts as one in ten thousand, so that the logarithm exists
RANK_PREFIX = "rank_"
LEAST_ROWS = 200
"""Rows without which nothing is said of a pool: half a deviation gives a PSI of 0.25, chance 0.15 once in a thousand pools of so many."""
Z_999 = 3.0902  # the normal distribution's 99.9th percentile

Values = NDArray[np.float32] | Floats
Counts = NDArray[np.int64]


class DriftState(StrEnum):
    """Whether a figure could be computed; too little history is a state of its own, not a missing input."""

    MEASURED = "measured"
    TOO_LITTLE_HISTORY = "too little history yet"
    TOO_FEW_ROWS = f"too few rows yet, under {LEAST_ROWS}"


@dataclass(frozen=True)
class Drift:
    """One figure against its limit.

    Attributes
    ----------
    name : str
        Feature, or "score".
    value : float
        PSI of the trailing window; NaN while there is too little history, or too few rows.
    limit : float
        The training history's 99.9th percentile of the same statistic; of a pool at least that of chance.
    """

    name: str
    state: DriftState
    value: float
    limit: float

    @property
    def ratio(self) -> float:
        """`value / limit`: above 1 the limit is exceeded; NaN while there is too little history."""
        if self.limit > 0:
            return self.value / self.limit
        return float("inf") if self.value > 0 else self.value

    @property
    def is_exceeded(self) -> bool:
        """Whether it is measured and not within its limit; a measured NaN is not within anything."""
        return self.state is DriftState.MEASURED and not self.value <= self.limit


@dataclass(frozen=True)
class TrailingDrift:
    """Every watched feature, in the reference's order, and the score."""

    features: tuple[Drift, ...]
    score: Drift


@dataclass(frozen=True)
class BinShares:
    """Inner edges of a figure's bins, the reference's share in each (one more for missing values), and the limit."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    limit: float


@dataclass(frozen=True)
class DriftReference:
    """The training history as a device compares with it; `continuity` is absent from a bundle of an earlier release."""

    format: str
    window_sessions: int
    features: Mapping[str, BinShares]
    score: BinShares
    limit_quantile: float = LIMIT_QUANTILE
    sessions: int | None = None
    continuity: ContinuityLimits | None = absent()


def read_reference(document: Mapping[str, object]) -> DriftReference:
    """Read the reference out of a bundle's JSON; raise `BundleRefused` where it cannot be read."""
    if document.get("format", FORMAT) != FORMAT:
        raise BundleRefused(f"drift reference of format {document['format']!r}, not {FORMAT!r}")
    try:
        return from_json(DriftReference, document)
    except BadDocument as error:
        raise BundleRefused(f"the drift reference cannot be read: {error}", fix="Publish another bundle") from None


def psi(expected: Floats, actual: Floats) -> Floats:
    """Population stability index of two distributions over the same bins.

    Parameters
    ----------
    expected : float64, shape (B,)
        Reference shares, summing to 1.
    actual : float64, shape (..., B)
        Shares to compare.

    Returns
    -------
    float64, shape (...)
        0 when they agree. A share below 1e-4, on either side, counts as 1e-4.

    Examples
    --------
    >>> float(psi(np.array([0.5, 0.5]), np.array([0.5, 0.5])))
    0.0
    """
    e, a = np.maximum(expected, MIN_SHARE), np.maximum(actual, MIN_SHARE)
    index: Floats = np.sum((a - e) * np.log(a / e), axis=-1)
    return index


def watched(panel: FeaturePanel) -> tuple[str, ...]:
    """Names of the features that can drift: no ranks, and none that is the same for every name of every session."""
    return tuple(
        name
        for column, name in enumerate(panel.names)
        if not name.startswith(RANK_PREFIX) and not _is_shared(panel.values[:, :, column], panel.eligible)
    )


def reference(panel: FeaturePanel, scores: Floats) -> DriftReference:
    """Describe the training history for a device to compare with.

    Parameters
    ----------
    panel : FeaturePanel
        The training history, T >= 60 sessions; only eligible cells are read.
    scores : float64, shape (T, N)
        Scores on the same axes, of models that never saw the session; NaN where there is none.

    Raises
    ------
    TooLittleHistory
        Fewer than 60 sessions, or no session has a score.
    InvariantBroken
        Scores and features are on different axes.
    """
    if scores.shape != panel.eligible.shape:
        raise InvariantBroken(f"scores of shape {scores.shape} on features of {panel.eligible.shape}")
    if len(panel.sessions) < WINDOW_SESSIONS:
        raise TooLittleHistory(
            f"drift needs {WINDOW_SESSIONS} sessions of history, not {len(panel.sessions)}", fix="Train on a longer range"
        )
    rows = np.nonzero(panel.eligible)[0]
    features = {
        name: _describe(panel.values[:, :, panel.names.index(name)][panel.eligible], rows, len(panel.sessions)) for name in watched(panel)
    }
    scored = np.isfinite(scores)
    if not scored.any():
        raise TooLittleHistory("no training session has a score", fix="Train on a longer range")
    return DriftReference(
        FORMAT,
        WINDOW_SESSIONS,
        features,
        _describe(scores[scored], np.nonzero(scored)[0], len(panel.sessions)),
        sessions=len(panel.sessions),
        continuity=continuity.limits((*features, continuity.SCORE), _evenings(panel, tuple(features), scores)),
    )


def continuity_limits(document: Mapping[str, object]) -> ContinuityLimits | None:
    """Return the limits of continuity in a bundle's drift reference; None from a bundle of before they were recorded."""
    found = document.get("continuity")
    return None if found is None else continuity.read_limits(found)


def _evenings(panel: FeaturePanel, names: tuple[str, ...], scores: Floats) -> Iterator[NDArray[np.float32]]:
    """Watched features and the score of each session, (N, F + 1)."""
    columns = [panel.names.index(name) for name in names]
    for row, eligible in enumerate(panel.eligible):
        values = np.column_stack([panel.values[row][:, columns], scores[row].astype(np.float32)])
        yield np.where(eligible[:, None], values, np.float32(np.nan))


def trailing_psi(reference: DriftReference, panel: FeaturePanel, scores: Sequence[Floats], least_rows: int = 0) -> TrailingDrift:
    """Compare the newest 60 sessions with the reference.

    Parameters
    ----------
    reference : DriftReference
        From the bundle.
    panel : FeaturePanel
        Recent sessions, newest last; only eligible cells are read.
    scores : sequence of float64 arrays
        One array of finite scores a session, newest last, all of this bundle.
    least_rows : int
        Of a pool, whose sessions have few rows: `LEAST_ROWS`. 0 for a sleeve that scores every name.

    Returns
    -------
    TrailingDrift
        A figure whose history has fewer than 60 sessions, or fewer rows than the least, says so instead of giving a value.

    Raises
    ------
    BundleRefused
        It watches a feature that the panel lacks, or its edges are in no order.
    """
    window = reference.window_sessions
    if lost := [name for name in reference.features if name not in panel.names]:
        raise BundleRefused(f"the drift reference watches {lost[0]!r}, which is not computed here")
    recent = panel.eligible[-window:]
    features = tuple(
        _drift(name, row, panel.values[-window:, :, panel.names.index(name)][recent], len(recent) >= window, least_rows)
        for name, row in reference.features.items()
    )
    return TrailingDrift(features, trailing_score_psi(reference, scores, least_rows))


def trailing_score_psi(reference: DriftReference, scores: Sequence[Floats], least_rows: int = 0) -> Drift:
    """Compare the scores of the newest 60 sessions alone with the reference; as `trailing_psi`."""
    pooled = np.concatenate([np.empty(0), *scores[-reference.window_sessions :]])
    return _drift("score", reference.score, pooled, len(scores) >= reference.window_sessions, least_rows)


def _drift(name: str, row: BinShares, values: Values, enough: bool, least_rows: int) -> Drift:
    if not enough:
        return Drift(name, DriftState.TOO_LITTLE_HISTORY, float("nan"), row.limit)
    if len(values) < least_rows:
        return Drift(name, DriftState.TOO_FEW_ROWS, float("nan"), row.limit)
    expected = np.array(row.shares, dtype=np.float64)
    counts = np.bincount(_bins(np.array(row.edges), values), minlength=len(expected))
    if counts.sum() == 0:
        return Drift(name, DriftState.MEASURED, float("nan"), row.limit)
    limit = max(row.limit, by_chance(expected, len(values))) if least_rows else row.limit
    return Drift(name, DriftState.MEASURED, float(psi(expected, counts / counts.sum())), limit)


def by_chance(expected: Floats, rows: int) -> float:
    """Return what the PSI of so many independent rows of the law `expected`, shape (B,), is beyond once in a thousand times.

    The percentile of chi-squared is Wilson's and Hilferty's; 0 for a law of one bin.
    """
    degrees = int(np.count_nonzero(expected)) - 1
    if degrees < 1:
        return 0.0
    spread = 2.0 / (9.0 * degrees)
    return float(degrees * (1.0 - spread + Z_999 * np.sqrt(spread)) ** 3 / rows)


def _describe(values: Values, rows: Counts, sessions: int) -> BinShares:
    """Decile edges, shares and limit of values (n,) that are in `rows` (n,) of `sessions`."""
    present = values[~np.isnan(values)]
    edges = np.unique(np.quantile(present, DECILES).astype(values.dtype)) if present.size else np.empty(0, values.dtype)
    width = len(edges) + 2
    cells = rows * width + _bins(edges, values)
    counts = np.bincount(cells, minlength=sessions * width).reshape(sessions, width)
    shares = counts.sum(axis=0) / counts.sum()
    limit = float(np.quantile(_window_psi(counts, shares), LIMIT_QUANTILE))
    return BinShares(tuple(map(float, edges)), tuple(map(float, shares)), limit)


def _window_psi(counts: Counts, shares: Floats) -> Floats:
    """PSI of every window of 60 sessions that holds a value; shape (<= T - 59,)."""
    sums = sliding_window_view(counts, WINDOW_SESSIONS, axis=0).sum(axis=-1)
    totals = sums.sum(axis=1, keepdims=True)
    filled = totals[:, 0] > 0
    return psi(shares, sums[filled] / totals[filled])


def _bins(edges: Values, values: Values) -> Counts:
    """Bin of each value: the first whose upper edge is not below it; the last bin holds the missing."""
    bins = np.searchsorted(edges.astype(values.dtype), values, side="left")
    return np.where(np.isnan(values), len(edges) + 1, bins)


def _is_shared(values: Values, eligible: NDArray[np.bool_]) -> bool:
    """Whether every session has one value for all its eligible names."""
    low = np.min(values, axis=1, initial=np.inf, where=eligible & ~np.isnan(values))
    high = np.max(values, axis=1, initial=-np.inf, where=eligible & ~np.isnan(values))
    return bool(np.all((high == low) | (high < low)))
