"""Ingests vendors' files into the next version of a curated dataset.

Entry points: `ingest` (deliver and curate), `refresh` (curate what was delivered), `as_of` (curate what was known).
Everything is read, checked and computed before the first byte is written.
"""

from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Protocol

import pandas as pd

from signals.audit.defects import Reason
from signals.errors import BadBars, BadConfig, BadDataset
from signals.files import sha256_of
from signals.market.actions import ActionKind
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import Calendar
from trainer.curation.audit.findings import ONE_OF_THEM, twins
from trainer.curation.audit.universe import TOLD
from trainer.curation.classification import coverage_sentence
from trainer.curation.config import CurationConfig
from trainer.curation.curate import DeliveredHistory, calendar_for, curate
from trainer.curation.deliveries.reading import DeliveredBars, Deliveries, Knowledge, bars_of, recognised_bars
from trainer.curation.deliveries.receipts import (
    DeliveryPart,
    RawFile,
    Receipt,
    Scope,
    append_receipt,
    check_succession,
    in_force,
    is_held,
    read_raw,
    read_receipts,
)
from trainer.curation.vendors.actions import read_actions, refuse_shifted
from trainer.curation.vendors.cells import listed
from trainer.curation.vendors.files import Note, no_note, vendor_of
from trainer.curation.vendors.mapping import Mapping, SymbolForm
from trainer.curation.vendors.packing import pack
from trainer.curation.vendors.universe import read_classification, read_universe
from trainer.curation.writer import NAME_DIGITS, DatasetContent, KeptDelivery, write_dataset


@dataclass(frozen=True)
class DeliveryFiles:
    """The files of one delivery; a whole one has bars, the others may be absent."""

    bars: Path | None
    actions: Path | None = None
    universe: Path | None = None
    classification: Path | None = None


@dataclass(frozen=True)
class DeliveryTerms:
    """How a delivery is read and judged.

    Attributes
    ----------
    basis : PriceBasis, optional
        Where absent what the bars' columns show, else SPLIT_ADJUSTED.
    name : str
        Of the dataset; the folder's where empty.
    scope : Scope
        WHOLE replaces everything delivered before; ROWS adds and revises.
    known_at : date, optional
        The day on which the delivery was had. Where absent: the days that its rows name, else `today`, else the
        earliest that it can have been: the last date in it, and not before the delivery before it.
    today : date, optional
        In New York; no bar can be later.
    vendor : str
        What the manifest calls the vendor; where empty, what the file says of itself.
    """

    mapping: Mapping
    basis: PriceBasis | None
    config: CurationConfig
    name: str = ""
    scope: Scope = Scope.WHOLE
    known_at: date | None = None
    today: date | None = None
    vendor: str = ""


def ingest(sources: DeliveryFiles, folder: Path, terms: DeliveryTerms, note: Note = no_note) -> Manifest:
    """Curate the delivery into the dataset `folder` and return the manifest now in force; `note` as of `read_bars`.

    Raises
    ------
    BadBars
        A file cannot be read as what it should be, or the delivery may not follow those there; nothing was written.
    BadDataset
        The folder holds a dataset or deliveries that cannot be trusted; nothing was written.
    """
    files = {
        part: pack(path)
        for part, path in zip(DeliveryPart, (sources.bars, sources.actions, sources.universe, sources.classification), strict=True)
        if path is not None
    }
    if terms.scope is Scope.WHOLE and DeliveryPart.BARS not in files:
        raise BadBars("a whole delivery has bars", where=str(folder), fix="Name them with --bars, or --add what is new")
    return deliver(files, folder, terms, note)


