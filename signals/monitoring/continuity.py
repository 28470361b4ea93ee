"""Continuity: whether an evening's features and scores go on from the evening before as honest ones do.

A storm moves the level of every feature, and so does a fault: levels cannot tell them apart. What a storm hardly moves,
and most faults break at once, is which name stands above which. With x_t the cross-section of a feature (or of the
scores) at session t, a the newest accepted evening at most three sessions before t, u the rank of x among the names
that have a value at that session, and every sum over the names that have one on both sides:

    order_f    = 1 - corr(u_t, u_a)                              Spearman's rho from one session to the next
    scale_f    = |ln(median |x_t| / median |x_a|)|               a factor common to all names, as a logarithm; of a
                                                                 feature in logarithms |median x_t - median x_a|
    relation_f = 1 - s corr(u_t, v_t)                            v the ranks of the partner of f, s = +1 or -1
    lost_f     = share of the names with a value at a that have none at t
    repeated   = share of the features' values of t that equal those of a to the bit

A distance of 0 says that nothing changed, 1 is a shuffle, 2 a flipped sign (Spearman 1904, "The proof and measurement
of association between two things"); a doubling is ln 2 of scale. The partner of f is the column whose correlation with
it was strongest in the worst hundredth of the training sessions.

A limit is three times the 99th percentile of the same statistic over the training history (twice for the scale of
logarithms, which average many sessions), separately for a one, two and three sessions before t, and at least half a
shuffle, half a doubling or a quarter of the values. A higher percentile would be the maximum of the history, and one
session with a hole in it would switch its statistic off. A statistic whose limit would be beyond three quarters of a
fault could not tell one from an honest session and is left out; the bundle states what is judged. A column that the
accepted evening lacks is not compared. `recomputed` compares what was recorded on an evening with the same session
computed anew, and the scores with those that the model gives now to the recorded features: honest values agree,
whatever the feature, and its limit is a constant.

Entry points: `limits` on the trainer; `step`, `relations` and `recomputed` on the device.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.errors import BundleRefused, InvariantBroken
from signals.features.ranking import rank
from signals.market.bars import Floats
from signals.scoring.scores import MIN_NAMES
from signals.text.documents import BadDocument, from_json
from signals.text.wording import reason_of

LAGS = (1, 2, 3)
"""Sessions from an accepted evening to the one that is judged: the third skip in a row halts the device."""
QUANTILE, MARGIN, LOG_MARGIN = 0.99, 3.0, 2.0
PARTNER_QUANTILE = 0.01
HALF, QUARTER, MOST_OF = 0.5, 0.25, 0.75
DOUBLED = math.log(2.0)
FIVEFOLD_SESSION = 0.2
"""Least scale of a mean over 20 sessions in logarithms: one session at five times the usual moves it by ln(24/20)."""
KNOWN_SHARE = 0.25
"""Share of the sessions on which a judged statistic is defined: long look-backs and sealed sessions are missing."""
RECOMPUTED = 0.5
"""Limit of order, and of scale, between a record and its recomputation: half a shuffle, and less than a doubling. The
worst of 305 evenings of a vendor that corrects its bars the day after came to 0.35."""
LOG_PREFIX, SCORE = "log_", "score"
BY_COLUMN = {"order": (HALF, 1.0), "scale": (HALF * DOUBLED, DOUBLED), "lost": (QUARTER, 1.0)}
"""Least limit of each statistic of one column, and what the fault that it looks for would be."""

Cells = NDArray[np.float32]


@dataclass(frozen=True)
class StepLimits:
    """Limits of the statistics between two sessions, by column; a statistic that is not judged has none."""

    order: Mapping[str, float]
    scale: Mapping[str, float]
    lost: Mapping[str, float]
    repeated: float | None = None


@dataclass(frozen=True)
class RelationLimit:
    """Limit of a column's relation to its partner."""

    partner: str
    sign: float
    limit: float


@dataclass(frozen=True)
class ContinuityLimits:
    """Every limit, as a bundle carries them: `steps` by lag, `relations` by column."""

    steps: Mapping[str, StepLimits]
    relations: Mapping[str, RelationLimit]
    columns: tuple[str, ...] = ()
    quantile: float = QUANTILE
    margin: float = MARGIN


