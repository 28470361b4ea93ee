"""`trainer options`: chains, surfaces, structures and their backtest."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from signals.errors import BadBars
from signals.market.actions import Action
from signals.market.audits import SessionStatus
from signals.market.sessions import NEW_YORK, xnys
from signals.text.console import emit
from signals.text.plain_text import clean
from signals.text.wording import reason_of
from trainer.clock import now
from trainer.commands.options import DATA, AsJson, dated

SHOWN = 20
FIRST, AHEAD_YEARS = date(1990, 1, 2), 3
OPTIONS = typer.Typer(no_args_is_help=True, help="Curate option chains, fit their surfaces, and judge and backtest what is built on them.")

Chains = Annotated[Path, typer.Option("--chains", help="Folder of option chains, as made by `trainer options ingest`.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands to `app`."""
    app.add_typer(OPTIONS, name="options", rich_help_panel=DATA)


@OPTIONS.command()
def ingest(
    quotes: Annotated[list[Path], typer.Option(help="File of option quotes or contracts, .parquet, .csv or .json; may be repeated.")],
    to: Annotated[Path, typer.Option(help="Folder of chains to write; `options` in a dataset's folder is where trainings look.")],
    actions: Annotated[
        Path | None, typer.Option(help="Corporate actions of the underlyings, by which their closes are restated.", show_default=False)
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="YAML whose section `options` names the columns.", show_default=False)] = None,
    vendor: Annotated[str, typer.Option(help="Who delivered it.")] = "",
    add: Annotated[bool, typer.Option("--add", help="Keep the days that are not delivered now.")] = False,
    today: Annotated[date | None, dated("Last day that a quote may have.", show_default="today in New York")] = None,
    as_json: AsJson = False,
) -> None:
    """Read option quotes, audit them by underlying and day, and write them as chains.

    Files that tell of the same contracts are joined. Rows that are no quotes are quarantined with their reason. Exit code 1:
    every day is RED.

    Example: trainer options ingest --quotes spxw.parquet --to var/data/spxw/options
    """
    from trainer.curation.vendors.actions import read_actions
    from trainer.curation.vendors.mapping import read_mapping
    from trainer.options.chains.ingest import ingest_chains

    names, last = read_mapping(mapping), today or now().astimezone(NEW_YORK).date()
    told: tuple[Action, ...] = ()
    if actions is not None:
        calendar = xnys(FIRST, last.replace(year=last.year + AHEAD_YEARS, day=1))
        told = read_actions(_content(actions), names.actions, calendar, where=str(actions), today=last)
    found = ingest_chains(
        {str(path): _content(path) for path in quotes},
        to,
        mapping=names.options,
        actions=told,
        today=last,
        vendor=vendor,
        add=add,
        note=lambda remark: typer.echo(f"NOTE {clean(str(remark))}", err=True),
    )
    counted = Counter(str(audit.status) for audit in found.audits)
    poor = [audit for audit in found.audits if audit.status is not SessionStatus.GREEN]
    lines = [f"{len(found.roots)} underlyings, {len(found.audits)} days: {', '.join(f'{n} {word}' for word, n in sorted(counted.items()))}"]
    lines += [f"{audit.status} {audit.root} {audit.day}: {'; '.join(audit.reasons)}" for audit in poor[:SHOWN]]
    lines += [f"and {len(poor) - SHOWN} more"] if len(poor) > SHOWN else []
    emit({"folder": str(to), "days": dict(counted), **_manifest(found)}, as_json=as_json, text="\n".join(map(clean, lines)))
    raise typer.Exit(int(counted[str(SessionStatus.RED)] == len(found.audits)))


def _manifest(found: object) -> dict[str, object]:
    from signals.text.documents import to_json

    document: dict[str, object] = to_json(found)
    return document


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadBars(f"cannot be read: {reason_of(error)}", where=str(path), fix="Name a file") from None
