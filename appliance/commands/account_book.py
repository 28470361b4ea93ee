"""Commands that settle the account's book: `adopt`, `keep`, `flatten`, `accept` and `rebuild`.

`adopt`, `keep` or `flatten` what the account held before this device, `accept` a break that is understood, `rebuild` a
ledger that was lost.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from appliance.commands.text_table import render
from appliance.context import Deps
from appliance.ledger import snapshots
from appliance.ledger.choices import Choice
from appliance.ledger.snapshots import Phase
from appliance.options import DEFAULT_STATE, AsJson, Credentials, SessionText, State, to_session
from appliance.orders import OrderPath
from appliance.orders.reconciliation import HALT_NAME, accept_break, fetch, oldest
from appliance.orders.reconciliation import rebuild as begin_again
from appliance.runtime.device import opened
from appliance.safety.halt import carry_out
from appliance.setup.arming import next_session
from appliance.setup.holdings import Holding, decide
from appliance.system.operator import confirm_typed, who
from signals.errors import FixInput
from signals.text.console import emit
from signals.text.wording import clean_lines

ACCEPTED = "accepted_by_hand"
COLUMNS = ("symbol", "quantity", "entry", "price", "value")
Symbols = Annotated[
    str, typer.Option("--symbols", metavar="AAA,BBB", help="Default: every position that is to be decided about.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for the typed word.")]


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(adopt)
    app.command()(keep)
    app.command()(flatten)
    app.command()(accept)
    app.command()(rebuild)


def adopt(
    symbols: Symbols = "", state: State = DEFAULT_STATE, credentials: Credentials = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Take positions that the account held before this device into its book, before it begins.

    They are traded to the target like everything that is held, step by step through the ramp; a name without a target
    is sold or bought back. Nothing is sent by this command.
    """
    _decide(Choice.ADOPTED, symbols, state, credentials, yes=yes, as_json=as_json)


def keep(
    symbols: Symbols = "", state: State = DEFAULT_STATE, credentials: Credentials = None, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Leave positions of the account out of this device's book for good.

    The names are never traded, and what they are worth counts neither as equity nor as exposure. There is no way back
    but a new device.
    """
    _decide(Choice.KEPT, symbols, state, credentials, yes=yes, as_json=as_json)


def flatten(
    session: Annotated[
        str, typer.Option("--session", metavar="YYYY-MM-DD", help="D, whose orders close them; default: the next one.", show_default=False)
    ] = "",
    symbols: Symbols = "",
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Close positions that the account held before this device with the first orders that it sends.

    The plan of D is frozen with one order a name that can only lower the position; the jobs of D send it once the
    device is armed, and the device plans its own book from the session after D on. Nothing is sent by this command.
    """
    _decide(Choice.FLATTENED, symbols, state, credentials, yes=yes, as_json=as_json, session=session)


def _decide(choice: Choice, symbols: str, state: Path, credentials: Path | None, *, yes: bool, as_json: bool, session: str = "") -> None:
    def show(rows: Sequence[Holding], sentence: str) -> None:
        if not as_json:
            typer.echo(clean_lines(f"{render([vars(row) for row in rows], COLUMNS, empty='')}\n{sentence}"))

    with opened(state, credentials=credentials) as device:
        day = None
        if choice is Choice.FLATTENED:
            day = to_session(session) if session else next_session(device)
        named = [symbol.strip() for symbol in symbols.split(",") if symbol.strip()]
        rows = decide(device, choice, named, session=day, yes=yes, show=show)
    when = f" The orders of {day} close them, once the device is armed." if day else ""
    emit(
        {"choice": choice.value, "positions": [vars(row) for row in rows], "value": sum(row.value for row in rows), "by": who()}
        | ({"session": day} if day else {}),
        as_json=as_json,
        text=f"{len(rows)} positions are {choice.value}.{when}",
    )


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
        latch = device.latch.read()
        if latch.is_armed or latch.is_fresh:
            raise FixInput(
                "a break is accepted on a halted device only",
                where=latch.sentence(),
                fix="Run `appliance reconcile` first: it halts on a break",
            )
        path = OrderPath.of(deps)
        reports = fetch(path, oldest(path, day))
        before = snapshots.latest(deps.ledger)
        if before is not None and before.account_id != reports.account.id:
            raise FixInput(
                "another account answers; its books are never accepted into this ledger", fix="Make a new device for another account"
            )
        shown = f"{len(reports.positions)} positions, cash {reports.account.cash} USD, equity {reports.account.equity}"
        confirm_typed("ACCEPT", f"take the broker's books as right: {shown}", yes=yes)
        with deps.ledger.transaction():
            left = accept_break(path, day, _phase(deps, day), reports)
            deps.ledger.write_meta(f"{ACCEPTED}_{deps.clock.now().isoformat()}", f"{who()}: {reason}")
    known = [difference.sentence() for difference in left]
    also = "".join(f"\nKnown from now on: {sentence}." for sentence in known)
    emit(
        {"session": session, "by": who(), "positions": len(reports.positions), "cash": str(reports.account.cash), "known": known},
        as_json=as_json,
        text=f"Accepted: {shown}.{also}\n{latch.sentence()}",
    )


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
    emit(
        {"latch": record.state.value, "halt_id": record.halt_id, "positions": len(found.positions), "cash": str(found.account.cash)},
        as_json=as_json,
        text=f"{len(found.positions)} positions, cash {found.account.cash} USD.\n{record.sentence()}",
    )


def _phase(deps: Deps, session: date) -> Phase:
    return Phase.OPEN if deps.clock.now() < deps.calendar.session(session).open else Phase.CLOSE
