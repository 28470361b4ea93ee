"""Ingests minutes into a dataset that keeps them: partitioned by symbol and month, audited by symbol and session.

A session of a symbol has its quality, its contract and what the night before it takes from the price: an action, or a roll.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from signals.audit.defects import Rows, shifted_levels
from signals.errors import BadBars
from signals.market.bars import Bars, Flags, Floats
from signals.market.dataset import Manifest, folder_of, load_bars, manifest_path, read_manifest, stored_length, stored_tables
from signals.market.manifest import PriceBasis, Survivorship
from signals.market.sessions import NEW_YORK, Calendar, SessionAudit, SessionStatus, exchange
from signals.minutes.bars import PRICES, QUOTES, Counts
from signals.minutes.grid import MAX_MISSING, Hours, SessionGrid, carried, default_hours, exchange_name, grid_of
from trainer.curation.minutes.reading import DeliveredMinutes, read
from trainer.curation.vendors.cells import refuse_later
from trainer.curation.vendors.files import Note, no_note, vendor_of
from trainer.curation.vendors.mapping import Label
from trainer.curation.vendors.packing import pack
from trainer.curation.writer import BARS_SCHEMA, DAY, FIGURE, FINDINGS_SCHEMA, TEXT, DatasetContent, write_dataset

AHEAD = timedelta(days=366)
FIGURES = (*PRICES, "volume")
QUARANTINE = pa.schema(
    [("date", DAY), ("end", pa.timestamp("s")), ("symbol", TEXT), *((name, FIGURE) for name in FIGURES), ("reasons", TEXT)]
)
LEAST_BARS, LEAST_LEVELS = 5, 4  # bars and different closes of a session that another can be said to repeat
ONE_FACTOR, ONE_FACTOR_OF_RANGE = 1e-4, 0.05  # how far the steps to the session before may differ, as logarithms, and of its range
KEYS = ("symbol", "root", "contract", "end")
MANY = 5  # symbols in a file from which on most of them having a minute makes it missing for the others
JUMP = 0.2  # over a night, without an action that is on record
Spoiled = dict[Any, int]  # rows quarantined by (symbol, session)


@dataclass(frozen=True)
class MinuteTerms:
    """How a delivery of minutes is read; see `trainer.curation.minutes.reading.read`.

    `daily` is a dataset of daily bars of the same symbols, whose returns say what splits and dividends took over each night;
    nobody has a minute of a day after `today` in New York.
    """

    calendar: str
    zone: str = ""
    label: Label | None = None
    symbol: str = ""
    basis: PriceBasis = PriceBasis.RAW
    name: str = ""
    daily: Path | None = None
    is_added: bool = False
    today: date | None = None


def ingest_minutes(files: Iterable[Path], folder: Path, terms: MinuteTerms, note: Note = no_note) -> Manifest:
    """Curate the minutes of `files` as the next version of the dataset `folder`.

    Rows that cannot be true are quarantined with their reasons, and rows outside of the sessions with them; nothing is filled.

    Raises
    ------
    BadBars
        Unreadable, a minute of the future, none in a session, or bars of another length than those that are added to; nothing was written.
    """
    calendar = exchange_name(terms.calendar)
    before = read_manifest(folder) if terms.is_added and manifest_path(folder, None).exists() else None
    packed = [pack(path) for path in files]
    parts = [_delivered(content, name, terms, note) for name, content in packed]
    lengths = {part.length for part in parts} | ({stored_length(folder, before)} if before else set())
    if len(lengths) != 1:
        raise BadBars(
            f"bars of {' and '.join(str(n) for n in sorted(lengths))} minutes together",
            where=str(folder),
            fix="Ingest each into its own dataset",
        )
    (length,) = lengths
    for sentence in dict.fromkeys(said for part in parts for said in part.understood):
        note(sentence)
    if before is not None:
        parts = [DeliveredMinutes(stored_rows(folder, before), length, calendar, ()), *parts]
    rows = pd.concat([part.rows for part in parts], ignore_index=True).drop_duplicates(ignore_index=True)
    days = exchange(calendar, rows["end"].min().date() - timedelta(days=10), rows["end"].max().date() + AHEAD)
    whole = grid_of(days, Hours.BOTH)
    kept, bad = _checked(rows, whole, length, is_revised=before is not None)
    if kept.empty:
        raise BadBars("no minute is in a session", where=str(folder), fix="Check --calendar and --zone")
    days = Calendar(days.name, days.sessions[days.index(_day(kept["session"].min())) :])
    placed_in_vain = bad.loc[bad["session"].isin(pd.DatetimeIndex(days.days)), "session"]
    first, last = days.days[0], _day(pd.concat([kept["session"], placed_in_vain]).max())
    if len(bad):
        note(f"{len(bad):,} rows are quarantined: {', '.join(f'{n:,} {why}' for why, n in bad['reasons'].value_counts().items())}")
    there = {_day(day) for day in kept["session"].unique()}
    audited = grid_of(Calendar(days.name, tuple(one for one in days.sessions if one.day in there)), default_hours(calendar))
    spoiled = bad.groupby(["symbol", "session"]).size().to_dict()
    daily = None if terms.daily is None else _daily(terms.daily)
    found = session_rows(sessions_of(kept, audited, length), audited, spoiled, daily).assign(length=length)
    content = DatasetContent(
        name=terms.name or folder.name,
        vendor=before.vendor if before else vendor_of(packed[0][1], where=packed[0][0]),
        basis=before.basis if before else terms.basis,
        calendar=days,
        bars=BARS_SCHEMA.empty_table(),
        actions=(),
        quarantine=_quarantine(bad),
        findings=_findings(found),
        universe=None,
        audits=_audits(days.between(first, last), found, kept, bad),
        non_sessions=(),
        survivorship=str(Survivorship.UNKNOWN),
        min_history=1,
        minutes=_partitions(kept),
        minute_sessions=_sessions_table(found),
    )
    return write_dataset(folder, content)


def _delivered(content: bytes, name: str, terms: MinuteTerms, note: Note) -> DeliveredMinutes:
    """Read one file of minutes; raise `BadBars` for a minute of the future."""
    calendar = exchange_name(terms.calendar)
    part = read(content, calendar=calendar, zone=terms.zone, label=terms.label, symbol=terms.symbol, note=note, where=name)
    last_minute = part.rows["end"] - pd.Timedelta(minutes=1)  # a bar that ENDs at midnight is of the day before
    days_there = last_minute.dt.tz_localize("UTC").dt.tz_convert(NEW_YORK).dt.tz_localize(None).dt.normalize()
    refuse_later(days_there, terms.today, where=name, what="a minute of the future:")
    return part


def stored_rows(folder: Path, manifest: Manifest, symbols: tuple[str, ...] = ()) -> pd.DataFrame:
    """Rows of these symbols, of all where none is named, sorted by symbol and END."""
    frames = [table.to_pandas(use_threads=False) for table in stored_tables(folder, manifest, symbols)]
    found = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"symbol": []})
    found = found[found["symbol"].isin(symbols)] if symbols else found
    return found.drop(columns="session", errors="ignore").reset_index(drop=True)


def _checked(rows: pd.DataFrame, grid: SessionGrid, length: int, *, is_revised: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows that may be true, with their session and without quotes that cross, and the others with reasons; sorted by symbol and END."""
    rows = rows.sort_values(["symbol", "end"], kind="stable", ignore_index=True)
    session, bar = grid.cells(rows["end"].to_numpy().astype("datetime64[m]"), length)
    prices = rows[list(PRICES)]
    trades = prices.notna().any(axis=1)
    low, high = prices[["open", "close"]].min(axis=1), prices[["open", "close"]].max(axis=1)
    reasons = {
        "outside of the sessions": session < 0,
        "a price is missing": trades & prices.isna().any(axis=1),
        "a price is not positive": ((prices <= 0.0) | np.isinf(prices)).any(axis=1),
        "the range does not hold open and close": (rows["low"] > low) | (rows["high"] < high),
        "a volume is negative or not finite": (rows["volume"] < 0.0) | np.isinf(rows["volume"]),
        "another bar of the same minute": rows.duplicated(["symbol", "end"], keep="last" if is_revised else "first"),
    }
    flags = np.array([np.asarray(flag, dtype=bool) for flag in reasons.values()])
    if is_revised:
        flags[-1] = False  # a later delivery revises
        dropped = rows.duplicated(["symbol", "end"], keep="last").to_numpy()
    else:
        dropped = np.zeros(len(rows), dtype=bool)
    named = rows.assign(session=np.where(session < 0, np.datetime64("NaT"), grid.sessions[session]).astype("datetime64[s]"))
    sound = ~flags.any(axis=0) & ~dropped & trades.to_numpy()
    again = _repeats(rows, sound, session, bar)
    more = {
        "every bar of the session is that of the session before, times one factor": again,
        "moved by 100 or 1000 for a few bars": _slips(rows, sound & ~again),
    }
    flags = np.vstack([flags, *more.values()])
    spoiled = flags.any(axis=0) & ~dropped
    names = np.array([*reasons, *more], dtype=object)
    bad = named[spoiled].assign(reasons=["; ".join(names[flags[:, row]]) for row in np.flatnonzero(spoiled)])
    bad["session"] = bad["session"].fillna(bad["end"].dt.normalize().astype("datetime64[s]"))
    kept = named[~spoiled & ~dropped].copy()
    kept.loc[kept["close"].notna(), "volume"] = kept["volume"].fillna(0.0)
    if {"bid", "ask"} <= {*kept}:
        crossed = ~((kept["bid"] > 0.0) & (kept["ask"] >= kept["bid"]) & np.isfinite(kept["ask"]))
        kept.loc[crossed, [name for name in QUOTES if name in kept]] = np.nan
    return kept.reset_index(drop=True), bad.reset_index(drop=True)


