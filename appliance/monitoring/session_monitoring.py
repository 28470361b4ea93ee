"""The report's monitoring step: drift, attribution, and expected against realised results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from appliance.bundles.accepted_roles import bundle_policy
from appliance.bundles.store import BundleStore
from appliance.context import Deps
from appliance.controls.tripwires import TripwireFigures
from appliance.ledger import job_runs, nav
from appliance.ledger.figures import AttributedSession, ModelVerdict, MonitoringFigures, Observation
from appliance.monitoring.attribution import attributed, document, pending
from appliance.monitoring.drift import document as drift_document
from appliance.monitoring.drift import feature_drift, worst_feature
from appliance.monitoring.expectation import GONE, bands, history_of, observed, series_of, verdict
from appliance.reports.fan_charts import FanPanel, fans
from appliance.safety.halt import notify
from appliance.system.ports import Severity
from signals.bundle import Bundle
from signals.errors import BundleRefused, DataNotUsable, InvariantBroken
from signals.monitoring.expectation import expected_of
from signals.monitoring.sequential import ALPHA

REPORT = "report"
PICTURED_SESSIONS = 60


@dataclass(frozen=True)
class MonitoringResult:
    """Measurements of the sessions up to asof, and the chart of realised against expected results."""

    figures: TripwireFigures
    content: MonitoringFigures
    picture: bytes = b""


def measure(session: date, deps: Deps) -> MonitoringResult:
    """Measure drift, attribution and the model's life where there is a bundle and a store to measure them with."""
    asof = deps.calendar.previous(session)
    costs = _attributed(asof, deps)
    try:
        bundle = BundleStore(deps.folder.bundles, deps.fs).load(bundle_policy(asof, deps.config, deps.calendar))
        drift = feature_drift(deps, bundle, asof)
        live = observed(asof, deps, bundle)
        expected = verdict(asof, deps, bundle, live, costs)
        picture = _picture(asof, deps, bundle, live, costs)
    except (BundleRefused, DataNotUsable):
        return MonitoringResult(TripwireFigures(feature_drift=None), MonitoringFigures(costs))
    content = MonitoringFigures(costs, live, expected, drift_document(drift))
    return MonitoringResult(TripwireFigures(feature_drift=worst_feature(drift)[1]), content, picture)


def _attributed(asof: date, deps: Deps) -> tuple[AttributedSession, ...]:
    """Attribute what can be; a session whose parts do not sum is notified and never shown."""
    found = []
    for day in pending(asof, deps):
        try:
            one = attributed(day, deps)
        except InvariantBroken as error:
            notify(deps, Severity.WARN, f"attribution-{day}", f"the result of {day} cannot be attributed", str(error))
            continue
        if one is not None:
            found.append(document(day, one, deps))
    return tuple(found)


def _picture(asof: date, deps: Deps, bundle: Bundle, live: Sequence[Observation], costs: Sequence[AttributedSession]) -> bytes:
    """The life inside its fans; nothing where there is no promise or no life yet."""
    expected, life = expected_of(bundle), history_of(bundle.manifest.lineage, deps, live, costs)
    if expected is None or not life.rows:
        return b""
    value = nav.history(deps.ledger, asof, 1)
    equity, series = float(value[-1].paper_nav) if value else 0.0, series_of(life)
    return fans({name: FanPanel(series[name], bands(expected, name, max(len(series[name]), PICTURED_SESSIONS), equity)) for name in series})


def notify_if_decayed(session: date, deps: Deps, expected: ModelVerdict | None) -> None:
    """Notify a person once that the model has decayed; the report says it from then on."""
    if expected is None or expected.test.alarmed_on is None:
        return
    for run in job_runs.newest(deps.ledger, REPORT, deps.calendar.previous(session), 1):
        before = run.read(MonitoringFigures).expectation
        if before is not None and before.lineage == expected.lineage and before.test.alarmed_on is not None:
            return
    test = expected.test
    notify(
        deps,
        Severity.WARN,
        f"expectation-{session}",
        GONE,
        f"Over {test.sessions} sessions its rank IC stayed below what was promised; the evidence of "
        f"{test.highest:.0f} is beyond {test.alarm_at:.0f}, which a sound model reaches once in "
        f"{1 / ALPHA:.0f} lives. Look at `appliance expectation`; train and promote again, or halt.",
    )
