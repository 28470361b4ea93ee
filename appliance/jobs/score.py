"""Evening job of asof: scores every eligible name with the bundle of each sleeve, or fetches delivered scores."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from appliance.bundles import risk_forecasts
from appliance.bundles.delivered_scores import Delivery, fetch, record_accepted
from appliance.bundles.feature_record import FeatureRecord, store_features
from appliance.bundles.former_layout import move_former
from appliance.bundles.slots import Slot, load_slot, slot_store, slots_of, traded_slots
from appliance.config import MissingSleeve, Scoring
from appliance.context import Deps
from appliance.controls.measures import coverage, invalid_scores, red_datasets, stale_sessions
from appliance.controls.tripwires import Evaluation, Stage, TripwireAction, TripwireFigures
from appliance.jobs.events import bank_of, record_events
from appliance.jobs.preconditions import held_snapshot, require_closed
from appliance.jobs.sleeve_scores import weights_in_force
from appliance.ledger import scores as score_rows
from appliance.ledger.figures import FeatureFile, ScoreFigures, ShownFile
from appliance.monitoring.continuity import Accepted, Continuity, accepted, judge, judge_delivered
from appliance.monitoring.drift import delivered_drift, ratio, score_drift
from appliance.monitoring.expectation import promise_of
from appliance.monitoring.feature_restatement import Restatement, compare
from appliance.safety.enforce import enforce, record
from appliance.safety.halt import warn
from appliance.schedule.job import JobReport, JobStatus
from appliance.schedule.timetable import table_of
from portfolio.policy.blend import MOST_MISSING
from signals.bundle import Bundle, Part
from signals.bundle.child_inference import infer_in_child
from signals.bundle.profiles import ProfileName
from signals.bundle.verification import Infer
from signals.errors import (
    BundleRefused,
    DataNotUsable,
    FixInput,
    InvariantBroken,
    KeepPrevious,
    ScoresInvalid,
    ScoresRefused,
    SkipSession,
    StoreUnreachable,
    TrademlError,
    TripwireSkip,
    TryAgain,
)
from signals.events import recorded
from signals.events.analogs import analogs_in
from signals.events.daily import READS, daily_events
from signals.events.images import png
from signals.features.panel import FeaturePanel
from signals.market.bars import Bars
from signals.market.manifest import PriceBasis
from signals.models.inference import infer
from signals.monitoring.drift import Drift
from signals.schedule.job_windows import windows
from signals.scoring.evening_scores import ExpectedScores
from signals.scoring.scores import Scores, z_scores
from signals.scoring.scoring import newest_features, outputs, scores_of, with_probabilities
from signals.scoring.scoring import score as score_features
from signals.sleeves import SLEEVES
from signals.sleeves import events as event_sleeves
from signals.sleeves.patterns import PATTERNS, pictured
from signals.sleeves.risk import RISK


def score(session: date, deps: Deps) -> JobReport:
    """Score every eligible name at asof with the bundle of each slot, or fetch delivered scores, and record them.

    Where several sleeves are traded, one that cannot be scored is notified and the others go on, unless the settings refuse
    that. What may still come, a delivery or another bundle, is waited for until the plan is due.

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
    move_former(deps.folder, deps.fs)
    enforce(
        deps,
        session,
        Stage.DATA,
        TripwireFigures(
            red_datasets=red_datasets([deps.market.audit(asof)], require_green=deps.config.require_green),
            stale_sessions=stale_sessions(deps.market.newest(asof), asof, deps.calendar),
        ),
    )
    traded = traded_slots(deps.config)
    done: dict[Slot, SleeveReport] = {}
    faults: dict[Slot, TrademlError] = {}
    for slot in traded:
        try:
            done[slot] = _traded(slot, session, asof, deps)
        except (BundleRefused, DataNotUsable, ScoresInvalid, ScoresRefused, StoreUnreachable, TripwireSkip) as error:
            faults[slot] = error
            score_rows.save(deps.ledger, asof, slot.name, ())  # an earlier attempt's are no longer believed
    _judge(session, asof, faults, deps)
    others = list[UntradedReport]()
    for slot in slots_of(deps.config):  # pictures come before the events that are judged by what past ones like them made
        if slot not in traded:
            others.append(_untraded(slot, session, asof, deps, next((one.past for one in others if one.past), None)))
    forecasts = next((one.file for one in others if one.slot == Slot(RISK.name)), None)
    said = [f"{slot.name}: {one.summary}" if len(traded) > 1 else one.summary for slot, one in done.items()]
    said += [f"{slot.name}: {error}" for slot, error in faults.items()]
    figures = next(iter(done.values())).figures
    if len(traded) > 1:
        each = {slot.name: one.figures for slot, one in done.items()}
        figures = replace(figures, by_sleeve=each, missing={slot.name: str(error) for slot, error in faults.items()})
    shown = {one.slot.sleeve: one.file for one in others if isinstance(one.file, ShownFile)}
    figures = replace(figures, forecasts=forecasts, shown=shown or None)
    said += [one.summary for one in others if one.summary]
    summary = "; ".join(filter(None, [*said, record_events(session, asof, deps)]))
    return JobReport("score", session, JobStatus.DONE, summary, figures)


