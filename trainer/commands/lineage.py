"""`trainer retrain`: retrains an accepted recipe on newer data, keeping its role."""

from functools import partial
from typing import Annotated

import typer

from signals.bundle import Role
from signals.text.console import emit, progress
from trainer.clock import now
from trainer.commands.defaults import new_folder
from trainer.commands.options import OURS, PROMOTION, REFUSED_EXIT, VAR, AsJson, Bars, Data, End, NewRun, Registry, Sleeve, Workers
from trainer.commands.promotion import figure


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command(rich_help_panel=PROMOTION)(retrain)


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
