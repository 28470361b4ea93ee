"""Realised IC, turnover, cost and drawdown against the bundle's predicted range, and a test for model decay.

A session's scores are judged once the open two sessions later is known, by `execution.yardstick`, the very function
that the promise was made with. The account's own costs are set against the promised ones. Each observation is recorded
with what was promised for it, so that the test goes on over re-trainings of one model: a bundle of another sleeve, role
or training configuration begins a new life.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from appliance.context import Deps
from appliance.ledger import job_runs, nav
from appliance.ledger import scores as score_rows
from execution.costs.spread import half_spread
from execution.yardstick import lived
from signals.bundle import Bundle
from signals.market.bars import Bars, Floats
from signals.market.holding import opens
from signals.monitoring.expectation import Expectation, expected_of
from signals.monitoring.running_stats import deepest_falls, paid_bps, running_mean
from signals.monitoring.sequential import ALPHA, judge

REPORT, LIVE, VERDICT, COSTS = "report", "live", "expectation", "attribution"
BACKLOG_SESSIONS, LIFE_SESSIONS = 10, 400
KNOWN_AFTER_SESSIONS = 2
BPS = 1e4
GONE = "no longer the model you promoted"
STANDS = "nothing speaks against the model you promoted"
FIGURES = ("ic", "turnover", "cost", "drawdown")
ObservationRow = dict[str, Any]


@dataclass(frozen=True)
class ModelHistory:
    """The observations of one model, oldest first, and what its account paid for trading, newest bundle's promise."""

    rows: tuple[ObservationRow, ...]
    paid: tuple[tuple[str, float], ...]


def observed(asof: date, deps: Deps, bundle: Bundle) -> list[ObservationRow]:
    """Judge the scores that can be judged by now and have not been, oldest first."""
    calendar, sleeve = deps.calendar, bundle.manifest.sleeve
    if calendar.index(asof) < KNOWN_AFTER_SESSIONS + BACKLOG_SESSIONS:
        return []
    expected, past = expected_of(bundle), _recorded(deps, LIVE)
    newest = calendar.offset(asof, -KNOWN_AFTER_SESSIONS)
    days = calendar.between(calendar.offset(newest, 1 - BACKLOG_SESSIONS), newest)
    done = {row["session"] for row in past}
    due = [day for day in days if day.isoformat() not in done and score_rows.load(deps.ledger, day, sleeve)]
    if not due:
        return []
    k = expected.cohorts if expected else bundle.manifest.horizon_sessions
    first = calendar.days[max(0, calendar.index(due[0]) - k - 1)]
    bars = deps.market.bars(asof, calendar.index(asof) - calendar.index(first) + 1)
    scores, sources = _scores(bars, sleeve, deps)
    seen = lived(scores, opens(bars), k)
    promises = _promises(bundle, expected, past)
    return [
        _row(day, place, seen, sources.get(day, ""), promises.get(sources.get(day, ""), {}))
        for place, day in enumerate(bars.sessions[seen.rows].astype(object).tolist())
        if day in due
    ]


def verdict(
    asof: date, deps: Deps, bundle: Bundle, fresh: Sequence[ObservationRow], costs: Sequence[ObservationRow]
) -> ObservationRow | None:
    """Set the life of the bundle's model, `fresh` observations included, against its promise.

    Parameters
    ----------
    fresh : sequence of dict
        From `observed`.
    costs : sequence of dict
        Attributions that no report has recorded yet.

    Returns
    -------
    dict or None
        JSON-able. None where the bundle promises nothing, or nothing has been observed yet.
    """
    expected = expected_of(bundle)
    life = _current_run(bundle.manifest.lineage, [*_recorded(deps, LIVE), *fresh], [*_recorded(deps, COSTS), *costs])
    if expected is None or not life.rows:
        return None
    value = nav.history(deps.ledger, asof, 1)
    equity = float(value[-1].paper_nav) if value else 0.0
    series = series_of(life)
    figures = [_figure(name, series[name], expected, equity) for name in FIGURES]
    ic, promised, bound = (np.array([row[name] for row in life.rows], dtype=np.float64) for name in ("ic", "promised", "bound"))
    test = judge(ic, promised, bound)
    return {
        "lineage": bundle.manifest.lineage,
        "since": life.rows[0]["session"],
        "until": life.rows[-1]["session"],
        "figures": figures,
        "fans": {"after": list(expected.after), **_fans(expected, equity)},
        "test": {
            "sessions": test.sessions,
            "wealth": test.wealth,
            "highest": test.highest,
            "alarm_at": 1.0 / ALPHA,
            "p_value": test.p_value,
            "promised": life.rows[-1]["promised"],
            "alarmed_on": None if test.alarm is None else life.rows[test.alarm]["session"],
            "says": STANDS if test.alarm is None else GONE,
        },
    }


