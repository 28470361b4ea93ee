"""Dated, versioned partitions of each night: the rows that were scored, and the labels that followed.

    nights/<slot>/asof=2026-11-27/rows-1.parquet      symbol, asof, every feature, score, bundle, snapshot
    nights/<slot>/asof=2026-11-27/labels-1.parquet    symbol, asof, label

A higher number says that the same night was made again of corrected data or by another bundle; none is ever changed. Windows
and pictures are views of these rows. `trainer outlook --rows` scores a partition of rows again.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from signals.features.panel import FeaturePanel
from signals.files import write_atomic
from signals.market.bars import Floats
from signals.scoring.evening_scores import EveningScores
from trainer.curation.writer import parquet_bytes

ROWS, LABELS = "rows", "labels"


def keep_rows(folder: Path, slot: str, features: FeaturePanel, payload: EveningScores) -> None:
    """Keep the features of the names that were scored, their scores, and what they were made by and of."""
    place = {symbol: column for column, symbol in enumerate(features.symbols)}
    values = features.values[-1, [place[symbol] for symbol in payload.symbols]]
    columns = {name: values[:, number] for number, name in enumerate(features.names)}
    made = {name: [text] * len(values) for name, text in (("bundle", payload.bundle_sha256), ("snapshot", payload.snapshot_id))}
    _keep(folder / slot, ROWS, payload.asof, payload.symbols, {**columns, "score": np.array(payload.scores), **made})


def keep_labels(folder: Path, slot: str, asof: date, symbols: tuple[str, ...], values: Floats) -> None:
    """Keep what came of the names that were scored, as far as it is known."""
    known = np.flatnonzero(np.isfinite(values))
    if known.size:
        _keep(folder / slot, LABELS, asof, tuple(symbols[number] for number in known), {"label": values[known]})


def _keep(slot: Path, kind: str, asof: date, symbols: tuple[str, ...], columns: Mapping[str, object]) -> None:
    """Write the next version, unless the newest is this one."""
    content = parquet_bytes(pa.table({"symbol": list(symbols), "asof": pa.array([asof] * len(symbols), pa.date32()), **columns}))
    night = slot / f"asof={asof}"
    newest = max((int(path.stem.rpartition("-")[2]) for path in night.glob(f"{kind}-*.parquet")), default=0)
    if not newest or (night / f"{kind}-{newest}.parquet").read_bytes() != content:
        write_atomic(night / f"{kind}-{newest + 1}.parquet", content)
