"""The account's value by session, its sources, and its position in the expected range.

The expected fan is a normal one around what the policy's own book earned on walk-forward scores, after all costs:

    lower, upper(t) = mu t -+ Z_90 sigma sqrt(t)

mu is that book's annual return at gross 1 times the plan's target gross / 252, sigma the plan's forecast volatility
(annual, at gross 1) times its target gross / sqrt(252), t the number of sessions lived. It is a yardstick for a first
look, not a test.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from appliance.ledger import Ledger, job_runs, nav, snapshots, targets
from appliance.ledger.figures import PlanFigures
from appliance.ledger.nav import NavRow
from appliance.views.view import View, ViewRow, percent

COLUMNS = ("session", "paper_nav", "real_nav", "restated_nav", "pnl", "return", "drawdown", "benchmark", "gross", "net", "costs")
REPORT, MADE_UP_FOR = "report", 22  # sessions within which a missed report is made up for
SESSIONS_A_YEAR = 252
Z_90 = 1.6449  # standard normal quantile of 95 %: two sides leave 10 %
FORECAST, GROSS = "forecast volatility at gross 1", "target gross"


@dataclass(frozen=True)
class UniverseReturn:
    """Of an attributed session, what the universe returned."""

    session: date
    universe: float | None = None


@dataclass(frozen=True)
class UniverseReturns:
    """Of a report's figures those that a benchmark is made of."""

    attribution: tuple[UniverseReturn, ...] = ()


@dataclass(frozen=True)
class Fan:
    """The expected range of the return since the start, as fractions, after `sessions` sessions."""

    sessions: int
    live: float
    lower: float
    upper: float

    @property
    def verdict(self) -> str:
        """INSIDE, or the side of the fan on which the live return is."""
        return "BELOW" if self.live < self.lower else "ABOVE" if self.live > self.upper else "INSIDE"


def performance(ledger: Ledger, last: date, sessions: int, annual_at_gross_1: float | None = None) -> View:
    """Return the value of each session up to `last`, newest first.

    `real_nav` is what that session's report decisions, `restated_nav` adds the dividends that were learned since.
    `benchmark` is what the value before the first of these sessions would be by now in equal parts of the universe, at no cost;
    None where the session's bars are not here, are RED, or an earlier release attributed it: such a session counts as 0.
    Facts hold attribution, costs, the fan, `path`: its bounds in USD session by session, and `during`: the value at each
    agreement with the broker in the newest session.
    """
    history = nav.history(ledger, last, sessions + 1)
    first = snapshots.first(ledger)
    start = first.last_equity if first else (history[0].paper_nav if history else Decimal(0))
    peak, rows = start, []
    before = start
    for row in history:
        peak = max(peak, row.paper_nav)
        rows.append(_row(row, before, peak))
        before = row.paper_nav
    facts: dict[str, object] = {"costs": _costs(history), "attribution": attribution(ledger, last), "fan": None, "path": []}
    if found := fan(ledger, history, annual_at_gross_1):
        facts |= {"fan": vars(found) | {"verdict": found.verdict}, "path": fan_path(found, history[-sessions:], start)}
    shown = rows[-sessions:]
    _benchmark(ledger, shown, history[-sessions - 1].paper_nav if len(history) > sessions else start)
    facts["during"] = during(ledger, last)
    return View(COLUMNS, tuple(shown[::-1]), "no session has closed yet", last, facts)


def during(ledger: Ledger, last: date) -> list[ViewRow]:
    """The account's value at each agreement of the newest session up to `last`, and its change since the close before."""
    query = (
        "SELECT phase, at, equity, last_equity FROM accounts"
        " WHERE session = (SELECT max(session) FROM accounts WHERE session <= ?) ORDER BY at"
    )
    return [
        {"phase": phase, "at": at, "equity": str(equity), "change": f"{equity - before:+.2f}"}
        for phase, at, equity, before in ledger.read(tuple[str, str, Decimal, Decimal], query, (last,))
    ]


def _benchmark(ledger: Ledger, rows: Sequence[ViewRow], level: Decimal) -> None:
    runs = job_runs.newest(ledger, REPORT, date.max, len(rows) + MADE_UP_FOR) if rows else ()
    returns = {one.session.isoformat(): one.universe for run in runs for one in run.read(UniverseReturns).attribution}
    for row in rows:
        move = returns.get(row["session"])
        level *= 1 + Decimal(repr(move or 0.0))
        row["benchmark"] = None if move is None else f"{level:.2f}"


