"""Checks an evening's features and scores for continuity with the last accepted evening in this device's records.

An evening is accepted when its score job was done. A skipped one is never compared with, so that a fault which lasts is
seen again the next evening, and the third in a row halts the device. After a longer pause there is nothing to compare
with: a person has started the device again, and the evening counts as the first.

Entry points: `accepted`, `judge`, `judge_delivered`.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np

from appliance.bundles.feature_record import FeatureRecord, read_features
from appliance.context import Deps
from appliance.controls.tripwires import NOT_JUDGED, NOT_YET, Figure
from appliance.ledger import job_runs
from appliance.ledger import scores as score_rows
from appliance.ledger.figures import ScoreFigures
from appliance.schedule.job import JobStatus
from signals.bundle import Bundle
from signals.errors import BundleRefused, DataNotUsable, FixInput
from signals.features.panel import FeaturePanel, FeatureSpec, spec_hash
from signals.features.treatment import declared_in
from signals.market.bars import days_array
from signals.monitoring import continuity
from signals.monitoring.continuity import LAGS, SCORE, ContinuityLimits, CrossSection, Worst
from signals.monitoring.drift import continuity_limits
from signals.scoring.scores import Scores
from signals.scoring.scoring import score, sleeve_of
from signals.sleeves import SLEEVES

SCORE_JOB = "score"


@dataclass(frozen=True, eq=False)
class Accepted:
    """The newest accepted evening.

    Attributes
    ----------
    lag : int
        Sessions from it to the evening that is judged.
    again : FeaturePanel or None
        Its features computed anew from the store as it is; None where the store does not reach back so far, or they were others.
    """

    record: FeatureRecord
    lag: int
    again: FeaturePanel | None


@dataclass(frozen=True)
class Continuity:
    """The figures of the tripwires, and in words what uses most of a limit; empty while all are within."""

    step: Figure = NOT_JUDGED
    relations: Figure = NOT_JUDGED
    recomputed: Figure = NOT_JUDGED
    beyond: str = ""


def accepted(deps: Deps, asof: date, bundle: Bundle) -> Accepted | None:
    """Return the newest accepted evening at most three sessions before `asof` whose features were kept, of the bundle's sleeve."""
    day = asof  # the job of session D scored the session before D
    for lag in LAGS:
        if day == deps.calendar.days[0]:
            return None
        run = job_runs.find(deps.ledger, day, SCORE_JOB)
        figures = run.read(ScoreFigures).of(bundle.manifest.sleeve) if run is not None and run.status is JobStatus.DONE else ScoreFigures()
        if figures != ScoreFigures():
            try:
                record = read_features(deps.folder.features, figures.features)
            except FixInput:
                return None
            return Accepted(record, lag, _again(record, bundle, deps))
        day = deps.calendar.previous(day)
    return None


def judge(deps: Deps, bundle: Bundle, features: FeaturePanel, scores: Scores, before: Accepted | None) -> Continuity:
    """Judge the evening of `scores` by the limits that the bundle carries.

    Raises
    ------
    BundleRefused
        The limits cannot be read, or watch a feature that is not computed here.
    """
    table = continuity_limits(bundle.drift_reference)
    if table is None:
        return Continuity()
    now = _evening(table, *features.at(scores.asof), features.names, dict(zip(scores.symbols, scores.values, strict=True)))
    found: list[Worst] = [continuity.relations(table, now)]
    if before is None or not is_of(before.record, bundle.manifest.feature_spec):
        return Continuity(NOT_YET, found[0].ratio, NOT_YET, _beyond(found))
    record = before.record
    values = np.frombuffer(record.values, dtype="<f4").reshape(len(record.symbols), len(record.names))
    then = _evening(table, record.symbols, values, record.names, _said(deps, bundle, record.asof))
    found.append(continuity.step(table, then, now, before.lag))
    recomputed: Figure = NOT_YET
    if before.again is not None:
        rescored = _rescored(bundle, record, values)
        again = _evening(table, *before.again.at(record.asof), before.again.names, rescored)
        found.append(continuity.recomputed(then if rescored else _evening(table, record.symbols, values, record.names, {}), again))
        recomputed = found[-1].ratio
    return Continuity(found[1].ratio, found[0].ratio, recomputed, _beyond(found))


