"""Returns of names that are delisted within a label's horizon."""

from collections.abc import Iterable, Iterator

import numpy as np

from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars
from signals.market.holding import Payout


def departures(bars: Bars, actions: Iterable[Action]) -> Iterator[Payout]:
    """Yield the delistings that take effect inside the panel; other actions are ignored.

    A column that trades at or after the effective session belongs to another security and is left alone.
    """
    columns = {symbol: column for column, symbol in enumerate(bars.symbols)}
    for action in actions:
        if action.kind is not ActionKind.DELISTING or action.symbol not in columns or action.cash is None:
            continue
        column = columns[action.symbol]
        effective = int(np.searchsorted(bars.sessions, np.datetime64(action.effective, "D")))
        traded = np.flatnonzero(np.isfinite(bars.close[:, column]))
        if effective < len(bars.sessions) and traded.size and traded[-1] < effective:
            last = int(traded[-1])
            yield Payout(column, last, effective, float(action.cash) / float(bars.close[last, column]))
