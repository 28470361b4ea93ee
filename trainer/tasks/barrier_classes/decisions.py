r"""Figures of decisions on bars: skill is direction, and its unit is the session.

With e the expected return of a decision, r what its trade returned, s the deviation known at the decision and z(.) standardised
over all decisions that are judged:

    p_session = mean over the session's decisions of z(e / s) z(r / s)          IC = mean over sessions of p

Decisions of one session share their bars and live off one another's, so that errors come from the session series alone, Newey
and West with fixed-b critical values: at lag 1 where trades end with their session, by the longest life where they are carried over
nights (`trainer.validation.ic.traded_mean`). Beside it, on the trades that touched a barrier, the log loss of long against short
(0.6931 knows nothing); and the net return of a decision that expects more than its cost.

Three-class figures are mostly volatility and clock: a trade that must be flat at the close is neutral near the close. They are
shown beside those of a model that sees the clock alone, and prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from signals.errors import InvariantBroken
from signals.market.bars import Floats
from signals.monitoring.drift import psi
from signals.scoring.evidence import Mean
from trainer.learners.base import Matrix, Rows
from trainer.validation.deciles import SESSIONS_PER_YEAR
from trainer.validation.ic import lag_of, traded_mean

LAG = 1
KNOWS_NOTHING = float(np.log(2.0))
REGIME_SESSIONS, REGIME_T = 20, -2.0
GAP_LIMIT, GAP_BLOCK, GAP_DRAWS, GAP_SEED = 0.15, 5, 1000, 20260103
PSI_SHOWN, PSI_BINS = 0.2, 10


@dataclass(frozen=True, eq=False)
class Decisions:
    """Outcomes of the judged decisions, in order of time.

    Attributes
    ----------
    moment : int64, shape (n,)
        Number of the bar at whose END a decision is made.
    session : int64, shape (n,), ascending
    ends : int64, shape (n,)
        Session in which the trade ended.
    side : int8, shape (n,)
        The barrier that was touched first: 1 the upper, -1 the lower, 0 neither.
    ret, sigma : float64, shape (n,)
        What the trade returned, and the deviation known at the decision, both shares of the price.
    regime : str, shape (n,)
    """

    moment: NDArray[np.int64]
    session: NDArray[np.int64]
    ends: NDArray[np.int64]
    side: NDArray[np.int8]
    ret: Floats
    sigma: Floats
    regime: NDArray[np.str_]

    def __post_init__(self) -> None:
        sizes = {len(array) for array in vars(self).values()}
        if len(sizes) != 1 or (np.diff(self.session) < 0).any() or not (np.isfinite(self.ret) & (self.sigma > 0.0)).all():
            raise InvariantBroken("decisions that differ in length, are out of order, or have no outcome")

    def rows_hash(self) -> str:
        """Hash of which decisions these are and what came of them: figures are compared on equal ones alone."""
        digest = sha256()
        for array in (self.moment, self.session, self.side, self.ret, self.sigma):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def at(self, rows: Rows) -> Decisions:
        """Return some of the decisions, by their numbers."""
        return Decisions(*(array[rows] for array in vars(self).values()))

    @property
    def lag(self) -> int:
        """Sessions over which errors take what these trades share."""
        return lag_of(self._life, LAG)

    @property
    def _life(self) -> int:
        return int((self.ends - self.session).max(initial=0))

    def mean(self, series: Floats) -> Mean:
        """Return the mean of a series of the sessions of these decisions, shape (S,), with its error."""
        return traded_mean(series, self._life, LAG)

    def by_session(self, values: Floats) -> Floats:
        """Mean of the values of each session, NaN ones left out, shape (S,); NaN where there is none."""
        _, place = np.unique(self.session, return_inverse=True)
        known, count = np.isfinite(values), int(place[-1]) + 1
        total, number = (np.bincount(place[known], weights, count) for weights in (values[known], None))
        return np.where(number > 0, total / np.maximum(number, 1), np.nan)

    def products(self, leaning: Floats) -> Floats:
        """Return z(leaning) z(r / s) of each decision, shape (n,); NaN where there is no leaning, over the rest of which z is taken."""
        known, product = np.isfinite(leaning), np.full(len(leaning), np.nan)
        product[known] = _standardised(leaning[known]) * _standardised((self.ret / self.sigma)[known])
        return product

    def information(self, leaning: Floats) -> Mean:
        """Return the information coefficient by session of what leans to long above its mean and to short below."""
        return self.mean(self.by_session(self.products(leaning)))

    def class_means(self) -> Floats:
        """Mean of r / s of each class, shape (3,); 0 for a class that never came."""
        units = self.ret / self.sigma
        return np.array([units[self.side == kind].mean() if (self.side == kind).any() else 0.0 for kind in (-1, 0, 1)])


def _standardised(values: Floats) -> Floats:
    """Less the mean, over the standard deviation; 0 where nothing varies."""
    deviation = float(values.std()) if len(values) else 0.0
    return (values - values.mean()) / deviation if deviation > 0.0 else np.zeros(len(values))


@dataclass(frozen=True, eq=False)
class DirectionOutputs:
    """Outputs of a model: probabilities of short, neutral and long, float64 (n, 3), and the expected return (n,)."""

    probabilities: Floats
    expected: Floats


@dataclass(frozen=True)
class RegimeRow:
    """Figures of the sessions of one regime."""

    regime: str
    ic: Mean
    net_bps: float
    hit_rate: float


@dataclass(frozen=True, eq=False)
class DirectionFigures:
    """Figures of a model's decisions.

    Attributes
    ----------
    rows : str
        Hash of the decisions.
    ic : Mean
        By session.
    by_session : float64, shape (S,)
        The series of p behind it.
    loss_saved : Mean
        0.6931 less the log loss of long against short, by session.
    net_bps : Mean
        Net return of a trade, basis points, by session that traded.
    trades, win_rate, sharpe, drawdown
        Number of trades, share that gained, and of the sessions' sums the annual Sharpe ratio and the deepest fall.
    log_loss, macro_f1 : float
        Of the three classes: to be read beside the clock's only.
    """

    rows: str
    ic: Mean
    by_session: Floats
    loss_saved: Mean
    net_bps: Mean
    trades: int
    win_rate: float
    sharpe: float
    drawdown: float
    log_loss: float
    macro_f1: float
    regimes: tuple[RegimeRow, ...]

    @property
    def worst_regime(self) -> RegimeRow | None:
        """The regime of the lowest t among those with sessions enough; None where none has."""
        enough = [row for row in self.regimes if row.ic.sessions >= REGIME_SESSIONS and np.isfinite(row.ic.t)]
        return min(enough, key=lambda row: row.ic.t, default=None)

    def refuses_regime(self) -> bool:
        """Whether the model is wrong in some regime beyond chance."""
        return self.worst_regime is not None and self.worst_regime.ic.t < REGIME_T


def direction_figures(what: Decisions, said: DirectionOutputs, *, cost_bps: float) -> DirectionFigures:
    """Judge what a model said of these decisions; `cost_bps` is the cost of a round trip."""
    if said.probabilities.shape != (len(what.session), 3) or said.expected.shape != what.session.shape:
        raise InvariantBroken(f"{len(said.expected)} statements about {len(what.session)} decisions")
    product = what.products(said.expected / what.sigma)
    series = what.by_session(product)
    cost = cost_bps / 1e4
    trades = np.abs(said.expected) > cost
    net = np.where(trades, np.sign(said.expected) * what.ret - cost, np.nan)
    sums = np.nan_to_num(what.by_session(net)) * np.bincount(np.unique(what.session, return_inverse=True)[1], weights=trades)
    return DirectionFigures(
        rows=what.rows_hash(),
        ic=what.mean(series),
        by_session=series,
        loss_saved=what.mean(what.by_session(KNOWS_NOTHING - direction_loss(what, said.probabilities))),
        net_bps=what.mean(what.by_session(net) * 1e4),
        trades=int(trades.sum()),
        win_rate=float(np.mean(net[trades] > 0.0)) if trades.any() else float("nan"),
        sharpe=float(sums.mean() / sums.std(ddof=1) * np.sqrt(SESSIONS_PER_YEAR)) if sums.std() > 0.0 else float("nan"),
        drawdown=float(np.max(np.maximum.accumulate(np.append(0.0, np.cumsum(sums))) - np.append(0.0, np.cumsum(sums)))),
        log_loss=float(-np.log(np.maximum(said.probabilities[np.arange(len(net)), what.side.astype(int) + 1], 1e-12)).mean()),
        macro_f1=macro_f1(what.side, said.probabilities),
        regimes=tuple(_of_regime(what, product, net, name) for name in np.unique(what.regime).tolist()),
    )


def direction_loss(what: Decisions, probabilities: Floats) -> Floats:
    """Log loss of long against short, shape (n,), of probabilities (n, 3); NaN where neither came, or nothing is said."""
    one_way = probabilities[:, [0, 2]]
    share = one_way[:, 1] / np.maximum(one_way.sum(axis=1), 1e-12)
    right = np.where(what.side > 0, share, 1.0 - share)
    return np.where(what.side == 0, np.nan, -np.log(np.clip(right, 1e-12, 1.0)))


def macro_f1(side: NDArray[np.int8], probabilities: Floats) -> float:
    """Mean over the three classes of 2 TP / (2 TP + FP + FN); a class that neither came nor was said counts 0.

    >>> macro_f1(np.array([1, 0, -1], np.int8), np.array([[0.1, 0.2, 0.7], [0.2, 0.1, 0.7], [0.6, 0.3, 0.1]])).__round__(4)
    0.5556
    """
    return float(f1_score(side, probabilities.argmax(axis=1) - 1, labels=(-1, 0, 1), average="macro", zero_division=0.0))


def _of_regime(what: Decisions, product: Floats, net: Floats, name: str) -> RegimeRow:
    own = what.regime == name
    traded = net[own & np.isfinite(net)]
    return RegimeRow(
        name,
        what.mean(what.by_session(np.where(own, product, np.nan))),
        float(traded.mean() * 1e4) if len(traded) else float("nan"),
        float((traded > 0.0).mean()) if len(traded) else float("nan"),
    )


@dataclass(frozen=True)
class Gap:
    """(validation - test) / |validation| with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_failure(self) -> bool:
        """Whether the interval excludes the limit; a gap within it proves nothing."""
        return self.low > GAP_LIMIT