def deliver(contents: Table[DeliveryPart, tuple[str, bytes]], folder: Path, terms: DeliveryTerms, note: Note = no_note) -> Manifest:
    """Deliver files given as (name, bytes) by part, and curate; see `ingest`."""
    receipts = read_receipts(folder)
    held = Deliveries(receipts, lambda file: read_raw(folder, file))
    if DeliveryPart.BARS not in contents and not in_force(receipts):
        raise BadBars("there is nothing to add to", where=str(folder), fix="Ingest a whole delivery with --bars first, without --add")
    calendar = held.as_of(None).history.calendar if DeliveryPart.BARS not in contents else None
    added_to = in_force(receipts)[:1] if terms.scope is Scope.ROWS else ()
    may_rewrite = all(Mapping.model_validate(receipt.mapping).bars.symbols is SymbolForm.BROKER for receipt in added_to)
    incoming = _incoming(contents, terms.mapping, calendar, terms.today, note, may_rewrite=may_rewrite)
    understood = incoming.bars.understood if incoming.bars else None
    mapping = terms.mapping.model_copy(update={"bars": understood.mapping}) if understood else terms.mapping
    known_from, known_until = _known(incoming, receipts, terms.known_at, terms.today, where=folder.name)
    where, file = contents.get(DeliveryPart.BARS) or next(iter(contents.values()))
    receipt = Receipt(
        scope=terms.scope,
        vendor=terms.vendor or vendor_of(file, where=where),
        basis=terms.basis or (understood and understood.basis) or PriceBasis.SPLIT_ADJUSTED,
        known_from=known_from,
        known_until=known_until,
        files=incoming.files,
        mapping=mapping.model_dump(mode="json"),
        config=terms.config.model_dump(mode="json"),
        name=terms.name or folder.name,
    )
    if is_held(receipts, receipt):
        return _written(folder, receipts)
    check_succession(receipts, receipt)
    together, raw = (*receipts, receipt), incoming.raw
    everything = Deliveries(together, lambda f: raw[f.path] if f.path in raw else read_raw(folder, f), incoming.bars)
    knowledge = everything.as_of(None)
    content = content_of(knowledge)
    remarks = (*unmatched(knowledge.history), *_of_universe(content), *_of_twins(content), *_of_seams(content))
    if knowledge.history.classification is not None:
        note(coverage_sentence(content.bars))
    for remark in (*remarks, *_of_unadjusted(receipt, incoming, knowledge.history)):
        note(remark)
    append_receipt(folder, receipt, raw)
    return write_dataset(folder, content, _kept(folder, in_force(together)))


def whole_delivery(folder: Path) -> Receipt:
    """Return the receipt of the whole delivery in force; raise `BadBars` where there is none to add to."""
    current = in_force(read_receipts(folder))
    if not current:
        raise BadBars("there is nothing to add to", where=str(folder), fix="Ingest a whole delivery with --bars first, without --add")
    return current[0]


def added_terms(first: Receipt, today: date | None, vendor: str) -> DeliveryTerms:
    """Return the terms of rows in our own columns that are added to a dataset, read and judged as its whole delivery `first` was."""
    config = CurationConfig.model_validate(first.config)
    return DeliveryTerms(Mapping(), first.basis, config, first.name, Scope.ROWS, today=today, vendor=vendor)


def refresh(folder: Path) -> Manifest:
    """Curate what was delivered to `folder`, the newest receipts too; a version appears only if something changed.

    Raises
    ------
    BadDataset
        There are no deliveries, or they cannot be trusted.
    """
    return _written(folder, read_receipts(folder))


def as_of(folder: Path, known_at: date, to: Path) -> Manifest:
    """Curate into the dataset `to` what the deliveries of `folder` said on the evening of `known_at`.

    Raises
    ------
    BadBars
        Nothing was known then.
    BadConfig
        `to` is a folder of deliveries: the past must not become the version in force.
    """
    if to.resolve() == folder.resolve():
        raise BadConfig("a view of the past is another dataset", where=str(to), fix="Name another folder with --to")
    if read_receipts(to):
        raise BadConfig("a dataset of its own deliveries is there", where=str(to), fix="Name an empty folder with --to")
    deliveries = Deliveries(read_receipts(folder), lambda file: read_raw(folder, file))
    return write_dataset(to, replace(_content(deliveries, known_at), known_at=known_at))


