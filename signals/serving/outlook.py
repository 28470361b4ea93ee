"""Outlooks: what a bundle expects of each name, one contract for every head and every way to ask.

    {"signal", "probabilities", "confidence", "expected_return", "symbol", "asof", "bundle"}

Of a head of one score s, by name i among the names of its session:

    probabilities    [P(up)] by the bundle's calibration map; null without one
    confidence       max(P(up), 1 - P(up)); null without a map
    expected_return  IC sigma_i z_i, over the k sessions of the label; null where a factor is not known
    signal           1, 0 or -1: the side of P(up) from one half; without a map, the sign of expected_return; null without both

Of classes, quantiles or a law of y, each name by itself; the target that was learned is in units of a bar's
range, and `outlook_means` among the bundle's parameters says what a class is worth in them (one number, of other heads, what
one unit of y is):

    probabilities    of each class; P(y > 0), of quantiles linear between them; null of a mean and scale, whose law is not said
    confidence       the largest of them, max(P, 1 - P)
    expected_return  (ATR / close) sum of p_k m_k, or (ATR / close) m times the location; null without means or ATR
    signal           the likeliest class, or the side of the location: 0 where two classes tie, where confidence is below
                     `min_confidence` or |expected_return| below `min_edge` (`outlook_limits` of the parameters, 0 without)

IC is the walk-forward one, shrunk as a device sizes by it (`signals.scoring.scores.shrunk_ic`) and positive, or there is
none; sigma_i the name's residual volatility over k sessions; z_i the clipped inverse-normal rank of s, known among
`MIN_NAMES` names and more.

Entry points: `Predictor`, asked for rows of features, bars or minutes; `document`, the JSON of one outlook.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from signals.bundle import Bundle, BundleManifest
from signals.bundle.calibration import probabilities, ranked
from signals.bundle.manifest import FEATURES
from signals.bundle.verification import Infer
from signals.errors import FixInput, InvariantBroken, ScoresInvalid
from signals.features.price import SESSIONS_PER_YEAR
from signals.market.bars import Bars, Floats
from signals.minutes.bars import MinuteBars
from signals.models.heads import ClassesHead, Head, QuantilesHead, ScoreHead, StudentTHead, VectorHead
from signals.models.inference import infer
from signals.scoring.scores import MIN_NAMES, inverse_normal, shrunk_ic
from signals.scoring.scoring import check_names, newest_features, outputs
from signals.sleeves.bars import BARS, BarsSleeve
from signals.text.documents import to_json
from signals.views import TableView

RESIDUAL_VOLATILITY = "residual_volatility_60"  # annualised ratio
RANGE = "natr_14"  # average true range over the close
MEANS, LIMITS = "outlook_means", "outlook_limits"
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)


@dataclass(frozen=True)
class Outlook:
    """Expectation of a bundle for one name; the fields are the contract's keys.

    Attributes
    ----------
    bundle : str
        SHA-256 of the bundle's manifest.
    """

    signal: int | None
    probabilities: tuple[float, ...] | None
    confidence: float | None
    expected_return: float | None
    symbol: str
    asof: date
    bundle: str


def document(outlook: Outlook) -> dict[str, object]:
    """Return the contract as JSON values."""
    found: dict[str, object] = to_json(outlook)
    return found


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Rows of features, one a symbol and session.

    Attributes
    ----------
    symbols : tuple of str, length n
    asof : tuple of date, length n
    names : tuple of str, length F
    values : float32, shape (n, F)
        NaN where a feature is undefined.

    Raises
    ------
    FixInput
        There is no row, a symbol comes twice for one session, or a value is infinite.
    """

    symbols: tuple[str, ...]
    asof: tuple[date, ...]
    names: tuple[str, ...]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if len(self.symbols) != len(self.asof) or self.values.shape != (len(self.symbols), len(self.names)):
            raise InvariantBroken(f"{len(self.symbols)} symbols, {len(self.asof)} sessions, values of shape {self.values.shape}")
        keys = list(zip(self.symbols, self.asof, strict=True))
        if not keys:
            raise FixInput("there is no row to score", fix="Give at least one")
        if len(set(keys)) != len(keys):
            symbol, day = next(key for key, count in Counter(keys).items() if count > 1)
            raise FixInput("a row comes twice", where=f"{symbol}, {day}", fix="Give one row a symbol and session")
        if (bad := np.argwhere(np.isinf(self.values))).size:
            row, column = bad[0]
            raise FixInput(f"{self.names[column]} is too large for float32", where=self.symbols[row], fix="Leave out what is undefined")