def judge_delivered(deps: Deps, bundle: Bundle, scores: Scores) -> Continuity:
    """Judge the order of delivered scores alone; their features are not here."""
    table = continuity_limits(bundle.drift_reference)
    if table is None:
        return Continuity()
    day = scores.asof
    for lag in LAGS:
        if day == deps.calendar.days[0]:
            break
        day = deps.calendar.previous(day)
        said = _said(deps, bundle, day)
        if said:
            now = dict(zip(scores.symbols, scores.values, strict=True))
            found = continuity.step(table, _scores_alone(said), _scores_alone(now), lag)
            return Continuity(step=found.ratio, beyond=_beyond([found]))
    return Continuity(step=NOT_YET)


def _again(record: FeatureRecord, bundle: Bundle, deps: Deps) -> FeaturePanel | None:
    """Features of the evening in the shape that the record has; None where no shape of the sleeve has it."""
    if record.sleeve not in SLEEVES:
        return None
    own, plain = sleeve_of(bundle), SLEEVES[record.sleeve]
    # What a bundle carries for its features is that bundle's: another one's states give another regime.
    shapes = ((own,) if own.regime is None or record.bundle_sha256 == bundle.sha256 else ()) + (plain, *plain.variants)
    sleeve = next((one for one in shapes if is_of(record, one.spec)), None)
    if sleeve is None:
        return None
    try:
        return sleeve.features(deps.market.bars(record.asof, sleeve.lookback_sessions), record.asof)
    except DataNotUsable:
        return None


def is_of(record: FeatureRecord, spec: FeatureSpec) -> bool:
    """Whether a record holds the features of a specification; without a hash, which programs kept that treated none, by their names."""
    if record.names != tuple(name for name, _, _ in spec):
        return False
    return record.spec_hash == spec_hash(list(spec)) or (not record.spec_hash and declared_in(spec) is None)


def _rescored(bundle: Bundle, record: FeatureRecord, values: np.ndarray) -> dict[str, float]:
    """Scores that this program gives now to the values that were read then: another sign or order is another program.

    None of a bundle that reads earlier sessions too: one evening's record does not hold them.
    """
    if bundle.manifest.view.sessions > 1:
        return {}
    panel = FeaturePanel(days_array((record.asof,)), record.symbols, record.names, values[None], np.ones((1, len(values)), dtype=bool))
    scores = score(bundle, panel)
    return dict(zip(scores.symbols, scores.values, strict=True))


def _said(deps: Deps, bundle: Bundle, asof: date) -> dict[str, float]:
    """Scores of `asof` that this very bundle gave; empty where there are none."""
    rows = score_rows.load(deps.ledger, asof, bundle.manifest.sleeve)
    return {row.symbol: row.score for row in rows if row.source == bundle.sha256}


def _evening(
    table: ContinuityLimits, symbols: tuple[str, ...], values: np.ndarray, names: tuple[str, ...], scores: dict[str, float]
) -> CrossSection:
    """What the limits watch of one evening: its features, and its scores where there are any."""
    if not table.columns:
        raise BundleRefused("the limits of continuity name no columns", fix="Publish another bundle")
    features = tuple(name for name in table.columns if name != SCORE)
    if lost := [name for name in features if name not in names]:
        raise BundleRefused(f"the limits of continuity watch {lost[0]!r}, which is not computed here")
    watched = values[:, [names.index(name) for name in features]]
    if not scores:
        return CrossSection(symbols, features, watched)
    said = np.array([scores.get(symbol, np.nan) for symbol in symbols], dtype=np.float32)
    return CrossSection(symbols, (*features, SCORE), np.column_stack([watched, said]))


def _scores_alone(scores: dict[str, float]) -> CrossSection:
    return CrossSection(tuple(scores), (SCORE,), np.array(list(scores.values()), dtype=np.float32)[:, None])


def _beyond(found: list[Worst]) -> str:
    return "; ".join(f"{one.name} at {one.ratio:.3g} times its limit" for one in found if one.ratio > 1)
