"""`trainer download`: history and a universe from Alpaca, without another vendor."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from signals.errors import BadConfig
from signals.market.sessions import NEW_YORK
from signals.text.console import GOES_ON, Kept, emit, progress, remark
from signals.text.wording import clean, reason_of
from trainer.clock import WallClock
from trainer.commands.defaults import workspace_of
from trainer.commands.deliveries import DATA_URL, alpaca
from trainer.commands.options import DATA, AsJson, Credentials, Feed, Url, dated
from trainer.curation.download.download import FIRST, download
from trainer.curation.download.record import DownloadTerms
from trainer.curation.download.selection import UniverseRule

SIZE = 500


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("download", rich_help_panel=DATA)(download_history)


def download_history(
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
        record = download(to, source, terms, last, note=remark, step=lambda name, done, of: step(name, done, of))
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
