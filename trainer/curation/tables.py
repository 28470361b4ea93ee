"""Arrow tables of a dataset, built from arrays."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from signals.audit.defects import DEFECTS, Defects, Reason
from signals.audit.delivered_rows import DeliveredRows
from signals.market.bars import CLASSIFIED, Days, Flags, Floats
from trainer.curation.delivery import FIGURES
from trainer.curation.writer import BARS_SCHEMA, FINDINGS_SCHEMA, QUARANTINE_SCHEMA, REVISIONS_SCHEMA

Cells = tuple[NDArray[np.int64], NDArray[np.int64]]


def bars_table(data: DeliveredRows, usable: Flags, figures: Mapping[str, Floats], flags: Mapping[str, Flags]) -> pa.Table:
    """Usable rows with the `figures` and `flags` of them, sorted by session, then symbol; what names are only where it is known."""
    kept = np.flatnonzero(usable)
    kept = kept[np.lexsort((data.symbol[kept].astype(str), data.rows.day[kept]))]
    ids = np.array(data.securities, dtype=object)
    columns = {
        "session": data.rows.day[kept],
        "symbol": data.symbol[kept],
        "security": ids[data.rows.security[kept]],
        **{name: getattr(data.rows, name)[kept] for name in FIGURES if name != "adj_close"},
        **{name: figure[kept] for name, figure in figures.items()},
        **{name: flag[kept] for name, flag in flags.items()},
        "kind": data.kind[kept],
        "sector": data.sector[kept],
    }
    known = [pa.field(name, pa.float64()) for name in CLASSIFIED if np.isfinite(columns.get(name, np.nan)).any()]
    return _table(columns, pa.schema([*BARS_SCHEMA, *known]))


def quarantine_table(data: DeliveredRows, defects: Defects) -> pa.Table:
    """Rows kept out of the bars, as delivered, with every reason that each has."""
    held = np.flatnonzero(defects.quarantined)
    held = held[np.lexsort((held, data.symbol[held].astype(str), data.rows.day[held]))]
    reasons = ["; ".join(str(defect.reason) for defect in DEFECTS if defects.flags[defect.reason][row]) for row in held]
    columns = {
        "date": data.rows.day[held],
        "symbol": data.symbol[held],
        **{name: getattr(data.rows, name)[held] for name in FIGURES},
        "reasons": np.array(reasons, dtype=object),
    }
    return _table(columns, QUARANTINE_SCHEMA)


def findings_table(data: DeliveredRows, defects: Defects, missing: Cells, absent: Cells, days: Days) -> pa.Table:
    """One row per defect found: date, symbol, reason; sorted by date, symbol, reason."""
    dates, symbols, reasons = [], [], []
    for reason, (rows, sessions) in ((Reason.MISSING_SESSION, missing), (Reason.EXPECTED_ABSENT, absent)):
        dates.append(days[sessions])
        symbols.append(data.symbol[rows])
        reasons.append(_repeat(reason, len(rows)))
    for reason, flags in defects.flags.items():
        rows = np.flatnonzero(flags)
        dates.append(data.rows.day[rows])
        symbols.append(data.symbol[rows])
        reasons.append(_repeat(reason, len(rows)))
    day, symbol, name = np.concatenate(dates), np.concatenate(symbols), np.concatenate(reasons)
    order = np.lexsort((name.astype(str), symbol.astype(str), day))
    return _table({"date": day[order], "symbol": symbol[order], "reason": name[order]}, FINDINGS_SCHEMA)


def revisions_table(revisions: pd.DataFrame) -> pa.Table:
    """Return the rows that deliveries replaced, as `fold` sorts them."""
    frame = revisions.assign(date=revisions["date"].dt.date)
    columns = [pa.array(frame[field.name].tolist(), field.type, from_pandas=True) for field in REVISIONS_SCHEMA]
    return pa.Table.from_arrays(columns, schema=REVISIONS_SCHEMA)


def _repeat(reason: Reason, count: int) -> NDArray[np.object_]:
    return np.full(count, str(reason), dtype=object)


def _table(columns: dict[str, NDArray[np.generic]], schema: pa.Schema) -> pa.Table:
    arrays = []
    for field in schema:
        values = columns[field.name]
        nulls = np.isnan(values) if field.type == pa.float64() else None
        arrays.append(pa.array(values, field.type, mask=nulls))
    return pa.Table.from_arrays(arrays, schema=schema)
