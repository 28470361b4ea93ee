"""Mean loss of the worst trades of each kind of event, in R after costs, and the size that a budget of it allows."""

from dataclasses import dataclass

import numpy as np

from portfolio.config import CvarMethod
from portfolio.risk.cvar import historical_cvar, session_cvar
from signals.errors import TooLittleHistory
from signals.events.panel import Kind
from signals.market.bars import Floats

LEVEL = 0.95


@dataclass(frozen=True)
class KindTail:
    """Expected shortfall at 95 % of the trades of one kind; `method` is `evt`, or `historical` where no tail can be fitted."""

    kind: str
    trades: int
    es_r: float
    method: str


def tails(kind: Floats, net_r: Floats) -> tuple[KindTail, ...]:
    """Return the tail of each kind that has trades, in the order of `Kind`.

    Parameters
    ----------
    kind : float64, shape (n,)
        Numbers of `Kind`.
    net_r : float64, shape (n,)
    """
    return tuple(_tail(one, net_r[kind == one]) for one in Kind if (kind == one).any())


def size_for(budget_usd: float, es_r: float, r_usd: float) -> float:
    """Shares whose expected shortfall is the budget, where one share risks `r_usd` to its stop; 0 where any of the three is not positive.

    Examples
    --------
    >>> size_for(300.0, 1.5, 2.0)
    100.0
    """
    if not (np.isfinite([budget_usd, es_r, r_usd]).all() and min(budget_usd, es_r, r_usd) > 0.0):
        return 0.0
    return budget_usd / (es_r * r_usd)


def _tail(kind: Kind, net_r: Floats) -> KindTail:
    name, history = kind.name.lower(), historical_cvar(-net_r, LEVEL)
    try:
        found = session_cvar(net_r, LEVEL, CvarMethod.EVT)
    except TooLittleHistory:
        return KindTail(name, len(net_r), history, "historical")
    is_fitted = np.isfinite(found) and found != history
    return KindTail(name, len(net_r), found if is_fitted else history, "evt" if is_fitted else "historical")