class Predictor:
    """Asks one verified bundle.

    Parameters
    ----------
    run : callable, optional
        `infer` in this process, `infer_in_child` in a limited one.
    """

    def __init__(self, bundle: Bundle, *, run: Infer = infer) -> None:
        self.bundle, self._run = bundle, run
        _limits(bundle)
        _means(bundle)

    def predict(self, rows: FeatureRows) -> tuple[Outlook, ...]:
        """Return the outlook of each row, in the order of the rows.

        Raises
        ------
        ScoresInvalid
            The features are not the bundle's, in its order, or an output is not finite.
        FixInput
            The bundle reads more than one row of features a name.
        """
        manifest = self.bundle.manifest
        if not isinstance(manifest.view, TableView) or manifest.inputs:
            raise FixInput(f"this bundle reads a {manifest.view.kind}, not one row a name", fix="Give bars instead of rows")
        check_names(manifest.feature_names, rows.names)
        raw = self._run(self.bundle.members, {FEATURES: rows.values})[manifest.heads[0].name]
        return outlooks(self.bundle, rows.symbols, rows.asof, raw, _unit(manifest, rows.names, rows.values))

    def predict_bars(self, bars: Bars | MinuteBars) -> tuple[Outlook, ...]:
        """Return the outlook of every eligible name at the newest session of `bars`, or at the END of the newest bar of minutes.

        Raises
        ------
        FixInput
            The bundle reads no minutes, or those of another length.
        ScoresInvalid, DataNotUsable
            As `signals.scoring.scoring.outputs`.
        """
        if isinstance(bars, MinuteBars):
            panel = sleeve_of_minutes(self.bundle).newest(bars, self.bundle.manifest.view.sessions)
        else:
            panel = newest_features(self.bundle, lambda asof, sessions: bars.until(asof, sessions), bars.asof)
        found = outputs(self.bundle, panel, run=self._run)
        chosen = panel.values[-1, panel.eligible[-1]]
        raw = found.raw[self.bundle.manifest.heads[0].name]
        asof = found.asof.replace(tzinfo=UTC) if isinstance(found.asof, datetime) else found.asof
        return outlooks(self.bundle, found.symbols, (asof,) * len(raw), raw, _unit(self.bundle.manifest, panel.names, chosen))


def sleeve_of_minutes(bundle: Bundle) -> BarsSleeve:
    """Return the sleeve as the bundle's recipe shaped it; raise `FixInput` where it reads no minutes."""
    manifest = bundle.manifest
    if manifest.sleeve != BARS.name:
        raise FixInput(f"the sleeve {manifest.sleeve} reads no minutes", where=bundle.sha256[:16], fix="Name a bundle of the sleeve bars")
    return BARS.shaped_as(manifest.feature_spec)


def outlooks(bundle: Bundle, symbols: Sequence[str], asof: Sequence[date], raw: Floats, unit: Floats) -> tuple[Outlook, ...]:
    """Read the outputs of the first head as outlooks.

    Parameters
    ----------
    symbols, asof : sequences of length n
    raw : float64, shape (n, width)
    unit : float64, shape (n,)
        What a name's expected return is in units of: of a score the annualised residual volatility, of other heads the
        average true range over the close; NaN where unknown.
    """
    line = bundle.manifest.heads[0]
    if not np.isfinite(raw).all():
        raise ScoresInvalid("a score is not finite", where=symbols[int(np.argwhere(~np.isfinite(raw))[0][0])], fix="Check the features")
    if not isinstance(line.head, ScoreHead):
        return _by_name(bundle, symbols, asof, raw, unit)
    said = probabilities(line.head, line.calibration, raw)
    up: list[float | None] = [None] * len(raw) if said is None else said[:, -1].tolist()
    returns = _expected(bundle.manifest, ranked(line.head, line.calibration, raw), asof, unit)
    return tuple(_outlook(p, mean, symbol, day, bundle.sha256) for p, mean, symbol, day in zip(up, returns, symbols, asof, strict=True))


def _outlook(up: float | None, mean: float | None, symbol: str, asof: date, bundle: str) -> Outlook:
    leaning = mean if up is None else up - 0.5
    signal = None if leaning is None else (leaning > 0) - (leaning < 0)
    return Outlook(signal, None if up is None else (up,), None if up is None else max(up, 1.0 - up), mean, symbol, asof, bundle)


def _expected(manifest: BundleManifest, scores: Floats, asof: Sequence[date], volatility: Floats) -> list[float | None]:
    """IC sigma z of each row over the label's sessions; None where one of them is not known."""
    ic = shrunk_ic(manifest.ic.mean, manifest.ic.t)
    found: list[float | None] = [None] * len(scores)
    if not ic > 0.0:
        return found
    horizon = math.sqrt(manifest.horizon_sessions / SESSIONS_PER_YEAR)
    for rows in _by_session(asof).values():
        if len(rows) < MIN_NAMES:
            continue
        for row, z in zip(rows, inverse_normal(scores[rows]).tolist(), strict=True):
            mean = ic * float(volatility[row]) * horizon * z
            found[row] = mean if math.isfinite(mean) else None
    return found


def _by_session(asof: Sequence[date]) -> Mapping[date, list[int]]:
    rows: dict[date, list[int]] = {}
    for place, day in enumerate(asof):
        rows.setdefault(day, []).append(place)
    return rows