def ic_gap(validation: Floats, test: Floats) -> Gap:
    """Gap of the mean of two session series, each resampled in circular blocks of 5 sessions."""
    rng = np.random.default_rng(GAP_SEED)
    first, second = (_drawn_means(series[np.isfinite(series)], rng) for series in (validation, test))
    drawn = (first - second) / np.maximum(np.abs(first), 1e-12)
    mean, other = float(np.nanmean(validation)), float(np.nanmean(test))
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return Gap((mean - other) / max(abs(mean), 1e-12), low, high)


def _drawn_means(series: Floats, rng: np.random.Generator) -> Floats:
    count = len(series)
    starts = rng.integers(0, count, (GAP_DRAWS, -(-count // GAP_BLOCK)))
    places = ((starts[:, :, None] + np.arange(GAP_BLOCK)) % count).reshape(GAP_DRAWS, -1)[:, :count]
    means: Floats = series[places].mean(axis=1)
    return means


@dataclass(frozen=True)
class Shift:
    """PSI of a feature between training and test, and the 95 % quantile of as long a piece of training against the whole."""

    name: str
    psi: float
    limit: float


def shifts(train: Matrix, test: Matrix, names: tuple[str, ...]) -> tuple[Shift, ...]:
    """PSI by feature of rows float32 (n, F) in order of time, largest first; missing values are a bin of their own."""
    found = []
    size = min(len(test), len(train))
    starts = np.linspace(0, len(train) - size, 20).astype(np.intp)
    for column, name in enumerate(names):
        own = train[:, column].astype(np.float64)
        known = own[np.isfinite(own)]
        if not len(known) or float(np.ptp(known)) == 0.0:
            continue
        edges = np.unique(np.quantile(known, np.linspace(0.0, 1.0, PSI_BINS + 1)[1:-1]))
        whole = _shares(own, edges)
        null = [float(psi(whole, _shares(own[start : start + size], edges))) for start in starts]
        found.append(Shift(name, float(psi(whole, _shares(test[:, column].astype(np.float64), edges))), float(np.quantile(null, 0.95))))
    return tuple(sorted(found, key=lambda shift: -shift.psi))


def _shares(values: Floats, edges: Floats) -> Floats:
    place = np.where(np.isfinite(values), np.searchsorted(edges, values), len(edges) + 1)
    counts = np.bincount(place, minlength=len(edges) + 2)
    return counts / max(len(values), 1)
