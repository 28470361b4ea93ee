"""Evening of asof: the newest row of features, scored by the bundle in force."""

from __future__ import annotations

from datetime import date

import numpy as np

from appliance.bundles import BundleStore
from appliance.deps import Deps
from appliance.drift import ratio, score_drift
from appliance.halting import tell
from appliance.job import JobReport, JobStatus
from appliance.jobs.gate import require_closed
from appliance.ledger import scores as score_rows
from appliance.measures import coverage, invalid_scores, red_datasets, stale_sessions
from appliance.policy import bundle_policy
from appliance.recording import enforce, record
from appliance.seams import Severity
from appliance.slots import Slot, load_slot, recorded_as
from appliance.tripwires import Action, Evaluation, Figures, Stage
from signals.bars import Bars
from signals.errors import BundleRefused, DataNotUsable, ScoresInvalid
from signals.scores import Scores
from signals.scoring import score as score_features
from signals.sleeves import SLEEVES


def score(session: date, deps: Deps) -> JobReport:
    """Score every eligible name at asof and record the scores.

    Raises
    ------
    TripwireSkip
        Data not usable or stale, too few names, scores that say nothing, or drift.
    ScoresInvalid
        A feature is missing or a score is not finite.
    BundleRefused
        There is no bundle in force, or it is no longer what was verified.
    """
    asof = require_closed(session, deps)
    enforce(deps, session, Stage.DATA, Figures(
        red_datasets=red_datasets([deps.market.audit(asof)], require_green=deps.config.require_green),
        stale_sessions=stale_sessions(deps.market.newest(asof), asof, deps.calendar),
    ))  # fmt: skip
    bundle = BundleStore(deps.folder.bundles, deps.fs).load(bundle_policy(asof, deps.config, deps.calendar))
    sleeve = SLEEVES[bundle.manifest.sleeve]
    bars = deps.market.bars(asof, sleeve.lookback_sessions)
    features = sleeve.features(bars, asof)
    try:
        scores = score_features(bundle, features)
    except ScoresInvalid as error:
        limit = deps.config.tripwires.max_invalid_scores
        record(deps, session, [Evaluation("SCORES_INVALID", None, limit, Action.SKIP, True, str(error))])
        raise
    expected = _expected(bars)
    drift = score_drift(deps, bundle, features, scores).score
    enforce(deps, session, Stage.SCORES, Figures(
        coverage=coverage(len(scores.symbols), expected), invalid_scores=invalid_scores(scores.values),
        score_drift=ratio(drift),
    ))  # fmt: skip
    score_rows.save(deps.ledger, asof, scores.sleeve, ranked(scores))
    beside = [_score_beside(slot, session, asof, deps) for slot in Slot]
    told = "; ".join([f"{len(scores.symbols)} names scored at {asof}", *(said for said in beside if said)])
    return JobReport(
        "score", session, JobStatus.DONE, told,
        {"asof": asof, "sleeve": scores.sleeve, "names": len(scores.symbols), "expected": expected,
         "bundle_sha256": bundle.sha256, "bundle_id": bundle.manifest.bundle_id, "role": bundle.manifest.role.value,
         "refusal": bundle.manifest.refusal, "bundle_age_sessions": bundle.age_sessions,
         "score_drift": drift.state.value},
    )  # fmt: skip


def _score_beside(slot: Slot, session: date, asof: date, deps: Deps) -> str:
    """Score the slot's bundle, if there is one, and say so; what goes wrong with it is told and stops nothing."""
    try:
        bundle = load_slot(slot, deps.folder, deps.fs, asof, deps.config, deps.calendar)
        if bundle is None:
            return ""
        sleeve = SLEEVES[bundle.manifest.sleeve]
        scores = score_features(bundle, sleeve.features(deps.market.bars(asof, sleeve.lookback_sessions), asof))
    except (BundleRefused, DataNotUsable, ScoresInvalid) as error:
        tell(deps, Severity.WARN, f"score-{slot}-{session}", f"no {slot} scores at {asof}", str(error))
        return f"{slot}: {error}"
    score_rows.save(deps.ledger, asof, recorded_as(slot, scores.sleeve), ranked(scores))
    return f"{len(scores.symbols)} {slot} scores"


def ranked(scores: Scores) -> tuple[score_rows.ScoreRow, ...]:
    """Scores with rank (1 is the highest, ties in symbol order) and z over the cross-section, best first."""
    values = scores.values
    deviation = float(np.std(values))
    z = (values - values.mean()) / deviation if deviation > 0 else np.zeros_like(values)
    order = np.lexsort((np.arange(len(values)), -values))
    return tuple(
        score_rows.ScoreRow(
            scores.asof, scores.symbols[i], scores.sleeve, float(values[i]), rank, float(z[i]), scores.source
        )
        for rank, i in enumerate(order, start=1)
    )


def _expected(bars: Bars) -> int:
    """Names eligible at asof or at the session before it: one whose bar failed to arrive is missing, not absent."""
    return int(bars.eligible[-2:].any(axis=0).sum())
