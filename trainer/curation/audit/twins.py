"""Detects twins: the same series under two symbols.

Entry points: `twins`, `twins_of`. A vendor that delivers a company under its old and its new symbol, or a file joined
from two vendors, does so. Share classes of one company move together, too, but not to a millionth and not in volume.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from signals.market.dataset import read_table
from signals.market.manifest import FileRole, Manifest

WINDOW = 63  # sessions that are judged together: a name may become another's copy
LEAST_SESSIONS = 20
ALIKE_SHARE = 0.8  # of the sessions of a window that both have
SAME_RETURN = 1e-6
NEAR_RETURN = 1e-3  # next to the same volume: prices on two levels are rounded to the cent on each
ONE_OF_THEM = "A book may hold both, twice the cap of a name: deliver one of them, or record its symbol_change"
COLUMNS = ["session", "symbol", "security", "volume", "total_return"]


@dataclass(frozen=True, order=True)
class Twins:
    """Two symbols that deliver one series.

    Attributes
    ----------
    first, last : date
        Of the sessions at which they are alike.
    sessions : int
        Number of them.
    """

    symbol: str
    other: str
    first: date
    last: date
    sessions: int

    def __str__(self) -> str:
        return f"{self.symbol} and {self.other} ({self.sessions:,} sessions from {self.first} to {self.last})"


def twins_of(folder: Path, manifest: Manifest, first: date, last: date) -> tuple[Twins, ...]:
    """Return the twins of [first, last] of the dataset in `folder`."""
    parts = [
        read_table(folder, record, COLUMNS)
        for record in manifest.of_role(FileRole.BARS)
        if record.first is not None and record.last is not None and record.first <= last and first <= record.last
    ]
    return twins(pa.concat_tables(parts), first, last) if parts else ()


def twins(bars: pa.Table, first: date, last: date) -> tuple[Twins, ...]:
    """Return the pairs of securities of which, in some window, nearly all common sessions are alike.

    Parameters
    ----------
    bars : Table
        With COLUMNS; other columns are not read.
    """
    frame = bars.select(COLUMNS).to_pandas()
    frame = frame[frame["session"].between(first, last) & frame["total_return"].abs().gt(SAME_RETURN)]
    frame["day"] = pd.factorize(frame["session"], sort=True)[0]
    frame["code"] = pd.factorize(frame["security"], sort=True)[0]
    frame["rounded"] = (frame["total_return"] / SAME_RETURN).round()
    alike = pd.concat([_beside(frame, "rounded", SAME_RETURN), _beside(frame[frame["volume"] > 0], "volume", NEAR_RETURN)])
    alike = alike.drop_duplicates().assign(window=lambda found: found["day"] // WINDOW)
    counts = alike.groupby(["a", "b", "window"]).size().reset_index(name="count")
    counts = counts[counts["count"] >= LEAST_SESSIONS]
    days = {code: rows["day"].to_numpy() for code, rows in frame.groupby("code")}
    pairs: dict[tuple[int, int], list[int]] = {}
    for a, b, window, count in counts.to_numpy().tolist():
        common = np.intersect1d(days[a], days[b]) // WINDOW
        if count >= ALIKE_SHARE * np.count_nonzero(common == window):
            pairs.setdefault((a, b), []).append(window)
    names, sessions = frame.groupby("code")["symbol"].last(), frame.groupby("day")["session"].first()
    found = []
    for (a, b), windows in pairs.items():
        at = alike.loc[(alike["a"] == a) & (alike["b"] == b) & alike["window"].isin(windows), "day"]
        one, other = sorted((str(names[a]), str(names[b])))
        found.append(Twins(one, other, sessions[int(at.min())], sessions[int(at.max())], len(at)))
    return tuple(sorted(found))


def _beside(frame: pd.DataFrame, column: str, most: float) -> pd.DataFrame:
    """Pairs of securities (a < b) with the same figure at a session and returns no further apart than `most`."""
    rows = frame.sort_values(["day", column, "total_return", "code"], kind="stable")
    after = rows.shift(-1)
    same = (rows["day"] == after["day"]) & (rows[column] == after[column])
    same &= (rows["total_return"] - after["total_return"]).abs() <= most
    codes = np.sort(np.stack([rows.loc[same, "code"], after.loc[same, "code"].astype(np.int64)]), axis=0)
    return pd.DataFrame({"a": codes[0], "b": codes[1], "day": rows.loc[same, "day"].to_numpy()})