def _slips(rows: pd.DataFrame, sound: Flags) -> Flags:
    """Rows whose level slipped by 100 or 1000 for a few bars, (R,)."""
    own = rows[sound]
    nothing = np.full(len(own), np.nan)
    days, codes = own["end"].to_numpy().astype("datetime64[m]"), np.unique(own["symbol"].astype(str), return_inverse=True)[1]
    figures = {name: own[name].to_numpy(dtype=np.float64) for name in FIGURES}
    found = np.zeros(len(rows), dtype=bool)
    bars = Rows(days, codes.astype(np.int64), **figures, adj_close=nothing, has_adjusted=False)
    found[sound] = shifted_levels(bars, np.ones(len(own), dtype=bool), np.ones(len(own)))
    return found


def _repeats(rows: pd.DataFrame, sound: Flags, session: Counts, bar: Counts) -> Flags:
    """Rows of sessions whose closes are those of the symbol's session before, bar for bar, times one factor, (R,)."""
    found = np.zeros(len(rows), dtype=bool)
    for own in rows[sound].groupby("symbol", sort=False).indices.values():
        at = np.flatnonzero(sound)[own]
        days, place = np.unique(session[at], return_inverse=True)
        log = np.full((len(days), int(bar[at].max()) + 1), np.nan)
        log[place, bar[at]] = np.log(rows["close"].to_numpy(dtype=np.float64)[at])
        known = np.isfinite(log)
        alike = (known[1:] == known[:-1]).all(axis=1) & (known[1:].sum(axis=1) >= LEAST_BARS)
        for s in np.flatnonzero(alike) + 1:
            step, own_range = np.ptp((log[s] - log[s - 1])[known[s]]), np.ptp(log[s][known[s]])
            if step <= min(ONE_FACTOR, ONE_FACTOR_OF_RANGE * own_range) and len(np.unique(log[s][known[s]])) >= LEAST_LEVELS:
                found[at[place == s]] = True
    return found


