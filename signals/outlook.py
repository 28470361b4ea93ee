"""Outlooks: what a bundle expects of each name, one contract for every head and every way to ask.

    {"signal", "probabilities", "confidence", "expected_return", "symbol", "asof", "bundle"}

Of a head of one score s, by name i among the names of its session:

    probabilities    [P(up)] by the bundle's calibration map; null without one
    confidence       max(P(up), 1 - P(up)); null without a map
    expected_return  IC sigma_i z_i, over the k sessions of the label; null where a factor is not known
    signal           1, 0 or -1: the side of P(up) from one half; without a map, the sign of expected_return; null without both

IC is the walk-forward one, shrunk as a device sizes by it (`signals.scoring.ic.shrunk_ic`) and positive, or there is
none; sigma_i the name's residual volatility over k sessions; z_i the clipped inverse-normal rank of s, known among
`MIN_NAMES` names and more.

Entry points: `Predictor`, asked for rows of features or for bars; `document`, the JSON of one outlook.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from signals.bundle import Bundle, BundleManifest
from signals.bundle.calibration import probabilities, ranked
from signals.bundle.manifest import FEATURES
from signals.bundle.verification import Infer
from signals.errors import FixInput, InvariantBroken, ScoresInvalid
from signals.features.price import SESSIONS_PER_YEAR
from signals.heads import ScoreHead
from signals.inference import infer
from signals.market.bars import Bars, Floats
from signals.scoring.ic import MIN_NAMES, shrunk_ic
from signals.scoring.ranking import inverse_normal
from signals.scoring.scoring import check_names, newest_features, outputs
from signals.text.documents import to_json
from signals.views import TableView

RESIDUAL_VOLATILITY = "residual_volatility_60"  # annualised ratio


@dataclass(frozen=True)
class Outlook:
    """What a bundle expects of one name; the fields are the contract's keys.

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
            symbol, day = next(key for place, key in enumerate(keys) if key in keys[:place])
            raise FixInput("a row comes twice", where=f"{symbol}, {day}", fix="Give one row a symbol and session")
        if (bad := np.argwhere(np.isinf(self.values))).size:
            row, column = bad[0]
            raise FixInput(f"{self.names[column]} is too large for float32", where=self.symbols[row], fix="Leave out what is undefined")


class Predictor:
    """Asks one verified bundle.

    Parameters
    ----------
    bundle : Bundle
    run : callable, optional
        `infer` in this process, `infer_in_child` in a limited one.
    """

    def __init__(self, bundle: Bundle, *, run: Infer = infer) -> None:
        self.bundle, self._run = bundle, run
        head = bundle.manifest.heads[0].head
        if not isinstance(head, ScoreHead):
            raise FixInput(f"a head of kind {head.kind} has no outlook", where=bundle.sha256[:16], fix="Name a bundle of one score")

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
        return outlooks(self.bundle, rows.symbols, rows.asof, raw, _volatility(rows.names, rows.values))

    def predict_bars(self, bars: Bars) -> tuple[Outlook, ...]:
        """Return the outlook of every eligible name at the newest session of `bars`; raises as `signals.scoring.scoring.outputs`."""
        panel = newest_features(self.bundle, lambda asof, sessions: bars.until(asof, sessions), bars.asof)
        found = outputs(self.bundle, panel, run=self._run)
        chosen = panel.values[-1, panel.eligible[-1]]
        raw = found.raw[self.bundle.manifest.heads[0].name]
        return outlooks(self.bundle, found.symbols, (found.asof,) * len(raw), raw, _volatility(panel.names, chosen))


def outlooks(bundle: Bundle, symbols: Sequence[str], asof: Sequence[date], raw: Floats, volatility: Floats) -> tuple[Outlook, ...]:
    """Read the outputs of the first head as outlooks.

    Parameters
    ----------
    bundle : Bundle
    symbols, asof : sequences of length n
    raw : float64, shape (n, width)
    volatility : float64, shape (n,)
        Annualised residual volatility; NaN where unknown.
    """
    line = bundle.manifest.heads[0]
    if not np.isfinite(raw).all():
        raise ScoresInvalid("a score is not finite", where=symbols[int(np.argwhere(~np.isfinite(raw))[0][0])], fix="Check the features")
    said = probabilities(line.head, line.calibration, raw)
    up: list[float | None] = [None] * len(raw) if said is None else said[:, -1].tolist()
    returns = _expected(bundle.manifest, ranked(line.head, line.calibration, raw), asof, volatility)
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


def _volatility(names: Sequence[str], values: NDArray[np.float32]) -> Floats:
    if RESIDUAL_VOLATILITY not in names:
        return np.full(len(values), np.nan)
    return values[:, list(names).index(RESIDUAL_VOLATILITY)].astype(np.float64)
