"""Inputs of performance attribution: ledger and market store become the values that `execution.attribution` needs.

A session is attributed on the session after it: its closing bars arrive in its evening. What is compared are two closes
that were agreed with the broker; a session that was never agreed belongs to the next one that is.

A session's wanted shares are its targets, exact, at the equity and the reference prices of its plan. On a session without a
plan it is what was wanted last: the targets of that session where the plan job came so far, else the newest before it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np

from appliance.context import Deps
from appliance.controls.slippage import LARGEST_MOVE
from appliance.ledger import activities, intents, job_runs, nav, plans, snapshots, targets
from appliance.ledger import fills as fill_rows
from appliance.ledger.figures import AttributedSession, PlanFigures, SessionFigures
from appliance.ledger.intents import IntentState, JournalEntry
from appliance.ledger.nav import NavRow
from appliance.ledger.snapshots import AccountSnapshot, Phase
from execution.attribution import (
    CAUSES,
    ZERO,
    AttributedHolding,
    Attribution,
    Charges,
    IntendedOrder,
    LegShare,
    PnlPart,
    attribute,
    departures,
    selection_by_sleeve,
)
from execution.brokers.base import Position
from execution.orders import Fill, Plan, TimeInForce
from execution.planning.config import EntryStyle
from portfolio.factors import Leg, legs
from portfolio.risk.model import WINDOW_SESSIONS, market_return
from signals.errors import DataNotUsable
from signals.market.actions import Action, ActionKind, new_names
from signals.market.bars import Bars
from signals.market.manifest import PriceBasis

FILL = "FILL"
REPORT = "report"
BACKLOG_SESSIONS, KEPT = 10, 20
NAMED = 5
ByName = dict[str, Decimal]


@dataclass(frozen=True)
class AttributedInterval:
    """Two agreed closes and the interval between them.

    Attributes
    ----------
    days : tuple of date
        Every session after the first close, `session` the last.
    cash_before, value_before, real_before : Decimal
        Cash, account value and restated real value at the first close.
    row : NavRow
        Of `session`.
    """

    session: date
    days: tuple[date, ...]
    cash_before: Decimal
    value_before: Decimal
    real_before: Decimal
    held_before: tuple[Position, ...]
    closing: AccountSnapshot
    row: NavRow


def attributed(session: date, deps: Deps) -> Attribution | None:
    """Attribute `session`; None where no value was agreed at its close, or its bars are not here yet.

    A session whose bars are RED has no market or sector: what the wanted book made is selection, all of it.
    """
    stretch = _stretch(session, deps)
    if stretch is None or deps.market.audit(session) is None:
        return None
    try:
        bars = deps.market.bars(session, WINDOW_SESSIONS + len(stretch.days))
    except DataNotUsable:
        return None
    if len(bars.sessions) <= len(stretch.days):
        return None
    plan = plans.load(deps.ledger, session)
    at_close = _is_at_close(plan, deps)
    arrival = prices_of(bars, -1, "close" if at_close else "open")
    renamed = {old: new for day in stretch.days for old, new in new_names(_actions(day, deps)).items()}
    missing = missing_shares(session, deps, _restated_closes(bars))
    before = _missing_at_last_close(stretch, deps, bars)
    holdings = _holdings(stretch, deps, arrival, renamed)
    closes = prices_of(bars, -1 - len(stretch.days), "close")
    for cause in CAUSES:
        _miss(holdings, cause, _renamed(before[cause], renamed), _renamed(closes, renamed), missing[cause], arrival)
    both = legs(bars, len(stretch.days), at_close=at_close)
    shares = {name: (_share(both[0], i), _share(both[1], i)) for i, name in enumerate(bars.symbols)}
    total = stretch.row.restated_nav - stretch.real_before
    returns = market_return(bars.total_return, bars.eligible)[-len(stretch.days) :]
    universe = float(np.prod(1.0 + returns) - 1.0) if np.isfinite(returns).all() else None
    return replace(attribute(holdings, shares, _charges(stretch, holdings), total), universe=universe)


def pending(asof: date, deps: Deps) -> tuple[date, ...]:
    """Sessions up to `asof` with an agreed value that no report has attributed yet, oldest first; a fortnight's."""
    done = {row.session for run in job_runs.newest(deps.ledger, REPORT, date.max, KEPT) for row in run.read(SessionFigures).attribution}
    rows = nav.history(deps.ledger, asof, BACKLOG_SESSIONS)
    return tuple(row.session for row in rows if row.session not in done)