def _partitions(rows: pd.DataFrame) -> dict[str, pa.Table]:
    """Tables of one symbol and month by the start of their path."""
    columns = [*KEYS, *FIGURES, *(name for name in QUOTES if name in rows)]
    parts: dict[str, pa.Table] = {}
    for (symbol, month), own in rows.groupby(["symbol", rows["session"].dt.strftime("%Y-%m")], sort=True):
        arrays = [pa.array(own["session"].dt.date, pa.date32()), *(pa.array(own[name]) for name in columns)]
        start = f"{folder_of(str(symbol))}/{month}"
        parts[start if start not in parts else f"{start}_{len(parts)}"] = pa.table(arrays, names=["session", *columns])
    return parts


def _quarantine(bad: pd.DataFrame) -> pa.Table:
    rows = bad.assign(date=bad["session"].dt.date)
    return pa.table([pa.array(rows[field.name], field.type) for field in QUARANTINE], schema=QUARANTINE)


def _findings(found: pd.DataFrame) -> pa.Table:
    """What is said of each session that is not clean."""
    shown = found[found["status"] != str(SessionStatus.GREEN)].sort_values(["session", "symbol"])
    said = [pa.array(shown["session"].dt.date, pa.date32()), pa.array(shown["symbol"]), pa.array(shown["status"] + ": " + shown["reason"])]
    return pa.table(said, schema=FINDINGS_SCHEMA)


