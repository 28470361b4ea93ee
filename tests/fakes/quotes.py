"""Quotes for a published dataset: a new version of it whose spreads are the given ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa

from signals.files import sha256_of, write_atomic
from signals.market.dataset import read_manifest
from signals.market.manifest import FileRecord, FileRole, Manifest
from tests.fakes.store import sign_data
from trainer.curation.vendors.minutes import SPREADS_SCHEMA
from trainer.curation.writer import parquet_bytes


def quote(folder: Path, rows: Sequence[tuple[date, str, float]]) -> Manifest:
    """Publish (session, symbol, spread in basis points) rows beside the bars of the dataset in `folder`."""
    known = [{"session": day, "symbol": name, "spread_bps": bps, "minutes": 390} for day, name, bps in sorted(rows)]
    content = parquet_bytes(pa.Table.from_pylist(known, schema=SPREADS_SCHEMA))
    digest = sha256_of(content)
    days = [day for day, _, _ in rows]
    record = FileRecord(f"spreads_{digest[:12]}.parquet", digest, len(content), len(rows), min(days), max(days), FileRole.SPREADS)
    write_atomic(folder / record.path, content)
    old = read_manifest(folder)
    others = tuple(file for file in old.files if file.role is not FileRole.SPREADS)
    fresh = replace(old, files=(*others, record), version=old.version + 1)
    for name in ("manifest.json", f"manifests/{fresh.version}.json"):
        write_atomic(folder / name, fresh.to_bytes())
    sign_data(folder)
    return read_manifest(folder)