@dataclass(frozen=True, eq=False)
class _Incoming:
    """Files of a delivery that were read without fault: what a receipt says of them, their bytes by path, the bars."""

    files: tuple[RawFile, ...]
    raw: dict[str, bytes]
    bars: DeliveredBars | None


def _incoming(
    contents: Table[DeliveryPart, tuple[str, bytes]],
    mapping: Mapping,
    calendar: Calendar | None,
    today: date | None,
    note: Note,
    *,
    may_rewrite: bool,
) -> _Incoming:
    files, raw, bars = [], {}, None
    for part, (name, content) in contents.items():
        if part is DeliveryPart.BARS:
            bars = recognised_bars(content, mapping, where=name, may_rewrite=may_rewrite, today=today, note=note)
            rows, calendar = len(bars.frame), calendar_for(bars.frame)
            refuse_shifted(bars.frame["symbol"], bars.frame["date"], calendar, where=name, section="bars")
        elif part is DeliveryPart.ACTIONS:
            assert calendar is not None
            rows = len(read_actions(content, mapping.actions, calendar, where=name, today=today, note=note))
        elif part is DeliveryPart.CLASSIFICATION:
            table = read_classification(content, mapping.classification, where=name, today=today, note=note)
            rows, unsaid = table.num_rows, table.column("known_at").null_count
            if unsaid:
                note(f"{unsaid:,} of {rows:,} rows of {name} do not say when they became known: they count from this delivery on")
        else:
            rows = read_universe(content, mapping.universe, where=name, today=today, note=note).num_rows
        digest = sha256_of(content)
        path = f"raw/{digest[:NAME_DIGITS]}-{name}"
        files.append(RawFile(part, name, path, digest, len(content), rows))
        raw[path] = content
    return _Incoming(tuple(files), raw, bars)


def _known(
    incoming: _Incoming, receipts: tuple[Receipt, ...], known_at: date | None, today: date | None, *, where: str
) -> tuple[date, date]:
    """First and last day on which the delivery became known; see `ingest`."""
    if known_at is not None and today is not None and known_at > today:
        raise BadBars(f"a delivery of {known_at} was not had yet", where=f"today is {today} in New York", fix="Correct --known-at")
    if incoming.bars is not None and incoming.bars.known is not None:
        return incoming.bars.known
    days = [incoming.bars.days[1]] if incoming.bars is not None else []
    if known_at is not None and any(known_at < day for day in days):
        raise BadBars(f"it cannot have been known on {known_at}", where=f"{where} has rows of {max(days)}", fix="Give a later --known-at")
    earliest = max([*days, *(receipt.known_until for receipt in receipts[-1:])], default=today or date.min)
    since = known_at or max(earliest, today or earliest)
    return since, since


def _content(deliveries: Deliveries, known_at: date | None) -> DatasetContent:
    return content_of(deliveries.as_of(known_at))


def content_of(knowledge: Knowledge) -> DatasetContent:
    """Curate what is known, by the settings of the newest whole delivery."""
    first = knowledge.receipts[0]
    return curate(knowledge.history, CurationConfig.model_validate(first.config), name=first.name, vendor=knowledge.vendor)


def unmatched(history: DeliveredHistory) -> list[str]:
    """Sentences about actions and members that name no symbol of the bars."""
    held = set(history.frame["symbol"])
    # A change whose new name is held was applied by the vendor to the whole history.
    nobody = sorted({a.symbol for a in history.actions if held.isdisjoint({a.symbol, a.new_symbol})})
    count = sum(held.isdisjoint({a.symbol, a.new_symbol}) for a in history.actions)
    found = []
    if count:
        verb = "action names" if count == 1 else "actions name"
        found.append(f"{count:,} {verb} no symbol of the bars: {listed(nobody)}")
    for one, several, table in (("member", "members", history.universe), ("classified", "classified", history.classification)):
        if table is not None and (absent := sorted(set(table.column("symbol").to_pylist()) - held)):
            verb = f"{one} is" if len(absent) == 1 else f"{several} are"
            found.append(f"{len(absent):,} {verb} no symbol of the bars: {listed(absent)}")
    return found