def _sessions_table(found: pd.DataFrame) -> pa.Table:
    ordered = found.sort_values(["session", "symbol"], kind="stable")
    others = [name for name in ordered.columns if name not in ("session", "symbol")]
    names = ["session", "symbol", *others]
    return pa.table([pa.array(ordered["session"].dt.date, pa.date32()), *(pa.array(ordered[name]) for name in names[1:])], names=names)


def _audits(days: tuple[date, ...], found: pd.DataFrame, kept: pd.DataFrame, bad: pd.DataFrame) -> tuple[SessionAudit, ...]:
    """One audit a session over all symbols: RED where none is usable, AMBER where one is not clean."""
    by_day = pd.crosstab(found["session"].dt.date, found["status"])
    rows, held = (frame.groupby(frame["session"].dt.date).size().to_dict() for frame in (kept, bad))
    audits = []
    for day in days:
        lost, odd, clean = (int(by_day[status].get(day, 0)) if status in by_day else 0 for status in ("RED", "AMBER", "GREEN"))
        status = SessionStatus.RED if not odd + clean else SessionStatus.AMBER if lost or odd else SessionStatus.GREEN
        came, bad_ones = int(rows.get(day, 0)), int(held.get(day, 0))
        counts = (("minutes missing", lost), ("a minute or row is doubtful", odd), ("every row quarantined", 0 if came else bad_ones))
        reasons = tuple(f"{what}: {number}" for what, number in counts if number)
        audits.append(SessionAudit(day, status, reasons, odd + clean, came, came + bad_ones, bad_ones))
    return tuple(audits)


def _daily(folder: Path) -> Bars:
    manifest = read_manifest(folder)
    return load_bars(folder, manifest, manifest.first, manifest.last)


def _day(moment: Any) -> date:
    return pd.Timestamp(moment).date()


@dataclass(frozen=True, eq=False)
class SymbolSessions:
    """One symbol's sessions on the audit's grid: placed rows, quality, first and last price, volume, (S,)."""

    symbol: str
    root: str
    contract: str
    has: Flags
    missing: np.ndarray
    first: Floats
    last: Floats
    volume: Floats


def sessions_of(rows: pd.DataFrame, grid: SessionGrid, length: int) -> dict[str, SymbolSessions]:
    """Place every symbol's rows on the grid and say what each session of it misses."""
    placed = {}
    for symbol, own in rows.groupby("symbol", sort=True):
        grids, has = grid.placed(own["end"].to_numpy().astype("datetime64[m]"), {n: own[n].to_numpy() for n in (*PRICES, "volume")}, length)
        placed[str(symbol)] = (own.iloc[0], grids, has)
    is_crowd = len(placed) >= MANY and all(not row["contract"] for row, _, _ in placed.values())
    shared = np.mean([has for _, _, has in placed.values()], axis=0) > 0.5 if is_crowd else None
    found = {}
    for symbol, (row, grids, has) in placed.items():
        there: Flags = np.any(has, axis=1)
        absent = None if shared is None else shared & ~has
        filled = carried(grids, grid.minutes, length=length, absent=absent)
        close, opened = filled.grids["close"], filled.grids["open"]
        known = np.isfinite(close)
        first = np.take_along_axis(opened, np.argmax(known, axis=1)[:, None], axis=1)[:, 0]
        last = np.take_along_axis(close, known.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)[:, None], axis=1)[:, 0]
        volume = np.nansum(np.where(has, grids["volume"], 0.0), axis=1)
        found[symbol] = SymbolSessions(symbol, str(row["root"]), str(row["contract"]), there, filled.missing, first, last, volume)
    return found


