"""`trainer deliveries | as-of | backfill | fetch | download`: lists deliveries, rebuilds past versions, fills gaps, fetches histories."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signals.errors import BadBars, BadConfig, NotASession
from signals.files import write_atomic
from signals.market.dataset import read_manifest
from signals.market.sessions import NEW_YORK
from signals.text.console import GOES_ON, Kept, emit, progress, remark
from signals.text.wording import clean, reason_of
from trainer.clock import WallClock
from trainer.commands.defaults import workspace_of
from trainer.commands.options import DATA, OURS, AsJson, Basis, Credentials, Data, Feed, Url, dated, names_in, registered
from trainer.curation.audit.findings import missing, summary
from trainer.curation.backfill import Backfilled
from trainer.curation.backfill import backfill as fill
from trainer.curation.deliveries.receipts import read_receipts
from trainer.curation.download.download import FIRST
from trainer.curation.download.download import download as fetch_history
from trainer.curation.download.record import DownloadTerms
from trainer.curation.download.selection import UniverseRule
from trainer.curation.ingest import BarVendor, FileVendor
from trainer.curation.ingest import as_of as curate_as_of
from trainer.curation.vendors.mapping import read_mapping

if TYPE_CHECKING:
    from trainer.curation.vendors.alpaca import AlpacaVendor

ALPACA = "alpaca"
RED_EXIT = 1
DATA_URL = "https://data.alpaca.markets"


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
        text = f"missing: {summary(found)}" if found else "nothing is missing"
        emit({"missing": [asdict(run) for run in found]}, as_json=as_json, text=text)
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
    import pyarrow as pa

    from trainer.curation.writer import vendor_parquet

    names = names_in(symbols)
    source = alpaca(credentials, url, feed, WallClock())
    with progress(f"asking {source.name}", as_json=as_json):
        bars = source.bars(names, start, end)
        if bars.empty:
            raise BadBars("Alpaca has no bars of these", where=f"{symbols}, {start} to {end}", fix="Check the symbols")
        actions = source.actions(names, start, end)
    write_atomic(to / "bars.parquet", vendor_parquet(pa.Table.from_pandas(bars, preserve_index=False), source.name))
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


SIZE = 500


def download(
    context: typer.Context,
    to: Annotated[Path, typer.Option(help="Folder of the download; `trainer ingest --bars` takes it as it is.")] = Path("download"),
    start: Annotated[date, dated("First date; Alpaca's consolidated tape begins at 2016-01-04.")] = FIRST,
    end: Annotated[date | None, dated("Last session.", show_default="the newest one that closed 16 minutes ago")] = None,
    symbols: Annotated[
        Path | None, typer.Option(help="File of symbols, one a line, in place of the universe.", show_default="the universe")
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Names of the universe.")] = SIZE,
    credentials: Credentials = None,
    url: Url = DATA_URL,
    feed: Feed = "sip",
    as_json: AsJson = False,
) -> None:
    """Download raw daily bars, corporate actions and a universe by date from Alpaca, with the keys of a paper account.

    The universe: monthly, the 500 common stocks with the highest trailing 60-session median dollar volume, over 5 USD as
    traded, with 252 sessions or more, of all assets, inactive ones too, as known at each date. Its survivorship is
    `reconstructed`. All common stocks are screened by monthly bars; daily bars are asked for those near the top alone.

    Of Alpaca's two feeds `sip` is the consolidated tape and `iex` one venue, which has 2 to 3 % of the volume and is
    refused. The free plan suffices: it has the tape's whole history, and a session's bar 15 minutes after its close.

    It says first what it will ask for and how long that takes. Ctrl-C or a lost network costs nothing: the same command
    goes on, and ends with the same bytes. Later it adds the sessions since; twice, it asks for nothing.

    Example: trainer download --credentials var/credentials
    Example: trainer download --symbols mine.txt --to var/mine --credentials var/credentials
    """
    clock = WallClock()
    source = alpaca(credentials, url, feed, clock)
    last = source.newest(end or clock.now().astimezone(NEW_YORK).date())
    named = () if symbols is None else _names_of(symbols)
    terms = DownloadTerms(first=start, rule=None if named else UniverseRule(size=size), symbols=named)
    with progress("downloading", as_json=as_json, kept=lambda: Kept(f"what had come is kept in {to}", GOES_ON)) as step:
        record = fetch_history(to, source, terms, last, note=remark, step=lambda name, done, of: step(name, done, of))
    result = {"download": str(to), **record.model_dump(mode="json", exclude={"asked", "terms"}), "symbols": len(record.asked)}
    text = (
        f"{to}: {len(record.asked):,} symbols from {start} to {record.last}, feed {record.feed}\n"
        f"universe {record.survivorship}: {record.rule}\n"
        f"Next: trainer ingest --bars {to}{'' if workspace_of(context).places.data else ' --to var/data/us'}"
    )
    emit(result, as_json=as_json, text=text)


def _names_of(path: Path) -> tuple[str, ...]:
    """Read a file of symbols: one a line, or the first field of each; `#` begins a remark, a header `symbol` is none."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"no list of symbols ({reason_of(error)})", where=str(path), fix="Name a text file, one symbol a line") from None
    words = [line.partition("#")[0].replace(";", ",").partition(",")[0].strip().strip('"').upper() for line in lines]
    found = tuple(dict.fromkeys(word for word in words if word and word not in ("SYMBOL", "TICKER")))
    wrong = [word for word in found if not all(part.isalnum() for part in word.split("."))]
    if not found or wrong:
        what = f"{clean(wrong[0])!r} is no symbol" if wrong else "no symbol is in it"
        raise BadConfig(what, where=str(path), fix="Write one symbol a line, as AAPL or BRK.B")
    return found


register = registered({DATA: (deliveries, as_of, backfill, fetch, download)})
