"""`trainer deliveries | as-of | backfill | fetch`: lists deliveries, rebuilds past versions, fills gaps."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signals.errors import BadBars, NotASession
from signals.files import write_atomic
from signals.market.dataset import read_manifest
from signals.market.sessions import NEW_YORK
from signals.text.console import GOES_ON, Kept, emit, progress
from trainer.clock import WallClock
from trainer.commands.options import DATA, OURS, AsJson, Basis, Credentials, Data, Feed, Url, dated, names_in
from trainer.curation.audit.findings import missing, summary
from trainer.curation.backfill import Backfilled
from trainer.curation.backfill import backfill as fill
from trainer.curation.deliveries.receipts import read_receipts
from trainer.curation.ingest import BarVendor, FileVendor
from trainer.curation.ingest import as_of as curate_as_of
from trainer.curation.vendors.mapping import read_mapping

if TYPE_CHECKING:
    from trainer.curation.vendors.alpaca import AlpacaVendor

ALPACA = "alpaca"
RED_EXIT = 1
DATA_URL = "https://data.alpaca.markets"


def register(app: typer.Typer) -> None:
    """Add the commands about deliveries to `app`."""
    app.command(rich_help_panel=DATA)(deliveries)
    app.command("as-of", rich_help_panel=DATA)(as_of)
    app.command(rich_help_panel=DATA)(backfill)
    app.command(rich_help_panel=DATA)(fetch)


def deliveries(data: Data = OURS, as_json: AsJson = False) -> None:
    """List what was delivered to a dataset and when it became known, oldest first.

    Example: trainer deliveries --data var/data/us
    """
    receipts = read_receipts(data)
    rows = [
        {
            "scope": r.scope,
            "vendor": r.vendor,
            "basis": r.basis,
            "known_from": r.known_from,
            "known_until": r.known_until,
            "files": {str(f.part): {"path": f.path, "rows": f.rows} for f in r.files},
        }
        for r in receipts
    ]
    lines = [
        f"{r.known_until}  {r.scope:<5}  {r.vendor}: " + ", ".join(f"{f.rows:,} {f.part} ({f.path})" for f in r.files) for r in receipts
    ]
    emit({"deliveries": rows}, as_json=as_json, text="\n".join(lines) or f"{data} keeps no deliveries")


def as_of(
    known_at: Annotated[date, dated("The evening.")],
    to: Annotated[Path, typer.Option(help="Folder of the view; another one than the dataset's.")],
    data: Data = OURS,
    as_json: AsJson = False,
) -> None:
    """Curate what was known on an evening, revisions that came later left out, into a dataset of its own.

    Example: trainer as-of --data var/data/us --known-at 2016-03-01 --to var/data/us-2016-03-01
    """
    today = WallClock().now().astimezone(NEW_YORK).date()
    if known_at > today:
        raise NotASession(f"{known_at} has not come", where=f"today is {today} in New York", fix="Correct --known-at")
    with progress(f"curating {known_at}", as_json=as_json):
        manifest = curate_as_of(data, known_at, to)
    text = f"{to}: {manifest.name} as known on {known_at}, bars from {manifest.first} to {manifest.last}"
    result = {"data": str(to), "known_at": known_at, "first": manifest.first, "last": manifest.last, "snapshot": manifest.snapshot_id}
    emit(result, as_json=as_json, text=text)


def backfill(
    data: Data = OURS,
    bars: Annotated[Path | None, typer.Option(help="A vendor's file that has what is missing.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="YAML naming that file's columns: configs/mappings.")] = None,
    basis: Basis = None,
    vendor: Annotated[str, typer.Option(help="Whom to ask instead of a file: alpaca.")] = "",
    start: Annotated[date | None, dated("First session.", show_default="the dataset's first")] = None,
    end: Annotated[date | None, dated("Last session; a later one extends the dataset.", show_default="the dataset's last")] = None,
    credentials: Credentials = None,
    url: Url = DATA_URL,
    feed: Feed = "sip",
    as_json: AsJson = False,
) -> None:
    """Say what the audit misses, and fetch it from a vendor where one is named.

    Without --bars or --vendor it only says what is missing. What comes is a delivery like any other, known from today;
    symbols whose prices are at another level, or at one that nothing shows, are refused. Interrupted, the same command
    asks for the rest.
    Exit code 1 when something is missing still.

    Example: trainer backfill --data var/data/us
    Example: trainer backfill --data var/data/us --bars other.csv --mapping configs/mappings/title_case.yml
    Example: trainer backfill --data var/data/us --vendor alpaca --credentials var/credentials --end 2024-06-28
    """
    manifest = read_manifest(data)
    clock = WallClock()
    today = clock.now().astimezone(NEW_YORK).date()
    if end is not None and end > today:
        raise NotASession(f"{end} has not come", where=f"today is {today} in New York", fix="Correct --end")
    if not vendor and bars is None:
        found = missing(data, manifest, start or manifest.first, end or manifest.last)
        rows = [{"symbol": m.symbol, "first": m.first, "last": m.last, "sessions": m.sessions} for m in found]
        text = f"missing: {summary(found)}" if found else "nothing is missing"
        emit({"missing": rows}, as_json=as_json, text=text)
        raise typer.Exit(RED_EXIT if found else 0)
    _require_one(vendor, bars)
    source: BarVendor = (
        alpaca(credentials, url, feed, clock) if bars is None else FileVendor(bars, read_mapping(mapping), basis or manifest.basis)
    )
    kept = Kept("what had come is kept, and the dataset is as it was", GOES_ON)
    with progress(f"asking {source.name}", as_json=as_json, kept=lambda: kept) as step:
        done = fill(data, source, start, end, today=today, on_request=lambda at, of: step(done=at, of=of))
    emit(_filled(done), as_json=as_json, text=_text_of(done))
    raise typer.Exit(RED_EXIT if done.after else 0)


def fetch(
    symbols: Annotated[str, typer.Option(help="Comma-separated symbols, as they traded.")],
    start: Annotated[date, dated("First date.")],
    end: Annotated[date, dated("Last date; sessions that closed less than 16 minutes ago are left out.")],
    to: Annotated[Path, typer.Option(help="Folder for bars.parquet and actions.csv.")],
    credentials: Credentials = None,
    url: Url = DATA_URL,
    feed: Feed = "sip",
    as_json: AsJson = False,
) -> None:
    """Fetch raw daily bars and corporate actions from Alpaca as files to ingest with --basis raw.

    Example: trainer fetch --symbols AAPL,MSFT --start 2020-01-02 --end 2020-12-31 --to var/alpaca
    """
    from trainer.curation.writer import vendor_parquet

    names = names_in(symbols)
    source = alpaca(credentials, url, feed, WallClock())
    with progress(f"asking {source.name}", as_json=as_json):
        bars = source.bars(names, start, end)
        if bars.empty:
            raise BadBars("Alpaca has no bars of these", where=f"{symbols}, {start} to {end}", fix="Check the symbols")
        actions = source.actions(names, start, end)
    write_atomic(to / "bars.parquet", vendor_parquet(bars, source.name))
    write_atomic(to / "actions.csv", actions.to_csv(index=False).encode())
    absent = sorted(set(names) - set(bars["symbol"]))
    result = {
        "bars": str(to / "bars.parquet"),
        "actions": str(to / "actions.csv"),
        "rows": len(bars),
        "absent": absent,
        "untold": source.unsupported,
    }
    lines = [f"{to}: {len(bars):,} bars of {bars['symbol'].nunique():,} symbols, {len(actions):,} corporate actions"]
    lines += [f"no bars: {', '.join(absent)}"] * bool(absent)
    lines += [f"not representable, look at it: {row}" for row in source.unsupported]
    emit(result, as_json=as_json, text="\n".join(lines))


def _require_one(vendor: str, bars: Path | None) -> None:
    if vendor != (ALPACA if bars is None else ""):
        raise BadBars(
            f"no vendor {vendor!r}" if bars is None else "a file and a vendor at once",
            where="--vendor",
            fix=f"Name one of: --bars FILE, --vendor {ALPACA}",
        )


def alpaca(credentials: Path | None, url: str, feed: str, clock: WallClock) -> AlpacaVendor:
    """Return Alpaca, asked with the key pair in `credentials`."""
    # Imported here: alpaca-py takes a second to load.
    from trainer.curation.vendors.alpaca import AlpacaVendor, read_keys

    return AlpacaVendor(url, read_keys(credentials), clock, feed=feed)


def _filled(done: Backfilled) -> dict[str, object]:
    return {
        "was_missing": sum(run.sessions for run in done.before),
        "filled": done.rows,
        "actions": done.actions,
        "refused": list(done.refused),
        "version": done.manifest.version,
        "missing": [{"symbol": m.symbol, "first": m.first, "last": m.last} for m in done.after],
    }


def _text_of(done: Backfilled) -> str:
    lines = [
        f"{done.rows:,} of {sum(run.sessions for run in done.before):,} missing bars filled, {done.actions:,} "
        f"corporate actions; {done.manifest.name} is at version {done.manifest.version}"
    ]
    lines += [f"refused for the level of its prices: {row}" for row in done.refused]
    if done.after:
        lines.append(f"still missing: {summary(done.after)}")
    return "\n".join(lines)
