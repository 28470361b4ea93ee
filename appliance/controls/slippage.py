"""Slippage of recent fills against the session's open, as a multiple of the cost model's estimate.

    slippage = max(0, sum of side * (price - open) * shares) / sum of modelled half spreads and impact      (USD / USD)

over the fills of 20 sessions. The open is the arrival price: it is the first price at which the market could have
taken an order that left before it. The model's cost of a session is what its real NAV was charged. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

import numpy as np

from appliance.controls.tripwires import NOT_YET, Figure
from appliance.ledger.fills import BookedFill
from appliance.ledger.nav import NavRow
from signals.market.bars import Bars

SLIPPAGE_SESSIONS = 20
LARGEST_MOVE = 0.25  # a price further from its open is another basis (a split since), not slippage
MIN_MEASURED = 0.5  # of the traded value
Opens = Mapping[tuple[date, str], float]


def opens_of(bars: Bars) -> dict[tuple[date, str], float]:
    """Opens by session and symbol, finite ones only."""
    days = [day.astype(object) for day in bars.sessions]
    return {(days[t], bars.symbols[n]): float(bars.open[t, n]) for t, n in np.argwhere(np.isfinite(bars.open)) if days[t]}


def slippage(fills: Sequence[BookedFill], opens: Opens, values: Sequence[NavRow]) -> Figure:
    """Measure it over the last 20 sessions that have a value.

    Parameters
    ----------
    opens : mapping of (session, symbol) to USD
    values : sequence of NavRow
        Of the last sessions; their `impact` is what the model charged, never positive.

    Returns
    -------
    float, NotYet or None
        Not defined before 20 sessions, and while nothing was traded. None when the opens of more than half of the
        traded value are not known, or the model charged nothing for what was traded.
    """
    window = values[-SLIPPAGE_SESSIONS:]
    if len(window) < SLIPPAGE_SESSIONS:
        return NOT_YET
    sessions = {row.session for row in window}
    counted = [booked for booked in fills if booked.session in sessions]
    if not counted:
        return NOT_YET
    modelled = -sum((row.impact for row in window), Decimal(0))
    traded = sum(float(b.fill.quantity * b.fill.price) for b in counted)
    comparable = [b for b in counted if _is_comparable(b, opens)]
    measured = sum(float(b.fill.quantity * b.fill.price) for b in comparable)
    if modelled <= 0 or measured < MIN_MEASURED * traded:
        return None
    paid = sum(_paid(b, opens[b.session, b.fill.symbol]) for b in comparable)
    return max(0.0, paid * (traded / measured)) / float(modelled)


def difference_bps(fills: Sequence[BookedFill], opens: Opens) -> float | None:
    """Loss of fills against their session's opening price, in basis points of their value; None where no open is known.

    Negative where they were better. A model that was learned at the open is traded by `day` orders at this difference.
    """
    comparable = [b for b in fills if _is_comparable(b, opens)]
    measured = sum(float(b.fill.quantity * b.fill.price) for b in comparable)
    return 1e4 * sum(_paid(b, opens[b.session, b.fill.symbol]) for b in comparable) / measured if measured else None


def sessions_in_a_row(today: Figure, limit: float, earlier_trips: Iterable[bool]) -> Figure:
    """Sessions up to today over the limit without a gap; `earlier_trips` are those before it, newest first."""
    if not isinstance(today, float):
        return today
    if today <= limit:
        return 0.0
    count = 1
    for tripped in earlier_trips:
        if not tripped:
            break
        count += 1
    return float(count)


def _is_comparable(booked: BookedFill, opens: Opens) -> bool:
    known = opens.get((booked.session, booked.fill.symbol))
    return known is not None and known > 0 and abs(float(booked.fill.price) / known - 1) <= LARGEST_MOVE


def _paid(booked: BookedFill, opened: float) -> float:
    return float(booked.fill.side.sign * booked.fill.quantity) * (float(booked.fill.price) - opened)
