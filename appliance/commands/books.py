"""What a person decides about the books: `accept` a break that is understood, `rebuild` a ledger that was lost."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from appliance.deps import Deps
from appliance.device import opened
from appliance.halting import carry_out
from appliance.ledger import meta, snapshots
from appliance.ledger.snapshots import Phase
from appliance.options import DEFAULT_STATE, AsJson, Credentials, SessionText, State, to_session
from appliance.orderpath import OrderPath
from appliance.orderpath.agreement import accept_break, fetch, oldest
from appliance.orderpath.rebuilding import HALT_NAME
from appliance.orderpath.rebuilding import rebuild as begin_again
from appliance.person import confirm_typed, who
from signals.console import emit
from signals.errors import FixInput

ACCEPTED = "accepted_by_hand"
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for the typed word.")]


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(accept)
    app.command()(rebuild)


def accept(
    session: SessionText,
    reason: Annotated[str, typer.Option("--reason", help="What the difference is, and why it is right.")],
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take the broker's books as agreed after a break that you understand: a trade by hand, a transfer of cash.

    Only on a halted device, which stays halted: `appliance rearm` follows. Positions, cash, orders and activities are
    recorded as the broker has them: an order of ours under the id and with the end that it has there, one that the
    broker lost as over. What you typed as the reason is kept with them.
    """
    if not reason.strip():
        raise FixInput("accepting a break needs a reason in words")
    with opened(state, credentials=credentials) as device, device.deps() as deps:
        day = to_session(session)
        device.calendar.index(day)
        standing = device.latch.read()
        if standing.is_armed or standing.is_fresh:
            raise FixInput("a break is accepted on a halted device only", where=standing.sentence(),
                           mend="Run `appliance reconcile` first: it halts on a break")  # fmt: skip
        path = OrderPath.of(deps)
        reports = fetch(path, oldest(path, day))
        before = snapshots.latest(deps.ledger)
        if before is not None and before.account_id != reports.account.id:
            raise FixInput("another account answers; its books are never accepted into this ledger",
                           mend="Make a new device for another account")  # fmt: skip
        shown = f"{len(reports.positions)} positions, cash {reports.account.cash} USD, equity {reports.account.equity}"
        confirm_typed("ACCEPT", f"take the broker's books as right: {shown}", yes=yes)
        with deps.ledger.transaction():
            left = accept_break(path, day, _phase(deps, day), reports)
            meta.write(deps.ledger, f"{ACCEPTED}_{deps.clock.now().isoformat()}", f"{who()}: {reason}")
    known = [difference.sentence() for difference in left]
    also = "".join(f"\nKnown from now on: {sentence}." for sentence in known)
    emit({"session": session, "by": who(), "positions": len(reports.positions), "cash": str(reports.account.cash),
          "known": known}, as_json=as_json, text=f"Accepted: {shown}.{also}\n{standing.sentence()}")  # fmt: skip


def rebuild(
    session: SessionText,
    since: Annotated[str, typer.Option("--since", metavar="YYYY-MM-DD", help="First session to ask for.")],
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Begin an empty ledger again from what the broker still knows, after a total loss. Ends HALTED.

    Holdings, cash, orders, fills and other activities come back; plans, scores and targets do not.
    """
    with opened(state, credentials=credentials) as device, device.deps() as deps:
        day, first = to_session(session), to_session(since)
        for each in (day, first):
            device.calendar.index(each)
        confirm_typed("REBUILD", "fill the empty ledger from the broker; the device ends halted", yes=yes)
        found = begin_again(OrderPath.of(deps), day, _phase(deps, day), first)
        record = device.latch.read()
        carry_out(deps, day, record, HALT_NAME, record.reason)
    emit({"latch": record.state.value, "halt_id": record.halt_id, "positions": len(found.positions),
          "cash": str(found.account.cash)}, as_json=as_json,
         text=f"{len(found.positions)} positions, cash {found.account.cash} USD.\n{record.sentence()}")  # fmt: skip


def _phase(deps: Deps, session: date) -> Phase:
    return Phase.OPEN if deps.clock.now() < deps.calendar.session(session).open else Phase.CLOSE