def series_of(life: ModelHistory) -> dict[str, list[float]]:
    """The four figures after each observation: means so far, the cost in basis points, the deepest drawdown."""
    net = [row["net"] or 0.0 for row in life.rows]
    return {
        "ic": running_mean([row["ic"] for row in life.rows]),
        "turnover": running_mean([row["turnover"] for row in life.rows]),
        "cost": running_mean([bps for _, bps in life.paid]),
        "drawdown": deepest_falls(net),
    }


def bands(expected: Expectation, figure: str, count: int, equity: float) -> list[tuple[float, ...]]:
    """Promised quantiles of a figure after 1 to `count` sessions; costs in basis points at the account's equity."""
    if figure != "cost":
        return [expected.band(figure, n) for n in range(1, count + 1)]
    spread, root = float(half_spread()), math.sqrt(max(equity, 0.0))
    rows = [expected.band("impact", n) for n in range(1, count + 1)]
    return [tuple(BPS * (spread + impact * root) for impact in row) for row in rows]


def _fans(expected: Expectation, equity: float) -> dict[str, list[list[float]]]:
    """Lowest, middle and highest promised quantile of each figure, where the promise states them."""
    found = {}
    for name in FIGURES:
        rows = bands(expected, name, expected.after[-1], equity)
        stated = [rows[n - 1] for n in expected.after]
        found[name] = [[row[0], row[len(row) // 2], row[-1]] for row in stated]
    return found


def history_of(name: str, deps: Deps, fresh: Sequence[ObservationRow], costs: Sequence[ObservationRow]) -> ModelHistory:
    """Everything recorded of one model, with what this report adds."""
    return _current_run(name, [*_recorded(deps, LIVE), *fresh], [*_recorded(deps, COSTS), *costs])


def _row(day: date, place: int, seen: Any, source: str, promise: Mapping[str, Any]) -> ObservationRow:
    return {
        "session": day.isoformat(),
        "bundle": source,
        "lineage": promise.get("lineage", ""),
        "ic": _known(seen.ic[place]),
        "turnover": _known(seen.turnover[place]),
        "net": _known(seen.net[place]),
        "promised": promise.get("promised"),
        "bound": promise.get("bound"),
    }


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


def _promises(bundle: Bundle, expected: Expectation | None, past: Sequence[ObservationRow]) -> dict[str, Mapping[str, Any]]:
    """Prediction of each bundle: the one in force by its own evidence, earlier ones as recorded."""
    found: dict[str, Mapping[str, Any]] = {row["bundle"]: row for row in past if row["lineage"]}
    own = {"lineage": bundle.manifest.lineage}
    if expected is not None:
        own |= {"promised": expected.ic.promised, "bound": expected.ic.bound}  # type: ignore[dict-item]  # numbers
    return {**found, bundle.sha256: own}


def _recorded(deps: Deps, name: str) -> list[ObservationRow]:
    runs = job_runs.newest(deps.ledger, REPORT, date.max, LIFE_SESSIONS)
    return [row for run in runs for row in run.figures.get(name) or []]


def _current_run(name: str, rows: Sequence[ObservationRow], costs: Sequence[ObservationRow]) -> ModelHistory:
    """The newest unbroken run of observations of one model that were promised something."""
    ordered = sorted(rows, key=lambda row: row["session"])
    begin = max((i + 1 for i, row in enumerate(ordered) if row["lineage"] != name), default=0)
    own = [row for row in ordered[begin:] if row["bound"] is not None]
    since = own[0]["session"] if own else ""
    paid = [
        (row["session"], bps)
        for row in sorted(costs, key=lambda row: row["session"])
        if own and row["session"] >= since and (bps := paid_bps(row["costs"], row["traded"])) is not None
    ]
    return ModelHistory(tuple(own), tuple(paid))


def _figure(name: str, series: Sequence[float], expected: Expectation, equity: float) -> ObservationRow:
    if not series:
        return {"figure": name, "sessions": 0, "live": None, "low": None, "median": None, "high": None, "verdict": "NOT YET"}
    band = bands(expected, name, len(series), equity)[-1]
    low, middle, high = band[0], band[len(band) // 2], band[-1]
    live = series[-1]
    word = "BELOW" if live < low else "ABOVE" if live > high else "INSIDE"
    return {"figure": name, "sessions": len(series), "live": live, "low": low, "median": middle, "high": high, "verdict": word}