def fan(ledger: Ledger, history: Sequence[NavRow], annual_at_gross_1: float | None) -> Fan | None:
    """Return the live return within its expected range; None without history, evidence or a forecast."""
    first = snapshots.first(ledger)
    planned = _planned(ledger, history[-1].session) if history else None
    if first is None or annual_at_gross_1 is None or planned is None or first.last_equity <= 0:
        return None
    volatility, gross = planned
    lived = ledger.value("SELECT count(*) FROM nav WHERE session <= ?", (history[-1].session.isoformat(),))
    t = int(str(lived))
    mean = annual_at_gross_1 * gross * t / SESSIONS_A_YEAR
    width = Z_90 * volatility * gross * math.sqrt(t / SESSIONS_A_YEAR)
    return Fan(t, float(history[-1].paper_nav / first.last_equity - 1), mean - width, mean + width)


def fan_path(last: Fan, history: Sequence[NavRow], start: Decimal) -> list[ViewRow]:
    """The fan's bounds in USD at each session of `history`, as they follow from those at its last."""
    mean, half = (last.lower + last.upper) / 2, (last.upper - last.lower) / 2
    rows = []
    for back, row in enumerate(reversed(history)):
        share = max(0, last.sessions - back) / last.sessions
        middle, width = mean * share, half * math.sqrt(share)
        low, high = (float(start) * (1 + bound) for bound in (middle - width, middle + width))
        rows.append({"session": row.session.isoformat(), "lower": round(low, 2), "upper": round(high, 2)})
    return rows[::-1]


def attribution(ledger: Ledger, last: date) -> list[ViewRow]:
    """Unrealised gain of the newest holdings up to `last`, in USD, by side and by sector."""
    day = ledger.value("SELECT max(session) FROM accounts WHERE session <= ?", (last.isoformat(),))
    if not isinstance(day, str):
        return []
    held = next((s for p in reversed(snapshots.Phase) if (s := snapshots.find(ledger, date.fromisoformat(day), p))), None)
    if held is None:
        return []
    sectors = {row.symbol: row.sector for row in targets.load(ledger, held.session)}
    sums: dict[tuple[str, str], Decimal] = {}
    for position in held.positions:
        if position.current_price is None:
            continue
        gain = position.quantity * (position.current_price - position.average_entry_price)
        side = "LONG" if position.quantity > 0 else "SHORT"
        for key in (("side", side), ("sector", sectors.get(position.symbol) or "unknown")):
            sums[key] = sums.get(key, Decimal(0)) + gain
    order = sorted(sums.items(), key=lambda item: (item[0][0] != "side", -item[1], item[0][1]))
    return [{"by": by, "name": name, "pnl": f"{gain:+.2f}"} for (by, name), gain in order]


def _planned(ledger: Ledger, session: date) -> tuple[float, float] | None:
    """Forecast volatility at gross 1 and target gross of the newest planned book up to `session`."""
    day = ledger.value("SELECT max(session) FROM job_runs WHERE job = 'plan' AND status = 'done' AND session <= ?", (session.isoformat(),))
    run = job_runs.find(ledger, date.fromisoformat(day), "plan") if isinstance(day, str) else None
    decisions = run.read(PlanFigures).by_name if run else {}
    try:
        return float(decisions[FORECAST]), float(decisions[GROSS])
    except (KeyError, ValueError):
        return None


def _costs(history: Sequence[NavRow]) -> dict[str, str]:
    names = ("dividends", "borrow", "fees", "impact")
    sums = {name: sum((getattr(row, name) for row in history), start=Decimal(0)) for name in names}
    sums["dividends"] += sum((row.late_dividends for row in history), start=Decimal(0))
    return {name: f"{amount:+.2f}" for name, amount in sums.items()}


def _row(row: NavRow, before: Decimal, peak: Decimal) -> ViewRow:
    return {
        "session": row.session.isoformat(),
        "paper_nav": str(row.paper_nav),
        "real_nav": str(row.real_nav),
        "restated_nav": str(row.restated_nav),
        "pnl": f"{row.paper_nav - before:+.2f}",
        "return": percent(float(row.paper_nav / before - 1)) if before else None,
        "drawdown": percent(float(row.paper_nav / peak - 1)) if peak else None,
        "gross": _share(row.gross, row.paper_nav),
        "net": _share(row.net, row.paper_nav),
        "costs": f"{row.dividends + row.late_dividends + row.borrow + row.fees + row.impact:+.2f}",
    }


def _share(value: Decimal, equity: Decimal) -> str | None:
    return percent(float(value / equity)) if equity > 0 else None
