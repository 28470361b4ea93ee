"""A challenger's shadow record: its scores after training, session by session, compared with a champion's.

A device recorded it, or, to see beforehand how that may end, its model is asked afterwards. The recorded scores are held
against those that the model gives on today's data: where the names or the scores differ, the record is not of this model or not
of these data, and the session is a fault.

It is a test of operations: the same names, the same scores, no fault, turnover and costs as promised. It is no evidence of
skill, and cannot be: the mean rank IC of a few months refuses the catastrophic alone, and profit and loss are luck. What time
does add up is an interval of the mean IC that holds at every time at once (`trainer/validation/significance/anytime.py`), and
it goes on after the promotion: asked again over later sessions, it only narrows.

Scores that devices recorded are joined and checked against the calendar. A session that a device should have scored and did not
is a fault, whatever the reason; so is one that was scored when it was too late to trade on it, or differently by two logs.
Sessions before the device had the bundle, after it expired, and after a newer shadow took its place were never asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
from scipy.stats import norm, spearmanr

from execution.yardstick import levels
from signals.bundle.manifest import DEFAULT_EXPIRY_SESSIONS, BundleManifest, Part, Role
from signals.errors import FixInput, SkipSession
from signals.files import sha256_of, write_atomic
from signals.market.bars import Floats
from signals.market.sessions import Calendar
from signals.models.inference import predict
from signals.scoring.shadow_logs import ShadowEvening, ShadowLog, read_shadow_log
from signals.sleeves import SLEEVES
from signals.text.wording import reason_of
from trainer.backtest.archive import Archive, open_archive
from trainer.backtest.document import annual_sharpe
from trainer.backtest.subject import BacktestSubject, BookSettings
from trainer.labels.horizon import MIN_NAMES
from trainer.promotion import lineage_log
from trainer.promotion.measure import FOLDER, begun, held, model_hashes
from trainer.promotion.measured import MeanInterval, Profit, RecordedBy, Shadow
from trainer.runs import looks
from trainer.runs.artefacts import shape_of
from trainer.runs.looks import Look
from trainer.runs.run_folder import TRAINING, TrainingSettings, canonical_json, read_document
from trainer.tasks.recipes import config_of, task_of
from trainer.validation.deciles import SESSIONS_PER_YEAR
from trainer.validation.ic import rank_ic
from trainer.validation.significance.anytime import interval_at_all_times

FIX = "Export it by `appliance shadow --to FILE` on the device that has this run as its shadow"


@dataclass(frozen=True)
class Recorded:
    """The record of one run's model.

    Attributes
    ----------
    is_rehearsal : bool
        Whether a log is of a device that made its own time.
    sources : tuple of str
        SHA-256 of the bundles that scored.
    first, last : date
        First and last session that was asked for.
    scores : mapping of asof to (symbol to score)
    faults : mapping of asof to sentence
        Why a recorded evening does not count, or what a device said of one that it did not score.
    models : mapping of asof to tuple of SHA-256
        Which models scored: the run's own, or those of its lineage by then.
    """

    venues: tuple[str, ...]
    is_rehearsal: bool
    sources: tuple[str, ...]
    first: date
    last: date
    scores: Mapping[date, Mapping[str, float]]
    faults: Mapping[date, str] = field(default_factory=dict)
    models: Mapping[date, tuple[str, ...]] = field(default_factory=dict)

    def fault(self, asof: date) -> str:
        """Why there are no scores of `asof` to be judged; empty where there are."""
        return self.faults.get(asof, "" if asof in self.scores else "no device recorded scores")


@dataclass(frozen=True)
class ScoringBundle:
    """A bundle whose scores count: its models, and until when it could score."""

    model_sha256: tuple[str, ...]
    last_training_session: date
    expiry_sessions: int = DEFAULT_EXPIRY_SESSIONS


def read_recorded(
    path: Path, model_sha256: Sequence[str], calendar: Calendar, lineage: Mapping[str, ScoringBundle] | None = None
) -> Recorded:
    """Read the exported log at `path`, or all of a folder, as far as it is of these models or of their lineage.

    Parameters
    ----------
    lineage : mapping of SHA-256 to Source, optional
        Bundles in which the run's model was published when it had been trained again. A device keeps the manifests of
        the newest bundles only.

    Raises
    ------
    FixInput
        Nothing there is a log, or none is of these models.
    """
    logs = _logs(path)
    bundles = {digest: bundle for log in logs for digest, bundle in log.bundles().items()}
    ours = {digest: _source(bundle) for digest, bundle in bundles.items() if _is_of(bundle, model_sha256)}
    ours |= lineage or {}
    evenings = [one for log in logs for one in log.evenings if one.source in ours]
    if not evenings:
        raise FixInput("no recorded scores are of this run's model as a shadow", where=str(path), fix=FIX)
    first = min(one.asof for one in evenings)
    scores: dict[date, Mapping[str, float]] = {}
    faults = {calendar.previous(day): f"the device: {why}" for log in logs for day, why in log.faults.items()}
    faults = {asof: why for asof, why in faults.items() if asof not in {one.asof for one in evenings}}
    models = {one.asof: ours[one.source].model_sha256 for one in evenings}
    for one in evenings:
        if scores.setdefault(one.asof, one.scores) != one.scores:
            faults[one.asof] = "two logs hold different scores"
        elif one.recorded_at is None or one.recorded_at >= calendar.session(calendar.next(one.asof)).open:
            faults[one.asof] = "scored when the next session was open already"
    own_logs = [log for log in logs if any(one.source in ours for one in log.evenings)]
    last = min(_ends(own_logs, first, ours, calendar))
    return Recorded(
        tuple(sorted({log.venue for log in own_logs})),
        any(log.is_rehearsal for log in own_logs),
        tuple(sorted({one.source for one in evenings})),
        first,
        last,
        scores,
        faults,
        models,
    )


def _logs(path: Path) -> list[ShadowLog]:
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise FixInput("the folder holds no exported log", where=str(path), fix=FIX)
    try:
        return [read_shadow_log(file.read_bytes(), where=str(file)) for file in files]
    except OSError as error:
        raise FixInput(f"the log cannot be read: {reason_of(error)}", where=str(path), fix=FIX) from None


def _is_of(bundle: BundleManifest, model_sha256: Sequence[str]) -> bool:
    return bundle.role is Role.SHADOW and sorted(f.sha256 for f in bundle.of(Part.MODEL)) == sorted(model_sha256)


def _source(bundle: BundleManifest) -> ScoringBundle:
    models = tuple(file.sha256 for file in bundle.of(Part.MODEL))
    return ScoringBundle(models, bundle.last_training_session, bundle.expiry_sessions)


def _ends(logs: Sequence[ShadowLog], first: date, ours: Mapping[str, ScoringBundle], calendar: Calendar) -> list[date]:
    """Each reason for which nothing more was asked for, as the last session before it."""
    expiry = [
        calendar.offset(source.last_training_session, min(source.expiry_sessions, DEFAULT_EXPIRY_SESSIONS)) for source in ours.values()
    ]
    strangers = [_before(one, calendar) for log in logs for one in log.evenings if one.asof > first and one.source not in ours]
    return [max(calendar.previous(log.last_session) for log in logs), max(expiry), *strangers]


def _before(one: ShadowEvening, calendar: Calendar) -> date:
    return calendar.previous(one.asof)


COMMAND, SHADOW, WATCH = "shadow", "shadow.json", "watch.json"
MIN_AGREEMENT = 0.99  # rank correlation of recorded scores with the model's own: a few revised bars leave it above
MIN_SAME_NAMES = 0.95  # of the names in either
MAX_DIFFERENCE = 0.15  # root mean square, in deviations of the model's own scores: what a correlation of 0.99 leaves
RAMP_SESSIONS = 5  # a book of nothing buys itself in first, which is no turnover that was promised
ERROR = 0.05  # of the interval that holds at all times


@dataclass(frozen=True)
class _Evening:
    """Scores of one session by security."""

    scores: dict[str, float]
    agreement: float = 1.0
    same_names: float = 1.0
    difference: float = 0.0


def shadow(
    subject: BacktestSubject, data: Path, settings: BookSettings, band: float, record: Path | None = None, registry: Path | None = None
) -> Shadow:
    """Judge what was scored after the training against what became of it, and store the result.

    The dataset is read in its newest version: the sessions are those that were delivered since.

    Parameters
    ----------
    record : Path, optional
        What devices recorded; without it the published model is asked now.
    registry : Path, optional
        Where it is known which bundles carried the run's model trained again: what these scored counts too.

    Raises
    ------
    FixInput
        Another dataset, a record of another model, or no session since the training whose label has ended.
    """
    archive = _newest(subject, data)
    hashes, sources = model_hashes(subject.run), _lineage(subject, registry)
    models = {hashes[0]: (subject.run / "model.onnx").read_bytes()}
    recorded = read_recorded(record, hashes, archive.manifest.calendar, sources) if record else None
    if registry is not None and recorded is not None:
        models |= {one: lineage_log.kept(registry, one) for all_ in recorded.models.values() for one in all_ if one not in models}
    days = _days(subject, archive, recorded)
    ends = str(days[0]), str(archive.manifest.last)
    look = Look(COMMAND, subject.evidence.sleeve, hashes[0], *ends)
    looks.record(data, look)
    values, reasons, evenings = np.full(archive.whole.close.shape, np.nan), [], []
    columns = {security: column for column, security in enumerate(archive.securities)}
    for asof in days:
        scored_by = recorded.models.get(asof, hashes) if recorded else hashes
        try:
            evening = _evening(subject, archive, asof, models[scored_by[0]], recorded)
        except SkipSession as error:
            reasons.append(f"{asof}: {error}")
            continue
        evenings.append(evening)
        values[archive.whole.index(asof), [columns[owner] for owner in evening.scores]] = [*evening.scores.values()]
    config = config_of(read_document(subject.run / TRAINING, TrainingSettings).config, where=str(subject.run))
    labels = task_of(config).labels(archive.whole, config, archive.actions)
    ic = rank_ic(values, labels.values)
    predicted, low, high = predicted_band(subject, int(np.isfinite(ic).sum()), band)
    found_shadow = Shadow(
        model_sha256=hashes,
        snapshot_id=archive.manifest.snapshot_id,
        sessions=int(np.isfinite(ic).sum()),
        faults=len(reasons),
        reasons=tuple(reasons),
        ic=float(np.nanmean(ic)) if np.isfinite(ic).any() else None,
        predicted=predicted,
        band=band,
        band_low=low,
        band_high=high,
        first=str(days[0]),
        last=str(days[-1]),
        profit=_profit(replace(subject, archive=archive), values, settings),
        recorded=_recorded_by(recorded, evenings),
        interval=_interval(ic, subject.evidence.horizon, predicted_deviation(subject)),
    )
    # What a device recorded stays: a later look at the same run is another file, which no bar reads.
    content = canonical_json(found_shadow)
    if recorded:
        looks.record(data, replace(look, made=sha256_of(content)))
    write_atomic(subject.run / FOLDER / (SHADOW if recorded else WATCH), content)
    return found_shadow


def _lineage(subject: BacktestSubject, registry: Path | None) -> dict[str, ScoringBundle]:
    """Bundles that carried this run's model as a shadow when it had been trained again."""
    found = lineage_log.begun_by(registry, subject.run) if registry is not None else None
    if found is None:
        return {}
    shadows = {str(record["bundle_sha256"]) for record in found.published if record["role"] == Role.SHADOW}
    return {
        bundle: ScoringBundle(tuple(record["model_sha256"]), lineage_log.days(record)[0])
        for bundle, record in found.bundles().items()
        if bundle in shadows
    }


