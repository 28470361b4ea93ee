"""The morning of session D: scores and holdings become target weights and frozen orders. Pure.

The device's plan job and the trainer's backtest call these four functions in this order and decide nothing themselves:
`known` -> `path_since` -> `wanted` -> `orders`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import cached_property

from execution.brokers.base import Account, Asset, Position
from execution.config import ExecutionConfig
from execution.orders import Plan, Provenance
from execution.planning import plan as planning
from execution.planning.plan import PlanInputs
from execution.planning.restating import reference_prices, renamed_risk, renamed_scores, weights_held
from execution.planning.rounding import Exact, followed, restated
from execution.planning.volume_curve import StepSharesOf
from portfolio.build import AccountSize, build
from portfolio.config import PortfolioConfig
from portfolio.policy.blend import Blend
from portfolio.policy.sizing import Book, Sizing
from portfolio.risk.model import RiskModel, estimate, with_volatility
from portfolio.weights import TargetWeights
from signals.audit.extremes import waiting
from signals.market.actions import Action, new_names
from signals.market.bars import Bars
from signals.market.manifest import PriceBasis
from signals.market.sessions import Calendar
from signals.scoring.scores import Scores

ADV_SESSIONS = 20
UNDECIDED = "UNDECIDED_RETURN"
WAITS = (
    "an extreme return of it waits for five sessions at its level, a recorded action, the broker's closes (of what is held),"
    " or a row `confirmed` of that day in an actions file (`trainer ingest --add --actions`); until then it is not traded,"
    " and the broker's price counts"
)
ActionsOn = Callable[[date], Sequence[Action]]


@dataclass(frozen=True, eq=False)
class Evening:
    """Data as of the close of asof, under the names of asof.

    Attributes
    ----------
    bars : Bars
        The trailing sessions of the risk estimate, asof the last.
    closes : mapping of symbol to USD
        Of every name with a bar at asof.
    adv_usd : mapping of symbol to USD
        Mean dollar volume of the trailing `ADV_SESSIONS` sessions.
    actions : tuple of Action
        Effective on D and known at asof.
    volatility : mapping of symbol to annualised volatility
        Forecasts for the coming sessions; a name without one is sized by the volatility of the window.
    step_shares : callable
        Of a symbol: the share of a session's volume that each step meets, None where no curve is known.
    confirmed : collection of str
        Names whose extreme return a second source has as well: they do not wait.
    """

    bars: Bars
    closes: Mapping[str, Decimal]
    adv_usd: Mapping[str, Decimal]
    actions: tuple[Action, ...]
    basis: PriceBasis
    snapshot_id: str
    volatility: Mapping[str, float] = field(default_factory=dict)
    confirmed: Collection[str] = ()
    step_shares: StepSharesOf = planning.no_curve


@dataclass(frozen=True, eq=False)
class Morning:
    """Facts known on the morning of D, under the names of D.

    Names that wait for a word on an extreme return have no price of ours: they are not traded, and what is held of
    them is worth what the broker says.
    """

    scores: Scores
    risk: RiskModel
    prices: Mapping[str, Decimal]
    adv_usd: Mapping[str, Decimal]
    snapshot_id: str
    waiting: tuple[str, ...] = ()
    step_shares: StepSharesOf = planning.no_curve


@dataclass(frozen=True, eq=False)
class AccountReport:
    """The account and its positions as the broker reports them on the morning of D."""

    account: Account
    positions: Sequence[Position]

    @cached_property
    def shares(self) -> dict[str, Decimal]:
        """Signed shares by symbol."""
        return {position.symbol: position.quantity for position in self.positions}

    @cached_property
    def marks(self) -> dict[str, Decimal]:
        """The broker's own prices, for holdings that had no bar at asof."""
        return {p.symbol: p.current_price for p in self.positions if p.current_price is not None and p.current_price > 0}

    def priced(self, prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """The prices of D, and the broker's own where there is none."""
        return {**self.marks, **prices}


@dataclass(frozen=True, eq=False)
class MorningTargets:
    """The targets of D, what is held, and the unrounded weights that the step began at."""

    targets: TargetWeights
    current: Mapping[str, float]
    path: Mapping[str, float]


def known(scores: Blend, evening: Evening) -> Morning:
    """Estimate the risk at asof and restate everything for the names and prices of D.

    Parameters
    ----------
    scores : Blend
        Of asof, and what sizes them.

    Raises
    ------
    TooLittleHistory
        Fewer sessions than the risk estimate needs.
    """
    first = scores.parts[0]  # each sleeve's own IC and k size it: the model's horizon is only the unit of risk
    risk = with_volatility(estimate(evening.bars, first.horizon_sessions, first.ic), evening.volatility)
    names = new_names(evening.actions)
    before = {new: old for old, new in names.items()}
    waits = tuple(symbol for symbol in waiting(evening.bars) if symbol not in evening.confirmed)
    closes = {symbol: close for symbol, close in evening.closes.items() if symbol not in waits}
    return Morning(
        renamed_scores(scores, evening.actions),
        renamed_risk(risk, evening.actions),
        reference_prices(closes, evening.actions, evening.basis),
        {names.get(symbol, symbol): volume for symbol, volume in evening.adv_usd.items()},
        evening.snapshot_id,
        tuple(names.get(symbol, symbol) for symbol in waits),
        lambda symbol: evening.step_shares(before.get(symbol, symbol)),
    )


def path_since(last: Plan | None, account: Account, session: date, calendar: Calendar, actions_on: ActionsOn) -> dict[str, Exact]:
    """Return the unrounded path of the last plan before `session`, restated; empty where this account had none.

    Parameters
    ----------
    actions_on : callable
        Corporate actions effective on a session, as known at asof.
    """
    if last is None or last.account != account.number:
        return {}
    days = calendar.between(last.session, session)
    return restated(last.path, [actions_on(day) for day in days if day > last.session])


def whole_books(plans: Sequence[tuple[date, Book]], session: date, calendar: Calendar, actions_on: ActionsOn) -> tuple[Book, ...]:
    """Return the whole target books of earlier plans under the names of `session`; `actions_on` as in `path_since`."""
    found = []
    for planned, book in plans:
        for day in calendar.between(planned, session)[1:]:
            names = new_names(actions_on(day))
            book = {names.get(symbol, symbol): weight for symbol, weight in book.items()}
        found.append(book)
    return tuple(found)


def wanted(
    morning: Morning,
    reported: AccountReport,
    limits: PortfolioConfig,
    session: date,
    *,
    path: Mapping[str, Exact],
    ramp: float = 1.0,
    sizing: Sizing | None = None,
) -> MorningTargets:
    """Build the targets of D; each name's step begins at its unrounded path, or at what is held where that was left.

    Raises
    ------
    ScoresInvalid, NoFeasibleBook
        No new orders this session.
    """
    held, priced, equity = reported.shares, reported.priced(morning.prices), reported.account.equity
    begun = weights_held(followed(path, held), priced, equity)
    targets = build(
        morning.scores,
        morning.risk,
        limits,
        begun,
        session,
        AccountSize(float(equity), {symbol: float(price) for symbol, price in morning.prices.items()}, sizing),
        ramp=ramp,
    )
    return MorningTargets(targets, weights_held(held, priced, equity), begun)


def orders(
    morning: Morning,
    targets: TargetWeights,
    reported: AccountReport,
    assets: Mapping[str, Asset],
    provenance: Provenance,
    config: ExecutionConfig,
    *,
    reduce_only: bool = False,
) -> Plan:
    """Freeze the orders that lead from what is held to `targets`.

    Raises
    ------
    TripwireSkip
        Equity is not positive.
    """
    inputs = PlanInputs(
        reported.account,
        reported.shares,
        morning.prices,
        assets,
        morning.adv_usd,
        reported.marks,
        morning.step_shares,
        morning.risk.session_volatility,
    )
    plan = planning.plan(targets, inputs, provenance, config.planning, config.pretrade, reduce_only=reduce_only, entry=config.entry)
    # A name that waits and is not held is named all the same: the wait is reported until somebody ends it.
    others = tuple(row for row in plan.refusals if row[0] not in morning.waiting or row[1] != "NO_PRICE")
    return replace(plan, refusals=(*others, *((symbol, UNDECIDED, WAITS) for symbol in morning.waiting)))
