"""Backfill: fetches missing bars from a vendor, stores them as a delivery and curates again.

Entry point: `backfill`.

Invariants
----------
1. Only missing cells are filled. A session on either side is asked for too: where the vendor agrees there with what is
   held it anchors the adjusted closes, and where it does not by more than `MOST_DISAGREEMENT` the symbol is refused.
   A vendor without those sessions is held to the bars next to each gap: see `off_level`.
2. Answers are kept in `spool/` as they come, so that an interrupted backfill asks for the rest only.
3. What came is one delivery; asking again when nothing is missing, or when nothing new comes, delivers nothing.
"""

import io
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from signals.errors import BadBars
from signals.files import sha256_of, write_atomic
from signals.market.actions import Action, ActionKind
from signals.market.bars import Floats
from signals.market.dataset import load_actions, read_table
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.market.sessions import Calendar
from trainer.curation.audit.findings import Missing, missing
from trainer.curation.deliveries.known import LEVEL, PRICES, ROUNDING
from trainer.curation.deliveries.receipts import DeliveryPart
from trainer.curation.ingest import BarVendor, added_terms, deliver, refresh, whole_delivery

SPOOL = "spool"
SYMBOLS_PER_REQUEST = 100
MOST_DISAGREEMENT = 5e-3  # of the close on a session that both have; consolidated closes of two vendors differ by less
ACTION_COLUMNS = ["kind", "symbol", "effective", "ratio", "cash", "new_symbol"]
BOTH_SIDES = 0.05  # log; by that much a name's opens seldom leave the close before, there and back again
ONE_SIDE = 0.20
OF_ALL = 0.4  # part of these that the median name may show
LEAST_NAMES = 10  # gaps whose median is no coincidence
REMEDY = "deliver the session before or after the gap too, which shows the level"


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


def off_level(
    filling: pd.DataFrame, agreed: pd.DataFrame, held: pd.DataFrame, actions: Iterable[Action], runs: Sequence[Missing], manifest: Manifest
) -> dict[str, str]:
    """Return why a symbol's bars that fill a gap are not proven to have the price level of the bars on both sides, by symbol.

    With c_b the held close before a gap and o_a the held open after it, o and c the first open and the last close of what
    fills it, and R the recorded split ratios in between (raw prices only), the steps are

        e = log(R o / c_b),    x = log(R o_a / c)

    A level that is wrong by a factor k moves e by log k and x by -log k; a real move shows in one of them. So the level is
    off by the smaller of |e| and |x| where their signs differ, and by nothing where they agree. At the first or the last
    bar of a name there is one step only, and more of it may be a real move. One wrong level for all names shows in their
    median long before it shows in one name.

    Parameters
    ----------
    filling : DataFrame
        symbol, date, open, close of the missing cells that were delivered.
    agreed : DataFrame
        symbol, date of the cells at which the delivery agrees with what is held; a gap next to one is believed.
    held : DataFrame
        symbol, date, open, close of these symbols.
    actions : iterable of Action
        Recorded ones.
    """
    gaps = _gaps(filling, agreed, runs, manifest)
    if gaps.empty:
        return {}
    if manifest.basis is PriceBasis.TOTAL_RETURN:  # it moves with every dividend: no step is large enough to see that
        return {name: f"{name}: total-return prices of a level that nothing shows; {REMEDY}" for name in gaps["symbol"]}
    before = held.rename(columns={"date": "date_before", "close": "close_before"})
    after = held.rename(columns={"date": "date_after", "open": "open_after"})
    gaps = pd.merge_asof(
        gaps.sort_values("first"),
        before[["symbol", "date_before", "close_before"]].sort_values("date_before"),
        left_on="first",
        right_on="date_before",
        by="symbol",
        allow_exact_matches=False,
    )
    gaps = pd.merge_asof(
        gaps.sort_values("last"),
        after[["symbol", "date_after", "open_after"]].sort_values("date_after"),
        left_on="last",
        right_on="date_after",
        by="symbol",
        allow_exact_matches=False,
        direction="forward",
    )
    strain = _strain(gaps, list(actions) if manifest.basis is PriceBasis.RAW else [])
    known = strain[np.isfinite(strain)]
    is_common = len(known) >= LEAST_NAMES and abs(float(np.median(known))) > OF_ALL
    wrong = gaps[np.isfinite(strain) & ((np.abs(strain) > 1) | is_common)]
    return {str(row["symbol"]): _reason(row) for row in wrong.to_dict("records")}


def _gaps(filling: pd.DataFrame, agreed: pd.DataFrame, runs: Sequence[Missing], manifest: Manifest) -> pd.DataFrame:
    """First open and last close of what fills each run that no agreed session is next to."""
    days, anchors = manifest.calendar.days, set(zip(agreed["symbol"], agreed["date"].dt.date, strict=True))
    by_symbol = {str(name): rows.sort_values("date") for name, rows in filling.groupby("symbol")}
    found = []
    for run in runs:
        low, high = manifest.calendar.index(run.first), manifest.calendar.index(run.last)
        beside = {(run.symbol, days[max(low - 1, 0)]), (run.symbol, days[min(high + 1, len(days) - 1)])}
        if run.symbol in by_symbol and not anchors & beside:
            rows = by_symbol[run.symbol]
            rows = rows[rows["date"].between(pd.Timestamp(run.first), pd.Timestamp(run.last))]
            if len(rows):
                first, last = rows.iloc[0], rows.iloc[-1]
                found.append((run.symbol, first["date"], last["date"], first["open"], last["close"]))
    frame = pd.DataFrame(found, columns=["symbol", "first", "last", "open", "close"])
    return frame.astype({"first": "datetime64[s]", "last": "datetime64[s]"})


def _strain(gaps: pd.DataFrame, actions: Sequence[Action]) -> Floats:
    """How far off each level is, over the limit for it, signed; NaN where no bar is held next to the gap."""
    entered, left = (
        np.log((gaps[now] / gaps[then]).to_numpy(np.float64)) for now, then in (("open", "close_before"), ("open_after", "close"))
    )
    for action in actions:
        if action.kind is ActionKind.SPLIT and action.ratio:
            of, at, step = gaps["symbol"] == action.symbol, pd.Timestamp(action.effective), np.log(float(action.ratio))
            entered[of & (gaps["date_before"] < at) & (at <= gaps["first"])] += step
            left[of & (gaps["last"] < at) & (at <= gaps["date_after"])] += step
    there_and_back = np.where(entered * left < 0, np.sign(entered) * np.minimum(np.abs(entered), np.abs(left)), 0.0)
    one = np.where(np.isnan(entered), -left, entered)
    has_both = np.isfinite(entered) & np.isfinite(left)
    return np.where(has_both, there_and_back / BOTH_SIDES, one / ONE_SIDE)


def _reason(row: Mapping[Hashable, Any]) -> str:
    said = [f"{row['symbol']} {row['first']:%Y-%m-%d}: {row['open']:g} delivered"]
    if not pd.isna(row["close_before"]):
        said.append(f"{row['close_before']:g} held on {row['date_before']:%Y-%m-%d}")
    if not pd.isna(row["open_after"]):
        said.append(f"{row['open_after']:g} on {row['date_after']:%Y-%m-%d}")
    return f"{', '.join(said)}; {REMEDY}"
