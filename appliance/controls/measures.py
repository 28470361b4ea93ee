"""Measures of the tripwires: each figure as a pure function of the day's values."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from statistics import median

import numpy as np

from appliance.controls.tripwires import NOT_YET, Figure
from execution.orders import Intent
from signals.market.bars import Floats
from signals.market.sessions import Calendar, SessionAudit, SessionStatus
from signals.scoring.scores import tied_share

TURNOVER_HISTORY_PLANS = 20
MIN_SENT_FOR_A_RATE = 5


def red_datasets(audits: Sequence[SessionAudit | None], *, require_green: bool) -> float:
    """Count the required datasets whose audit of asof is absent or RED (or not GREEN, when that is required)."""
    usable = {SessionStatus.GREEN} if require_green else {SessionStatus.GREEN, SessionStatus.AMBER}
    return float(sum(audit is None or audit.status not in usable for audit in audits))


def stale_sessions(newest: date | None, asof: date, calendar: Calendar) -> Figure:
    """Sessions from the newest bar to asof; None when there is no bar at all."""
    if newest is None:
        return None
    return float(calendar.index(asof) - calendar.index(newest))


def coverage(scored: int, eligible: int) -> Figure:
    """Scored / eligible names; None when no name is eligible."""
    return scored / eligible if eligible else None


def invalid_scores(values: Floats) -> Figure:
    """Share of tied scores; 1 when any is not finite or all are equal; None when there is none."""
    if values.size == 0:
        return None
    if not bool(np.all(np.isfinite(values))) or float(np.std(values)) == 0.0:
        return 1.0
    return tied_share(values)


def turnover(weights: Floats, current: Floats) -> float:
    """One-sided turnover: half the sum of absolute weight changes."""
    return float(np.abs(weights - current).sum() / 2.0)


def turnover_jump(today: float | None, earlier: Sequence[float]) -> Figure:
    """Today's turnover over the median of the last 20 traded plans; not defined without it, or before there are 20."""
    if today is None or len(earlier) < TURNOVER_HISTORY_PLANS:
        return NOT_YET
    typical = median(earlier[-TURNOVER_HISTORY_PLANS:])
    return today / typical if typical > 0 else NOT_YET


def loss(equity: float, reference: float | None) -> Figure:
    """Fall of equity below a reference as a positive fraction; 0 at or above it; not defined without a reference."""
    if reference is None:
        return NOT_YET
    return max(0.0, 1.0 - equity / reference) if reference > 0 else None


def rejected_share(refused: int, sent: int) -> Figure:
    """Refused / sent orders; not defined under five sent ones."""
    return refused / sent if sent >= MIN_SENT_FOR_A_RATE else NOT_YET


def planned_book(
    intents: Iterable[Intent], held: Mapping[str, Decimal], prices: Mapping[str, Decimal], equity: Decimal
) -> tuple[Figure, Figure, Figure]:
    """Gross, net and largest absolute weight with every intent filled at its reference price.

    Parameters
    ----------
    held : mapping of symbol to signed shares
    prices : mapping of symbol to USD
        Of what is held; an intent brings its own.
    equity : Decimal
        USD.

    Returns
    -------
    tuple of float
        All None when a holding has no price or equity is not positive.
    """
    shares, stated = dict(held), dict(prices)
    for intent in intents:
        symbol = intent.key.symbol
        shares[symbol] = shares.get(symbol, Decimal(0)) + intent.side.sign * intent.quantity
        stated[symbol] = intent.reference_price
    if equity <= 0 or any(quantity != 0 and symbol not in stated for symbol, quantity in shares.items()):
        return None, None, None
    weights = [float(quantity * stated[symbol] / equity) for symbol, quantity in shares.items() if quantity != 0]
    gross, net = float(sum(abs(w) for w in weights)), float(sum(weights))
    return gross, net, max((abs(w) for w in weights), default=0.0)
