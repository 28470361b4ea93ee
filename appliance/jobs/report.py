"""Job after the close: values the session, on paper and with real-world costs, and writes the report."""

import json
from datetime import date

from appliance.context import Deps
from appliance.controls.self_test import run_self_test
from appliance.controls.tripwires import Stage
from appliance.jobs import session_value
from appliance.ledger import nav, reports
from appliance.ledger.figures import ReportFigures
from appliance.monitoring.session_monitoring import measure, notify_if_decayed
from appliance.reports.equity_curve import draw
from appliance.reports.markdown import picture_of, render
from appliance.reports.session_data import gather
from appliance.safety.enforce import enforce
from appliance.safety.halt import notify
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.ports import Severity
from signals.files import sha256_of
from signals.text.documents import to_json

CURVE = "equity.svg"
BEFORE = ("equity.png", "expectation.png")  # what earlier releases drew; left there it would seem current


def report(session: date, deps: Deps) -> JobReport:
    """Write `reports/report_<D>.json`, `.md` and the equity curve.

    Everything in it comes from the ledger and the market store: written again, it is the same to the byte but for what
    happened since.
    """
    session_value.restate(session, deps)
    watched = measure(session, deps)
    enforce(deps, session, Stage.REVIEW, watched.figures)
    notify_if_decayed(session, deps, watched.content)
    controls = run_self_test(deps.config.limits())
    if controls.dead:
        notify(deps, Severity.PAGE, f"controls-{session}", "a control cannot fire", controls.sentence())
    row = session_value.record(session, deps)
    content = gather(session, deps, watched.content, controls.sentence())
    body = (json.dumps(to_json(content), indent=1, sort_keys=True) + "\n").encode()
    name = f"report_{session}"
    deps.fs.write(deps.folder.reports / f"{name}.json", body)
    deps.fs.write(deps.folder.reports / f"{name}.md", render(content).encode())
    deps.fs.write(deps.folder.reports / CURVE, draw(nav.history(deps.ledger, session, 10_000)))
    for sleeve, picture in watched.pictures.items():
        deps.fs.write(deps.folder.reports / picture_of(sleeve), picture)
    for old in BEFORE:
        deps.fs.remove(deps.folder.reports / old)
    at = deps.clock.now()
    reports.save(deps.ledger, reports.ReportRow(session, f"reports/{name}.json", sha256_of(body), at))
    value = f"paper NAV {row.paper_nav:,.2f} USD, real NAV {row.real_nav:,.2f} USD" if row else "no value is known"
    return JobReport(
        "report",
        session,
        JobStatus.DONE,
        f"{value}; reports/{name}.md",
        ReportFigures(
            **vars(watched.content),
            path=f"reports/{name}.json",
            paper_nav=row.paper_nav if row else None,
            real_nav=row.real_nav if row else None,
        ),
    )