def _of_universe(content: DatasetContent) -> list[str]:
    """Say why a universe that a membership table was delivered for is not point-in-time, or that it ends before the bars."""
    if content.universe is None or content.universe_why == TOLD:
        return []
    return [f"the universe is {content.survivorship}: {content.universe_why}"]


def _of_twins(content: DatasetContent) -> list[str]:
    found = twins(content.bars, content.audits[0].session, content.audits[-1].session)
    return [f"one series under two symbols: {listed(found)}. {ONE_OF_THEM}"] if found else []


def _of_seams(content: DatasetContent) -> list[str]:
    rows = [row for row in content.findings.to_pylist() if row["reason"] == Reason.NO_RETURN]
    if not rows:
        return []
    first = min(rows, key=lambda row: (row["date"], row["symbol"]))
    return [
        f"{len(rows):,} bars have no return although the session before has a bar too, first {first['symbol']} "
        f"{first['date']}. Ingest the whole history again without --add; what is added "
        "later should have one session that is held already"
    ]


def _of_unadjusted(receipt: Receipt, incoming: _Incoming, history: DeliveredHistory) -> list[str]:
    """Say that bars were added to a dataset with dividends and nothing says which the new sessions have."""
    is_plain = incoming.bars is not None and "adj_close" not in incoming.bars.frame
    is_lone = receipt.scope is Scope.ROWS and receipt.of_part(DeliveryPart.ACTIONS) is None
    has_paid = any(action.kind is ActionKind.DIVIDEND for action in history.actions)
    if not (is_plain and is_lone and (has_paid or "adj_close" in history.frame)):
        return []
    return ["the bars were added without corporate actions or adj_close: their dividends and splits are not known"]


def _written(folder: Path, receipts: tuple[Receipt, ...]) -> Manifest:
    if not in_force(receipts):
        raise BadDataset(
            "the folder keeps no deliveries to curate from",
            where=str(folder),
            fix="Ingest the vendor's files into it once more with trainer ingest",
        )
    content = _content(Deliveries(receipts, lambda file: read_raw(folder, file)), None)
    return write_dataset(folder, content, _kept(folder, in_force(receipts)))


def _kept(folder: Path, receipts: tuple[Receipt, ...]) -> tuple[KeptDelivery, ...]:
    files = {file.path: file for receipt in receipts for file in receipt.files}
    return tuple(KeptDelivery(file.name, read_raw(folder, file), file.rows) for file in files.values())


class BarVendor(Protocol):
    """A vendor that can be asked for some symbols and sessions."""

    @property
    def name(self) -> str:
        """Name of the vendor in receipts."""

    @property
    def basis(self) -> PriceBasis:
        """Adjustment of its prices."""

    def bars(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return bars of the sessions [first, last] as `read_bars` does; no row for what the vendor does not have."""

    def actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return corporate actions effective in [first, last] in our own columns; empty where it reports none."""


class FileVendor:
    """A file or a folder of files on this machine, in any vendor's form."""

    def __init__(self, path: Path, mapping: Mapping, basis: PriceBasis) -> None:
        self.basis = basis
        self.name, content = pack(path)
        self._frame = bars_of(content, mapping, where=self.name).frame.drop(columns="known_at", errors="ignore")
        days = self._frame["date"]
        refuse_shifted(self._frame["symbol"], days, calendar_for(self._frame), where=self.name, section="bars")

    def bars(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return the file's rows of these symbols and sessions."""
        frame = self._frame
        inside = (frame["date"] >= pd.Timestamp(first)) & (frame["date"] <= pd.Timestamp(last))
        return frame[inside & frame["symbol"].isin(list(symbols))].reset_index(drop=True)

    def actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return none: a file of bars holds no actions."""
        return pd.DataFrame()
