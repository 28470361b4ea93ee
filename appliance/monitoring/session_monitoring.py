"""The report's monitoring step: drift, attribution, and expected against realised results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from appliance.bundles.former_layout import move_former
from appliance.bundles.slots import Slot, load_slot, slot_store, traded_slots
from appliance.context import Deps
from appliance.controls.tripwires import Figure, TripwireFigures
from appliance.ledger import job_runs, nav
from appliance.ledger.figures import AttributedSession, DriftTable, ModelVerdict, MonitoringFigures, Observation, SleeveFigures
from appliance.monitoring.attribution import attributed, document, pending
from appliance.monitoring.drift import document as drift_document
from appliance.monitoring.drift import event_drift, feature_drift, worst_feature
from appliance.monitoring.expectation import GONE, bands, history_of, observed, series_of, verdict
from appliance.reports.svg import FanPanel, fans
from appliance.safety.halt import notify, warn
from appliance.system.ports import Severity
from signals.bundle import Bundle
from signals.errors import BundleRefused, DataNotUsable, FixInput, InvariantBroken, KeepPrevious, SkipSession, TryAgain
from signals.events.recorded import SHOWN
from signals.monitoring.expectation import expected_of
from signals.monitoring.sequential import ALPHA

REPORT = "report"
PICTURED_SESSIONS = 60
SAID_ONCE_IN = 20  # reports in which a figure's drift is notified once, for it comes and goes at its limit


@dataclass(frozen=True)
class MonitoringResult:
    """Measurements of the sessions up to asof, and each sleeve's chart of realised against expected results."""

    figures: TripwireFigures
    content: MonitoringFigures
    pictures: Mapping[str, bytes]


def measure(session: date, deps: Deps) -> MonitoringResult:
    """Measure drift, attribution and the model's life where there is a bundle and a store to measure them with."""
    asof = deps.calendar.previous(session)
    costs = _attributed(asof, deps)
    found = {slot.name: _of_slot(slot, asof, deps, costs) for slot in traded_slots(deps.config)}
    known = [one for one in found.values() if one is not None]
    first = known[0].content if known else SleeveFigures()
    several = {name: one.content if one else SleeveFigures() for name, one in found.items()} if len(found) > 1 else None
    content = MonitoringFigures(
        attribution=costs,
        live=first.live,
        expectation=first.expectation,
        drift=first.drift,
        by_sleeve=several,
        shown=_shown(session, asof, deps) or None,
    )
    figures = TripwireFigures(feature_drift=_worst([one.drift if one else None for one in found.values()]))
    pictures = {name if several else "": one.picture for name, one in found.items() if one is not None and one.picture}
    return MonitoringResult(figures, content, pictures)


@dataclass(frozen=True)
class SleeveMonitoring:
    """Monitoring of one sleeve: its part of the report, its worst feature's drift, and its chart."""

    content: SleeveFigures
    drift: Figure
    picture: bytes


def _of_slot(slot: Slot, asof: date, deps: Deps, costs: Sequence[AttributedSession]) -> SleeveMonitoring | None:
    try:
        move_former(deps.folder, deps.fs)
        bundle = load_slot(slot, deps.folder, deps.fs, asof, deps.config, deps.calendar)
        drift = feature_drift(deps, bundle, asof)
        live = observed(asof, deps, bundle)
        expected = verdict(asof, deps, bundle, live, costs)
        picture = _picture(asof, deps, bundle, live, costs)
    except (BundleRefused, DataNotUsable):
        return None
    return SleeveMonitoring(SleeveFigures(live, expected, drift_document(drift)), worst_feature(drift)[1], picture)


def _shown(session: date, asof: date, deps: Deps) -> dict[str, DriftTable]:
    """Drift of what bundles read and said of events; no tripwire reads it, for nothing is traded by them."""
    found: dict[str, DriftTable] = {}
    for slot in map(Slot, SHOWN):
        try:
            if slot_store(slot, deps.folder, deps.fs).current() is None:
                continue
            bundle = load_slot(slot, deps.folder, deps.fs, asof, deps.config, deps.calendar)
            found[slot.name] = drift_document(event_drift(deps, bundle, asof))
        except (FixInput, InvariantBroken, KeepPrevious, SkipSession, TryAgain) as error:
            warn(deps, f"drift-{slot.key}-{session}", f"the drift of {slot.name} is not watched", str(error))
    return found


