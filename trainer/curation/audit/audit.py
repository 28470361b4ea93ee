"""The audit of a dataset: findings by kind, count and place, and the sessions that they exclude.

Entry points: `audit` (reads and verifies), `render` (text for a person).
"""

import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass, replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from signals.audit.defects import DEFECTS
from signals.errors import BadDataset
from signals.market.bars import CLASSIFIED
from signals.market.dataset import load_bars, read_file, read_manifest, read_table, session_range
from signals.market.manifest import FileRecord, FileRole, Manifest
from signals.market.sessions import SessionAudit, SessionStatus
from trainer.curation.audit.early import Early, early_moves
from trainer.curation.audit.findings import ABSENT, ONE_OF_THEM, Missing, Proposal, Twins, missing, proposals, summary, twins_of
from trainer.curation.audit.second_vendor import SecondWord, second_words
from trainer.curation.classification import coverage_sentence
from trainer.curation.eligibility import IntervalRow
from trainer.curation.vendors.cells import listed
from trainer.curation.writer import REVISIONS_SCHEMA


@dataclass(frozen=True)
class MemberChange:
    """One day on which the universe changed."""

    day: date
    members: int
    entered: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(names):,} {verb} ({listed(names)})" for names, verb in ((self.entered, "entered"), (self.left, "left")) if names]
        return f"{self.members:,} members since {self.day}: {', '.join(parts)}"


def changes_of(rows: Iterable[IntervalRow], first: date, last: date) -> tuple[MemberChange, ...]:
    """Return the days in (first, last] on which membership rows (symbol, start, end) begin or end, oldest first."""
    latest: dict[tuple[str, date], IntervalRow] = {}
    for row in sorted(rows, key=lambda row: row.get("known_at") or date.min):
        latest[row["symbol"], row["start"]] = row
    starts: dict[date, set[str]] = {}
    ends: dict[date, set[str]] = {}
    for (symbol, start), row in latest.items():
        starts.setdefault(start, set()).add(symbol)
        if row["end"] is not None:
            ends.setdefault(row["end"], set()).add(symbol)
    members, found = set[str](), []
    for day in sorted(starts.keys() | ends.keys()):
        entered, left = starts.get(day, set()), ends.get(day, set())
        members = members - left | entered
        if first < day <= last and entered != left:
            found.append(MemberChange(day, len(members), tuple(sorted(entered - left)), tuple(sorted(left - entered))))
    return tuple(found)


EXAMPLES = 3
LISTED_REVISIONS = 5
LISTED_SESSIONS = 40
WIDTH = 118
MISMATCH = "manifest mismatch"


@dataclass(frozen=True)
class DefectCount:
    """How often a defect was found in the range, with the first places."""

    reason: str
    quarantines: bool
    meaning: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Revision:
    """A figure that a later delivery replaced; `field`: `withdrawn` a row that is gone, `restated` for a split."""

    day: date
    symbol: str
    field: str
    was: float | None
    now: float | None
    known_at: date
    revised_at: date

    def __str__(self) -> str:
        now = "nothing" if self.now is None else f"{self.now:g}"
        return f"{self.symbol} {self.day} {self.field} {self.was or 0:g} -> {now}, known {self.revised_at}"


