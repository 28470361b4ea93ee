"""Rebuilds a lost ledger from the broker's records; the device ends HALTED.

Restored from the broker: holdings, cash, orders, fills, other activities. Lost, since only the ledger had them:
plans, scores, targets, who asked for what. The orders are therefore on record as not ours, for a person to look at.
"""

from datetime import date

from appliance.ledger import snapshots
from appliance.ledger.snapshots import Phase
from appliance.orders.order_path import OrderPath
from appliance.orders.reconciliation import Agreement, accept, fetch
from signals.errors import FixInput

REBUILT = "rebuilt_at"
HALT_NAME = "LEDGER_REBUILT"


def rebuild(path: OrderPath, session: date, phase: Phase, since: date) -> Agreement:
    """Close the latch, then fill an empty ledger from the broker's reports since the session `since`.

    Raises
    ------
    FixInput
        The ledger is not empty: nothing is overwritten.
    BrokerUnreachable
        A report could not be had whole; the ledger stays empty and the latch closed.
    """
    if snapshots.latest(path.ledger) is not None:
        raise FixInput(
            "this ledger is not empty; it is never rebuilt over what it holds",
            where=str(path.ledger.path),
            fix="Move the file away first if it is beyond repair",
        )
    path.latch.halt(HALT_NAME, "the ledger was rebuilt from the broker; look at it before you re-arm", path.clock.now())
    reports = fetch(path, since)
    with path.ledger.transaction():
        accept(path, session, phase, reports)
        path.ledger.write_meta(REBUILT, path.clock.now().isoformat())
    return Agreement(reports.account, reports.positions, ())