def _judge(session: date, asof: date, faults: Mapping[Slot, TrademlError], deps: Deps) -> None:
    """Notify what has no scores where the others may go on; raise what is wrong where they may not, or not yet."""
    if not faults:
        return
    weights, _ = weights_in_force(session, asof, deps)
    lost = sum(weights.get(slot.sleeve, 0.0) for slot in faults)
    passing = next((error for error in faults.values() if isinstance(error, TryAgain | KeepPrevious)), None)
    if passing is not None and _is_early(session, deps):
        raise passing
    if deps.config.missing_sleeve is MissingSleeve.REFUSE or lost > MOST_MISSING * sum(weights.values()):
        raise next(iter(faults.values()))
    for slot, error in faults.items():
        share = weights.get(slot.sleeve, 0.0) / sum(weights.values())
        text = f"{error}. Its {share:.0%} of the book stays unallocated"
        warn(deps, f"score-{slot.key}-{session}", f"no {slot.name} scores at {asof}", text)


def _is_early(session: date, deps: Deps) -> bool:
    """Whether a later attempt can still come before the plan is due; a hosted exchange's time makes none."""
    due = next(row.at for row in windows(session, deps.calendar, table_of(deps.config.entering)) if row.job == "plan")
    return not deps.config.venue.is_hosted and deps.clock.now() < due


@dataclass(frozen=True)
class SleeveReport:
    """Report of the job on one traded sleeve."""

    summary: str
    figures: ScoreFigures


def _traded(slot: Slot, session: date, asof: date, deps: Deps) -> SleeveReport:
    bundle = load_slot(slot, deps.folder, deps.fs, asof, deps.config, deps.calendar)
    how = deps.config.scoring_of(slot.sleeve)
    given = (_delivered if how is Scoring.PULLED else _own)(slot, session, asof, bundle, deps)
    scores, drift, goes_on, past = given.scores, given.drift, given.continuity, given.past
    if goes_on.beyond:
        title, whose = "this evening does not go on from the one before", "" if len(deps.config.sleeves) == 1 else f"{slot.name}: "
        warn(deps, f"continuity-{slot.key}-{session}", title, f"{whose}{goes_on.beyond}")
    expected = _expected(deps.market.bars(asof, 2)) if not SLEEVES[slot.sleeve].joined else _expected_of_part(slot, asof, scores, deps)
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
    came = f"delivered as revision {given.delivery.revision}" if given.delivery else "scored"
    if past is not None and past.changed:
        warn(deps, f"restated-{slot.key}-{past.asof}", "the past was rewritten", past.sentence())
    unjudged = "; continuity is not judged: this bundle carries no limits of it" if goes_on == Continuity() else ""
    return SleeveReport(
        f"{len(scores.symbols)} names {came} at {asof}{unjudged}",
        ScoreFigures(
            asof=asof,
            sleeve=scores.sleeve,
            names=len(scores.symbols),
            expected=expected,
            bundle_sha256=bundle.sha256,
            bundle_id=bundle.manifest.bundle_id,
            role=bundle.manifest.role.value,
            refusal=bundle.manifest.refusal,
            bundle_age_sessions=bundle.age_sessions,
            features=given.features,
            promise=promise_of(bundle),
            others={
                "score_drift": drift.state.value,
                "scoring": how.value,
                "delivered_sha256": given.delivery.sha256 if given.delivery else None,
                "restated": past.figures() if past else None,
                "probability": _probability(bundle, scores),
            },
        ),
    )


@dataclass(frozen=True)
class ScoredEvening:
    """The scores of one evening, their drift from the training history, and their source.

    Attributes
    ----------
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


def _own(slot: Slot, session: date, asof: date, bundle: Bundle, deps: Deps) -> ScoredEvening:
    features = newest_features(bundle, deps.market.bars, asof)
    try:
        scores = score_features(bundle, features, run=runner(bundle))
    except ScoresInvalid as error:
        _record_invalid(session, deps, error)
        raise
    before = accepted(deps, asof, bundle)
    return ScoredEvening(
        scores,
        score_drift(deps, bundle, features.newest(), scores).score,
        judge(deps, bundle, features, scores, before),
        features=_kept(asof, bundle, features, deps),
        past=_restated(before),
    )


def _probability(bundle: Bundle, scores: Scores) -> dict[str, str | float] | None:
    """Event of the bundle's map, and the lowest, middle and highest probability that it gives to a name tonight."""
    calibration = bundle.manifest.heads[0].calibration
    if scores.probabilities is None or calibration is None:
        return None
    said = scores.probabilities
    return {"event": calibration.event, "lowest": float(said.min()), "median": float(np.median(said)), "highest": float(said.max())}


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
        spec_hash=bundle.manifest.spec_hash,
    )
    return store_features(deps.fs, deps.folder.features, record)


