"""Quoted spreads of a curated dataset that was built from minutes with quotes.

    typical_i = lower median of the sessions' spread_bps of security i                                          bps

The lower median is one of the quoted figures, so that a device, which asks its own store, finds the very same.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from signals.errors import BadDataset
from signals.market.bar_rows import BarRows
from signals.market.bars import Days, Floats, days_array
from signals.market.dataset import read_table
from signals.market.manifest import FileRole, Manifest
from signals.text.wording import reason_of


@dataclass(frozen=True, eq=False)
class Quotes:
    """One row a session and security that was quoted, by session.

    Attributes
    ----------
    sessions : datetime64[D], shape (R,)
    securities : tuple of str, length R
    spread_bps : float64, shape (R,)
        Full quoted spread, basis points of the middle.
    """

    sessions: Days
    securities: tuple[str, ...]
    spread_bps: Floats

    def typical(self, first: date, last: date) -> dict[str, float]:
        """Lower median of each security's quoted spread in the sessions [first, last], basis points."""
        ends = days_array([first, last])
        begin, end = np.searchsorted(self.sessions, ends[0]), np.searchsorted(self.sessions, ends[1], side="right")
        quoted: dict[str, list[float]] = {}
        for place in range(int(begin), int(end)):
            quoted.setdefault(self.securities[place], []).append(float(self.spread_bps[place]))
        return {security: sorted(found)[(len(found) - 1) // 2] for security, found in quoted.items()}


def read_quotes(folder: Path, manifest: Manifest, rows: BarRows) -> Quotes:
    """Read what the manifest vouches for; no rows where the dataset has no quotes.

    A quote of a symbol that has no bar in its session belongs to nobody and is left out.

    Raises
    ------
    BadDataset
        A file is missing, differs from what the manifest vouches for, or is not a table of spreads.
    """
    found: list[tuple[date, str, float]] = []
    for record in manifest.of_role(FileRole.SPREADS):
        table = read_table(folder, record, ["session", "symbol", "spread_bps"])
        try:
            found += zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)
        except (TypeError, pa.ArrowException) as error:
            raise BadDataset(f"not a table of spreads ({reason_of(error)})", where=record.path, fix="Ingest the dataset again") from None
    found.sort()
    owners: dict[date, dict[str, str]] = {}
    kept = []
    for session, symbol, bps in found:
        if session not in owners:
            owners[session] = {name: security for security, name in rows.symbols_on(session).items()}
        if symbol in owners[session]:
            kept.append((session, owners[session][symbol], bps))
    return Quotes(
        days_array([session for session, _, _ in kept]),
        tuple(owner for _, owner, _ in kept),
        np.array([bps for _, _, bps in kept], dtype=np.float64),
    )