def read_limits(document: object) -> ContinuityLimits:
    """Read the limits out of a bundle's JSON; raise `BundleRefused` where they cannot be read."""
    try:
        return from_json(ContinuityLimits, document)
    except BadDocument as error:
        raise _unreadable(error) from None


@dataclass(frozen=True)
class Worst:
    """The statistic that uses most of its limit.

    Attributes
    ----------
    name : str
        Statistic and column: "order of momentum_20".
    ratio : float
        Its value over its limit: above 1 it is exceeded, infinite where it cannot be measured.
    """

    name: str
    ratio: float


@dataclass(frozen=True, eq=False)
class SessionChange:
    """The statistics between two sessions: `order`, `scale` and `lost` of shape (F,)."""

    order: Floats
    scale: Floats
    lost: Floats
    repeated: float

    @classmethod
    def between(cls, columns: tuple[str, ...], before: tuple[Cells, Cells], now: tuple[Cells, Cells]) -> SessionChange:
        """Compare values and ranks, (N, F) each, of the same names."""
        (x_a, u_a), (x_b, u_b) = before, now
        features = [name != SCORE for name in columns]
        return cls(_order(u_a, u_b), _scale(columns, x_a, x_b), _lost(x_a, x_b), _repeated(x_a[:, features], x_b[:, features]))


@dataclass(frozen=True, eq=False)
class CrossSection:
    """Features and scores of one session.

    Attributes
    ----------
    symbols : tuple of str, length N
    columns : tuple of str, length F
        Features, and "score".
    values : float32, shape (N, F); NaN where undefined
    """

    symbols: tuple[str, ...]
    columns: tuple[str, ...]
    values: Cells

    def __post_init__(self) -> None:
        expected = (len(self.symbols), len(self.columns))
        if self.values.shape != expected or self.values.dtype != np.float32:
            raise InvariantBroken(f"an evening's values are {self.values.dtype} {self.values.shape}, not {expected}")


def limits(columns: tuple[str, ...], sessions: Iterable[Cells]) -> ContinuityLimits:
    """Calibrate every limit on a training history.

    Parameters
    ----------
    columns : tuple of str, length F
        Watched features and "score".
    sessions : iterable of float32 arrays, shape (N, F)
        One a session, oldest first, the same names in every one; NaN where a name is not eligible or has no value.
    """
    earlier: deque[tuple[Cells, Cells]] = deque(maxlen=max(LAGS))
    steps: dict[int, list[SessionChange]] = {lag: [] for lag in LAGS}
    related = []
    for values in sessions:
        ranks = _ranks(values)
        for lag in LAGS:
            if lag <= len(earlier):
                before, ranks_before = earlier[-lag]
                steps[lag].append(SessionChange.between(columns, (before, ranks_before), (values, ranks)))
        related.append(_correlations(ranks))
        earlier.append((values, ranks))
    by_lag = {str(lag): _step_limits(columns, steps[lag]) for lag in LAGS}
    return ContinuityLimits(by_lag, _relation_limits(columns, np.array(related)), columns)


def step(table: ContinuityLimits, before: CrossSection, now: CrossSection, lag: int) -> Worst:
    """Compare an evening with an accepted one `lag` sessions earlier, over the names of both.

    Parameters
    ----------
    table : ContinuityLimits
        From the bundle.
    before, now : CrossSection
        Columns that either lacks are not compared: scores of another bundle, say.
    lag : int, one of `LAGS`

    Raises
    ------
    BundleRefused
        A limit is missing or no positive number.
    """
    columns = tuple(name for name in before.columns if name in now.columns)
    a, b = _aligned(before, now)
    x_a, x_b = _take(before, columns), _take(now, columns)
    found = SessionChange.between(columns, (x_a[a], _ranks(x_a)[a]), (x_b[b], _ranks(x_b)[b]))
    had = np.isfinite(x_a[a]).sum(axis=0) >= MIN_NAMES
    try:
        rows = table.steps[str(lag)]
        judged = [
            (f"{word} of {name}", value, getattr(rows, word)[name])
            for word in BY_COLUMN
            for name, value, is_there in zip(columns, getattr(found, word), had, strict=True)
            if name in getattr(rows, word) and is_there
        ]
        if rows.repeated is not None and columns != (SCORE,):
            judged.append(("repeated values", found.repeated, rows.repeated))
        return _worst(judged)
    except (KeyError, ValueError) as error:
        raise _unreadable(error) from None


