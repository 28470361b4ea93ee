"""Scores that devices recorded of one run's model, joined and checked against the calendar.

A session that a device should have scored and did not is a fault, whatever the reason; so is one that was scored when
it was too late to trade on it, or differently by two logs. Sessions before the device had the bundle, after it
expired, and after a newer shadow took its place were never asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from signals.bundle.manifest import DEFAULT_EXPIRY_SESSIONS, BundleManifest, Part, Role
from signals.errors import FixInput
from signals.market.sessions import Calendar
from signals.scoring.shadow_log import ShadowEvening, ShadowLog, read_shadow_log
from signals.text.wording import reason_of

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
