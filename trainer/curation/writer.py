"""Writes a curated dataset: content-named files first, the manifest last.

Entry points: `write_dataset`; `accept`, which lets training do without RED sessions.

Invariants
----------
1. The same content makes the same bytes: sorted rows, fixed Parquet settings, no clock.
2. No file that a manifest names is ever overwritten or removed; a crash leaves the version before it in force.
3. An ingest that changes nothing writes nothing and keeps the version.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from signals.errors import DataNotUsable, FixInput
from signals.files import sha256_of, write_atomic
from signals.market.actions import Action
from signals.market.bars import GAP_FIELDS
from signals.market.dataset import manifest_path, read_manifest
from signals.market.eligibility_rule import ANY, EligibilityConfig
from signals.market.manifest import FileRecord, FileRole, Manifest, PriceBasis, Waiver
from signals.market.sessions import Calendar, SessionAudit, SessionStatus

NAME_DIGITS = 12
MOST_SHARE = 0.01  # of a dataset's sessions: scars can be accepted, a hole is a reason to find other data
VENDOR_KEY = b"trademl.vendor"

DAY, TEXT, FIGURE = pa.date32(), pa.string(), pa.float64()
BARS_SCHEMA = pa.schema(
    [("session", DAY), ("symbol", TEXT), ("security", TEXT)]
    + [(name, FIGURE) for name in ("open", "high", "low", "close", "volume", "total_return", "overnight_return")]
    + [("eligible", pa.bool_()), ("kind", TEXT), ("sector", TEXT)]
    + [*((name, FIGURE) for name in GAP_FIELDS), ("undecided", pa.bool_())]
)
ACTIONS_SCHEMA = pa.schema(
    [
        *(("kind", TEXT), ("symbol", TEXT), ("effective", DAY), ("known_at", DAY)),
        *(("ratio", TEXT), ("cash", TEXT), ("new_symbol", TEXT), ("inferred", pa.bool_())),
    ]
)
QUARANTINE_SCHEMA = pa.schema(
    [("date", DAY), ("symbol", TEXT)]
    + [(name, FIGURE) for name in ("open", "high", "low", "close", "volume", "adj_close")]
    + [("reasons", TEXT)]
)
FINDINGS_SCHEMA = pa.schema([("date", DAY), ("symbol", TEXT), ("reason", TEXT)])
REVISIONS_SCHEMA = pa.schema(
    [("date", DAY), ("symbol", TEXT), ("field", TEXT), ("was", FIGURE), ("now", FIGURE), ("known_at", DAY), ("revised_at", DAY)]
)
UNIVERSE_SCHEMA = pa.schema([("symbol", TEXT), ("start", DAY), ("end", DAY)])
TOLD_UNIVERSE_SCHEMA = UNIVERSE_SCHEMA.append(pa.field("known_at", DAY))  # where the delivery says it
CLASSIFICATION_SCHEMA = pa.schema([*TOLD_UNIVERSE_SCHEMA, ("sector", TEXT), ("shares", FIGURE)])


@dataclass(frozen=True)
class KeptDelivery:
    """A vendor's file as it came: kept untouched."""

    name: str
    content: bytes
    rows: int


@dataclass(frozen=True, eq=False)
class DatasetContent:
    """Everything that a version of a dataset holds, before it has files.

    `bars` follows BARS_SCHEMA, may be classified, and is sorted by session, symbol; `quarantine`, `findings` and `universe` follow their
    schemas; `universe` is None where membership is not known, `revisions` and `spreads` where there are none.
    `known_at` is the day of a view of the past, `universe_why` says what `survivorship` rests on. `minutes` are the tables of
    minute bars by the start of their path, each with a column `session`, `minute_sessions` what is known of their sessions.
    """

    name: str
    vendor: str
    basis: PriceBasis
    calendar: Calendar
    bars: pa.Table
    actions: tuple[Action, ...]
    quarantine: pa.Table
    findings: pa.Table
    universe: pa.Table | None
    audits: tuple[SessionAudit, ...]
    non_sessions: tuple[SessionAudit, ...]
    survivorship: str
    min_history: int
    eligibility: EligibilityConfig = ANY
    is_price_known: bool = False
    universe_why: str = ""
    revisions: pa.Table | None = None
    spreads: pa.Table | None = None
    known_at: date | None = None
    minutes: Mapping[str, pa.Table] = field(default_factory=dict)
    minute_sessions: pa.Table | None = None


def write_dataset(folder: Path, content: DatasetContent, deliveries: tuple[KeptDelivery, ...] = ()) -> Manifest:
    """Write `content` and the untouched `deliveries` into `folder`; return the manifest now in force.

    Raises
    ------
    BadDataset
        The folder already holds a dataset whose manifest cannot be trusted.
    OSError
        The disk failed; the version before is still in force.
    """
    current = read_manifest(folder) if manifest_path(folder, None).exists() else None
    records: list[FileRecord] = []
    for record, payload in _files(content, deliveries):
        if not (path := folder / record.path).exists() or sha256_of(path.read_bytes()) != record.sha256:
            write_atomic(path, payload)
        records.append(record)
    manifest = Manifest(
        name=content.name,
        version=1,
        vendor=content.vendor,
        calendar=content.calendar,
        basis=content.basis,
        first=content.audits[0].session,
        last=content.audits[-1].session,
        audits=content.audits,
        files=tuple(sorted(records, key=lambda record: record.path)),
        survivorship=content.survivorship,
        min_history=content.min_history,
        non_sessions=content.non_sessions,
        known_at=content.known_at,
        eligibility=content.eligibility,
        is_price_known=content.is_price_known,
        universe_why=content.universe_why,
    )
    if current is not None:
        held = {audit.session: audit for audit in manifest.audits}
        # What a person accepted stays accepted as long as the audit says the same of it.
        kept = tuple(w for w in current.waivers if w.session in held and held[w.session].reasons == w.audit)
        manifest = replace(manifest, waivers=kept)
    return _put_in_force(folder, manifest, current)


