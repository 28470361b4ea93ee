"""Realised IC, turnover, cost and drawdown against the bundle's predicted range, and a test for model decay.

A session's scores are judged once the open two sessions later is known, by `execution.yardstick`, the very function
that the promise was made with. The account's own costs are set against the promised ones. Each observation is recorded
with what was promised for it, so that the test goes on over re-trainings of one model: a bundle of another sleeve, role
or training configuration begins a new life.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from appliance.context import Deps
from appliance.controls.tripwires import NOT_JUDGED, NOT_YET, Figure
from appliance.ledger import job_runs, nav
from appliance.ledger import scores as score_rows
from appliance.ledger.figures import (
    AttributedSession,
    DecayTest,
    ModelVerdict,
    MonitoringFigures,
    Observation,
    Promise,
    PromisedFans,
    RealisedFigure,
    ScoreFigures,
    SessionFigures,
    SleeveFigures,
)
from signals.bundle import Bundle
from signals.market.bars import Bars, Floats, opens
from signals.monitoring.expectation import Expectation, expected_of
from signals.monitoring.running_stats import deepest_falls, paid_bps, running_mean
from signals.monitoring.sequential import ALPHA, judge

if TYPE_CHECKING:
    from execution.yardstick import Lived

REPORT, SCORE = "report", "score"
BACKLOG_SESSIONS, LIFE_SESSIONS = 10, 400
KNOWN_AFTER_SESSIONS = 2
BPS = 1e4
GONE = "no longer the model you promoted"
STANDS = "nothing speaks against the model you promoted"
FIGURES = ("ic", "turnover", "cost", "drawdown")
JUST_BROKEN = math.nextafter(1.0, 2.0)


UNKNOWN = Promise()


@dataclass(frozen=True)
class ModelHistory:
    """The observations of one model, oldest first, and what its account paid for trading, newest bundle's promise."""

    rows: tuple[Observation, ...]
    paid: tuple[tuple[date, float], ...]


def observed(asof: date, deps: Deps, bundle: Bundle) -> tuple[Observation, ...]:
    """Judge the scores that can be judged by now and have not been, oldest first."""
    from execution.yardstick import lived  # brings in costs, which a job that only asks what a model promised does without

    calendar, sleeve = deps.calendar, bundle.manifest.sleeve
    if calendar.index(asof) < KNOWN_AFTER_SESSIONS + BACKLOG_SESSIONS:
        return ()
    expected, past = expected_of(bundle), _live(_reports(deps), bundle, deps)
    newest = calendar.offset(asof, -KNOWN_AFTER_SESSIONS)
    days = calendar.between(calendar.offset(newest, 1 - BACKLOG_SESSIONS), newest)
    done = {row.session for row in past}
    due = [day for day in days if day not in done and score_rows.load(deps.ledger, day, sleeve)]
    if not due:
        return ()
    k = expected.cohorts if expected else bundle.manifest.horizon_sessions
    first = calendar.days[max(0, calendar.index(due[0]) - k - 1)]
    bars = deps.market.bars(asof, calendar.index(asof) - calendar.index(first) + 1)
    scores, sources = _scores(bars, sleeve, deps)
    seen = lived(scores, opens(bars), k)
    promises = _promises(bundle, past, deps)
    return tuple(
        _observation(day, place, seen, sources.get(day, ""), promises.get(sources.get(day, ""), UNKNOWN))
        for place, day in enumerate(bars.sessions[seen.rows].astype(object).tolist())
        if day in due
    )


def verdict(
    asof: date, deps: Deps, bundle: Bundle, fresh: Sequence[Observation], costs: Sequence[AttributedSession]
) -> ModelVerdict | None:
    """Set the life of the bundle's model, `fresh` observations included, against its promise.

    Parameters
    ----------
    fresh : sequence of Observation
        From `observed`.
    costs : sequence of AttributedSession
        Those that no report has recorded yet.

    Returns
    -------
    ModelVerdict or None
        None where the bundle promises nothing, or nothing has been observed yet.
    """
    expected = expected_of(bundle)
    life = history_of(bundle, deps, fresh, costs)
    if expected is None or not life.rows:
        return None
    value = nav.history(deps.ledger, asof, 1)
    equity = float(value[-1].paper_nav) if value else 0.0
    series = series_of(life)
    return ModelVerdict(
        bundle.manifest.lineage,
        since=life.rows[0].session,
        until=life.rows[-1].session,
        figures=tuple(_figure(name, series[name], expected, equity) for name in FIGURES),
        fans=_fans(expected, equity),
        test=_decay(life.rows),
    )


