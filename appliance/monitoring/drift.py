"""Drift of recent scores and features against the bundle's reference distributions (PSI)."""

from dataclasses import replace
from datetime import date

import numpy as np

from appliance.context import Deps
from appliance.controls.tripwires import NOT_YET, Figure
from appliance.ledger import scores as score_rows
from appliance.ledger.figures import DriftRow, DriftTable
from signals.bundle import Bundle
from signals.events.recorded import ANALOGS
from signals.features.panel import FeaturePanel
from signals.market.bars import Floats
from signals.monitoring.drift import (
    LEAST_ROWS,
    WINDOW_SESSIONS,
    Drift,
    DriftState,
    TrailingDrift,
    read_reference,
    trailing_psi,
    trailing_score_psi,
)
from signals.scoring.scores import Scores
from signals.scoring.scoring import sleeve_of
from signals.sleeves.events import with_figures


def score_drift(deps: Deps, bundle: Bundle, newest: FeaturePanel, scores: Scores) -> TrailingDrift:
    """Compare this session's scores and the recorded ones of the sessions before it with the reference."""
    earlier = recorded_scores(deps, bundle, deps.calendar.previous(scores.asof), WINDOW_SESSIONS - 1)
    return trailing_psi(read_reference(bundle.drift_reference), newest, [*earlier, scores.values])


def delivered_drift(deps: Deps, bundle: Bundle, scores: Scores) -> Drift:
    """Compare delivered scores and the recorded ones before them with the reference; no feature is looked at."""
    earlier = recorded_scores(deps, bundle, deps.calendar.previous(scores.asof), WINDOW_SESSIONS - 1)
    return trailing_score_psi(read_reference(bundle.drift_reference), [*earlier, scores.values])


def feature_drift(deps: Deps, bundle: Bundle, asof: date) -> TrailingDrift:
    """Compare the features of the trailing window with the reference."""
    sleeve = sleeve_of(bundle)
    bars = deps.market.bars(asof, sleeve.lookback_sessions + WINDOW_SESSIONS - 1)
    return trailing_psi(read_reference(bundle.drift_reference), sleeve.panel(bars), recorded_scores(deps, bundle, asof, WINDOW_SESSIONS))


def event_drift(deps: Deps, bundle: Bundle, asof: date) -> TrailingDrift:
    """Compare the events of the trailing window with the reference: what a bundle that only shows something reads and said of them.

    A session without an event is one with no row; an evening that the device missed is too. What past events made has no law to
    drift from: the bank that says it grows, in training as here.
    """
    sleeve, days = sleeve_of(bundle), deps.calendar.days
    bars = with_figures(deps.market.bars(asof, sleeve.lookback_sessions + WINDOW_SESSIONS - 1))
    since, here = score_rows.first(deps.ledger, bundle.manifest.sleeve, bundle.sha256), deps.calendar.index(asof)
    said = [
        np.array([row.score for row in score_rows.load(deps.ledger, day, bundle.manifest.sleeve) if row.source == bundle.sha256])
        for day in days[max(0, here - WINDOW_SESSIONS + 1) : here + 1]
        if since is not None and day >= since
    ]
    known = read_reference(bundle.drift_reference)
    own = replace(known, features={name: row for name, row in known.features.items() if name not in ANALOGS})
    return trailing_psi(own, sleeve.panel(bars), said, LEAST_ROWS)


def recorded_scores(deps: Deps, bundle: Bundle, asof: date, sessions: int) -> list[Floats]:
    """Scores of the trailing sessions that this very bundle gave, oldest first; ends where the record has a gap."""
    found: list[Floats] = []
    day = asof
    while len(found) < sessions:
        rows = score_rows.load(deps.ledger, day, bundle.manifest.sleeve)
        if not rows or rows[0].source != bundle.sha256:
            break
        found.append(np.array([row.score for row in rows]))
        if day == deps.calendar.days[0]:
            break
        day = deps.calendar.previous(day)
    return found[::-1]


def ratio(drift: Drift) -> Figure:
    """PSI over its limit, or that there is too little history yet."""
    return drift.ratio if drift.state is DriftState.MEASURED else NOT_YET


def worst_feature(drift: TrailingDrift) -> tuple[str, Figure]:
    """Return the watched feature furthest past its limit and its ratio; an unmeasurable one is the worst of all."""
    measured = [item for item in drift.features if item.state is DriftState.MEASURED]
    if not measured:
        return "", NOT_YET
    worst = max(measured, key=lambda item: np.inf if np.isnan(item.ratio) else item.ratio)
    return worst.name, None if np.isnan(worst.ratio) else worst.ratio


def document(found: TrailingDrift) -> DriftTable:
    """Return what the report records: every watched figure against its limit, those that use most of it first."""
    rows = [_row(item) for item in (found.score, *found.features)]
    rows.sort(key=lambda row: (-(float("inf") if row.used is None else row.used), row.name))
    return DriftTable(WINDOW_SESSIONS, tuple(rows))


def _row(item: Drift) -> DriftRow:
    verdict = item.state.value if item.state is not DriftState.MEASURED else "DRIFTED" if item.is_exceeded else "within"
    return DriftRow(item.name, _known(item.value), item.limit, _known(item.ratio), verdict)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
