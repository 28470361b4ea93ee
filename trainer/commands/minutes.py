"""`trainer ingest --minutes | generate-minutes`: ingests minute bars, and generates them."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from signals.market.manifest import Manifest
from signals.text.console import emit, progress
from signals.text.wording import clean
from trainer.commands.options import DATA, AsJson, dated
from trainer.curation.generated.market import END, NOTICE
from trainer.curation.generated.minutes import generate_minutes
from trainer.curation.minutes.ingest import MinuteTerms, ingest_minutes


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("generate-minutes", rich_help_panel=DATA)(generate)


def keep(files: Sequence[Path], to: Path, terms: MinuteTerms, *, as_json: bool) -> None:
    """Ingest minutes and say what was understood."""
    remarks: list[str] = []
    with progress(f"curating {files[0]}", as_json=as_json):
        manifest = ingest_minutes(files, to, terms, remarks.append)
    said, statuses = list(dict.fromkeys(remarks)), Counter(str(audit.status) for audit in manifest.audits)
    rows = rows_of(manifest)
    counted = ", ".join(f"{count:,} {status}" for status, count in sorted(statuses.items()))
    text = (
        f"{to}: {manifest.name} version {manifest.version}, {rows:,} minutes from {manifest.first} to {manifest.last} ({counted}); unsigned"
    )
    result = {
        "data": str(to),
        "name": manifest.name,
        "version": manifest.version,
        "snapshot": manifest.snapshot_id,
        "calendar": manifest.calendar.name,
        "first": manifest.first,
        "last": manifest.last,
        "statuses": dict(statuses),
        "rows": rows,
        "notes": said,
    }
    emit(result, as_json=as_json, text="\n".join([text, *(f"NOTE: {clean(remark)}" for remark in said)]))


def rows_of(manifest: Manifest) -> int:
    """Minutes that a dataset keeps."""
    return sum(record.rows for record in manifest.files if record.role == "minutes")


def generate(
    to: Annotated[Path, typer.Option(help="File to write, .parquet; the truth is written next to it.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same market.")] = 7,
    sessions: Annotated[int, typer.Option(help="Sessions; 252 are a year.")] = 800,
    strength: Annotated[float, typer.Option(help="Size of the planted signal.")] = 1.5,
    timeframe: Annotated[int, typer.Option(help="Minutes of the bars in which the ordered pattern is planted.")] = 5,
    clock: Annotated[float, typer.Option(help="Size of a drift that depends on the time of day only.")] = 0.0,
    end: Annotated[date, dated("Last session.")] = END,
    as_json: AsJson = False,
) -> None:
    """Write invented minutes of one instrument, GEN, with a planted signal that depends on a regime; none of it is real.

    The truth (drift, regime, pattern) is next to it, for an oracle. Strength 0 with the same seed is the noise twin.

    Example: trainer generate-minutes --sessions 800 --strength 1.5 --to var/m.parquet
    """
    with progress("generating", as_json=as_json):
        found = generate_minutes(seed, sessions, end=end, strength=strength, timeframe=timeframe, clock=clock)
        truth = found.write(to)
    rows = found.table().num_rows
    result = {"generated": True, "seed": seed, "minutes": str(to), "truth": str(truth), "rows": rows, "strength": strength}
    emit(
        result, as_json=as_json, text=f"{NOTICE.format(seed=seed)}{to}: {rows:,} minutes of {sessions} sessions\n{truth}: what was planted"
    )
