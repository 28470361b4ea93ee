"""Findings for a person: missing bars by symbol and range, splits that the bars suggest, and twins, one series under two symbols.

Entry points: `missing`, `summary` (one line for a person); `proposals`, `to_csv` (an actions file for `trainer ingest --actions`),
which a person confirms; `twins`, `twins_of`. A vendor that delivers a company under its old and its new symbol, or a file joined
from two vendors, does so. Share classes of one company move together, too, but not to a millionth and not in volume.
"""

import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from signals.audit.defects import SPLIT_RATIOS, Reason
from signals.market.dataset import read_table
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.market.sessions import Calendar
from trainer.curation.audit.second_vendor import SecondWord

ABSENT = (Reason.EXPECTED_ABSENT, Reason.MISSING_SESSION)
RECENT_SESSIONS = 5
SHOWN = 6
Cell = tuple[str, date]


@dataclass(frozen=True, order=True)
class Missing:
    """A run of consecutive sessions at which a symbol has no usable bar."""

    symbol: str
    first: date
    last: date
    sessions: int

    def __str__(self) -> str:
        span = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return f"{self.symbol} {span}"


def missing(folder: Path, manifest: Manifest, first: date, last: date) -> tuple[Missing, ...]:
    """Return what [first, last] lacks: expected or interrupted names, quarantined rows, sessions after the last bar.

    `last` is a session of the calendar; past the dataset's own, every name with a bar in its last five sessions is missed.

    Raises
    ------
    BadDataset
        A file is not what the manifest vouches for.
    """
    wanted: set[Cell] = set()
    for record in manifest.of_role(FileRole.FINDINGS):
        rows = read_table(folder, record).to_pylist()
        wanted |= {(row["symbol"], row["date"]) for row in rows if row["reason"] in ABSENT}
    for record in manifest.of_role(FileRole.QUARANTINE):
        rows = read_table(folder, record, ["symbol", "date"]).to_pylist()
        wanted |= {(row["symbol"], row["date"]) for row in rows if manifest.calendar.is_session(row["date"])}
    wanted = {cell for cell in wanted if first <= cell[1] <= last}
    held = _held(folder, manifest, {day for _, day in wanted})
    after = [day for day in manifest.calendar.between(manifest.last, last) if day > manifest.last and day >= first]
    wanted |= {(symbol, day) for symbol in _alive(folder, manifest) for day in after} if after else set()
    return _runs(wanted - held, manifest.calendar)


def summary(found: Sequence[Missing]) -> str:
    """Name the largest holes, and count the others; empty where there are none."""
    if not found:
        return ""
    bars, symbols = sum(run.sessions for run in found), {run.symbol for run in found}
    shown = sorted(found, key=lambda run: (-run.sessions, run))[:SHOWN]
    more = f" and {len(found) - len(shown):,} more" if len(found) > len(shown) else ""
    return f"{bars:,} bars of {len(symbols):,} symbols: {', '.join(str(run) for run in shown)}{more}"


def _held(folder: Path, manifest: Manifest, days: set[date]) -> set[Cell]:
    """Cells of `days` that have a bar: a duplicate is quarantined next to the copy that was kept."""
    cells: set[Cell] = set()
    for record in manifest.of_role(FileRole.BARS):
        if record.first is not None and record.last is not None and days:
            table = read_table(folder, record, ["symbol", "session"])
            kept = table.filter(pc.is_in(table.column("session"), value_set=pa.array(sorted(days), pa.date32())))
            cells |= set(zip(kept.column("symbol").to_pylist(), kept.column("session").to_pylist(), strict=True))
    return cells


def _alive(folder: Path, manifest: Manifest) -> list[str]:
    """Symbols with a bar in the last sessions."""
    recent = set(manifest.calendar.between(manifest.first, manifest.last)[-RECENT_SESSIONS:])
    return sorted({symbol for symbol, _ in _held(folder, manifest, recent)})


def _runs(cells: Iterable[Cell], calendar: Calendar) -> tuple[Missing, ...]:
    by_symbol: dict[str, list[int]] = defaultdict(list)
    for symbol, day in cells:
        by_symbol[symbol].append(calendar.index(day))
    found = []
    for symbol, places in sorted(by_symbol.items()):
        places.sort()
        start = places[0]
        for before, place in zip(places, [*places[1:], None], strict=True):
            if place != before + 1:
                found.append(Missing(symbol, calendar.days[start], calendar.days[before], before - start + 1))
                start = place if place is not None else start
    return tuple(found)


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
    """Return the pairs of securities of which, in some window, nearly all common sessions are alike, by the COLUMNS of `bars`."""
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