def relations(table: ContinuityLimits, now: CrossSection) -> Worst:
    """Compare the rank correlations between an evening's columns with those of training; raises as `step`."""
    found = _correlations(_ranks(now.values))
    place = {name: i for i, name in enumerate(now.columns)}
    try:
        return _worst(
            [
                (f"relation of {name} to {row.partner}", 1.0 - row.sign * found[place[name], place[row.partner]], row.limit)
                for name, row in table.relations.items()
                if name in place and row.partner in place
            ]
        )
    except ValueError as error:
        raise _unreadable(error) from None


def recomputed(then: CrossSection, again: CrossSection) -> Worst:
    """Compare what was recorded of a session with the same session computed again, over the names of both.

    A column that has fewer than 10 values on both sides was undefined then and is now, and agrees.
    """
    a, b = _aligned(then, again)
    x_a, x_b = then.values[a], _take(again, then.columns)[b]
    few = [max(np.isfinite(x_a[:, f]).sum(), np.isfinite(x_b[:, f]).sum()) < MIN_NAMES for f in range(x_a.shape[1])]
    alike = (x_a == x_b) | (np.isnan(x_a) & np.isnan(x_b))
    known = np.array(few) | alike.all(axis=0)
    order, scale = _order(_ranks(x_a), _ranks(x_b)), _scale(then.columns, x_a, x_b)
    scale[np.isinf(scale)] = 0.0  # a median of 0 has no scale; the order says whether the names are the same
    return _worst(
        [
            (f"{word} of {name}", 0.0 if same else value, RECOMPUTED)
            for word, values in (("order", order), ("scale", scale))
            for name, value, same in zip(then.columns, values, known, strict=True)
        ]
    )


def _worst(found: list[tuple[str, float, float]]) -> Worst:
    """Return the largest ratio of (name, value, limit); one that is not a number is the largest of all."""
    ratios = [Worst(name, _ratio(float(value), float(limit))) for name, value, limit in found]
    return max(ratios, key=lambda one: one.ratio, default=Worst("nothing to judge", 0.0))


def _ratio(value: float, limit: float) -> float:
    if not (math.isfinite(limit) and limit > 0):
        raise ValueError(f"a limit of {limit}")
    return value / limit if math.isfinite(value) else math.inf


def _unreadable(error: Exception) -> BundleRefused:
    return BundleRefused(f"the limits of continuity cannot be read: {reason_of(error)}", fix="Publish another bundle")


def _take(evening: CrossSection, columns: tuple[str, ...]) -> Cells:
    found: Cells = evening.values[:, [evening.columns.index(name) for name in columns]]
    return found


def _aligned(one: CrossSection, other: CrossSection) -> tuple[list[int], list[int]]:
    """Rows of the names that are in both."""
    place = {symbol: i for i, symbol in enumerate(other.symbols)}
    rows = [i for i, symbol in enumerate(one.symbols) if symbol in place]
    return rows, [place[one.symbols[i]] for i in rows]


def _ranks(values: Cells) -> Cells:
    """Rank of each column (N, F) among the names with a value; NaN elsewhere."""
    rows = np.ascontiguousarray(values.T)
    return np.ascontiguousarray(rank(rows, np.isfinite(rows)).T)


def _order(before: Cells, now: Cells) -> Floats:
    """1 - correlation of the ranks of each column, shape (F,).

    NaN where fewer than 10 names have both; infinite where either side is constant.
    """
    both = np.isfinite(before) & np.isfinite(now)
    count = both.sum(axis=0)
    a, b = (_centred(side, both, count) for side in (before, now))
    size = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    distance = np.full(size.shape, np.inf)
    np.divide((a * b).sum(axis=0), size, out=distance, where=size > 0)
    return np.where(count < MIN_NAMES, np.nan, np.where(size > 0, 1.0 - distance, np.inf))


def _centred(ranks: Cells, counted: NDArray[np.bool_], count: NDArray[np.int64]) -> Floats:
    values = np.where(counted, ranks, 0.0).astype(np.float64)
    found: Floats = np.where(counted, values - values.sum(axis=0) / np.maximum(count, 1), 0.0)
    return found


