"""Sector and shares outstanding of every row, as a classification table was known to say it on that evening.

A sector is kept as a number that its name alone decides, shares in the basis of the bars (as volume is): those of a statement's
`start`, by every split since, so that close x shares is what all shares were worth that day. Nothing that became known later
enters a row.
"""

from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from signals.audit.delivered_rows import DeliveredRows
from signals.errors import BadBars
from signals.market.bars import CLASSIFIED, Days, Floats
from signals.market.manifest import PriceBasis
from trainer.curation.eligibility import believed

WORDS = dict(zip(CLASSIFIED, ("sector", "shares outstanding"), strict=True))


def classified_rows(
    data: DeliveredRows, usable: NDArray[np.bool_], table: pa.Table, days: Days, logs: Floats | None, basis: PriceBasis
) -> dict[str, Floats]:
    """Return `sector_code` and `shares` of each row, float64 (R,); NaN where nothing was known.

    Parameters
    ----------
    usable : bool, shape (R,)
    table : Table
        As `read_classification` returns it, every row with the day on which it became known.
    days : datetime64[D], shape (T,)
    logs : float64, shape (R,), or None
        Log of the shares that one has become by each row; None where no split is recorded, which leaves split-adjusted shares
        unknown.

    Raises
    ------
    BadBars
        Two sectors have one number.
    """
    codes = _codes(table)
    found = {name: np.full(len(usable), np.nan) for name in CLASSIFIED}
    sector, shares = found.values()
    rows = np.flatnonzero(usable)
    rows = rows[np.lexsort((data.session[rows], data.symbol[rows].astype(str)))]
    names, begins = np.unique(data.symbol[rows].astype(str), return_index=True)
    places = dict(zip(names.tolist(), np.split(rows, begins[1:]), strict=True))
    last = np.searchsorted(data.rows.security, data.rows.security, side="right") - 1
    for row, first, until in sorted(believed(table, days, is_dated=True), key=lambda one: one[0]["start"]):
        own = places.get(row["symbol"], rows[:0])
        begin, end = np.searchsorted(data.session[own], (first, until))
        held = own[begin:end]
        if row["sector"]:
            sector[held] = codes[row["sector"]]
        if row["shares"] is not None and held.size and (logs is not None or basis is PriceBasis.RAW):
            stated = own[max(0, int(np.searchsorted(data.rows.day[own], np.datetime64(row["start"], "D"), side="right")) - 1)]
            grown = np.zeros(len(held)) if logs is None else logs[held if basis is PriceBasis.RAW else last[held]] - logs[stated]
            shares[held] = row["shares"] * np.exp(grown)
    return found


def coverage_sentence(bars: pa.Table) -> str:
    """Say which share of the eligible rows of a dataset's bars has a sector, and shares."""
    eligible = bars.filter(bars.column("eligible"))
    shares = {name: 1.0 - eligible.column(name).null_count / max(1, len(eligible)) for name in CLASSIFIED if name in bars.column_names}
    said = ", ".join(f"{WORDS[name]} of {share:.1%}" for name, share in shares.items()) or "nothing"
    return f"known of the eligible rows by what was known then: {said}"


def _codes(table: pa.Table) -> dict[str, float]:
    names = [name for name in pc.unique(table.column("sector")).to_pylist() if name]
    codes = {name: float(crc32(name.encode())) for name in names}
    if len(set(codes.values())) < len(codes):
        raise BadBars("two sectors have the same number", where=", ".join(sorted(names)), fix="Rename one of them in the delivery")
    return codes