def document(session: date, found: Attribution, deps: Deps) -> AttributedSession:
    """Return what the report records of an attributed session, to the cent."""
    ranked = sorted(found.selection.items(), key=lambda item: (item[1], item[0]))
    audit = deps.market.audit(session)
    traded = sum((b.fill.quantity * b.fill.price for b in fill_rows.of_session(deps.ledger, session)), ZERO)
    run = job_runs.find(deps.ledger, session, "plan")
    said = run.read(PlanFigures).parts if run else None
    return AttributedSession(
        session=session,
        total=found.total,
        traded=traded,
        data=audit.status.value if audit else "absent",
        parts={part.value: amount for part, amount in found.parts.items()},
        costs=found.costs,
        best=tuple((symbol, amount) for symbol, amount in ranked[: -NAMED - 1 : -1] if amount > 0),
        worst=tuple((symbol, amount) for symbol, amount in ranked[:NAMED] if amount < 0),
        by_sleeve=None if said is None else selection_by_sleeve(found.selection, said),
        universe=found.universe,
    )


def missing_shares(session: date, deps: Deps, closes: Mapping[str, Decimal]) -> dict[PnlPart, ByName]:
    """Shares held beyond what the session wanted after its orders, by cause and symbol.

    Parameters
    ----------
    closes : mapping of symbol to USD
        The last close before the session, restated for it: the reference prices of a session without a plan.
    """
    plan = plans.load(deps.ledger, session)
    opening = snapshots.find(deps.ledger, session, Phase.OPEN)
    held = {p.symbol: p.quantity for p in opening.positions} if opening else {}
    wanted = _wanted(session, plan, opening, closes, deps)
    journal = intents.of_session(deps.ledger, session)
    planned, unsent, unfilled = _orders(plan, journal)
    refused = {symbol for symbol, _, _ in plan.refusals} if plan else set()
    found: dict[PnlPart, ByName] = {cause: {} for cause in CAUSES}
    for symbol in sorted({*wanted, *planned}):
        wish = IntendedOrder(
            wanted.get(symbol),
            held.get(symbol, ZERO),
            planned.get(symbol, ZERO),
            unsent.get(symbol, ZERO),
            unfilled.get(symbol, ZERO),
            is_refused=symbol in refused,
            is_planned=plan is not None,
        )
        for cause, shares in departures(wish).items():
            if shares:
                found[cause][symbol] = shares
    return found


def prices_of(bars: Bars, row: int, field: str) -> ByName:
    """Prices of one row of the panel by symbol, exactly as stored; a name without a bar is absent."""
    panel = getattr(bars, field)[row]
    return {name: Decimal(repr(float(panel[i]))) for i, name in enumerate(bars.symbols) if np.isfinite(panel[i])}


def _stretch(session: date, deps: Deps) -> AttributedInterval | None:
    row, closing = nav.find(deps.ledger, session), snapshots.find(deps.ledger, session, Phase.CLOSE)
    if row is None or closing is None or session == deps.calendar.days[0]:
        return None
    earlier = nav.history(deps.ledger, deps.calendar.previous(session), 1)
    if earlier:
        opened = snapshots.find(deps.ledger, earlier[-1].session, Phase.CLOSE)
        if opened is None:
            return None
        value, real, first = earlier[-1].paper_nav, earlier[-1].restated_nav, earlier[-1].session + timedelta(days=1)
    else:
        opened = snapshots.first(deps.ledger)
        if opened is None or opened.session > session:
            return None
        value, real, first = opened.last_equity, opened.last_equity, opened.session
    days = deps.calendar.between(first, session)
    return AttributedInterval(session, tuple(days), opened.cash, value, real, opened.positions, closing, row)


def _is_at_close(plan: Plan | None, deps: Deps) -> bool:
    if plan is not None and plan.intents:
        return any(intent.time_in_force is TimeInForce.CLS for intent in plan.intents)
    return deps.config.execution.entry.kind is EntryStyle.CLS


