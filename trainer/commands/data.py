"""`trainer ingest | audit | sessions | accept-red | publish-data | sign-data | generate | generate-minutes`: makes and publishes datasets.

What concerns single deliveries is in `trainer.commands.deliveries`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from signals.errors import FixInput, SymbolUnknown
from signals.files import write_atomic
from signals.market.dataset import read_manifest
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import NEW_YORK, SessionStatus
from signals.text.console import GOES_ON, Kept, emit, progress
from signals.text.wording import clean
from trainer.clock import now
from trainer.commands.defaults import announce, ask, is_a_person_there, workspace_of
from trainer.commands.options import DATA, OURS, WORKSPACE, AsJson, Basis, Data, Keys, dated, day, registered
from trainer.curation.audit.audit import audit as audit_dataset
from trainer.curation.audit.audit import render
from trainer.curation.audit.findings import to_csv
from trainer.curation.config import CurationConfig, read_config
from trainer.curation.deliveries.receipts import Receipt, Scope
from trainer.curation.download.delivering import deliver_download
from trainer.curation.download.record import is_download
from trainer.curation.generated import generate as generate_market
from trainer.curation.generated.market import END, NOTICE, SESSIONS, STRENGTH, SYMBOLS, UNIVERSE_FILE
from trainer.curation.generated.minutes import generate_minutes as generate_invented
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, whole_delivery
from trainer.curation.ingest import ingest as ingest_files
from trainer.curation.minutes.ingest import MinuteTerms, ingest_minutes
from trainer.curation.vendors.mapping import Label, read_mapping
from trainer.curation.writer import accept
from trainer.publishing.dataset import Signer, sign_in_place
from trainer.publishing.dataset import publish_data as publish_dataset
from trainer.publishing.stores import Endpoint, S3Credentials, dataset_store
from trainer.workspace import Workspace

RED_EXIT = 1


def ingest(
    context: typer.Context,
    bars: Annotated[
        Path | None,
        typer.Option(
            help="Bars, .parquet or .csv: date, symbol, open, high, low, close, "
            "volume; adj_close, kind, sector, known_at optional; rows in any "
            "order. Minutes with a mapping that says so."
        ),
    ] = None,
    actions: Annotated[
        Path | None,
        typer.Option(
            help="Corporate actions: kind (split, dividend, symbol_change, "
            "delisting), symbol, effective; known_at, ratio, cash, "
            "new_symbol where they apply."
        ),
    ] = None,
    universe: Annotated[Path | None, typer.Option(help="Membership by date: symbol, start, end, known_at.")] = None,
    classification: Annotated[
        Path | None, typer.Option(help="What names are by date: symbol, start, end, known_at, sector, shares (outstanding at start).")
    ] = None,
    minutes: Annotated[
        list[Path],
        typer.Option(help="Minutes or ticks to keep: time, symbol (or root, contract), open, high, low, close, volume; quotes optional."),
    ] = [],  # noqa: B006  # typer's way to say none
    calendar: Annotated[str, typer.Option(help="Exchange of the minutes: XNYS, CME, 24h.")] = "XNYS",
    zone: Annotated[str, typer.Option(help="Zone of minutes that name none.", show_default="what the file shows")] = "",
    label: Annotated[
        Label | None, typer.Option("--marks", help="Which end of a minute its time marks.", show_default="what the file shows")
    ] = None,
    daily: Annotated[Path | None, typer.Option(help="Dataset of daily bars whose splits and dividends the minutes' nights have.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="YAML naming the vendor's columns: configs/mappings.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="Dataset folder to make or to add a version to.", show_default="--name or the file's, in the workspace's data"),
    ] = None,
    basis: Basis = None,
    symbol: Annotated[str, typer.Option(help="The symbol of a lone file that does not say it.", show_default="asked for")] = "",
    config: Annotated[Path | None, typer.Option(help="YAML whose section `curation` sets the thresholds.")] = None,
    name: Annotated[str, typer.Option(help="Name of the dataset; the folder's name where empty.")] = "",
    min_symbols: Annotated[int, typer.Option(min=1, help="Refuse a delivery of fewer symbols.")] = 1,
    add: Annotated[
        bool, typer.Option("--add", help="Add and revise rows; without it the delivery is the whole history and replaces what was there.")
    ] = False,
    known_at: Annotated[date | None, dated("Day on which you had the delivery.", show_default="today")] = None,
    vendor: Annotated[str, typer.Option(help="Who delivered it; what the file says of itself where empty.")] = "",
    all_assets: Annotated[
        bool, typer.Option("--all-assets", help="The bars are of every asset there was, inactive ones too: the universe is reconstructed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Audit a vendor's bars and write them as the next version of a curated dataset.

    Bad rows are quarantined with their reasons, never dropped or filled; the delivered files are kept untouched under
    raw/, each with the day on which it became known. Ingesting the same files again changes nothing; changed files
    make the next version, name what they revise, and leave the earlier versions readable. Usual layouts are recognised;
    what was understood is a NOTE, and a mapping overrides it. The folder of `trainer download` is one delivery of bars,
    actions and universe.

    With --minutes the file's minutes are kept, in sessions of the exchange, audited by symbol and session.

    Example: trainer ingest --minutes es.parquet --calendar CME --to var/data/es
    Example: trainer ingest --bars prices.parquet --actions actions.parquet --basis raw --to var/data/us
    Example: trainer ingest --bars download --to var/data/us
    Example: trainer ingest --add --bars tuesday.csv --known-at 2024-03-05 --to var/data/us
    """
    to = to or _dataset_to_write(workspace_of(context), bars or next(iter(minutes), None), name, add=add)
    if minutes:
        today = now().astimezone(NEW_YORK).date()
        terms_of_minutes = MinuteTerms(calendar, zone, label, symbol, basis or PriceBasis.RAW, name, daily, is_added=add, today=today)
        _keep(minutes, to, terms_of_minutes, as_json=as_json)
        return
    settings = read_config(config)
    settings = settings.model_copy(
        update={"min_symbols": max(min_symbols, settings.min_symbols), "all_assets": all_assets or settings.all_assets}
    )
    given = DeliveryTerms(
        mapping=read_mapping(mapping),
        basis=basis,
        config=settings,
        name=name,
        known_at=known_at,
        today=now().astimezone(NEW_YORK).date(),
        vendor=vendor,
    )
    remarks: list[str] = []
    is_ours = bars is not None and is_download(bars)
    terms = _as_before(given, whole_delivery(to), basis) if add and not is_ours else given

    def curated(symbol: str) -> Manifest:
        if is_ours and bars is not None:
            with progress(f"curating {bars}", as_json=as_json):
                return deliver_download(bars, to, settings, add=add, today=terms.today or date.max, name=name, note=remarks.append)
        with progress(f"curating {bars or actions or universe or classification}", as_json=as_json):
            return ingest_files(DeliveryFiles(bars, actions, universe, classification), to, _of_symbol(terms, symbol), note=remarks.append)

    try:
        manifest = curated(symbol)
    except SymbolUnknown:
        if not is_a_person_there():
            raise
        manifest = curated(ask(f"{clean(bars)} does not say which symbol it is of. Which?").strip())
    said = list(dict.fromkeys(remarks))
    text = "\n".join([f"{_sentence(manifest, to)}; unsigned", *(f"NOTE: {clean(remark)}" for remark in said)])
    emit({**_summary(manifest, to), "signed": False, "notes": said}, as_json=as_json, text=text)


