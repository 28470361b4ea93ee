"""Receipts of the deliveries that a dataset consists of, ordered by when they became known.

`deliveries.jsonl` in the dataset's folder holds one line a delivery; the files that it names lie under `raw/`, named by
their content. Entry points: `read_receipts`, `append_receipt`, `read_raw`.

Invariants
----------
1. Lines are only ever appended. Each carries the hash of the line before it, so that an edited, dropped or reordered
   one is noticed.
2. Knowledge only grows: a delivery is never known earlier than the one before it. What was known on a past day is
   therefore the same for ever.
3. A raw file is written once and read back against its hash.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from pathlib import Path

from signals.errors import BadBars, BadDataset
from signals.files import append_line, sha256_of, write_atomic
from signals.market.manifest import PriceBasis
from signals.text.documents import from_json, to_json
from signals.text.wording import reason_of
from trainer.curation.config import CurationConfig
from trainer.curation.vendors.mapping import Mapping

FILE = "deliveries.jsonl"
FIRST = "0" * 64
RESTORE = "Restore the file from a copy, or ingest into a new folder"


class Scope(StrEnum):
    """Meaning of rows that a delivery does not hold."""

    WHOLE = "whole"  # there are none: it replaces everything delivered before it
    ROWS = "rows"  # nothing: it adds and revises rows


class DeliveryPart(StrEnum):
    """Kind of a file of a delivery."""

    BARS = "bars"
    ACTIONS = "actions"
    UNIVERSE = "universe"
    CLASSIFICATION = "classification"


@dataclass(frozen=True)
class RawFile:
    """A vendor's file, as it came."""

    part: DeliveryPart
    name: str
    path: str
    sha256: str
    size: int
    rows: int


@dataclass(frozen=True)
class Receipt:
    """One delivery to the dataset `name`, and how it is read and curated, as JSON values.

    Rows of it became known from `known_from` to `known_until`, on one day but for an archive of many deliveries.
    """

    scope: Scope
    vendor: str
    basis: PriceBasis
    known_from: date
    known_until: date
    files: tuple[RawFile, ...]
    mapping: dict[str, object]
    config: dict[str, object]
    name: str

    def says_what(self, other: Receipt) -> bool:
        """Whether the two deliver the same bytes, to be read in the same way; when does not matter."""
        return self._as_read() == replace(other, known_from=self.known_from, known_until=self.known_until)._as_read()

    def _as_read(self) -> tuple[Receipt, Mapping, CurationConfig]:
        # A receipt of an earlier version lacks what has been given a default since.
        settings = Mapping.model_validate(self.mapping), CurationConfig.model_validate(self.config)
        return replace(self, mapping={}, config={}), *settings

    def of_part(self, part: DeliveryPart) -> RawFile | None:
        """Return the file that holds `part`, or None."""
        return next((file for file in self.files if file.part is part), None)


def read_receipts(folder: Path) -> tuple[Receipt, ...]:
    """Read every receipt, oldest first; none where there is no file.

    Raises
    ------
    BadDataset
        A line was changed, dropped or reordered. A last line cut off by a crash is no line.
    """
    path = folder / FILE
    if not path.exists():
        return ()
    lines = path.read_bytes().split(b"\n")[:-1]
    receipts, previous = [], FIRST
    for number, line in enumerate(lines, start=1):
        try:
            document = json.loads(line)
            said = document.pop("previous")
            receipt = from_json(Receipt, document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadDataset(f"not a receipt ({reason_of(error)})", where=f"{path}, line {number}", fix=RESTORE) from None
        if said != previous:
            raise BadDataset(
                "the chain of deliveries is broken: a line before this one was changed", where=f"{path}, line {number}", fix=RESTORE
            )
        receipts.append(receipt)
        previous = sha256_of(line)
    return tuple(receipts)


def in_force(receipts: tuple[Receipt, ...]) -> tuple[Receipt, ...]:
    """Return the newest whole delivery and everything added to it since."""
    starts = [place for place, receipt in enumerate(receipts) if receipt.scope is Scope.WHOLE]
    return receipts[starts[-1] :] if starts else ()


def is_held(receipts: tuple[Receipt, ...], receipt: Receipt) -> bool:
    """Whether what is in force already holds this delivery."""
    current = in_force(receipts)
    if receipt.scope is Scope.WHOLE:
        return len(current) == 1 and current[0].says_what(receipt)
    return any(held.says_what(receipt) for held in current)


def check_succession(receipts: tuple[Receipt, ...], receipt: Receipt) -> None:
    """Raise `BadBars` where `receipt` may not follow what is there."""
    current = in_force(receipts)
    if receipt.scope is Scope.ROWS:
        if not current:
            raise BadBars("there is nothing to add to", where=receipt.name, fix="Ingest a whole delivery with --bars first, without --add")
        if current[0].basis is not receipt.basis:
            raise BadBars(
                f"{receipt.basis} prices cannot be added to {current[0].basis} ones",
                where=receipt.name,
                fix=f"Deliver {current[0].basis} prices, or ingest the whole history in the new basis",
            )
    if receipts and receipt.known_from < receipts[-1].known_until:
        raise BadBars(
            f"a delivery known on {receipt.known_from} cannot follow one known on {receipts[-1].known_until}",
            where=receipt.name,
            fix="What was known on a past day never changes: give a later --known-at",
        )


def append_receipt(folder: Path, receipt: Receipt, contents: dict[str, bytes]) -> None:
    """Keep the files (`contents` by path) and append the receipt, which is written last.

    Raises
    ------
    OSError
        The disk failed; without its line a delivery was not received.
    """
    for file in receipt.files:
        path = folder / file.path
        if not path.exists() or sha256_of(path.read_bytes()) != file.sha256:
            write_atomic(path, contents[file.path])
    ledger = folder / FILE
    lines = ledger.read_bytes().split(b"\n")[:-1] if ledger.exists() else []
    previous = sha256_of(lines[-1]) if lines else FIRST
    document = {**to_json(receipt), "previous": previous}
    append_line(ledger, json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def read_raw(folder: Path, file: RawFile) -> bytes:
    """Return the bytes of a delivered file; raise `BadDataset` unless they are those that came."""
    try:
        content = (folder / file.path).read_bytes()
    except OSError as error:
        raise BadDataset(f"a delivered file is gone ({reason_of(error)})", where=file.path, fix=RESTORE) from None
    if len(content) != file.size or sha256_of(content) != file.sha256:
        raise BadDataset("a delivered file is not the one that came", where=file.path, fix=RESTORE)
    return content
