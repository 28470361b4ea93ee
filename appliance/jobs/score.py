"""Evening job of asof: scores every eligible name with the bundle in force, or fetches delivered scores."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from appliance.bundles.accepted_roles import bundle_policy
from appliance.bundles.delivered_scores import Delivery, fetch, record_accepted
from appliance.bundles.feature_record import FeatureRecord, store_features
from appliance.bundles.slots import BundleSlot, load_slot, recorded_as, slot_store
from appliance.bundles.store import BundleStore
from appliance.config import Scoring
from appliance.context import Deps
from appliance.controls.measures import coverage, invalid_scores, red_datasets, stale_sessions
from appliance.controls.tripwires import Evaluation, Stage, TripwireAction, TripwireFigures
from appliance.jobs.preconditions import held_snapshot, require_closed
from appliance.ledger import scores as score_rows
from appliance.ledger.figures import FeatureFile, ScoreFigures
from appliance.monitoring.continuity import Accepted, Continuity, accepted, judge, judge_delivered
from appliance.monitoring.drift import delivered_drift, ratio, score_drift
from appliance.monitoring.feature_restatement import Restatement, compare
from appliance.safety.enforce import enforce, record
from appliance.safety.halt import notify
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.ports import Severity
from signals.bundle import Bundle
from signals.errors import BundleRefused, DataNotUsable, FixInput, ScoresInvalid, ScoresRefused, StoreUnreachable
from signals.features.panel import FeaturePanel
from signals.market.bars import Bars
from signals.monitoring.drift import Drift
from signals.scoring.scores import Scores, z_scores
from signals.scoring.scoring import score as score_features
from signals.sleeves import SLEEVES


def score(session: date, deps: Deps) -> JobReport:
    """Score every eligible name at asof, or fetch the scores that were delivered, and record them.

    Raises
    ------
    TripwireSkip
        Data not usable or stale, too few names, scores that say nothing, or drift.
    ScoresInvalid
        A feature is missing or a score is not finite.
    BundleRefused
        There is no bundle in force, or it is no longer what was verified.
    StoreUnreachable
        Scores are to be delivered and are not there yet.
    ScoresRefused
        The delivered scores fail verification; the job stays open for a better delivery.
    """
    asof = require_closed(session, deps)
    enforce(
        deps,
        session,
        Stage.DATA,
        TripwireFigures(
            red_datasets=red_datasets([deps.market.audit(asof)], require_green=deps.config.require_green),
            stale_sessions=stale_sessions(deps.market.newest(asof), asof, deps.calendar),
        ),
    )
    bundle = BundleStore(deps.folder.bundles, deps.fs).load(bundle_policy(asof, deps.config, deps.calendar))
    is_pulled = deps.config.scoring is Scoring.PULLED
    given = (_delivered if is_pulled else _own)(session, asof, bundle, deps)
    scores, drift, goes_on = given.scores, given.drift, given.continuity
    if goes_on.beyond:
        notify(deps, Severity.WARN, f"continuity-{session}", "this evening does not go on from the one before", goes_on.beyond)
    expected = _expected(deps.market.bars(asof, 2))
    enforce(
        deps,
        session,
        Stage.SCORES,
        TripwireFigures(
            coverage=coverage(len(scores.symbols), expected),
            invalid_scores=invalid_scores(scores.values),
            score_drift=ratio(drift),
            evening_step=goes_on.step,
            feature_relations=goes_on.relations,
            recomputed_features=goes_on.recomputed,
        ),
    )
    score_rows.save(deps.ledger, asof, scores.sleeve, ranked(scores))
    if given.delivery is not None:
        record_accepted(deps.ledger, given.delivery)
    slot_summaries = [_score_slot(slot, session, asof, deps) for slot in BundleSlot]
    how = f"delivered as revision {given.delivery.revision}" if given.delivery else "scored"
    past = given.past
    if past is not None and past.changed:
        notify(deps, Severity.WARN, f"restated-{past.asof}", "the past was rewritten", past.sentence())
    unjudged = "continuity is not judged: this bundle carries no limits of it" if goes_on == Continuity() else ""
    summary = "; ".join([f"{len(scores.symbols)} names {how} at {asof}", *(said for said in (*slot_summaries, unjudged) if said)])
    return JobReport(
        "score",
        session,
        JobStatus.DONE,
        summary,
        ScoreFigures(
            asof=asof,
            names=len(scores.symbols),
            expected=expected,
            bundle_sha256=bundle.sha256,
            bundle_id=bundle.manifest.bundle_id,
            role=bundle.manifest.role.value,
            refusal=bundle.manifest.refusal,
            bundle_age_sessions=bundle.age_sessions,
            features=given.features,
            others={
                "sleeve": scores.sleeve,
                "score_drift": drift.state.value,
                "scoring": deps.config.scoring.value,
                "delivered_sha256": given.delivery.sha256 if given.delivery else None,
                "restated": past.figures() if past else None,
            },
        ),
    )


@dataclass(frozen=True)
class ScoredEvening:
    """The scores of one evening, their drift from the training history, and their source.

    Attributes
    ----------
    scores : Scores
    drift : Drift
    continuity : Continuity
    delivery : Delivery or None
        The document that delivered scores came in.
    features : FeatureFile or None
        File and hash of what the model read, for scores of our own.
    past : Restatement or None
        How the accepted evening before reads now.
    """

    scores: Scores
    drift: Drift
    continuity: Continuity
    delivery: Delivery | None = None
    features: FeatureFile | None = None
    past: Restatement | None = None


def _own(session: date, asof: date, bundle: Bundle, deps: Deps) -> ScoredEvening:
    sleeve = SLEEVES[bundle.manifest.sleeve]
    features = sleeve.features(deps.market.bars(asof, sleeve.lookback_sessions), asof)
    try:
        scores = score_features(bundle, features)
    except ScoresInvalid as error:
        _record_invalid(session, deps, error)
        raise
    before = accepted(deps, asof)
    return ScoredEvening(
        scores,
        score_drift(deps, bundle, features, scores).score,
        judge(deps, bundle, features, scores, before),
        features=_kept(asof, bundle, features, deps),
        past=_restated(before),
    )


def _restated(before: Accepted | None) -> Restatement | None:
    if before is None or before.again is None:
        return None
    try:
        return compare(before.record, before.again)
    except FixInput:
        return None


def _kept(asof: date, bundle: Bundle, features: FeaturePanel, deps: Deps) -> FeatureFile:
    """Store the features that the model read, to explain later why an order was sent."""
    symbols, values = features.at(asof)
    snapshot = held_snapshot(asof, deps)
    record = FeatureRecord(
        asof,
        bundle.manifest.sleeve,
        bundle.sha256,
        snapshot.id,
        features.names,
        symbols,
        np.ascontiguousarray(values, dtype="<f4").tobytes(),
    )
    return store_features(deps.fs, deps.folder.features, record)


def _delivered(session: date, asof: date, bundle: Bundle, deps: Deps) -> ScoredEvening:
    bundles = BundleStore(deps.folder.bundles, deps.fs)
    try:
        found = _fetched(asof, bundle, bundles, deps)
    except ScoresRefused as error:
        notify(deps, Severity.WARN, f"scores-{session}", "the delivered scores are refused", str(error))
        raise
    except ScoresInvalid as error:
        _record_invalid(session, deps, error)
        raise
    drift = delivered_drift(deps, bundle, found.scores)
    return ScoredEvening(found.scores, drift, judge_delivered(deps, bundle, found.scores), found)


def _fetched(asof: date, bundle: Bundle, bundles: BundleStore, deps: Deps, name: str = "") -> Delivery:
    snapshot = held_snapshot(asof, deps)
    store = deps.sources.bundles()
    return fetch(store, bundles, deps.ledger, bundle, asof, snapshot.id, deps.calendar.name, name=name)


def _record_invalid(session: date, deps: Deps, error: ScoresInvalid) -> None:
    limit = deps.config.tripwires.max_invalid_scores
    record(deps, session, [Evaluation("SCORES_INVALID", None, limit, TripwireAction.SKIP, True, str(error))])


def _score_slot(slot: BundleSlot, session: date, asof: date, deps: Deps) -> str:
    """Score the slot's bundle, if there is one, and return a sentence on it; a fault is notified and stops nothing."""
    try:
        bundle = load_slot(slot, deps.folder, deps.fs, asof, deps.config, deps.calendar)
        if bundle is None:
            return ""
        scores = _slot_scores(slot, asof, bundle, deps)
    except (BundleRefused, DataNotUsable, ScoresInvalid, ScoresRefused, StoreUnreachable) as error:
        notify(deps, Severity.WARN, f"score-{slot}-{session}", f"no {slot} scores at {asof}", str(error))
        return f"{slot}: {error}"
    score_rows.save(deps.ledger, asof, recorded_as(slot, scores.sleeve), ranked(scores))
    return f"{len(scores.symbols)} {slot} scores"


