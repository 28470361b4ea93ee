"""Backfill: fetches missing bars from a vendor, stores them as a delivery and curates again.

Entry point: `backfill`.

Invariants
----------
1. Only missing cells are filled. A session on either side is asked for too: where the vendor agrees there with what is
   held it anchors the adjusted closes, and where it does not by more than `MOST_DISAGREEMENT` the symbol is refused.
   A vendor without those sessions is held to the bars next to each gap: see `trainer.curation.audit.levels`.
2. Answers are kept in `spool/` as they come, so that an interrupted backfill asks for the rest only.
3. What came is one delivery; asking again when nothing is missing, or when nothing new comes, delivers nothing.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from signals.errors import BadBars
from signals.files import sha256_of, write_atomic
from signals.market.dataset import load_actions, read_table
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.market.sessions import Calendar
from trainer.curation.audit.findings import Missing, missing
from trainer.curation.audit.levels import off_level
from trainer.curation.deliveries.known import LEVEL, PRICES, ROUNDING
from trainer.curation.deliveries.receipts import DeliveryPart
from trainer.curation.ingest import BarVendor, added_terms, deliver, refresh, whole_delivery

SPOOL = "spool"
SYMBOLS_PER_REQUEST = 100
MOST_DISAGREEMENT = 5e-3  # of the close on a session that both have; consolidated closes of two vendors differ by less
ACTION_COLUMNS = ["kind", "symbol", "effective", "ratio", "cash", "new_symbol"]


@dataclass(frozen=True)
class Backfilled:
    """What was missing before and after a backfill, how many missing bars are there now, and how many actions came.

    `refused` are symbols whose prices the vendor gives at another level, or at one that nothing shows, each with the reason.
    """

    before: tuple[Missing, ...]
    after: tuple[Missing, ...]
    rows: int
    actions: int
    refused: tuple[str, ...]
    manifest: Manifest


@dataclass(frozen=True)
class BackfillRequest:
    """Symbols that lack the same sessions."""

    symbols: tuple[str, ...]
    first: date
    last: date

    def key(self, vendor: str) -> str:
        """Name of the answer in the spool."""
        said = json.dumps([vendor, self.symbols, str(self.first), str(self.last)])
        return f"{self.first}_{self.last}_{sha256_of(said.encode())[:12]}.parquet"


def backfill(
    folder: Path,
    vendor: BarVendor,
    first: date | None,
    last: date | None,
    *,
    today: date | None = None,
    on_request: Callable[[int, int], None] = lambda done, of: None,
) -> Backfilled:
    """Fill what [first, last] lacks; an end left open is the dataset's own.

    Raises
    ------
    BadBars
        The vendor's prices are on another basis than the dataset's.
    BadDataset
        The dataset or its deliveries cannot be trusted.
    BrokerUnreachable
        The vendor did not answer; what had come is kept for the next time.
    """
    manifest = refresh(folder)
    if vendor.basis is not manifest.basis:
        raise BadBars(
            f"{vendor.name} tells {vendor.basis} prices, the dataset holds {manifest.basis} ones",
            where=str(folder),
            fix=f"Name a vendor of {manifest.basis} prices, or ingest a whole history on the other basis",
        )
    span = (first or manifest.first, last or manifest.last)
    before = missing(folder, manifest, *span)
    answers = _answers(folder, vendor, requests(before, manifest.calendar), on_request)
    asked = list(before)
    delivered = pd.concat(answers, ignore_index=True) if answers else pd.DataFrame()
    rows, refused = _filling(delivered, asked, folder, manifest)
    actions = _new_actions(vendor, asked, folder, manifest)
    if len(rows) or len(actions):
        manifest = _deliver(folder, vendor, rows, actions, today)
    for path in (folder / SPOOL).glob("*.parquet"):
        path.unlink()
    after = missing(folder, manifest, *span)
    filled = sum(run.sessions for run in before) - sum(run.sessions for run in after)
    return Backfilled(before, after, filled, len(actions), refused, manifest)


def requests(found: Iterable[Missing], calendar: Calendar) -> tuple[BackfillRequest, ...]:
    """Group runs of the same sessions, with one session on either side, at most a hundred symbols a request."""
    groups: dict[tuple[date, date], list[str]] = {}
    for run in found:
        groups.setdefault((run.first, run.last), []).append(run.symbol)
    result = []
    for (first, last), symbols in sorted(groups.items()):
        low = calendar.days[max(0, calendar.index(first) - 1)]
        high = calendar.days[min(len(calendar.days) - 1, calendar.index(last) + 1)]
        for start in range(0, len(symbols), SYMBOLS_PER_REQUEST):
            result.append(BackfillRequest(tuple(sorted(symbols)[start : start + SYMBOLS_PER_REQUEST]), low, high))
    return tuple(result)


def _answers(
    folder: Path, vendor: BarVendor, asked: tuple[BackfillRequest, ...], on_request: Callable[[int, int], None]
) -> list[pd.DataFrame]:
    found = []
    for done, request in enumerate(asked, start=1):
        path = folder / SPOOL / request.key(vendor.name)
        if not path.exists():
            frame = vendor.bars(request.symbols, request.first, request.last)
            write_atomic(path, _parquet(frame))
        found.append(pd.read_parquet(path))
        on_request(done, len(asked))
    return [frame for frame in found if len(frame)]


def _filling(delivered: pd.DataFrame, asked: list[Missing], folder: Path, manifest: Manifest) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows for missing cells, `is_missing`, with the neighbours that agree with what is held; and who disagrees."""
    if delivered.empty:
        return delivered, ()
    delivered = delivered.drop_duplicates(ignore_index=True)
    wanted = pd.MultiIndex.from_tuples(list(_cells(asked, manifest.calendar)), names=["symbol", "date"])
    delivered["is_missing"] = pd.MultiIndex.from_frame(delivered[["symbol", "date"]]).isin(wanted)
    delivered = delivered[~(delivered["is_missing"] & _is_quarantined_already(delivered, folder, manifest))].reset_index(drop=True)
    held = _held(folder, manifest, {run.symbol for run in asked})
    beside = delivered[~delivered["is_missing"]].merge(held, on=["symbol", "date"], suffixes=("", "_held"))
    most = LEVEL if manifest.basis is PriceBasis.TOTAL_RETURN else MOST_DISAGREEMENT
    apart = beside[(beside["close"] / beside["close_held"] - 1).abs() > most]
    refused = {
        str(row.symbol): f"{row.symbol} {row.date:%Y-%m-%d}: {row.close:g} delivered, {row.close_held:g} held"
        for row in apart.drop_duplicates("symbol").itertuples()
    }
    agreed = beside.loc[~beside["symbol"].isin(apart["symbol"]), ["symbol", "date"]]
    missed = delivered[delivered["is_missing"] & ~delivered["symbol"].isin(apart["symbol"])]
    refused |= off_level(missed, agreed, held, load_actions(folder, manifest), asked, manifest)
    same = np.logical_and.reduce(
        [(beside[name] - beside[f"{name}_held"]).abs() <= ROUNDING * beside[name].abs() for name in PRICES]
        + [beside["volume"] == beside["volume_held"]]
    )
    anchors = pd.MultiIndex.from_frame(beside.loc[same, ["symbol", "date"]])
    kept = delivered["is_missing"] | pd.MultiIndex.from_frame(delivered[["symbol", "date"]]).isin(anchors)
    rows = delivered[kept & ~delivered["symbol"].isin(list(refused))]
    filled = set(rows.loc[rows["is_missing"], "symbol"])
    rows = rows[rows["symbol"].isin(filled)].sort_values(["symbol", "date"], kind="stable", ignore_index=True)
    return rows, tuple(refused.values())


