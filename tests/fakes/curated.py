"""A small curated dataset of a generated market."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from signals.market.manifest import PriceBasis
from trainer.curation.config import CurationConfig
from trainer.curation.generated import generate
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping

END = date(2024, 12, 31)
YOUNG = CurationConfig(min_history=30)


def as_generated(table: pa.Table) -> pa.Table:
    """The vendor's rows as they are."""
    return table


def curate(
    folder: Path,
    *,
    until: date = END,
    without: tuple[date, ...] = (),
    planted: Callable[[pa.Table], pa.Table] = as_generated,
    config: CurationConfig = YOUNG,
    sessions: int = 300,
) -> Path:
    """A curated generated market of 60 names; `without` lacks the bars of most names.

    `planted` changes the vendor's rows before they are delivered.
    """
    market = generate(5, 60, sessions, END)
    bars, actions = market.write(folder / "vendor")
    table = pq.read_table(bars)
    day = table["date"].to_numpy().astype("datetime64[D]")
    thin = np.isin(day, np.array(without, dtype="datetime64[D]")) & (np.arange(len(day)) % 3 > 0)
    pq.write_table(planted(table.filter((day <= np.datetime64(until, "D")) & ~thin)), bars)
    ingest(DeliveryFiles(bars, actions), folder / "curated", DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=config))
    return folder / "curated"