def _slot_scores(slot: BundleSlot, asof: date, bundle: Bundle, deps: Deps) -> Scores:
    if deps.config.scoring is Scoring.PULLED:
        found = _fetched(asof, bundle, slot_store(slot, deps.folder, deps.fs), deps, slot.value)
        record_accepted(deps.ledger, found)
        return found.scores
    sleeve = SLEEVES[bundle.manifest.sleeve]
    return score_features(bundle, sleeve.features(deps.market.bars(asof, sleeve.lookback_sessions), asof))


def ranked(scores: Scores) -> tuple[score_rows.ScoreRow, ...]:
    """Scores with rank (1 is the highest, ties in symbol order) and z over the cross-section, best first."""
    values = scores.values
    z = np.nan_to_num(z_scores(values))  # 0 where the scores rank nothing
    order = np.lexsort((np.arange(len(values)), -values))
    return tuple(
        score_rows.ScoreRow(scores.asof, scores.symbols[i], scores.sleeve, float(values[i]), rank, float(z[i]), scores.source)
        for rank, i in enumerate(order, start=1)
    )


def _expected(bars: Bars) -> int:
    """Names eligible at asof or at the session before it: one whose bar failed to arrive is missing, not absent."""
    return int(bars.eligible[-2:].any(axis=0).sum())