def _is_quarantined_already(delivered: pd.DataFrame, folder: Path, manifest: Manifest) -> NDArray[np.bool_]:
    """Whether the very row is in the quarantine: a vendor that repeats a bad row tells nothing new."""
    columns = ["date", "symbol", *PRICES, "volume"]
    parts = [read_table(folder, r, columns).to_pandas() for r in manifest.of_role(FileRole.QUARANTINE)]
    bad = pd.concat(parts)
    bad["date"] = pd.to_datetime(bad["date"]).astype("datetime64[s]")
    known = pd.MultiIndex.from_frame(bad[columns].fillna(-1))
    return pd.MultiIndex.from_frame(delivered[columns].fillna(-1)).isin(known)


def _cells(asked: Iterable[Missing], calendar: Calendar) -> Iterator[tuple[str, pd.Timestamp]]:
    for run in asked:
        for day in calendar.between(run.first, run.last):
            yield run.symbol, pd.Timestamp(day)


def _held(folder: Path, manifest: Manifest, symbols: set[str]) -> pd.DataFrame:
    """Bars that the dataset holds of `symbols`."""
    parts = []
    for record in manifest.of_role(FileRole.BARS):
        table = read_table(folder, record, ["session", "symbol", *PRICES, "volume"])
        wanted = pc.is_in(table.column("symbol"), value_set=pa.array(sorted(symbols), pa.string()))
        parts.append(table.filter(wanted).to_pandas())
    columns = ["date", "symbol", *PRICES, "volume"]
    frame = pd.concat(parts).rename(columns={"session": "date"}) if parts else pd.DataFrame(columns=columns)
    frame["date"] = pd.to_datetime(frame["date"]).astype("datetime64[s]")
    return frame


def _new_actions(vendor: BarVendor, asked: list[Missing], folder: Path, manifest: Manifest) -> pd.DataFrame:
    if not asked:
        return pd.DataFrame()
    symbols = sorted({run.symbol for run in asked})
    found = vendor.actions(symbols, min(run.first for run in asked), max(run.last for run in asked))
    if found.empty:
        return found
    recorded = {(str(a.kind), a.symbol, a.effective) for a in load_actions(folder, manifest) if not a.inferred}
    keys = list(zip(found["kind"], found["symbol"], found["effective"], strict=True))
    return found[[key not in recorded for key in keys]]


def _deliver(folder: Path, vendor: BarVendor, rows: pd.DataFrame, actions: pd.DataFrame, today: date | None) -> Manifest:
    contents: dict[DeliveryPart, tuple[str, bytes]] = {}
    if len(rows):
        span = f"{rows['date'].min():%Y-%m-%d}_{rows['date'].max():%Y-%m-%d}"
        contents[DeliveryPart.BARS] = (f"backfill_{span}.parquet", _parquet(rows.drop(columns="is_missing")))
    if len(actions):
        contents[DeliveryPart.ACTIONS] = ("backfill_actions.csv", actions[ACTION_COLUMNS].to_csv(index=False).encode())
    return deliver(contents, folder, added_terms(whole_delivery(folder), today, vendor.name))


def _parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    frame.to_parquet(sink, index=False)
    return sink.getvalue()
