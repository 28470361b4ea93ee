"""The order-exact backtest: a day loop over the device's decisions and the exchange's fills.

Invariants
----------
1. Nothing is decided here: `execution.morning` makes the targets and the orders, `execution.planning.pretrade` judges each order
   right before it leaves, the embedded exchange fills it.
2. The same data, scores and settings give the same orders, fills and values, to the cent.
3. What a device that enters at the open would have sent is sent (any other entry is refused): auction orders before the
   open; afterwards what expired unfilled, closings, and the openings that waited for them.

Tripwires are the device's own: a session that one would skip or halt is traded here, and orders that pre-trade checks
deny are counted.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal

from execution import morning
from execution.brokers.base import Acked, Position
from execution.config import ExecutionConfig
from execution.costs.real import Liquidity, RealCosts, TradedSession, liquidity_of, real_costs, spread_due
from execution.costs.spread import SPREAD_SESSIONS
from execution.exchange.api.exchange import Exchange
from execution.exchange.config import ExchangeConfig
from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.doors.in_process_broker import DirectBroker
from execution.exchange.market.market import MarketData
from execution.fills import Fill
from execution.orders import Intent, IntentKey, OrderStatus, Plan, Provenance, TimeInForce
from execution.planning.entries import EntryStyle
from execution.planning.plan import sending_order
from execution.planning.pretrade import Pending, refusal, reserved
from execution.planning.restating import new_names
from execution.planning.sending import BatchReports, circumstances, follow_up, is_filled
from portfolio.config import PortfolioConfig
from portfolio.policy.blend import Blend, SizedScores, blended
from portfolio.policy.sizing import Sizing, SizingOn
from portfolio.risk.kelly import SizingCoefficient
from signals.errors import FixInput, SkipSession, TooLittleHistory
from signals.market.manifest import PriceBasis
from signals.market.sessions import Session
from signals.scoring.scores import Scores
from trainer.backtest.archive import Archive

PLAN_AT, TRADE_AT, CONFIRM_AT = time(8), time(9, 10), time(9, 45)  # New York: the device's own timetable
ZERO = Decimal(0)
ScoresOn = Callable[[date], Scores | None]
VolatilityOn = Callable[[date], Mapping[str, float]]
Progress = Callable[[date], None]


@dataclass(frozen=True)
class BacktestPolicy:
    """Policy of a backtest: the device's settings, and the IC that sizes the book.

    Attributes
    ----------
    ramp_sessions : int
        A book is stepped into over so many plans, as on a device.
    sizing_on : callable, optional
        Policies that multiply the target book; no part of the fingerprint.
    """

    portfolio: PortfolioConfig
    execution: ExecutionConfig
    ic: SizingCoefficient
    horizon_sessions: int
    code_version: str
    ramp_sessions: int = 5
    sizing_on: SizingOn | None = None

    def sized(self, scores: Scores) -> Blend:
        """Return the scores with what sizes them; a blend brings its own."""
        return scores if isinstance(scores, Blend) else blended([SizedScores(scores, self.ic, self.horizon_sessions)])

    @property
    def fingerprint(self) -> str:
        """Hash of every setting that can change an order."""
        return self.portfolio.fingerprint()[:32] + self.execution.fingerprint()[:32]


@dataclass(frozen=True)
class OrderRow:
    """One order as it ended; `state` is the exchange's word, or `refused` or `denied` with its reason."""

    session: date
    client_order_id: str
    intent: Intent
    state: str
    filled: Decimal
    reason: str = ""


@dataclass(frozen=True)
class BacktestDay:
    """One session.

    Attributes
    ----------
    equity, cash, gross, net : Decimal
        USD at the close, in the paper world.
    real_equity : Decimal
        USD with dividends, borrow, fees, half spreads and impact.
    traded : Decimal
        USD of all fills.
    spread : Decimal
        The part of the costs' impact that is half the quoted spread; USD, not positive.
    auction : Decimal
        The part of `spread` that the opening auction's fills are charged: an auction has no spread, and it represents
        the slippage of a price that the daily bar does not show; USD, not positive.
    skipped : str
        Why no plan was made; empty when one was.
    """

    session: date
    equity: Decimal
    real_equity: Decimal
    cash: Decimal
    gross: Decimal
    net: Decimal
    traded: Decimal
    costs: RealCosts
    spread: Decimal
    auction: Decimal
    orders: int
    skipped: str = ""

    @property
    def is_ruined(self) -> bool:
        """Whether the paper value or the real one is zero or below."""
        return min(self.equity, self.real_equity) <= 0


@dataclass(frozen=True)
class Course:
    """A whole backtest; one whose book is ruined ends with that session."""

    start_equity: Decimal
    days: tuple[BacktestDay, ...]
    orders: tuple[OrderRow, ...]
    fills: tuple[Fill, ...]

    @property
    def ruined(self) -> date | None:
        """The session after which nothing was left, of the paper value or of the real one."""
        last = self.days[-1]
        return last.session if last.is_ruined else None