def _decay(rows: Sequence[Observation]) -> DecayTest:
    ic, promised, bound = (np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in ("ic", "promised", "bound"))
    test = judge(ic, promised, bound)
    return DecayTest(
        sessions=test.sessions,
        wealth=test.wealth,
        highest=test.highest,
        alarm_at=1.0 / ALPHA,
        p_value=test.p_value,
        promised=rows[-1].promised,
        alarmed_on=None if test.alarm is None else rows[test.alarm].session,
        says=STANDS if test.alarm is None else GONE,
    )


def broken_promise(session: date, deps: Deps, bundle: Bundle) -> Figure:
    """Highest evidence against the bundle's model over that which refutes it, by the newest report that judged its sleeve.

    A model that follows another one begins with none, and one that is only retrained goes on with what it has: a refuted one stays
    refuted where its next bundle promises nothing.
    """
    found = _newest_test(session, deps, bundle.manifest.sleeve, bundle.manifest.lineage)
    if found is not None and found.alarmed_on is not None:
        return max(found.highest / found.alarm_at, JUST_BROKEN) if found.alarm_at > 0 else JUST_BROKEN  # a wealth beyond floats reads as 0
    if expected_of(bundle) is None:
        return NOT_JUDGED
    return NOT_YET if found is None or not found.alarm_at > 0 else found.highest / found.alarm_at


def _newest_test(session: date, deps: Deps, sleeve: str, lineage: str) -> DecayTest | None:
    """The test of the newest report that judged the sleeve; None where that was another model's, or there is none."""
    for run in reversed(job_runs.newest(deps.ledger, REPORT, deps.calendar.previous(session), LIFE_SESSIONS)):
        for life in run.read(MonitoringFigures).lives.values():
            if life.lineage == lineage:
                return life.test
            if life.lineage.startswith(f"{sleeve} "):
                return None
    return None


def series_of(life: ModelHistory) -> dict[str, list[float]]:
    """The four figures after each observation: means so far, the cost in basis points, the deepest drawdown."""
    return {
        "ic": running_mean([row.ic for row in life.rows]),
        "turnover": running_mean([row.turnover for row in life.rows]),
        "cost": running_mean([bps for _, bps in life.paid]),
        "drawdown": deepest_falls([row.net or 0.0 for row in life.rows]),
    }


def bands(expected: Expectation, figure: str, count: int, equity: float) -> list[tuple[float, ...]]:
    """Promised quantiles of a figure after 1 to `count` sessions; costs in basis points at the account's equity."""
    if figure != "cost":
        return [expected.band(figure, n) for n in range(1, count + 1)]
    from execution.costs.spread import half_spread

    spread, root = float(half_spread()), math.sqrt(max(equity, 0.0))
    rows = [expected.band("impact", n) for n in range(1, count + 1)]
    return [tuple(BPS * (spread + impact * root) for impact in row) for row in rows]