def predicted_band(subject: BacktestSubject, sessions: int, band: float) -> tuple[float, float, float]:
    r"""Predicted mean IC of `sessions` coming sessions, and the ends of its band.

    predicted +- z SE sqrt(1 + T / n): SE is the standard error of the walk-forward mean over T sessions; the mean of
    n later ones has variance SE^2 T / n, and the prediction itself SE^2.
    """
    forward = subject.evidence.forward_ic
    mean, error, trained = forward.mean, forward.standard_error, forward.sessions
    width = float(norm.ppf(0.5 + band / 2.0)) * error * float(np.sqrt(1.0 + trained / max(sessions, 1)))
    return mean, mean - width, mean + width


def predicted_deviation(subject: BacktestSubject) -> float:
    """Deviation of a session's IC where labels share nothing: the evidence's long-run one, less the overlap."""
    forward = subject.evidence.forward_ic
    long_run = forward.standard_error * float(np.sqrt(forward.sessions))
    return long_run / float(np.sqrt(subject.evidence.horizon))


def _interval(ic: Floats, horizon: int, deviation: float) -> MeanInterval:
    """Interval of the mean IC from every `horizon`-th session, counted from the first: their labels share nothing."""
    apart = ic[np.flatnonzero(np.isfinite(ic))[0] :: horizon] if np.isfinite(ic).any() else ic[:0]
    found = interval_at_all_times(apart[np.isfinite(apart)], deviation, error=ERROR)
    low, high = (value if np.isfinite(value) else None for value in (found.low, found.high))
    return MeanInterval(low, high, 1.0 - ERROR, found.values)