def _of_symbol(terms: DeliveryTerms, symbol: str) -> DeliveryTerms:
    """Read the bars as those of one symbol, where one was named."""
    bars = terms.mapping.bars.model_copy(update={"symbol": symbol})
    return replace(terms, mapping=terms.mapping.model_copy(update={"bars": bars})) if symbol else terms


def _as_before(given: DeliveryTerms, first: Receipt, basis: PriceBasis | None) -> DeliveryTerms:
    """Read what is added as the dataset that it is added to was read."""
    config = CurationConfig.model_validate(first.config)
    return replace(given, scope=Scope.ROWS, basis=basis or first.basis, config=config, name=first.name)


def audit(
    data: Data = OURS,
    start: Annotated[date | None, dated("First session.", show_default="the dataset's first")] = None,
    end: Annotated[date | None, dated("Last session.", show_default="the dataset's last")] = None,
    propose: Annotated[
        Path | None,
        typer.Option(
            help="Write splits that the bars suggest and nothing records, and a second vendor's words, as an actions file (.csv) to check."
        ),
    ] = None,
    second_vendor: Annotated[
        Path | None, typer.Option(help="Dataset of another vendor: asked about extreme returns that nothing explains.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is wrong with a dataset and which sessions it costs; exit code 1 when any date in the range is RED.

    RED: a date on which the exchange was closed, under 98 % of the expected names usable, or a file that the manifest
    does not vouch for. AMBER: rows were quarantined or a name is absent, the rest is usable. GREEN: clean.
    It also says what is missing, what later deliveries revised, and which moves look like unrecorded splits; a split is
    never applied until a person ingests it with --actions.

    Example: trainer audit --data var/data/us --start 2021-01-04 --end 2021-12-31
    Example: trainer audit --data var/data/us --second-vendor var/data/alpaca --propose words.csv
    """
    with progress("auditing", as_json=as_json):
        report = audit_dataset(data, start, end, second_vendor)
    if propose is not None:
        write_atomic(propose, to_csv(report.proposals, report.words))
    emit(report.document(), as_json=as_json, text=render(report))
    if report.is_red:
        raise typer.Exit(RED_EXIT)


def sessions(
    data: Data = OURS, last: Annotated[int, typer.Option(min=1, help="How many, counted from the newest.")] = 10, as_json: AsJson = False
) -> None:
    """List the newest usable sessions (GREEN or AMBER), oldest first, one a line.

    Example: trainer sessions --data var/data/us --last 6
    """
    usable = [str(a.session) for a in read_manifest(data).audits if a.status is not SessionStatus.RED][-last:]
    emit({"sessions": usable}, as_json=as_json, text="\n".join(usable))


def accept_red(
    session: Annotated[list[str], typer.Option(metavar="YYYY-MM-DD", help="A RED session; may be given several times.")],
    reason: Annotated[str, typer.Option(help="Why it may be missing; evidence and reports repeat it.")],
    data: Data = OURS,
    as_json: AsJson = False,
) -> None:
    """Let training treat RED sessions as missing, on your decision and with your reason.

    For bars that nobody has; what a vendor has is fetched with `trainer backfill`. The sessions stay RED: the audit
    shows them with your reason, devices refuse them, no return crosses them, and every training report names them.
    At most 1 % of a dataset's sessions can be accepted. A session whose audit changes is refused again.

    Example: trainer accept-red --data var/data/us --session 2011-02-17 --reason "the vendor lost half of this day"
    """
    with progress("curating", as_json=as_json):
        manifest = accept(data, [day(text) for text in session], reason)
    sessions = ", ".join(str(waiver.session) for waiver in manifest.waivers)
    text = f"{data}: version {manifest.version}, accepted as missing: {sessions}; unsigned"
    emit({**_summary(manifest, data), "signed": False, "accepted": sessions}, as_json=as_json, text=text)


def publish_data(
    data: Data = OURS,
    to: Annotated[str, typer.Option(help="Folder that devices pull from, or s3://bucket/prefix.", show_default=WORKSPACE)] = OURS,
    keys: Keys = OURS,
    with_raw: Annotated[bool, typer.Option(help="Copy the vendors' own files too.")] = False,
    endpoint: Endpoint = "",
    credentials: S3Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Sign the dataset's current version and copy it to a store, verified, manifest last.

    Devices take over nothing that the data keys of their key set have not signed.

    Example: trainer publish-data --data var/data/us --keys KEYS --to var/store/data
    Example: trainer publish-data --data var/data/us --keys KEYS --to s3://market/store/data --endpoint http://nas:8333
    """
    signer = Signer.of(keys, now().date())
    kept = Kept("files that were copied stay, and devices still read the version before", GOES_ON)
    with progress("publishing", as_json=as_json, kept=lambda: kept) as step:
        result = publish_dataset(
            data, dataset_store(to, endpoint, credentials), signer, with_raw=with_raw, on_file=lambda done, of: step(done=done, of=of)
        )
    manifest = result.manifest
    text = f"{manifest.name} version {manifest.version} is in {to}, signed: {result.copied} files copied, {result.present} there"
    emit({**_summary(manifest, to), "signed": True, "copied": result.copied, "present": result.present}, as_json=as_json, text=text)


def sign_data(
    at: Annotated[str, typer.Option(help="A store's dataset: a folder, or s3://bucket/prefix.", show_default=WORKSPACE)] = OURS,
    keys: Keys = OURS,
    endpoint: Endpoint = "",
    credentials: S3Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Sign a published dataset where it is: one that an earlier version of this program published unsigned.

    Every file is read and hashed first, but whether its prices are yours is for you to know: compare the snapshot that
    is printed with the one of your own dataset (`trainer publish-data` signs that one).

    Example: trainer sign-data --at var/store/data --keys KEYS
    """
    with progress("reading the dataset", as_json=as_json):
        manifest = sign_in_place(dataset_store(at, endpoint, credentials), Signer.of(keys, now().date()))
    text = f"{manifest.name} version {manifest.version} in {at} is signed: snapshot {manifest.snapshot_id}"
    emit({**_summary(manifest, at), "signed": True}, as_json=as_json, text=text)


def generate(
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same market.")],
    to: Annotated[Path, typer.Option(help="Folder for bars, actions and universe, .parquet each.")],
    symbols: Annotated[int, typer.Option(help="Securities, ETFs included.")] = SYMBOLS,
    sessions: Annotated[int, typer.Option(help="Sessions; 252 are a year.")] = SESSIONS,
    end: Annotated[date, dated("Last session.")] = END,
    signal: Annotated[bool, typer.Option(help="Plant a modest signal; without it nothing can be learned.")] = True,
    strength: Annotated[float, typer.Option(help="Size of the planted signal.")] = STRENGTH,
    as_json: AsJson = False,
) -> None:
    """Write an invented market in the form of a vendor's delivery, to rehearse with; none of it is real.

    Prices are raw, with splits, dividends, delistings, symbol changes, missing and defective rows:
    ingest them with --actions, --universe and --basis raw.

    Example: trainer generate --seed 7 --to var/generated
    """
    with progress("generating", as_json=as_json):
        market = generate_market(seed, symbols, sessions, end, strength=strength if signal else 0.0)
        bars, actions = market.write(to)
    universe = to / UNIVERSE_FILE
    kinds = Counter(str(action.kind) for action in market.actions)
    result = {
        "generated": True,
        "seed": seed,
        "bars": str(bars),
        "actions": str(actions),
        "universe": str(universe),
        "rows": market.bars.num_rows,
        "first": market.truth.sessions[0],
        "last": market.truth.sessions[-1],
        "signal": signal,
        "kinds": dict(kinds),
    }
    kinds_found = ", ".join(f"{count:,} {kind.replace('_', ' ')}s" for kind, count in sorted(kinds.items()))
    text = f"{NOTICE.format(seed=seed)}{bars}: {market.bars.num_rows:,} rows of {symbols} symbols\n{actions}: {kinds_found}"
    text += f"\n{universe}: the stocks, point in time"
    emit(result, as_json=as_json, text=text)


def _dataset_to_write(found: Workspace, bars: Path | None, name: str, *, add: bool) -> Path:
    """Return the folder that a delivery without --to belongs to: with `add` the only dataset, else the one of its name."""
    at = Path(found.require("data", "to"))
    datasets = found.datasets()
    if add and len(datasets) == 1:
        to = datasets[0]
    elif (stem := name or (bars.name.partition(".")[0] if bars else "")) and not add and at not in datasets:
        to = at / stem
    else:
        raise FixInput(f"{len(datasets)} datasets may be meant", where=str(at), fix="Name one: --to FOLDER")
    announce("--to", to)
    return to


def _summary(manifest: Manifest, folder: Path | str) -> dict[str, object]:
    return {
        "data": str(folder),
        "name": manifest.name,
        "version": manifest.version,
        "snapshot": manifest.snapshot_id,
        "vendor": manifest.vendor,
        "basis": manifest.basis,
        "survivorship": manifest.universe_state,
        "first": manifest.first,
        "last": manifest.last,
        "statuses": dict(_statuses(manifest)),
        "rows": _rows(manifest, "bars"),
    }


def _statuses(manifest: Manifest) -> Counter[str]:
    return Counter(str(audit.status) for audit in (*manifest.audits, *manifest.non_sessions))


def _counted(manifest: Manifest) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in sorted(_statuses(manifest).items()))


def _rows(manifest: Manifest, role: str) -> int:
    return sum(record.rows for record in manifest.files if record.role == role)


def _sentence(manifest: Manifest, folder: Path) -> str:
    return (
        f"{folder}: {manifest.name} version {manifest.version}, {_rows(manifest, 'bars'):,} bars from {manifest.first} to {manifest.last} "
        f"({_counted(manifest)}); vendor {manifest.vendor}, prices {manifest.basis}, universe {manifest.universe_state}"
    )


def _keep(files: Sequence[Path], to: Path, terms: MinuteTerms, *, as_json: bool) -> None:
    """Ingest minutes and say what was understood."""
    remarks: list[str] = []
    with progress(f"curating {files[0]}", as_json=as_json):
        manifest = ingest_minutes(files, to, terms, remarks.append)
    said, rows = list(dict.fromkeys(remarks)), _rows(manifest, "minutes")
    text = (
        f"{to}: {manifest.name} version {manifest.version}, {rows:,} minutes from {manifest.first} to {manifest.last} "
        f"({_counted(manifest)}); unsigned"
    )
    result = {
        "data": str(to),
        "name": manifest.name,
        "version": manifest.version,
        "snapshot": manifest.snapshot_id,
        "calendar": manifest.calendar.name,
        "first": manifest.first,
        "last": manifest.last,
        "statuses": dict(_statuses(manifest)),
        "rows": rows,
        "notes": said,
    }
    emit(result, as_json=as_json, text="\n".join([text, *(f"NOTE: {clean(remark)}" for remark in said)]))


def generate_minutes(
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
        found = generate_invented(seed, sessions, end=end, strength=strength, timeframe=timeframe, clock=clock)
        truth = found.write(to)
    rows = found.table().num_rows
    result = {"generated": True, "seed": seed, "minutes": str(to), "truth": str(truth), "rows": rows, "strength": strength}
    emit(
        result, as_json=as_json, text=f"{NOTICE.format(seed=seed)}{to}: {rows:,} minutes of {sessions} sessions\n{truth}: what was planted"
    )


register = registered({DATA: (ingest, audit, sessions, accept_red, publish_data, sign_data, generate, generate_minutes)})
