"""Eligibility of names for the universe by price and dollar volume known at each session's close.

    eligible_t = belongs_t and (enters_t or (stays_t and eligible_{t-1}))
    enters_t   = price_t >= min_price  and dollars_t >= min_dollar_volume
    stays_t    = price_t >= exit_price and dollars_t >= exit_dollar_volume

price is the close as it was traded that day: a split that is applied backwards to history looks into the future (a
share that stood at 500 USD before four splits is no penny stock). dollars is the mean of close x volume over the name's
bars of the last `DOLLAR_SESSIONS` sessions. t-1 is the name's usable bar before t, whenever that was. Where the price
as traded is not known, dollars alone decide. Both hosts decide by these functions.
"""

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Flags, Floats
from signals.market.eligibility_rule import DOLLAR_SESSIONS, EligibilityConfig

Places = NDArray[np.int64]


def mean_dollars(security: Places, session: Places, dollars: Floats) -> Floats:
    """Mean of `dollars` over each row's own name and its last `DOLLAR_SESSIONS` sessions, shape (R,).

    Parameters
    ----------
    security, session : int64, shape (R,)
        Sorted by security, then session, one row a session at most.
    dollars : float64, shape (R,)
    """
    total, count = dollars.copy(), np.ones(len(dollars))
    for back in range(1, min(DOLLAR_SESSIONS, len(dollars))):
        same = (security[back:] == security[:-back]) & (session[back:] - session[:-back] < DOLLAR_SESSIONS)
        total[back:] += np.where(same, dollars[:-back], 0.0)
        count[back:] += same
    return total / count


def tradable(
    security: Places,
    belongs: Flags,
    price: Floats,
    dollars: Floats,
    rule: EligibilityConfig,
    decided: Flags | None = None,
    was: Flags | None = None,
) -> Flags:
    """Whether each row's name is eligible, shape (R,).

    Parameters
    ----------
    security : int64, shape (R,)
        Rows are sorted by security, then session.
    belongs : bool, shape (R,)
        Old enough, of the right kind, a member.
    price : float64, shape (R,), USD
        Close as traded; NaN where unknown.
    dollars : float64, shape (R,), USD
    decided, was : bool, shape (R,), optional
        Rows whose answer is known already, and that answer.
    """
    is_unpriced = np.isnan(price)
    enters = belongs & (is_unpriced | (price >= rule.min_price)) & (dollars >= rule.min_dollar_volume)
    stays = belongs & (is_unpriced | (price >= rule.exit_price)) & (dollars >= rule.exit_dollar_volume)
    if decided is not None and was is not None:
        enters, stays = np.where(decided, was, enters), np.where(decided, was, stays)
    # A row that neither enters nor leaves is what the last row before it was that did.
    rows = np.arange(len(security))
    last = np.maximum.accumulate(np.where(enters | ~stays, rows, -1)) if len(rows) else rows
    own = (last >= 0) & (security[last] == security)
    found: Flags = own & enters[last]
    return found