def _fans(expected: Expectation, equity: float) -> PromisedFans:
    """Lowest, middle and highest promised quantile of each figure, where the promise states them."""
    found = {}
    for name in FIGURES:
        rows = bands(expected, name, expected.after[-1], equity)
        stated = [rows[n - 1] for n in expected.after]
        found[name] = tuple((row[0], row[len(row) // 2], row[-1]) for row in stated)
    return PromisedFans(expected.after, **found)


def history_of(bundle: Bundle, deps: Deps, fresh: Sequence[Observation], costs: Sequence[AttributedSession]) -> ModelHistory:
    """Everything recorded of the bundle's model, with what this report adds."""
    recorded = _reports(deps)
    rows = [*_live(recorded, bundle, deps), *fresh]
    return _current_run(bundle.manifest.lineage, rows, [*(row for report in recorded for row in report.attribution), *costs])


def _live(recorded: Sequence[SessionFigures], bundle: Bundle, deps: Deps) -> list[Observation]:
    """Observations of the bundle's sleeve; of reports that knew one sleeve alone, next to others now, those of its model."""
    found: list[Observation] = []
    for report in recorded:
        if report.by_sleeve is not None:
            found += report.by_sleeve.get(bundle.manifest.sleeve, SleeveFigures()).live
        else:
            is_alone = len(deps.config.sleeves) == 1
            found += [row for row in report.live if is_alone or row.lineage == bundle.manifest.lineage]
    return found


def _observation(day: date, place: int, seen: Lived, source: str, promise: Promise) -> Observation:
    return Observation(
        session=day,
        bundle=source,
        lineage=promise.lineage,
        ic=_known(seen.ic[place]),
        turnover=_known(seen.turnover[place]),
        net=_known(seen.net[place]),
        promised=promise.promised,
        bound=promise.bound,
        deciles=tuple(seen.deciles[place].tolist()) if np.isfinite(seen.deciles[place]).all() else None,
    )


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _scores(bars: Bars, sleeve: str, deps: Deps) -> tuple[Floats, dict[date, str]]:
    """Recorded scores on the panel's axes, NaN where there are none, and the bundle that gave each session's."""
    found, sources = np.full(bars.close.shape, np.nan), dict[date, str]()
    column = {symbol: i for i, symbol in enumerate(bars.symbols)}
    for place, day in enumerate(bars.sessions.astype(object).tolist()):
        for row in score_rows.load(deps.ledger, day, sleeve):
            if row.symbol in column:
                found[place, column[row.symbol]] = row.score
            sources[day] = row.source
    return found, sources


def promise_of(bundle: Bundle) -> Promise:
    """Return what a bundle's evidence promises of its mean rank IC."""
    expected = expected_of(bundle)
    return (
        Promise(bundle.manifest.lineage) if expected is None else Promise(bundle.manifest.lineage, expected.ic.promised, expected.ic.bound)
    )


def _promises(bundle: Bundle, past: Sequence[Observation], deps: Deps) -> dict[str, Promise]:
    """Promise of each bundle: the one in force by its own evidence, earlier ones as judged before, or as recorded when they scored.

    A session is judged two sessions later: a bundle that is replaced every night is never in force then.
    """
    found = {row.bundle: Promise(row.lineage, row.promised, row.bound) for row in past if row.lineage}
    for run in job_runs.newest(deps.ledger, SCORE, date.max, BACKLOG_SESSIONS + KNOWN_AFTER_SESSIONS + 1):
        scored = run.read(ScoreFigures).of(bundle.manifest.sleeve)
        if scored.promise is not None and scored.bundle_sha256:
            found[scored.bundle_sha256] = scored.promise
    return {**found, bundle.sha256: promise_of(bundle)}


def _reports(deps: Deps) -> list[SessionFigures]:
    return [run.read(SessionFigures) for run in job_runs.newest(deps.ledger, REPORT, date.max, LIFE_SESSIONS)]


def _current_run(name: str, rows: Sequence[Observation], costs: Sequence[AttributedSession]) -> ModelHistory:
    """The newest unbroken run of observations of one model that were promised something.

    One without a model breaks no run: a retraining whose bundle was replaced before its first session was judged left no promise.
    """
    ordered = sorted(rows, key=lambda row: row.session)
    begin = max((i + 1 for i, row in enumerate(ordered) if row.lineage not in (name, "")), default=0)
    own = [row for row in ordered[begin:] if row.bound is not None]
    paid = [
        (row.session, bps)
        for row in sorted(costs, key=lambda row: row.session)
        if own and row.session >= own[0].session and (bps := paid_bps(row.costs, row.traded)) is not None
    ]
    return ModelHistory(tuple(own), tuple(paid))


def _figure(name: str, series: Sequence[float], expected: Expectation, equity: float) -> RealisedFigure:
    if not series:
        return RealisedFigure(name)
    band = bands(expected, name, len(series), equity)[-1]
    low, middle, high = band[0], band[len(band) // 2], band[-1]
    live = series[-1]
    word = "BELOW" if live < low else "ABOVE" if live > high else "INSIDE"
    return RealisedFigure(name, len(series), live, low, middle, high, word)