def _newest(subject: BacktestSubject, data: Path) -> Archive:
    archive, known = open_archive(data), subject.evidence.dataset
    if (archive.manifest.name, archive.manifest.vendor) != (known.name, known.vendor):
        raise FixInput(
            f"the run was trained on {known.name} of {known.vendor}",
            where=str(data),
            fix="Name the dataset that it was trained on, with the sessions since",
        )
    return archive


def _days(subject: BacktestSubject, archive: Archive, recorded: Recorded | None) -> Sequence[date]:
    """Sessions after the last label that the training read, whose own labels have ended, and that were asked for."""
    calendar, last = archive.manifest.calendar, archive.manifest.last
    since = calendar.next(date.fromisoformat(subject.evidence.last_label_session))
    days = calendar.between(since, last) if since <= last else ()
    days = days[: max(0, len(days) - subject.evidence.horizon - 1)]
    if recorded is not None:
        days = tuple(day for day in days if recorded.first <= day <= recorded.last)
    if not days:
        of = f"; recorded {recorded.first} to {recorded.last}" if recorded else ""
        raise FixInput(
            "no session since the training has a label that ended", where=f"data to {last}{of}", fix="Wait for sessions, and ingest them"
        )
    return days


def _evening(subject: BacktestSubject, archive: Archive, asof: date, model: bytes, recorded: Recorded | None) -> _Evening:
    """Scores that are judged; raise `SkipSession` where there are none that count."""
    if recorded is not None and (fault := recorded.fault(asof)):
        raise SkipSession(fault)
    owners, own = _scores(subject, archive, asof, model)
    asked = dict(zip(owners, own.tolist(), strict=True))
    if recorded is None:
        return _Evening(asked)
    security = {symbol: owner for owner, symbol in archive.rows.symbols_on(asof).items()}
    given = {security[symbol]: value for symbol, value in recorded.scores[asof].items() if symbol in security}
    both = sorted(given.keys() & asked.keys())
    either = len(recorded.scores[asof].keys() | _symbols(asked, archive, asof))
    same = len(both) / either
    if len(both) < MIN_NAMES or same < MIN_SAME_NAMES:
        raise SkipSession(f"{len(both)} names are among the recorded and the model's own, of {either} in either")
    theirs, ours = (np.array([scores[owner] for owner in both]) for scores in (given, asked))
    agreement = float(spearmanr(theirs, ours).statistic)
    if not agreement >= MIN_AGREEMENT:
        raise SkipSession(f"recorded scores rank otherwise than this model's own (correlation {agreement:.3f})")
    difference = float(np.sqrt(np.mean((theirs - ours) ** 2)) / own.std())
    if not difference <= MAX_DIFFERENCE:
        raise SkipSession(f"recorded scores are {difference:.2f} deviations from this model's own")
    return _Evening(given, agreement, same, difference)