@dataclass
class OrderBatch:
    """The orders of one session on their way."""

    broker: DirectBroker
    plan: Plan
    execution: ExecutionConfig
    meant: dict[IntentKey, Intent] = field(default_factory=dict)
    acknowledged: dict[IntentKey, Intent] = field(default_factory=dict)
    ended: dict[IntentKey, OrderRow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.meant = {intent.key: intent for intent in self.plan.intents}

    def send(self, batch: Iterable[Intent]) -> None:
        """Judge each order with all the others pending, and send those that remain; what lowers risk leaves first."""
        batch = sending_order(list(batch))
        reports = BatchReports(self.plan, self.broker.account(), self.broker.positions(), self.broker.assets())
        spent = ZERO
        for leaving in batch:
            now = circumstances(reports, self._pending(leaving), leaving, spent)
            found = refusal(leaving, now, self.execution.pretrade)
            if found is not None:
                self._end(leaving, "denied", f"{found.check}: {found.reason}")
                continue
            answer = self.broker.submit(leaving)
            if isinstance(answer, Acked):
                self.acknowledged[leaving.key] = leaving
                spent += reserved(leaving, now.held(leaving.key.symbol), self.execution.pretrade)
            else:
                self._end(leaving, "refused", getattr(answer, "message", ""))

    def refresh(self) -> None:
        """Take over what became of the orders at the exchange."""
        for key, sent in self.acknowledged.items():
            known = self.ended.get(key)
            if known is None or not _is_over(known):
                order = self.broker.order(key.client_order_id)
                self.ended[key] = OrderRow(key.session, key.client_order_id, sent, str(order.status), order.filled_quantity)

    def follow(self) -> list[Intent]:
        """Orders for what the auction left, and those of the plan that waited: closings, then ready openings."""
        self.refresh()
        following = []
        for row in list(self.ended.values()):
            rest = row.intent.quantity - row.filled
            if row.state == OrderStatus.EXPIRED and rest > 0:
                found = follow_up(row.intent, rest, self.execution.submission.min_residual_usd)
                following += [found] if found is not None else []
        self.meant.update({intent.key: intent for intent in following})
        return [intent for intent in self.meant.values() if intent.time_in_force is TimeInForce.DAY]

    def may_leave(self, intent: Intent) -> bool:
        """Whether what the order waits for is filled; if not, it is denied."""
        filled = [(key, row.filled) for key, row in self.ended.items()]
        if intent.waits_for is None or is_filled(self.plan, filled, intent.waits_for):
            return True
        self._end(intent, "denied", "its closing half is not filled")
        return False

    def result(self) -> list[OrderRow]:
        """Every order as it ended, by key."""
        self.refresh()
        return [self.ended[key] for key in sorted(self.ended)]

    def _pending(self, leaving: Intent) -> list[Pending]:
        aside = {leaving.key, leaving.waits_for}
        found = []
        for key, intent in self.meant.items():
            row = self.ended.get(key)
            if key in aside or (row is not None and _is_over(row)):
                continue
            done = row.filled if row is not None else ZERO
            found.append(Pending(key.symbol, intent.side.sign * (intent.quantity - done)))
        return found

    def _end(self, intent: Intent, state: str, reason: str) -> None:
        self.ended[intent.key] = OrderRow(intent.key.session, intent.key.client_order_id, intent, state, ZERO, reason)


def opened(archive: Archive, config: ExchangeConfig, seed: int, first: date) -> DirectBroker:
    """Open an exchange in memory on the archive's bars, at the close before the session `first`."""
    calendar = archive.manifest.calendar
    market = MarketData(archive.whole, calendar, archive.actions, basis=archive.manifest.basis)
    start = calendar.session(calendar.previous(first)).close
    return DirectBroker(Exchange(market, ExchangeVirtualClock(start), seed=seed, config=config))


class Backtest:
    """Drives the exchange of one account through sessions; state lives in the exchange and in what was booked."""

    def __init__(
        self, archive: Archive, broker: DirectBroker, policy: BacktestPolicy, volatility_on: VolatilityOn = lambda asof: {}
    ) -> None:
        if policy.execution.entry.kind not in (EntryStyle.OPG, EntryStyle.DAY):
            raise FixInput(
                f"a backtest on daily bars enters at the open, not by {policy.execution.entry.kind.value}",
                where="execution.entry.kind",
                fix="Use `appliance replay`, which runs every entry on the exchange",
            )
        self._archive, self._broker, self._policy, self._volatility_on = archive, broker, policy, volatility_on
        self._multiplier = 1.0
        self._plans = 0
        self._last: Plan | None = None

    def run(self, days: Sequence[date], scores_on: ScoresOn, step: Progress = lambda day: None) -> Course:
        """Trade every session of `days`, up to a ruin, on the scores of the session before it.

        Parameters
        ----------
        days : sequence of date
            Consecutive trade sessions.
        scores_on : callable
            Scores of an asof, or None where there are none.
        step : callable
            Told each session when it is done.
        """
        start = self._broker.account().equity
        before, real = start, start
        rows: list[BacktestDay] = []
        orders: list[OrderRow] = []
        fills: list[Fill] = []
        for session in days:
            day, sent, filled = self._session(session, scores_on, before, real)
            before, real = day.equity, day.real_equity
            rows.append(day)
            orders += sent
            fills += filled
            step(session)
            if day.is_ruined:
                break
        return Course(start, tuple(rows), tuple(orders), tuple(fills))

    def _session(
        self, session: date, scores_on: ScoresOn, before: Decimal, real: Decimal
    ) -> tuple[BacktestDay, list[OrderRow], tuple[Fill, ...]]:
        calendar = self._archive.manifest.calendar
        day, asof = calendar.session(session), calendar.previous(session)
        self._broker.advance(day.at(PLAN_AT))
        held = self._broker.positions()
        desk, skipped = self._desk(session, asof, scores_on(asof), held)
        if desk is not None:
            _trade(desk, self._broker, day)
        self._broker.advance(day.close)
        sent = desk.result() if desk is not None else []
        fills, _ = self._broker.new_entries()
        account, closing = self._broker.account(), self._broker.positions()
        liquidity = self._liquidity(session, asof)
        costs = self._costs(session, liquidity, held, closing, fills)
        spread = spread_due(fills, liquidity)
        auction = spread_due((f for f in fills if f.at < _confirmation(day)), liquidity)
        values = [p.quantity * p.current_price for p in closing if p.current_price is not None]
        return (
            BacktestDay(
                session,
                account.equity,
                real + (account.equity - before) + costs.total,
                account.cash,
                sum((abs(value) for value in values), ZERO),
                sum(values, ZERO),
                sum((fill.quantity * fill.price for fill in fills), ZERO),
                costs,
                -spread,
                -min(auction, spread),
                len(sent),
                skipped,
            ),
            sent,
            fills,
        )

    def _desk(self, session: date, asof: date, scores: Scores | None, held: tuple[Position, ...]) -> tuple[OrderBatch | None, str]:
        if scores is None or self._archive.is_red(asof):
            return None, f"the data of {asof} are RED" if self._archive.is_red(asof) else "no scores"
        policy = self._policy
        account = self._broker.account()
        if account.equity <= 0:
            return None, "no equity is left"
        ramp = min(1.0, (self._plans + 1) / policy.ramp_sessions)
        provenance = Provenance(scores.source, self._archive.manifest.snapshot_id, policy.fingerprint, policy.code_version)
        try:
            sized = policy.sized(scores)
            known = morning.known(sized, self._archive.evening(session, asof, self._volatility_on(asof)))
            path = morning.path_since(
                self._last, account, session, self._archive.manifest.calendar, lambda day: self._archive.actions_on(day, asof)
            )
            reported = morning.AccountReport(account, held)
            sizing = policy.sizing_on and Sizing(self._multiplier, policy.sizing_on(asof))
            found = morning.wanted(known, reported, policy.portfolio, session, path=path, ramp=ramp, sizing=sizing)
            plan = morning.orders(known, found.targets, reported, self._broker.assets(), provenance, policy.execution)
        except (SkipSession, TooLittleHistory) as error:
            return None, str(error)
        self._plans += 1
        self._multiplier = found.targets.multiplier
        self._last = plan
        return OrderBatch(self._broker, plan, policy.execution), ""

    def _liquidity(self, session: date, asof: date) -> dict[str, Liquidity]:
        """By what was known on the evening before, under the names of the session."""
        archive = self._archive
        renamed = new_names(archive.actions_on(session, session))
        is_raw = archive.manifest.basis is PriceBasis.RAW
        closes = {symbol: Decimal(repr(close)) for symbol, close in archive.rows.closes(asof).items()} if is_raw else {}
        known = liquidity_of(archive.trailing(asof, SPREAD_SESSIONS), archive.dollar_volumes(asof), archive.spreads(asof), closes)
        return {renamed.get(symbol, symbol): found for symbol, found in known.items()}

    def _costs(
        self,
        session: date,
        liquidity: dict[str, Liquidity],
        held: tuple[Position, ...],
        closing: tuple[Position, ...],
        fills: tuple[Fill, ...],
    ) -> RealCosts:
        archive = self._archive
        traded = TradedSession(
            session,
            archive.manifest.calendar.next(session),
            fills,
            {p.symbol: p.quantity for p in held},
            closing,
            archive.effective_on(session),
            archive.manifest.basis,
        )
        return real_costs(traded, liquidity)


def _trade(desk: OrderBatch, broker: DirectBroker, day: Session) -> None:
    """Send the auction's orders, then what is left to send once the market is open."""
    broker.advance(day.at(TRADE_AT))
    desk.send(intent for intent in desk.plan.intents if intent.time_in_force is TimeInForce.OPG)
    broker.advance(_confirmation(day))
    waiting = desk.follow()
    closings = [intent for intent in waiting if intent.reduces]
    if closings:
        desk.send(closings)
        desk.refresh()
    openings = [intent for intent in waiting if not intent.reduces and desk.may_leave(intent)]
    if openings:
        desk.send(openings)


def _confirmation(day: Session) -> datetime:
    return max(day.at(CONFIRM_AT), day.open)


def _is_over(row: OrderRow) -> bool:
    return row.state in ("denied", "refused") or OrderStatus(row.state).is_terminal