def _scale(columns: tuple[str, ...], before: Cells, now: Cells) -> Floats:
    """Change of the median size of each column, shape (F,); NaN as `_order`, infinite where a median is 0."""
    both = np.isfinite(before) & np.isfinite(now)
    count = both.sum(axis=0)
    is_log = np.array([name.startswith(LOG_PREFIX) for name in columns])
    a, b = (_median(np.where(is_log, side, np.abs(side)), both, count) for side in (before, now))
    moved = np.full(a.shape, np.inf)
    defined = ~is_log & (a > 0) & (b > 0)
    moved[defined] = np.abs(np.log(b[defined] / a[defined]))
    moved[is_log] = np.abs(b[is_log] - a[is_log])
    return np.where(count < MIN_NAMES, np.nan, moved)


def _median(values: Floats, counted: NDArray[np.bool_], count: NDArray[np.int64]) -> Floats:
    """Median of the counted cells of each column; NaN where there is none."""
    if not len(values):
        return np.full(count.shape, np.nan)
    ordered = np.sort(np.where(counted, values.astype(np.float64), np.nan), axis=0)  # NaN sorts last
    middle = [np.take_along_axis(ordered, row[None, :], axis=0)[0] for row in (np.maximum(count - 1, 0) // 2, count // 2)]
    found: Floats = (middle[0] + middle[1]) / 2.0
    return found


def _lost(before: Cells, now: Cells) -> Floats:
    """Share of each column's values before that are missing now, shape (F,); NaN where there were fewer than 10."""
    had = np.isfinite(before)
    count = had.sum(axis=0)
    gone = (had & ~np.isfinite(now)).sum(axis=0)
    return np.where(count < MIN_NAMES, np.nan, gone / np.maximum(count, 1))


def _repeated(before: Cells, now: Cells) -> float:
    """Share of the values that either side has that are equal on both; NaN where neither has any."""
    either = np.isfinite(before) | np.isfinite(now)
    return float((before == now)[either].mean()) if either.any() else math.nan


def _correlations(ranks: Cells) -> Floats:
    """Rank correlations of all columns, (F, F); a name without a value counts as one in the middle.

    NaN where a column has fewer than 10 values or is constant.
    """
    has = np.isfinite(ranks)
    count = has.sum(axis=0)
    centred = _centred(ranks, has, count)
    size = np.sqrt((centred * centred).sum(axis=0))
    size[(count < MIN_NAMES) | (size == 0)] = np.nan
    found: Floats = (centred.T @ centred) / np.outer(size, size)
    return found


def _step_limits(columns: tuple[str, ...], found: list[SessionChange]) -> StepLimits:
    limited = {}
    for word, (least, fault) in BY_COLUMN.items():
        history = np.array([getattr(one, word) for one in found]).reshape(len(found), len(columns))
        rows = {
            name: _limit(history[:, i], FIVEFOLD_SESSION, fault, LOG_MARGIN)
            if word == "scale" and name.startswith(LOG_PREFIX)
            else _limit(history[:, i], least, fault)
            for i, name in enumerate(columns)
        }
        limited[word] = {name: limit for name, limit in rows.items() if limit is not None}
    return StepLimits(**limited, repeated=_limit(np.array([one.repeated for one in found]), QUARTER, 1.0))


def _relation_limits(columns: tuple[str, ...], found: Floats) -> dict[str, RelationLimit]:
    rows = {}
    for i, name in enumerate(columns):
        strongest: tuple[float, int, float] = (0.0, i, 1.0)
        for j in range(len(columns)):
            series = found[:, i, j][np.isfinite(found[:, i, j])]
            if i == j or len(series) < KNOWN_SHARE * len(found):
                continue
            sign = 1.0 if np.median(series) >= 0 else -1.0
            strongest = max(strongest, (float(np.quantile(sign * series, PARTNER_QUANTILE)), j, sign))
        _, partner, sign = strongest
        limit = _limit(1.0 - sign * found[:, i, partner], HALF, 1.0) if partner != i else None
        if limit is not None:
            rows[name] = RelationLimit(columns[partner], sign, limit)
    return rows


def _limit(values: Floats, least: float, fault: float, margin: float = MARGIN) -> float | None:
    """Limit of a statistic whose history is `values`; None where there is too little of it, or it would be too wide."""
    known = values[~np.isnan(values)]
    if len(known) < KNOWN_SHARE * len(values) or not len(known):
        return None
    limit = max(least, margin * float(np.quantile(known, QUANTILE, method="higher")))
    return limit if limit <= MOST_OF * fault else None