def _delivered(slot: Slot, session: date, asof: date, bundle: Bundle, deps: Deps) -> ScoredEvening:
    try:
        found = _fetched(slot, asof, bundle, deps)
    except ScoresRefused as error:
        warn(deps, f"scores-{slot.key}-{session}", "the delivered scores are refused", str(error))
        raise
    except ScoresInvalid as error:
        _record_invalid(session, deps, error)
        raise
    drift = delivered_drift(deps, bundle, found.scores)
    return ScoredEvening(with_probabilities(bundle, found.scores), drift, judge_delivered(deps, bundle, found.scores), found)


def _fetched(slot: Slot, asof: date, bundle: Bundle, deps: Deps) -> Delivery:
    snapshot, manifest = held_snapshot(asof, deps), bundle.manifest
    wanted = ExpectedScores(asof, manifest.sleeve, deps.calendar.name, manifest.spec_hash, snapshot.id, bundle.sha256)
    return fetch(deps.sources.bundles(), slot_store(slot, deps.folder, deps.fs), deps.ledger, wanted, name=slot.key)


def _record_invalid(session: date, deps: Deps, error: ScoresInvalid) -> None:
    limit = deps.config.tripwires.max_invalid_scores
    record(deps, session, [Evaluation("SCORES_INVALID", None, limit, TripwireAction.SKIP, True, str(error))])


@dataclass(frozen=True, eq=False)
class PastEvents:
    """What past events like it made of each name that has a picture: (`sim_conf`, `hist_rr_pct`), by the net of this hash."""

    net: str
    made: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class UntradedReport:
    """Report of the job on a slot that is not traded: a sentence, the file of what else it said, and what past events made."""

    slot: Slot
    summary: str = ""
    file: FeatureFile | None = None
    past: PastEvents | None = None


Untraded = tuple[Scores, FeatureFile | None, PastEvents | None]


def _untraded(slot: Slot, session: date, asof: date, deps: Deps, past: PastEvents | None) -> UntradedReport:
    """Score a bundle that is not traded, if there is one; a fault is notified and stops nothing."""
    try:
        if slot_store(slot, deps.folder, deps.fs).current() is None:
            return UntradedReport(slot)
        bundle = load_slot(slot, deps.folder, deps.fs, asof, deps.config, deps.calendar)
        found = _untraded_scores(slot, asof, bundle, deps, past)
    except (FixInput, InvariantBroken, KeepPrevious, SkipSession, TryAgain) as error:
        warn(deps, f"score-{slot.key}-{session}", f"no {slot.name} scores at {asof}", str(error))
        return UntradedReport(slot, f"{slot.name}: {error}")
    score_rows.save(deps.ledger, asof, slot.name, ranked(found[0]) if found else ())
    return UntradedReport(slot, f"{len(found[0].symbols)} {slot.name} scores", *found[1:]) if found else UntradedReport(slot)


def _untraded_scores(slot: Slot, asof: date, bundle: Bundle, deps: Deps, past: PastEvents | None) -> Untraded | None:
    """Return the scores of a bundle that is not traded, and what else it said; None where no name has an event to judge."""
    if slot == Slot(PATTERNS.name):
        return _seen(asof, bundle, deps)
    if slot.sleeve in recorded.SHOWN:
        return _judged(asof, bundle, deps, past)
    if deps.config.scoring_of(slot.sleeve) is Scoring.PULLED:
        found = _fetched(slot, asof, bundle, deps)
        record_accepted(deps.ledger, found)
        return found.scores, None, None
    said = outputs(bundle, newest_features(bundle, deps.market.bars, asof), run=runner(bundle))
    if slot != Slot(RISK.name):
        return scores_of(bundle, said), None, None
    forecasts = risk_forecasts.record_of(bundle, said, held_snapshot(asof, deps).id)
    return scores_of(bundle, said), store_features(deps.fs, deps.folder.features, forecasts), None