def _missing_at_last_close(stretch: AttributedInterval, deps: Deps, bars: Bars) -> dict[PnlPart, ByName]:
    """Shares held in excess of the wanted ones over the last agreed close."""
    first = stretch.days[0]
    if first == deps.calendar.days[0]:
        return {cause: {} for cause in CAUSES}
    earlier = bars.rows(0, len(bars.sessions) - len(stretch.days))
    return missing_shares(deps.calendar.previous(first), deps, _restated_closes(earlier))


def _restated_closes(bars: Bars) -> ByName:
    """Last close of each name as its newest session sees it, dividends and splits taken off: open / (1 + overnight)."""
    stated = bars.open[-1] / (1.0 + bars.overnight_return[-1])
    return {name: Decimal(repr(float(stated[i]))) for i, name in enumerate(bars.symbols) if np.isfinite(stated[i]) and stated[i] > 0}


def _wanted(
    session: date, plan: Plan | None, opening: AccountSnapshot | None, closes: Mapping[str, Decimal], deps: Deps
) -> dict[str, Decimal | None]:
    """Exact shares that the session wanted; None for a name whose price is not known."""
    day = session if plan else _newest_targets(session, deps)
    rows = targets.load(deps.ledger, day) if day else ()
    equity = plan.equity if plan else (opening.equity if opening else ZERO)
    references = plan.references if plan else closes
    found: dict[str, Decimal | None] = {}
    if not rows or equity <= 0:
        return found
    for row in rows:
        price = references.get(row.symbol)
        found[row.symbol] = Decimal(repr(row.weight)) * equity / price if price else None
    for position in opening.positions if opening else ():
        found.setdefault(position.symbol, ZERO)  # held and not among the targets: it was to be sold
    return found


def _newest_targets(session: date, deps: Deps) -> date | None:
    found = deps.ledger.value("SELECT max(session) FROM targets WHERE session <= ?", (session.isoformat(),))
    return date.fromisoformat(found) if isinstance(found, str) else None


def _orders(plan: Plan | None, journal: Sequence[JournalEntry]) -> tuple[ByName, ByName, ByName]:
    """Signed shares planned, planned on a session that sent no order at all, and otherwise not filled, by symbol."""
    planned: ByName = {}
    lacking: ByName = {}
    filled: dict[tuple[str, int], Decimal] = {}
    for entry in journal:
        place = (entry.intent.key.symbol, entry.intent.key.slice)
        filled[place] = filled.get(place, ZERO) + entry.filled_quantity
    for intent in plan.intents if plan else ():
        symbol, sign = intent.key.symbol, intent.side.sign
        rest = intent.quantity - filled.get((symbol, intent.key.slice), ZERO)
        planned[symbol] = planned.get(symbol, ZERO) + sign * intent.quantity
        lacking[symbol] = lacking.get(symbol, ZERO) + sign * rest
    is_silent = not any(entry.posts or entry.state is IntentState.DENIED for entry in journal)
    return (planned, lacking, {}) if is_silent else (planned, {}, lacking)


def _holdings(
    stretch: AttributedInterval, deps: Deps, arrival: Mapping[str, Decimal], renamed: Mapping[str, str]
) -> dict[str, AttributedHolding]:
    """Value of each name at both closes, and what happened to it between, under the names of the session."""
    first = stretch.days[0]
    fills = [booked.fill for booked in fill_rows.since(deps.ledger, first, stretch.session)]
    opening = snapshots.find(deps.ledger, stretch.session, Phase.OPEN)
    held = {p.symbol: p.quantity for p in (opening.positions if opening else stretch.held_before)}
    todays = [booked.fill for booked in fill_rows.of_session(deps.ledger, stretch.session)]
    invested = _added({**held}, ((f.symbol, f.side.sign * f.quantity) for f in todays))
    before = _added({}, ((p.symbol, _worth(p)) for p in stretch.held_before), renamed)
    after = {p.symbol: _worth(p) for p in stretch.closing.positions}
    other = (
        (a.symbol, a.net_amount) for a in activities.since(deps.ledger, first) if a.kind != FILL and a.symbol and a.day <= stretch.session
    )
    cash = _added(_added({}, ((f.symbol, f.cash) for f in fills), renamed), other, renamed)
    dividends = _dividends(stretch, held, deps)
    lost = _added({}, ((f.symbol, _slippage(f, arrival)) for f in todays))
    return {
        symbol: AttributedHolding(
            before.get(symbol, ZERO),
            after.get(symbol, ZERO),
            cash.get(symbol, ZERO),
            dividends.get(symbol, ZERO),
            lost.get(symbol, ZERO),
            invested.get(symbol, ZERO) * arrival.get(symbol, ZERO),
        )
        for symbol in sorted({*before, *after, *cash, *dividends, *invested})
    }


