"""Delivered bars as sorted arrays, and what recorded corporate actions did to each row.

Both hosts curate from these: the trainer a vendor's files, the device its evening's bars.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.audit.defects import Rows
from signals.market.actions import Action, ActionKind
from signals.market.bars import Days, Floats
from signals.market.manifest import PriceBasis
from signals.market.securities import Identities

DAY = np.timedelta64(1, "D")
STOCK, ETF = "stock", "etf"  # kinds of a row; there are others, and they are never eligible


@dataclass(frozen=True, eq=False)
class DeliveredRows:
    """The delivery, sorted by security, day, then every figure.

    Attributes
    ----------
    symbol, kind, sector : object, shape (R,)
    securities : tuple of str
        Sorted ids; `rows.security` holds their positions.
    session : int64, shape (R,)
        Position of the row's day among the dataset's sessions; on a non-session that of the next session.
    revised : bool, shape (R,)
        Whether the row replaced one that differed.
    """

    rows: Rows
    symbol: NDArray[np.object_]
    kind: NDArray[np.object_]
    sector: NDArray[np.object_]
    securities: tuple[str, ...]
    session: NDArray[np.int64]
    revised: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Events:
    """Effects of corporate actions on each row.

    Attributes
    ----------
    ratio : float64, shape (R,)
        Split ratio effective after the security's previous row and up to this one; 1 where none or already adjusted.
    cash : float64, shape (R,)
        Dividends per share, likewise, in the dataset's basis; 0 where none or already adjusted.
    ended : int64, shape (N,)
        First session at which a recorded delisting has ended the security; the number of sessions where none has.
    """

    ratio: Floats
    cash: Floats
    ended: NDArray[np.int64]


def events(data: DeliveredRows, actions: Sequence[Action], names: Identities, days: Days, basis: PriceBasis) -> Events:
    """Attach each recorded action to the first row of its security on or after the effective session."""
    ratio, cash = np.ones(len(data.rows)), np.zeros(len(data.rows))
    ended = np.full(len(data.securities), len(days), dtype=np.int64)
    codes = {security: code for code, security in enumerate(data.securities)}
    starts = np.searchsorted(data.rows.security, np.arange(len(data.securities) + 1))
    for action in actions:
        code = _security(action, names, codes)
        if code is None:
            continue
        effective = np.datetime64(action.effective, "D")
        row = starts[code] + int(np.searchsorted(data.rows.day[starts[code] : starts[code + 1]], effective))
        if action.kind is ActionKind.DELISTING:
            ended[code] = min(ended[code], int(np.searchsorted(days, effective)))
        elif row == starts[code + 1]:
            continue
        elif action.kind is ActionKind.SPLIT and basis is PriceBasis.RAW:
            ratio[row] *= float(action.ratio or 1)
        elif action.kind is ActionKind.DIVIDEND and basis is not PriceBasis.TOTAL_RETURN:
            cash[row] += float(action.cash or 0)
    return Events(ratio, cash, ended)


def _security(action: Action, names: Identities, codes: dict[str, int]) -> int | None:
    """Code of the security that an action speaks of, by its name before the action, else by its name after it."""
    eve: np.datetime64 = np.datetime64(action.effective, "D") - DAY
    before = codes.get(names.at(action.symbol, eve.astype(object)))
    return before if before is not None else codes.get(names.at(action.symbol, action.effective))