@dataclass(frozen=True)
class AuditReport:
    """The audit of a range of sessions.

    Attributes
    ----------
    audits : tuple of SessionAudit
        Every session of the range, and every date in it that carried rows although the exchange was closed, by date.
    defects : tuple of DefectCount
        Those found at least once, in the order of the table of defects.
    damaged : tuple of str
        Files that are missing or differ from what the manifest vouches for; where there is one, what follows is not looked for.
    """

    manifest: Manifest
    first: date
    last: date
    audits: tuple[SessionAudit, ...]
    defects: tuple[DefectCount, ...]
    damaged: tuple[str, ...]
    missing: tuple[Missing, ...] = ()
    revisions: tuple[Revision, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    early: Early | None = None
    twins: tuple[Twins, ...] = ()
    words: tuple[SecondWord, ...] = ()
    members: tuple[MemberChange, ...] = ()
    classified: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Number of dates by status."""
        found = Counter(audit.status for audit in self.audits)
        return {str(status): found[status] for status in SessionStatus}

    @property
    def is_red(self) -> bool:
        """Whether any date of the range is RED."""
        return self.counts[SessionStatus.RED] > 0

    def document(self) -> dict[str, object]:
        """Return the report as JSON values."""
        return {
            "dataset": self.manifest.name,
            "version": self.manifest.version,
            "snapshot": self.manifest.snapshot_id,
            "vendor": self.manifest.vendor,
            "basis": self.manifest.basis,
            "survivorship": self.manifest.universe_state,
            "eligibility": self.manifest.eligibility_rule,
            "first": self.first,
            "last": self.last,
            "statuses": self.counts,
            "damaged": list(self.damaged),
            "defects": [{name: value for name, value in asdict(defect).items() if name != "meaning"} for defect in self.defects],
            "universe_why": self.manifest.universe_why,
            "early": None if self.early is None else self.early.document(),
            "missing": [asdict(run) for run in self.missing],
            "revisions": [dict(zip(REVISIONS_SCHEMA.names, astuple(revision), strict=True)) for revision in self.revisions],
            "suggested_splits": [asdict(proposal) for proposal in self.proposals],
            "twins": [asdict(pair) for pair in self.twins],
            "second_vendor": [asdict(word) for word in self.words],
            "members": [asdict(change) for change in self.members],
            "classified": self.classified or None,
            "sessions": [
                {**asdict(a), "accepted": waiver.reason if (waiver := self.manifest.waiver(a)) else None}
                for a in self.audits
                if a.status is not SessionStatus.GREEN
            ],
        }


def audit(folder: Path, start: date | None, end: date | None, other: Path | None = None) -> AuditReport:
    """Audit the sessions [start, end] of the dataset in `folder`; an end left open is the dataset's own.

    `other`, a dataset of another vendor, is asked about undecided returns.

    Every file is hashed. A damaged bars file turns its sessions RED, any other damaged file but a raw one all of them.

    Raises
    ------
    BadDataset
        There is no manifest that can be trusted.
    NotASession
        An end of the range is not a session of the dataset.
    """
    manifest = read_manifest(folder)
    first, last = session_range(manifest, start, end)
    damaged = tuple(record for record in manifest.files if not _is_whole(folder, record))
    within = [a for a in (*manifest.audits, *manifest.non_sessions) if first <= a.session <= last]
    audits = tuple(sorted((_reddened(a, damaged) for a in within), key=lambda a: a.session))
    report = AuditReport(manifest, first, last, audits, (), tuple(record.path for record in damaged))
    if damaged:
        is_lost = any(record.role is FileRole.FINDINGS for record in damaged)
        return report if is_lost else replace(report, defects=_defects(folder, manifest, first, last))
    members = [row for record in manifest.of_role(FileRole.UNIVERSE) for row in read_table(folder, record).to_pylist()]
    return replace(
        report,
        defects=_defects(folder, manifest, first, last),
        missing=missing(folder, manifest, first, last),
        revisions=_revisions(folder, manifest, first, last),
        proposals=proposals(folder, manifest, first, last),
        early=early_moves(load_bars(folder, manifest, first, last)),
        twins=twins_of(folder, manifest, first, last),
        words=() if other is None else second_words(folder, manifest, other, first, last),
        members=changes_of(members, first, manifest.calendar.next(last)),  # the last may be of the session after the range
        classified=_classified(folder, manifest, first, last),
    )


def render(report: AuditReport) -> str:
    """Lay the report out as tables for a terminal or a log; what the data says is never markup."""
    manifest, stream = report.manifest, io.StringIO()
    console = Console(file=stream, width=WIDTH, highlight=False, markup=False, emoji=False)
    console.print(
        f"{manifest.name} version {manifest.version}: vendor {manifest.vendor}, prices {manifest.basis}, "
        f"universe {manifest.universe_state}, {report.first} to {report.last}"
    )
    console.print(f"Eligible names have {manifest.eligibility_rule}", soft_wrap=True)
    counts = Table("status", "dates", box=None, pad_edge=False)
    for status, count in report.counts.items():
        counts.add_row(status, f"{count:,}")
    console.print(counts)
    for path in report.damaged:
        console.print(f"DAMAGED {path}: not what the manifest vouches for")
    if report.defects:
        table = Table("defect", "rows", "row is", "meaning", "first seen", box=None, pad_edge=False)
        for d in report.defects:
            row_is = "absent" if d.reason in ABSENT else "quarantined" if d.quarantines else "kept"
            table.add_row(d.reason, f"{d.count:,}", row_is, d.meaning, ", ".join(d.examples))
        console.print(table)
    for line in _remarks(report):
        console.print(line, soft_wrap=True)
    flagged = [a for a in report.audits if a.status is not SessionStatus.GREEN]
    # RED first where they would not all fit: they are what must be mended.
    shown = sorted(flagged, key=lambda a: (a.status is not SessionStatus.RED, a.session))[:LISTED_SESSIONS]
    if shown:
        table = Table("date", "status", "usable", "rows", "reasons", box=None, pad_edge=False)
        for a in shown:
            accepted = manifest.waiver(a)
            remarks = (*a.reasons, *((f"accepted as missing: {accepted.reason}",) if accepted else ()))
            table.add_row(str(a.session), a.status, f"{a.usable}", f"{a.rows}", "; ".join(remarks))
        console.print(table)
    if len(flagged) > len(shown):
        console.print(f"... and {len(flagged) - len(shown)} more; --json lists every one")
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _remarks(report: AuditReport) -> list[str]:
    """What is missing, was revised, came twice or looks like a split, a line each."""
    lines = [] if report.early is None else [f"EARLY {sentence}" for sentence in report.early.sentences()]
    if report.manifest.universe_why:
        lines.append(f"UNIVERSE {report.manifest.universe_state}: {report.manifest.universe_why}")
    if report.members:
        lines.append(f"MEMBERS {report.members[-1]}; {len(report.members):,} changes in the range")
    if report.classified:
        lines.append(f"CLASSIFIED {report.classified}")
    if report.twins:
        lines.append(f"TWINS {len(report.twins):,}: {listed(report.twins)}. {ONE_OF_THEM}")
    if report.missing:
        lines.append(f"MISSING {summary(report.missing)}. trainer backfill asks a vendor for them")
    if report.revisions:
        # A revised price is worth more lines than a revised volume.
        first = sorted(report.revisions, key=lambda r: (r.field == "volume", r.day, r.symbol))[:LISTED_REVISIONS]
        shown = "; ".join(str(revision) for revision in first)
        lines.append(f"REVISED {len(report.revisions):,} figures: {shown}")
    if report.proposals:
        shown = "; ".join(f"{p.symbol} {p.effective} {p.ratio:g}:1" for p in report.proposals[:LISTED_REVISIONS])
        lines.append(
            f"SUGGESTED SPLITS {len(report.proposals):,}: {shown}. Nothing was applied; --propose FILE writes them as "
            "actions to check and to ingest"
        )
    if report.words:
        lines.append(
            f"SECOND VENDOR on {len(report.words):,} undecided returns: {listed(report.words)}. Nothing was applied; --propose "
            "FILE writes its words as actions to check and to ingest"
        )
    return lines


def _classified(folder: Path, manifest: Manifest, first: date, last: date) -> str:
    records = [r for r in manifest.of_role(FileRole.BARS) if r.first and r.last and r.first <= last and r.last >= first]
    bars = pa.concat_tables([read_table(folder, record) for record in records])
    inside = pc.and_(pc.greater_equal(bars.column("session"), first), pc.less_equal(bars.column("session"), last))
    return coverage_sentence(bars.filter(inside)) if set(CLASSIFIED) & set(bars.column_names) else ""


def _revisions(folder: Path, manifest: Manifest, first: date, last: date) -> tuple[Revision, ...]:
    rows = [row for r in manifest.of_role(FileRole.REVISIONS) for row in read_table(folder, r).to_pylist()]
    return tuple(Revision(*(row[name] for name in REVISIONS_SCHEMA.names)) for row in rows if first <= row["date"] <= last)


def _is_whole(folder: Path, record: FileRecord) -> bool:
    if record.role is FileRole.RAW and not (folder / record.path).exists():
        return True  # a published copy leaves the vendors' own files behind
    try:
        read_file(folder, record)
    except BadDataset:
        return False
    return True


def _reddened(audit: SessionAudit, damaged: tuple[FileRecord, ...]) -> SessionAudit:
    hit = [r.path for r in damaged if r.role is not FileRole.RAW and (r.role is not FileRole.BARS or _covers(r, audit))]
    if not hit:
        return audit
    return replace(audit, status=SessionStatus.RED, reasons=(f"{MISMATCH}: {hit[0]}", *audit.reasons))


def _covers(record: FileRecord, audit: SessionAudit) -> bool:
    return record.first is not None and record.last is not None and record.first <= audit.session <= record.last


def _defects(folder: Path, manifest: Manifest, first: date, last: date) -> tuple[DefectCount, ...]:
    places: dict[str, list[str]] = {}
    for record in manifest.of_role(FileRole.FINDINGS):
        for row in read_table(folder, record).to_pylist():
            if first <= row["date"] <= last:
                places.setdefault(row["reason"], []).append(f"{row['symbol']} {row['date']}")
    return tuple(
        DefectCount(str(d.reason), d.quarantines, d.meaning, len(places[d.reason]), tuple(places[d.reason][:EXAMPLES]))
        for d in DEFECTS
        if d.reason in places
    )