def _miss(holdings: dict[str, AttributedHolding], cause: PnlPart, before: ByName, closes: ByName, now: ByName, arrival: ByName) -> None:
    """Put into `holdings` what each name has beyond what was wanted for one cause, in USD."""
    for symbol in {*before, *now}:
        holding = holdings.get(symbol, AttributedHolding())
        holdings[symbol] = AttributedHolding(
            holding.before,
            holding.after,
            holding.cash,
            holding.dividend,
            holding.slippage,
            holding.invested,
            {**holding.missing_before, cause: before.get(symbol, ZERO) * closes.get(symbol, ZERO)},
            {**holding.missing, cause: now.get(symbol, ZERO) * arrival.get(symbol, ZERO)},
        )


def _slippage(fill: Fill, arrival: Mapping[str, Decimal]) -> Decimal:
    """USD that the fill lost against arrival, as a negative number; 0 where the prices are not comparable."""
    known = arrival.get(fill.symbol)
    if known is None or known <= 0 or abs(fill.price / known - 1) > Decimal(str(LARGEST_MOVE)):
        return ZERO
    return -fill.side.sign * fill.quantity * (fill.price - known)


def _dividends(stretch: AttributedInterval, held: Mapping[str, Decimal], deps: Deps) -> ByName:
    """Credits of the session's ex-dates by name, as the restated value counts them."""
    dataset = deps.market.dataset()
    if dataset is None or dataset.basis is PriceBasis.TOTAL_RETURN or not _credited(stretch.row):
        return {}
    known = deps.market.actions(stretch.session, date.max)
    due = [a for a in known if a.kind is ActionKind.DIVIDEND and a.cash is not None]
    return _added({}, ((a.symbol, held.get(a.symbol, ZERO) * (a.cash or ZERO)) for a in due))


def _actions(day: date, deps: Deps) -> tuple[Action, ...]:
    """Effective on `day` and known the evening before, as on the morning of that day."""
    return deps.market.actions(day, deps.calendar.previous(day))


def _credited(row: NavRow) -> Decimal:
    return row.dividends + row.late_dividends


def _charges(stretch: AttributedInterval, holdings: Mapping[str, AttributedHolding]) -> Charges:
    row = stretch.row
    named = sum((h.after - h.before + h.cash for h in holdings.values()), ZERO)
    credited = sum((h.dividend for h in holdings.values()), ZERO)
    other = (row.paper_nav - stretch.value_before) - named + (_credited(row) - credited)
    return Charges(row.impact, row.fees, row.borrow, other)


def _worth(position: Position) -> Decimal:
    return position.quantity * (position.current_price or ZERO)


def _added(sums: ByName, amounts: Iterable[tuple[str, Decimal]], renamed: Mapping[str, str] | None = None) -> ByName:
    names = renamed or {}
    for symbol, amount in amounts:
        name = names.get(symbol, symbol)
        sums[name] = sums.get(name, ZERO) + amount
    return sums


def _renamed(amounts: Mapping[str, Decimal], renamed: Mapping[str, str]) -> ByName:
    return {renamed.get(symbol, symbol): amount for symbol, amount in amounts.items()}


def _share(leg: Leg, column: int) -> LegShare:
    return LegShare(*(_decimal(getattr(leg, name)[column]) for name in ("returns", "market", "sector", "style")))


def _decimal(value: float) -> Decimal:
    return Decimal(repr(float(value))) if np.isfinite(value) else ZERO
