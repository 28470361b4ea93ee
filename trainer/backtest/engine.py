"""The order-exact backtest: a day loop over the device's decisions and the exchange's fills.

Invariants
----------
1. Nothing is decided here: `execution.morning` makes the targets and the orders, `execution.planning.pretrade` judges each order
   right before it leaves, the embedded exchange fills it.
2. The same data, scores and settings give the same orders, fills and values, to the cent.
3. What a device would have sent is sent (`trainer.backtest.order_batch`): at the open, or on minute bars in steps through the day; any
   other entry is refused.

Tripwires are the device's own: a session that one would skip or halt is traded here, and orders that pre-trade checks
deny are counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal

from execution import morning
from execution.brokers.base import Position
from execution.config import ExecutionConfig
from execution.costs.real import Liquidity, RealCosts, TradedSession, liquidity_of, real_costs, spread_due
from execution.costs.spread import SPREAD_SESSIONS
from execution.exchange.api.exchange import Exchange
from execution.exchange.config import ExchangeConfig
from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.doors.in_process_broker import DirectBroker
from execution.exchange.market.market import MarketData, minutes_beside
from execution.morning import Evening
from execution.orders import Fill, Plan, Provenance
from execution.planning.config import EntryStyle
from execution.planning.volume_curve import step_shares
from portfolio.config import PortfolioConfig
from portfolio.policy.blend import Blend, SizedScores, blended
from portfolio.policy.sizing import PLANS_READ, Book, Sizing, SizingOn
from portfolio.risk.kelly import SizingCoefficient
from signals.errors import FixInput, SkipSession, TooLittleHistory
from signals.market.actions import new_names
from signals.market.manifest import PriceBasis
from signals.market.sessions import Session
from signals.scoring.scores import Scores
from trainer.backtest.archive import Archive
from trainer.backtest.order_batch import OrderBatch, OrderRow, trade_at_open, trade_in_steps

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
    is_coarse : bool
        Whether whole shares missed so much of the target book that nothing was opened, which on a device trips `ROUNDING`.
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
    is_coarse: bool = False

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


def opened(archive: Archive, config: ExchangeConfig, seed: int, first: date) -> DirectBroker:
    """Open an exchange in memory on the archive's bars, at the close before the session `first`."""
    calendar = archive.manifest.calendar
    minutes = minutes_beside(archive.folder, archive.manifest) if config.minutes else None
    market = MarketData(archive.whole, calendar, archive.actions, basis=archive.manifest.basis, minutes=minutes)
    start = calendar.session(calendar.previous(first)).close
    return DirectBroker(Exchange(market, ExchangeVirtualClock(start), seed=seed, config=config))


class Backtest:
    """Drives the exchange of one account through sessions; state lives in the exchange and in what was booked."""

    def __init__(
        self, archive: Archive, broker: DirectBroker, policy: BacktestPolicy, volatility_on: VolatilityOn = lambda asof: {}
    ) -> None:
        entry = policy.execution.entry
        if entry.kind not in (EntryStyle.OPG, EntryStyle.DAY) and not (entry.is_stepped and broker.minutes):
            raise FixInput(
                f"a backtest on daily bars enters at the open, not by {entry.kind.value}",
                where="execution.entry.kind",
                fix="Use `appliance replay`, which runs every entry on the exchange, or an exchange with `minutes`",
            )
        self._archive, self._broker, self._policy, self._volatility_on = archive, broker, policy, volatility_on
        self._books: tuple[tuple[date, Book], ...] = ()
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
        entry = self._policy.execution.entry
        desk, skipped = self._desk(session, asof, scores_on(asof), held)
        if desk is not None:
            if entry.is_stepped:
                trade_in_steps(desk, self._broker, day, entry)
            else:
                trade_at_open(desk, self._broker, day.at(TRADE_AT), _confirmation(day))
        self._broker.advance(day.close)
        if desk is not None:
            desk.end()
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
                desk is not None and desk.plan.rounding.share > self._policy.execution.planning.max_rounding,
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
            known = morning.known(sized, self._evening(session, asof))
            since = session, self._archive.manifest.calendar, lambda day: self._archive.actions_on(day, asof)
            path = morning.path_since(self._last, account, *since)
            reported = morning.AccountReport(account, held)
            before = 1.0 if self._last is None else self._last.multiplier
            sizing = policy.sizing_on and Sizing(before, policy.sizing_on(asof), books=morning.whole_books(self._books, *since))
            found = morning.wanted(known, reported, policy.portfolio, session, path=path, ramp=ramp, sizing=sizing)
            plan = morning.orders(known, found.targets, reported, self._broker.assets(), provenance, policy.execution)
        except (SkipSession, TooLittleHistory) as error:
            return None, str(error)
        self._plans += 1
        whole = found.targets.whole
        self._books = (*self._books, *([] if whole is None else [(session, whole)]))[-PLANS_READ:]
        self._last = plan
        return OrderBatch(self._broker, plan, policy.execution), ""

    def _evening(self, session: date, asof: date) -> Evening:
        evening = self._archive.evening(session, asof, self._volatility_on(asof))
        minutes, entry = self._broker.minutes, self._policy.execution.entry
        if minutes is None or not entry.is_stepped:
            return evening
        rows, calendar = minutes.rows, self._archive.manifest.calendar
        return replace(evening, step_shares=lambda symbol: step_shares(rows.trailing_volumes(symbol, asof, calendar), entry))

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


def _confirmation(day: Session) -> datetime:
    return max(day.at(CONFIRM_AT), day.open)
