"""`trainer retrain | compare-accounts`: retrains an accepted recipe on newer data, and compares what two accounts made of two bundles."""

from datetime import date
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from signals.bundle import Role
from signals.errors import FixInput
from signals.text.console import emit, progress
from signals.text.strict_json import loads
from signals.text.wording import reason_of
from trainer.clock import now
from trainer.commands.defaults import new_folder
from trainer.commands.options import (
    OURS,
    PROMOTION,
    REFUSED_EXIT,
    VAR,
    AsJson,
    Bars,
    Data,
    End,
    NewRun,
    Registry,
    Sleeve,
    Workers,
    registered,
)
from trainer.commands.promotion import figure


def retrain(
    context: typer.Context,
    sleeve: Sleeve,
    data: Data = OURS,
    run: NewRun = None,
    role: Annotated[Role, typer.Option(help="Whose lineage.")] = Role.CHAMPION,
    registry: Registry = VAR,
    end: End = None,
    bars: Bars = None,
    workers: Workers = 2,
    as_json: AsJson = False,
) -> None:
    """Train the champion, the accepted evaluation or the shadow of a sleeve again, with newer sessions.

    Recipe, seed and names are those of the model that was accepted; no seal is opened, and nobody becomes champion. The
    new model is compared with its predecessor and with the accepted one. Exit status 1: not inside the bounds, a second
    time in a week, over a RED session, or after the lineage's end; it cannot be published.

    Example: trainer retrain --sleeve equities_xs
    Example: trainer retrain --sleeve equities_xs --data var/data/us --run var/runs/week-27
    """
    from signals.code_version import code_version
    from trainer.lineage.retrain import RetrainRequest, replaced, steps, train_again
    from trainer.lineage.retrain import retrain as trained_again
    from trainer.lineage.rules import read_rules

    request = RetrainRequest(
        sleeve=sleeve,
        role=role,
        data=data,
        run=run or new_folder(context, "--run", sleeve, role, "again"),
        registry=registry,
        end=end,
        rules=read_rules(bars),
        workers=workers,
        code_version=code_version("trainer"),
        at=now(),
    )
    with progress("retraining", steps(request), as_json=as_json) as step:
        found = trained_again(request, partial(train_again, step=step))
    width = max(len(row.bar) for row in found.rows)
    lines = [
        f"{'pass' if row.passed else 'FAIL'}  {row.bar:<{width}}  {figure(row.value):>10}  {figure(row.limit):>10}  " + row.why
        for row in found.rows
    ]
    if (share := replaced(found.record)) is not None:
        lines.append(f"Turnover of this retraining only: {share:.1%} of a decile book.")
        alike = found.record["facts"]["predecessor"]["rank_correlation"]
        if alike is not None and alike < request.rules.sure_correlation:
            lines.append(f"WARNING: less like its predecessor than {request.rules.sure_correlation:g}: average more seeds.")
    own = f"retraining {found.record['of']} of lineage {found.record['lineage']}, {role} of {sleeve}"
    lines.append(f"KEPT: {own}. Publish it with --role {role}." if found.is_kept else f"REFUSED: {own}.")
    emit({**found.record, "is_kept": found.is_kept}, as_json=as_json, text="\n".join(lines))
    if not found.is_kept:
        raise typer.Exit(REFUSED_EXIT)


Performance = Annotated[Path, typer.Argument(help="What `appliance performance --sessions 1000 --json` printed on a device.")]
REAL, PAPER = "restated_nav", "paper_nav"


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


register = registered({PROMOTION: (retrain, compare_accounts)})