def _unit(manifest: BundleManifest, names: Sequence[str], values: NDArray[np.float32]) -> Floats:
    wanted = RESIDUAL_VOLATILITY if isinstance(manifest.heads[0].head, ScoreHead) else RANGE
    if wanted not in names:
        return np.full(len(values), np.nan)
    return values[:, list(names).index(wanted)].astype(np.float64)


def _by_name(bundle: Bundle, symbols: Sequence[str], asof: Sequence[date], raw: Floats, unit: Floats) -> tuple[Outlook, ...]:
    """Read classes, quantiles or a law: each row by itself."""
    line, means, (min_confidence, min_edge) = bundle.manifest.heads[0], _means(bundle), _limits(bundle)
    if isinstance(line.head, ClassesHead):
        said = probabilities(line.head, line.calibration, raw)
        if said is None:
            raise InvariantBroken("classes without probabilities")
        odds, worth = said, said @ means if means is not None else None
        places = np.argmax(said, axis=1)
        has_tie = np.sum(said == said.max(axis=1, keepdims=True), axis=1) > 1
        side = np.where(has_tie, 0.0, np.sign(places - (line.head.width - 1) / 2.0))
    else:
        location = line.head.reduce(raw)
        odds, worth = _positive(line.head, raw), location * means if means is not None else None
        side = np.sign(location)
    mean = np.full(len(raw), np.nan) if worth is None else unit * worth
    sure = odds.max(axis=1) if odds.shape[1] > 1 else np.max(np.hstack([odds, 1.0 - odds]), axis=1)
    is_weak = ~(sure >= min_confidence) if min_confidence > 0.0 else np.zeros(len(raw), dtype=bool)
    if min_edge > 0.0:
        is_weak |= ~(np.abs(mean) >= min_edge)
    signal = np.where(is_weak, 0.0, side).astype(int).tolist()
    return tuple(
        Outlook(signal[row], _known(odds[row]), _number(sure[row]), _number(mean[row]), symbols[row], asof[row], bundle.sha256)
        for row in range(len(raw))
    )


def _positive(head: Head, raw: Floats) -> Floats:
    """P(y > 0) of each row, (n, 1); NaN of a head whose law is not known."""
    if isinstance(head, QuantilesHead):
        below = [float(np.interp(0.0, row, head.levels)) for row in raw]
        return 1.0 - np.array(below)[:, None]
    if isinstance(head, StudentTHead):
        location, scale, df = raw.T
        return student_below(location / scale, df)[:, None]
    return np.full((len(raw), 1), np.nan)


def student_below(z: Floats, df: Floats) -> Floats:
    """P(t <= z) of Student's t with df degrees of freedom, by quadrature of cos^(df - 1) over the angle atan(z / sqrt df).

    Examples
    --------
    >>> student_below(np.array([0.0, 1.0, -2.0]), np.array([5.0, 3.0, 10.0])).round(6).tolist()
    [0.5, 0.804499, 0.036694]
    """
    angle = np.arctan(z / np.sqrt(df))
    inside = 0.5 * angle[:, None] * (NODES + 1.0)
    area = 0.5 * angle * (np.cos(inside) ** (df[:, None] - 1.0) @ WEIGHTS)
    log_density = [math.lgamma(0.5 * (one + 1.0)) - math.lgamma(0.5 * one) - 0.5 * math.log(math.pi) for one in df.tolist()]
    return np.clip(0.5 + np.exp(log_density) * area, 0.0, 1.0)


def _means(bundle: Bundle) -> Floats | None:
    """What each class, or a unit of the location, is worth in units of the range; None where the bundle does not say."""
    head, found = bundle.manifest.heads[0].head, bundle.parameters.get(MEANS)
    if isinstance(head, VectorHead):
        raise FixInput("a vector has no outlook", where=bundle.sha256[:16], fix="Name a bundle whose first head ranks")
    if isinstance(head, ScoreHead) or found is None:
        return None
    return _finite(bundle, MEANS, head.width if isinstance(head, ClassesHead) else 1)


def _limits(bundle: Bundle) -> tuple[float, float]:
    """`min_confidence` and `min_edge`, 0 where the bundle does not say."""
    if LIMITS not in bundle.parameters:
        return 0.0, 0.0
    confidence, edge = _finite(bundle, LIMITS, 2).tolist()
    return confidence, edge


def _finite(bundle: Bundle, name: str, size: int) -> Floats:
    found = np.asarray(bundle.parameters[name], dtype=np.float64)
    if found.shape != (size,) or not np.isfinite(found).all():
        raise FixInput(f"the parameter {name} has shape {found.shape}, not {size} numbers", where=bundle.sha256[:16], fix="Publish another")
    return found


def _known(odds: Floats) -> tuple[float, ...] | None:
    return None if np.isnan(odds).any() else tuple(odds.tolist())


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
