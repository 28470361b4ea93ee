"""Sessions of minutes of every symbol: quality, contract, and the overnight adjustment of the price."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from signals.market.bars import Bars, Flags, Floats
from signals.market.sessions import SessionStatus
from signals.minutes.bars import PRICES
from signals.minutes.grid import MAX_MISSING, SessionGrid, carried

MANY = 5  # symbols in a file from which on most of them having a minute makes it missing for the others
JUMP = 0.2  # over a night, without an action that is on record


Spoiled = dict[Any, int]  # rows quarantined by (symbol, session)


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


def table(found: dict[str, SymbolSessions], grid: SessionGrid, spoiled: Spoiled, daily: Bars | None) -> pd.DataFrame:
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