def _symbols(scores: Mapping[str, float], archive: Archive, asof: date) -> set[str]:
    return {symbol for owner, symbol in archive.rows.symbols_on(asof).items() if owner in scores}


def _recorded_by(recorded: Recorded | None, evenings: Sequence[_Evening]) -> RecordedBy | None:
    if recorded is None:
        return None
    return RecordedBy(
        venues=tuple(recorded.venues),
        is_rehearsal=recorded.is_rehearsal,
        bundles=tuple(recorded.sources),
        first=str(recorded.first),
        last=str(recorded.last),
        lowest_agreement=min((one.agreement for one in evenings), default=None),
        lowest_same_names=min((one.same_names for one in evenings), default=None),
        largest_difference=max((one.difference for one in evenings), default=None),
    )


def _scores(subject: BacktestSubject, archive: Archive, asof: date, model: bytes) -> tuple[list[str], Floats]:
    """Securities and their scores on the evening of `asof`; raise `SkipSession` where a device would have none."""
    if archive.is_red(asof):
        raise SkipSession(f"the data of {asof} are RED")
    sleeve = shape_of(SLEEVES[subject.evidence.sleeve], subject.run)
    symbols, rows = sleeve.features(archive.trailing(asof, sleeve.lookback_sessions), asof).at(asof)
    if len(symbols) < MIN_NAMES:
        raise SkipSession(f"{len(symbols)} names are eligible on {asof}")
    found = predict([model], rows)
    if not bool(np.isfinite(found).all()) or float(np.ptp(found)) == 0.0:
        raise SkipSession(f"the scores of {asof} rank nothing")
    owner = {symbol: security for security, symbol in archive.rows.symbols_on(asof).items()}
    return [owner[symbol] for symbol in symbols], found


def _profit(subject: BacktestSubject, values: Floats, settings: BookSettings) -> Profit:
    if not np.isfinite(values).any():
        return Profit(net_return=0.0, annual_sharpe=0.0)
    book = held(subject, values[None], settings)[0]
    first = begun(book)
    net, built = book.net[first:], first + RAMP_SESSIONS + subject.evidence.horizon
    traded, cost = book.nav.turnover[built:], (book.nav.cost + book.nav.borrow)[built:]
    year = float(SESSIONS_PER_YEAR)
    steady = (float(traded.mean()) * year, float(cost.mean()) * year) if len(traded) else (None, None)
    return Profit(len(net), float(levels(net)[-1]) - 1.0, annual_sharpe(net), *steady)