def _seen(asof: date, bundle: Bundle, deps: Deps) -> Untraded:
    """Let the net see the picture of every name that has one, find what past events like it made, and keep what was seen."""
    from appliance.bundles import shown_records  # a device without such a bundle does without it

    shown_records.require_heads(bundle)
    view = bundle.manifest.view
    bars = deps.market.bars(asof, view.sessions)
    panel = newest_features(bundle, lambda *_: bars, asof)
    panel = replace(panel, eligible=panel.eligible & pictured(bars))
    said = outputs(bundle, panel, run=runner(bundle))
    named = {one.symbol for one in daily_events(bars, len(bars.sessions) - 1)} & set(said.symbols)
    column = np.array([bars.column(symbol) for symbol in sorted(named)], dtype=np.int64)
    shown = (view.rows(panel, np.full(len(column), len(bars.sessions) - 1), column) * 255).astype(np.uint8)
    pictures = {symbol: b64encode(png(picture)).decode() for symbol, picture in zip(sorted(named), shown, strict=True)}
    near = np.full((len(said.symbols), 2), np.nan)
    if bundle.bank:
        rows = np.full(len(said.symbols), deps.calendar.index(asof))
        near = analogs_in(bank_of(asof, bundle, deps, runner(bundle)), said.symbols, said.raw["embedding"], rows)
    more = dict(zip(recorded.ANALOGS, near.T, strict=True))
    record = shown_records.record_of(bundle, said, more, held_snapshot(asof, deps).id, pictures)
    file = shown_records.shown_file(bundle, store_features(deps.fs, deps.folder.features, record))
    past = PastEvents(bundle.manifest.of(Part.MODEL)[0].sha256, dict(zip(said.symbols, near, strict=True))) if bundle.bank else None
    return scores_of(bundle, said), file, past


def _analogs(bundle: Bundle, past: PastEvents | None) -> Mapping[str, np.ndarray]:
    """Return what past events made, where the bundle learned from that; refuse what another net than the one it learned by found."""
    if not set(recorded.ANALOGS) & set(bundle.manifest.feature_names):
        return {}
    wanted = bundle.manifest.analogs_sha256 or "of no name"
    if past is None or past.net != wanted:
        has = f"that of the patterns bundle in force is {past.net[:16]}" if past else "no patterns bundle with a bank saw this evening"
        what = f"the bundle reads what past events made by the net {wanted[:16]}, and {has}"
        raise ScoresInvalid(what, fix="Train again by the run of patterns that is published, or publish the run of that net")
    return past.made


def _judged(asof: date, bundle: Bundle, deps: Deps, past: PastEvents | None) -> Untraded | None:
    """Let a bundle judge the events of the evening by their figures on this device's bars, and keep what it said."""
    from appliance.bundles import shown_records

    shown_records.require_trade(bundle)
    analogs = _analogs(bundle, past)
    panel = newest_features(bundle, lambda last, sessions: event_sleeves.with_figures(deps.market.bars(last, sessions), analogs), asof)
    if not panel.eligible[-1].any():
        return None
    said = outputs(bundle, panel, run=runner(bundle))
    dataset = deps.market.dataset()
    closes = deps.market.closes(asof) if dataset is not None and dataset.basis is PriceBasis.RAW else {}
    known = np.array([float(closes.get(symbol, "nan")) for symbol in said.symbols])
    record = shown_records.record_of(bundle, said, {shown_records.CLOSE: known}, held_snapshot(asof, deps).id)
    return scores_of(bundle, said), shown_records.shown_file(bundle, store_features(deps.fs, deps.folder.features, record)), None


def runner(bundle: Bundle) -> Infer:
    """Where the bundle's models run: trees and tables here, within what was measured, networks in a limited child."""
    is_table = all(member.profile is ProfileName.TABLE_1 for member in bundle.manifest.members)
    return infer if is_table else infer_in_child


def ranked(scores: Scores) -> tuple[score_rows.ScoreRow, ...]:
    """Scores with rank (1 is the highest, ties in symbol order) and z over the cross-section, best first."""
    values = scores.values
    z = np.nan_to_num(z_scores(values))  # 0 where the scores rank nothing
    said = [None] * len(values) if scores.probabilities is None else scores.probabilities.tolist()
    order = np.lexsort((np.arange(len(values)), -values))
    return tuple(
        score_rows.ScoreRow(scores.asof, scores.symbols[i], scores.sleeve, float(values[i]), rank, float(z[i]), scores.source, said[i])
        for rank, i in enumerate(order, start=1)
    )


def _expected_of_part(slot: Slot, asof: date, scores: Scores, deps: Deps) -> int:
    """Names that a sleeve of another dataset scored on the evening before: who is in that dataset is not known here.

    Who has an event is known here, and changes from one evening to the next.
    """
    if event_sleeves.DAILY_EVENTS in SLEEVES[slot.sleeve].inputs:
        bars = deps.market.bars(asof, READS)
        return len(daily_events(bars, len(bars.sessions) - 1))
    return len(score_rows.load(deps.ledger, deps.calendar.previous(asof), slot.sleeve)) or len(scores.symbols)


def _expected(bars: Bars) -> int:
    """Names eligible at asof or at the session before it: one whose bar failed to arrive is missing, not absent."""
    return int(bars.eligible[-2:].any(axis=0).sum())