def session_rows(found: dict[str, SymbolSessions], grid: SessionGrid, spoiled: Spoiled, daily: Bars | None) -> pd.DataFrame:
    """One row a symbol, or root of contracts, and session: contract, step, missing, status, reason."""
    parts = []
    for one in found.values():
        held = np.flatnonzero(one.has)
        parts.append(_rows(one, one.symbol, held, [one.symbol] * len(held), grid, spoiled, _actions(one, grid, daily)))
    for root in sorted({one.root for one in found.values()} - {""}):
        contracts = sorted((one for one in found.values() if one.root == root), key=lambda one: one.contract)
        chosen = _front(contracts)
        held = np.flatnonzero(chosen >= 0)
        names = [contracts[chosen[s]].symbol for s in held]
        step = np.ones(len(chosen))
        for s in held[1:]:
            old, new = contracts[chosen[s - 1]], contracts[chosen[s]]
            step[s] = old.last[s - 1] / new.last[s - 1] if chosen[s - 1] >= 0 and old is not new else 1.0
        missing = np.array([contracts[max(c, 0)].missing[s] for s, c in enumerate(chosen)])
        first, last = (np.array([getattr(contracts[max(c, 0)], name)[s] for s, c in enumerate(chosen)]) for name in ("first", "last"))
        rolled = SymbolSessions(root, root, "", chosen >= 0, missing, first, last, np.zeros(len(chosen)))
        parts.append(_rows(rolled, root, held, names, grid, spoiled, step))
    return pd.concat(parts, ignore_index=True)


def _front(contracts: list[SymbolSessions]) -> np.ndarray:
    """Which contract a session belongs to: the one of the most volume in the session before; never an earlier one again, -1 for none."""
    volume, there = np.array([one.volume for one in contracts]), np.array([one.has for one in contracts])
    chosen = np.full(volume.shape[1], -1, dtype=np.int64)
    newest, before = 0, -1
    for s in np.flatnonzero(there.any(axis=0)).tolist():
        if before >= 0:
            candidates = np.where(there[:, s] & there[:, before], volume[:, before], -1.0)
            candidates[:newest] = -1.0
            if candidates.max() > 0.0:
                newest = int(np.argmax(candidates))
                chosen[s] = newest
        before = s
    return chosen


def _actions(one: SymbolSessions, grid: SessionGrid, daily: Bars | None) -> Floats:
    """What splits and dividends of a daily dataset take from each session's first price; 1 where it says nothing."""
    step = np.ones(len(grid.sessions))
    if daily is None or one.symbol not in daily.symbols:
        return step
    column, at = daily.column(one.symbol), np.searchsorted(daily.sessions, grid.sessions)
    inside = (at > 0) & (at < len(daily.sessions))
    inside[inside] = daily.sessions[at[inside]] == grid.sessions[inside]
    now = at[inside]
    found = (1.0 + daily.overnight_return[now, column]) * daily.close[now - 1, column] / daily.open[now, column]
    step[inside] = np.where(np.isfinite(found), found, 1.0)
    return step


def _rows(
    one: SymbolSessions, symbol: str, held: np.ndarray, names: list[str], grid: SessionGrid, spoiled: Spoiled, step: Floats
) -> pd.DataFrame:
    share = one.missing[held] / grid.minutes[held]
    night = np.full(len(held), 0.0)
    night[1:] = step[held[1:]] * one.first[held[1:]] / one.last[held[:-1]] - 1.0
    bad = np.array([spoiled.get((name, pd.Timestamp(grid.sessions[s])), 0) for name, s in zip(names, held, strict=True)], dtype=np.int64)
    reasons, statuses = [], []
    for number, s in enumerate(held):
        doubts = [f"{one.missing[s]} of {grid.minutes[s]} minutes missing"] if one.missing[s] else []
        doubts += [f"{bad[number]} rows quarantined"] if bad[number] else []
        doubts += [f"{night[number]:+.0%} over the night without an action"] if not abs(night[number]) <= JUMP else []
        is_red = share[number] > MAX_MISSING or not np.isfinite(one.first[s])
        statuses.append(str(SessionStatus.RED if is_red else SessionStatus.AMBER if doubts else SessionStatus.GREEN))
        reasons.append("; ".join(doubts))
    return pd.DataFrame(
        {
            "symbol": symbol,
            "session": grid.sessions[held].astype("datetime64[s]"),
            "rows_of": names,
            "step": step[held],
            "missing": one.missing[held],
            "status": statuses,
            "reason": reasons,
        }
    )
