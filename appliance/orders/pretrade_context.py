"""The inputs of pre-trade checks: the broker's current reports and the plan's frozen prices."""

from collections.abc import Collection, Iterable
from decimal import Decimal

from appliance.ledger.intents import LIVE_AT_BROKER, UNSENT, JournalEntry
from appliance.orders.conservation import exposed
from appliance.orders.order_path import OrderPath
from execution.orders import Intent, IntentKey, Plan
from execution.planning.pretrade import Circumstances, Pending
from execution.planning.sending import BatchReports, circumstances
from signals.errors import TripwireHalt, TripwireSkip

ACTIVE = "ACTIVE"


class PretradeContext(BatchReports):
    """The broker's reports before a batch of orders, next to the journal."""

    def circumstances(
        self, entries: Iterable[JournalEntry], leaving: Intent, spent: Decimal, sent: Collection[IntentKey] = ()
    ) -> Circumstances:
        """Return the inputs of the checks of `leaving`.

        Parameters
        ----------
        entries : iterable of JournalEntry
            Every intent of the session in its present state.
        spent : Decimal
            USD of buying power that orders took since the account was asked.
        sent : collection of IntentKey
            Orders sent since the positions were asked: those do not include yet what such an order has filled.
        """
        aside = {leaving.key, leaving.waits_for}
        others = [entry for entry in entries if entry.intent.key not in aside]
        pending = (p for entry in others for p in _pending(entry, is_new=entry.intent.key in sent))
        return circumstances(self, pending, leaving, spent)


def fetch_context(path: OrderPath, plan: Plan) -> PretradeContext:
    """Fetch the inputs of the checks of a batch of orders.

    Raises
    ------
    TripwireHalt
        The account is not the plan's, or it may not trade.
    TripwireSkip
        By the broker's calendar the session is none, or opens or closes at another time.
    BrokerUnreachable
        A report could not be had whole; a missing one is never an empty one.
    """
    account = path.broker.account()
    faults = [
        what
        for what, wrong in (
            (f"it is {account.number}, the plan was made for {plan.account}", account.number != plan.account),
            (f"its status is {account.status}", account.status != ACTIVE),
            ("it is blocked", account.is_blocked),
        )
        if wrong
    ]
    if faults:
        raise TripwireHalt(
            f"the account may not trade this plan: {'; '.join(faults)}", where="ACCOUNT", fix="Look at the account at the broker"
        )
    ours = path.calendar.session(plan.session)
    theirs = path.broker.calendar(plan.session, plan.session)
    if [(day.day, day.open, day.close) for day in theirs] != [(ours.day, ours.open, ours.close)]:
        raise TripwireSkip(
            f"the broker's calendar differs from the dataset's for {plan.session}",
            where="CALENDAR",
            fix="Was an unscheduled or an early close announced? Publish a dataset with the new calendar",
        )
    names = sorted({intent.key.symbol for intent in plan.intents})
    prices = path.prices()
    latest = None if prices is None else prices.latest(names)
    return PretradeContext(plan, account, path.broker.positions(), path.broker.assets(), latest)


def _pending(entry: JournalEntry, *, is_new: bool) -> tuple[Pending, ...]:
    """Shares of the entry that may still fill; of a new one also those that filled."""
    sign, symbol = entry.intent.side.sign, entry.intent.key.symbol
    if is_new:
        return (Pending(symbol, sign * exposed(entry)),)
    if entry.state in LIVE_AT_BROKER:
        return (Pending(symbol, sign * entry.residual),)
    if entry.state in UNSENT or entry.state.is_in_doubt:
        return (Pending(symbol, sign * entry.intent.quantity),)
    return ()
