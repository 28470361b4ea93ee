"""Proposes unrecorded splits that the bars suggest, and writes proposals down; a person confirms them.

Entry points: `proposals`, `to_csv` (an actions file for `trainer ingest --actions`).
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from signals.audit.defects import SPLIT_RATIOS, Reason
from signals.market.dataset import read_table
from signals.market.manifest import FileRole, Manifest, PriceBasis
from trainer.curation.audit.second_vendor import SecondWord


@dataclass(frozen=True)
class Proposal:
    """A split that a move looks like.

    Attributes
    ----------
    ratio : float
        New shares per old share, the nearest ratio at which companies split.
    open_move, close_move : float
        Open and close over the close before.
    """

    symbol: str
    effective: date
    ratio: float
    open_move: float
    close_move: float


def proposals(folder: Path, manifest: Manifest, first: date, last: date) -> tuple[Proposal, ...]:
    """Return one proposal for each suspected split of [first, last], by date and symbol.

    On raw prices only: a split that is recorded changes no return of prices that claim to be adjusted for it, so there
    a suspicion is a question to the vendor.
    """
    if manifest.basis is not PriceBasis.RAW:
        return ()
    suspected = {
        (row["symbol"], row["date"])
        for record in manifest.of_role(FileRole.FINDINGS)
        for row in read_table(folder, record).to_pylist()
        if row["reason"] == Reason.SUSPECTED_SPLIT and first <= row["date"] <= last
    }
    if not suspected:
        return ()
    columns = ["session", "symbol", "security", "open", "close"]
    parts = [read_table(folder, record, columns).to_pandas() for record in manifest.of_role(FileRole.BARS)]
    bars = pd.concat(parts).sort_values(["security", "session"], kind="stable")
    bars["before"] = bars.groupby("security", sort=False)["close"].shift(1)
    found = [_proposal(row) for row in bars.itertuples() if (row.symbol, row.session) in suspected]
    return tuple(sorted(found, key=lambda p: (p.effective, p.symbol)))


def _proposal(row: object) -> Proposal:
    symbol, day = str(getattr(row, "symbol")), getattr(row, "session")  # noqa: B009 - rows of pandas are untyped
    opened, closed, before = (float(getattr(row, name)) for name in ("open", "close", "before"))
    larger = max(opened / before, before / opened)
    nearest = float(SPLIT_RATIOS[np.abs(larger / SPLIT_RATIOS - 1).argmin()])
    ratio = nearest if opened < before else round(1 / nearest, 6)
    return Proposal(symbol, day, ratio, opened / before, closed / before)


def to_csv(found: Sequence[Proposal], words: Sequence[SecondWord] = ()) -> bytes:
    """Write splits and a second vendor's words as an actions file; `known_at` is the day itself: nobody announced them."""
    rows: list[tuple[object, ...]] = [("split", p.symbol, p.effective, p.effective, p.ratio, None) for p in found]
    rows += [("confirmed", w.symbol, w.effective, w.effective, None, None) for w in words if w.confirms]
    rows += [("delisting", w.symbol, w.effective, w.effective, None, w.last) for w in words if not w.confirms]
    sink = io.StringIO()
    pd.DataFrame(rows, columns=["kind", "symbol", "effective", "known_at", "ratio", "cash"]).to_csv(sink, index=False)
    return sink.getvalue().encode()