def accept(folder: Path, sessions: Sequence[date], reason: str) -> Manifest:
    """Record, as the dataset's next version, a person's decision that training may treat RED sessions as missing; return its manifest.

    Raises
    ------
    FixInput
        No reason is given, or a session is not RED.
    NotASession
        A date is no session of the dataset.
    DataNotUsable
        More than 1 % of the sessions would be accepted.
    """
    current = read_manifest(folder)
    if not reason.strip():
        raise FixInput("no reason is given", where="--reason", fix="Say why the bars may be missing")
    audits = [current.status(day) for day in sessions]
    for audit in audits:
        if audit.status is not SessionStatus.RED:
            raise FixInput(f"{audit.session} is {audit.status}", where=current.name, fix="Name RED sessions only")
    waivers = [Waiver(audit.session, reason.strip(), audit.reasons) for audit in audits]
    held = {waiver.session: waiver for waiver in (*current.waivers, *waivers)}
    if len(held) > MOST_SHARE * len(current.audits):
        raise DataNotUsable(
            f"{len(held)} of {len(current.audits)} sessions are too many to accept as missing",
            where=f"at most {MOST_SHARE:.0%}",
            fix="Fetch what is missing with trainer backfill, or use other bars",
        )
    return _put_in_force(folder, replace(current, waivers=tuple(held[day] for day in sorted(held))), current)


def _put_in_force(folder: Path, manifest: Manifest, current: Manifest | None) -> Manifest:
    if current is not None:
        if manifest.same_content(current):
            return current
        manifest = replace(manifest, version=current.version + 1)
    write_atomic(manifest_path(folder, manifest.version), manifest.to_bytes())
    write_atomic(manifest_path(folder, None), manifest.to_bytes())
    return manifest


def actions_table(actions: Sequence[Action]) -> pa.Table:
    """Corporate actions as a table; figures as decimal text, so that nothing is rounded."""
    rows = [
        {**asdict(a), "ratio": None if a.ratio is None else str(a.ratio), "cash": None if a.cash is None else str(a.cash)}
        for a in sorted(actions, key=lambda a: (a.effective, a.symbol, a.kind))
    ]
    return pa.Table.from_pylist(rows, schema=ACTIONS_SCHEMA)


def parquet_bytes(table: pa.Table) -> bytes:
    """Serialise a table; the same rows make the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(None).combine_chunks(),
        sink,
        compression="zstd",
        compression_level=3,
        version="2.6",
        data_page_version="1.0",
        write_statistics=True,
        row_group_size=1 << 20,
        store_schema=False,
    )
    return bytes(sink.getvalue())


def vendor_parquet(table: pa.Table, vendor: str) -> bytes:
    """Serialise a table as a vendor's file that names its vendor."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({VENDOR_KEY: vendor.encode()}), sink, compression="zstd")
    return bytes(sink.getvalue())


def _files(content: DatasetContent, deliveries: tuple[KeptDelivery, ...]) -> Iterable[tuple[FileRecord, bytes]]:
    years = pc.year(content.bars.column("session"))
    for year in sorted(pc.unique(years).to_pylist()):
        table = content.bars.filter(pc.equal(years, year))
        first, last = _span(table, "session")
        payload = parquet_bytes(table)
        yield _record(f"bars/{first}_{last}_{{}}.parquet", payload, table.num_rows, FileRole.BARS, first, last), payload
    tables = [
        (FileRole.ACTIONS, actions_table(content.actions), "effective"),
        (FileRole.QUARANTINE, content.quarantine, "date"),
        (FileRole.FINDINGS, content.findings, "date"),
        (FileRole.UNIVERSE, content.universe, "start"),
        (FileRole.REVISIONS, content.revisions, "date"),
        (FileRole.SPREADS, content.spreads, "session"),
        (FileRole.MINUTE_SESSIONS, content.minute_sessions, "session"),
    ]
    for role, side, column in tables:
        if side is not None:
            payload = parquet_bytes(side)
            yield _record(f"{role}_{{}}.parquet", payload, side.num_rows, role, *_span(side, column)), payload
    for start, table in content.minutes.items():
        payload = parquet_bytes(table)
        yield _record(f"{start}_{{}}.parquet", payload, table.num_rows, FileRole.MINUTES, *_span(table, "session")), payload
    for delivery in deliveries:
        name = delivery.name.replace("{", "_").replace("}", "_")
        yield _record(f"raw/{{}}-{name}", delivery.content, delivery.rows, FileRole.RAW, None, None), delivery.content


def _record(pattern: str, payload: bytes, rows: int, role: FileRole, first: date | None, last: date | None) -> FileRecord:
    digest = sha256_of(payload)
    return FileRecord(pattern.format(digest[:NAME_DIGITS]), digest, len(payload), rows, first, last, role)


def _span(table: pa.Table, column: str) -> tuple[date | None, date | None]:
    ends = pc.min_max(table.column(column)).as_py()
    return ends["min"], ends["max"]
