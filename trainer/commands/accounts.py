"""`trainer compare-accounts`: the paired difference of two paper accounts, from the performance that their devices recorded."""

from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from signals.errors import FixInput
from signals.text.console import emit
from signals.text.strict_json import loads
from signals.text.wording import reason_of
from trainer.commands.options import PROMOTION, AsJson

Performance = Annotated[Path, typer.Argument(help="What `appliance performance --sessions 1000 --json` printed on a device.")]
REAL, PAPER = "restated_nav", "paper_nav"


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command("compare-accounts", rich_help_panel=PROMOTION)(compare_accounts)


def compare_accounts(first: Performance, second: Performance, as_json: AsJson = False) -> None:
    """Compare two devices that trade two bundles on accounts of their own, by the sessions that both lived.

    Values with real costs where both have them throughout, else the paper account's. The power says what so many sessions can
    tell: two good books of much the same names are seldom told apart within a year.

    Example: trainer compare-accounts champion.json challenger.json
    """
    from trainer.validation.significance.paired import compared

    rows = [_rows(first), _rows(second)]
    figure = REAL if all(value.get(REAL) is not None for one in rows for value in one.values()) else PAPER
    found = compared(*(_returns(one, figure) for one in rows))
    if found is None:
        raise FixInput(
            "too few sessions in common, or an account that never moved", where=f"{first}, {second}", fix="Compare later, or export more"
        )
    emit({"figure": figure, **vars(found)}, as_json=as_json, text=f"{first} less {second}, {figure}: {found}")


def _rows(path: Path) -> dict[date, dict[str, str | None]]:
    """The rows of a file by session, oldest first."""
    try:
        rows = loads(path.read_bytes())["rows"]
        found = {date.fromisoformat(row["session"]): {name: row[name] for name in (PAPER, REAL)} for row in rows}
        if any(Decimal(value) <= 0 for row in found.values() for value in row.values() if value is not None) or any(
            row[PAPER] is None for row in found.values()
        ):
            raise ValueError("a value is missing, or none above zero")
        return dict(sorted(found.items()))
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise FixInput(
            f"no values of an account ({reason_of(error)})",
            where=str(path),
            fix="Write it by `appliance performance --sessions 1000 --json`",
        ) from None


def _returns(rows: dict[date, dict[str, str | None]], figure: str) -> dict[date, float]:
    values = {day: Decimal(str(row[figure])) for day, row in rows.items()}
    return {day: float(values[day] / values[before] - 1) for before, day in pairwise(values)}