def notify_if_drifted(session: date, deps: Deps, content: MonitoringFigures) -> None:
    """Notify a person of what is only shown and has drifted since the reports before; nothing stops."""
    if not content.shown:
        return
    runs = job_runs.newest(deps.ledger, REPORT, deps.calendar.previous(session), SAID_ONCE_IN)
    tables = [(run.read(MonitoringFigures).shown or {}) for run in runs]
    for sleeve, table in content.shown.items():
        known = {row.name for earlier in tables if sleeve in earlier for row in earlier[sleeve].rows if row.is_drifted}
        news = [row for row in table.rows if row.is_drifted and row.name not in known]
        if news:
            title = f"the events that {sleeve} judges are no longer those that it learned from"
            psi = [f"PSI {row.psi:.3g} over a limit of {row.limit:.3g}" if row.psi is not None else "without any value" for row in news]
            figures = ", ".join(f"{row.name} ({said})" for row, said in zip(news, psi, strict=True))
            text = f"Over {table.window_sessions} sessions these have drifted: {figures}. Nothing is traded by it"
            warn(deps, f"drift-{sleeve}-{session}", title, text)


def _worst(drifts: Sequence[Figure]) -> Figure:
    """The sleeve furthest past its limit; one that could not be measured is the worst of all."""
    if any(drift is None for drift in drifts):
        return None
    measured = [drift for drift in drifts if isinstance(drift, float)]
    return max(measured) if measured else drifts[0]


def _attributed(asof: date, deps: Deps) -> tuple[AttributedSession, ...]:
    """Attribute what can be; a session whose parts do not sum is notified and never shown."""
    found = []
    for day in pending(asof, deps):
        try:
            one = attributed(day, deps)
        except InvariantBroken as error:
            warn(deps, f"attribution-{day}", f"the result of {day} cannot be attributed", str(error))
            continue
        if one is not None:
            found.append(document(day, one, deps))
    return tuple(found)


def _picture(asof: date, deps: Deps, bundle: Bundle, live: Sequence[Observation], costs: Sequence[AttributedSession]) -> bytes:
    """The life inside its fans; nothing where there is no promise or no life yet."""
    expected, life = expected_of(bundle), history_of(bundle, deps, live, costs)
    if expected is None or not life.rows:
        return b""
    value = nav.history(deps.ledger, asof, 1)
    equity, series = float(value[-1].paper_nav) if value else 0.0, series_of(life)
    return fans({name: FanPanel(series[name], bands(expected, name, max(len(series[name]), PICTURED_SESSIONS), equity)) for name in series})


def notify_if_decayed(session: date, deps: Deps, content: MonitoringFigures) -> None:
    """Notify a person once that a model has decayed; the report says it from then on."""
    for sleeve, one in content.lives.items():
        _notify_of(sleeve, session, deps, one)


def _notify_of(sleeve: str, session: date, deps: Deps, expected: ModelVerdict) -> None:
    if expected.test.alarmed_on is None:
        return
    for run in job_runs.newest(deps.ledger, REPORT, deps.calendar.previous(session), 1):
        earlier = run.read(MonitoringFigures)
        if any(one.lineage == expected.lineage and one.test.alarmed_on is not None for one in earlier.lives.values()):
            return
    test = expected.test
    notify(
        deps,
        Severity.PAGE,
        f"expectation-{sleeve}-{session}" if sleeve else f"expectation-{session}",
        f"{sleeve}: {GONE}" if sleeve else GONE,
        f"Over {test.sessions} sessions its rank IC stayed below what was promised; the evidence of "
        f"{test.highest:.0f} is beyond {test.alarm_at:.0f}, which a sound model reaches once in "
        f"{1 / ALPHA:.0f} lives. It opens no position any more, and a retraining of it opens none. Look at `appliance expectation`; "
        f"`trainer promote` judges another model, `trainer rollback` helps where the bundle before is another model's.",
    )
