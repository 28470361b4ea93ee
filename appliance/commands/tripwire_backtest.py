"""The command `tripwire-backtest`: applies every configured limit to recorded history."""

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from appliance.commands.text_table import render
from appliance.config import load_config
from appliance.controls.limits_backtest import ATTENDED_SESSIONS, RowHistory, SessionFigures, backtest, offending
from appliance.controls.tripwires import TRIPWIRES, Figure, NotYet
from appliance.ledger import AccessMode, Ledger, nav, snapshots, tripwires
from appliance.ledger.tripwires import TripwireRow
from appliance.options import DEFAULT_STATE, AsJson
from appliance.system.state_folder import StateFolder
from signals.errors import FixInput
from signals.text.console import emit

MOST_FALSE_A_YEAR = 1.0
MEASURES = {row.name: row.measure for row in TRIPWIRES}
COLUMNS = ("limit", "action", "at", "looked", "nearest", "stops", "false a year", "saved")


def register(app: typer.Typer) -> None:
    """Put the command of this file on `app`."""
    app.command("tripwire-backtest")(tripwire_backtest)


def tripwire_backtest(
    states: Annotated[list[Path] | None, typer.Option("--state", help="State folder of a replay or a device; may be repeated.")] = None,
    attended: Annotated[int, typer.Option("--attended", min=1, help="Sessions after which a person has ended a stop.")] = ATTENDED_SESSIONS,
    as_json: AsJson = False,
) -> None:
    """Run every limit of the settings over recorded histories: false stops a year, and what each limit saved.

    Reads what was measured, with the limits that config.yml has now, so that a changed limit can be tried on a copy.
    Saved is an upper bound: what the book lost during the stops. Exit code 1: a limit stops for nothing more than once
    a year.
    """
    found = {str(folder): _one(StateFolder(folder), attended) for folder in states or [DEFAULT_STATE]}
    guilty = [
        f"{row.name} stops for nothing {row.false_a_year:.2f} times a year in {place}"
        for place, (_, rows) in found.items()
        for row in offending(rows, MOST_FALSE_A_YEAR)
    ]
    text = "\n\n".join(_described(place, history, rows) for place, (history, rows) in found.items())
    verdict = "\n".join(guilty) if guilty else "No limit stops for nothing more than once a year."
    emit(
        {
            "histories": [
                {
                    "state": place,
                    "sessions": len(history),
                    "first": history[0].session,
                    "last": history[-1].session,
                    "rows": [asdict(row) for row in rows],
                }
                for place, (history, rows) in found.items()
            ],
            "offending": guilty,
        },
        as_json=as_json,
        text=f"{text}\n\n{verdict}",
    )
    raise typer.Exit(1 if guilty else 0)


def past_of(ledger: Ledger) -> list[SessionFigures]:
    """Read a ledger's history: every session with a value, what was measured on it, and its result."""
    values = nav.history(ledger, date.max, 1_000_000)
    first = snapshots.first(ledger)
    start = first.last_equity if first else (values[0].paper_nav if values else None)
    before = [start, *(row.paper_nav for row in values[:-1])] if values else []
    return [
        SessionFigures(
            row.session,
            {MEASURES[t.name]: _figure(t) for t in tripwires.of_session(ledger, row.session) if t.name in MEASURES},
            float(row.paper_nav / base - 1) if base else 0.0,
        )
        for row, base in zip(values, before, strict=True)
    ]


def _one(folder: StateFolder, attended: int) -> tuple[list[SessionFigures], tuple[RowHistory, ...]]:
    folder.require()
    with Ledger(folder.ledger, AccessMode.READ) as ledger:
        history = past_of(ledger)
    if not history:
        raise FixInput("no session of this state has a value yet", where=str(folder.root), fix="Replay a range first")
    return history, backtest(history, load_config(folder.config).limits(), attended)


def _figure(row: TripwireRow) -> Figure:
    if row.value is not None:
        return float(row.value)
    declared = [state for state in NotYet if row.detail.endswith(state.value)]
    return declared[0] if declared else None


def _described(place: str, history: list[SessionFigures], rows: tuple[RowHistory, ...]) -> str:
    head = f"{place}: {len(history)} sessions, {history[0].session} to {history[-1].session}"
    shown: list[dict[str, object]] = [
        {
            "limit": row.name,
            "action": row.action.value,
            "at": f"{row.limit:g}",
            "looked": row.looked,
            "nearest": row.highest,
            "stops": len(row.stops),
            "false a year": f"{row.false_a_year:.2f}",
            "saved": f"{row.saved:+.2%}" if row.stops else None,
        }
        for row in rows
    ]
    return f"{head}\n{render(shown, COLUMNS, empty='')}"
