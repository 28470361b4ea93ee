"""Generates a synthetic market from a seed, as a vendor's raw daily bars and corporate actions.

Entry point: `generate`. Everything about it says that it is generated: the symbols begin with G, the Parquet file
carries the vendor "generated" in its metadata, and a notice is next to it.

The terminal's demo (`appliance.tui.demo.simulated_account`) draws another market: the hosts do not import each other,
and that one moves one session at a time with the book that trades it, where this one is a whole history with splits,
listings and defects for curation to find.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from signals.errors import FixInput
from signals.files import write_atomic
from signals.market.actions import Action, ActionKind
from signals.market.sessions import xnys
from trainer.curation.generated.prices import Characters, Floats, Prices, Returns, characters, draw_prices, draw_returns
from trainer.curation.writer import TOLD_UNIVERSE_SCHEMA, vendor_parquet

LATE_LISTING_SHARE = 0.08
DELISTING_SHARE = 0.07
RENAMING_SHARE = 0.03
SHORTEST_LIFE_SESSIONS = 60
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, eq=False)
class Lives:
    """Sessions on which each security exists, as rows of the market's session axis; arrays of shape (N,).

    Attributes
    ----------
    listed : int64
        First row with a bar.
    gone : int64
        First row without one; the number of sessions where the security survives.
    renamed : int64
        First row under the second symbol; the number of sessions where it keeps its first.
    symbol, later_symbol : tuple of str, length N
    """

    listed: NDArray[np.int64]
    gone: NDArray[np.int64]
    renamed: NDArray[np.int64]
    symbol: tuple[str, ...]
    later_symbol: tuple[str, ...]

    def alive(self, sessions: int) -> NDArray[np.bool_]:
        """Whether each security has a bar at each session, bool (T, N)."""
        rows = np.arange(sessions)[:, None]
        return (rows >= self.listed) & (rows < self.gone)


def draw_lives(rng: Generator, sessions: int, stocks: int, etfs: int) -> Lives:
    """Draw listings, delistings and renamings of the stocks; ETFs live throughout.

    At least one of each where there are stocks and sessions enough, so that even a small market has every kind.
    """
    count = stocks + etfs
    listed = np.zeros(count, dtype=np.int64)
    gone, renamed = np.full(count, sessions, dtype=np.int64), np.full(count, sessions, dtype=np.int64)
    order = rng.permutation(stocks)
    sizes = [max(1, round(stocks * share)) for share in (LATE_LISTING_SHARE, DELISTING_SHARE, RENAMING_SHARE)]
    late, dying, changing = np.split(order, np.cumsum(sizes))[:3]
    inner = (SHORTEST_LIFE_SESSIONS, max(SHORTEST_LIFE_SESSIONS + 1, sessions - SHORTEST_LIFE_SESSIONS))
    draws = [rng.integers(*inner, len(group)) for group in (late, dying, changing)]
    if sessions > 2 * SHORTEST_LIFE_SESSIONS:
        listed[late], gone[dying], renamed[changing] = draws
    names = _invented(rng, 2 * count)
    return Lives(listed, gone, renamed, names[:count], names[count:])


def _invented(rng: Generator, count: int) -> tuple[str, ...]:
    """Distinct invented symbols: four letters, the first a G for generated."""
    codes = rng.choice(26**3, size=count, replace=False)
    return tuple(f"G{LETTERS[c // 676]}{LETTERS[c // 26 % 26]}{LETTERS[c % 26]}" for c in codes)


ROW_RATE = 3.0e-4  # per row, over all kinds
# RED begins at 2 % of the expected names; stay well inside, names that are not yet eligible included.
SAFE_SHARE = 0.018
ELIGIBLE_AFTER_SESSIONS = 253


class Planted(StrEnum):
    """What was done to a row."""

    MISSING = "missing"
    NULL_PRICE = "null_price"
    NULL_VOLUME = "null_volume"
    HIGH_BELOW_BODY = "high_below_body"
    NON_POSITIVE_PRICE = "non_positive_price"
    COPY = "copy"
    CONFLICT = "conflict"


KINDS = tuple(Planted)


@dataclass(frozen=True, eq=False)
class DefectPlan:
    """Where each defect goes: arrays of shape (M,), sorted by session, then security."""

    session: NDArray[np.int64]
    security: NDArray[np.int64]
    kind: NDArray[np.int64]


def plan_defects(rng: Generator, alive: NDArray[np.bool_], rate: float = ROW_RATE) -> DefectPlan:
    """Choose rows to spoil among the living ones, bool (T, N).

    A defect that costs a session its row is planted only while the eligible names allow it; a copy costs none.
    """
    chosen = (rng.random(alive.shape) < rate) & alive
    kinds = rng.integers(0, len(KINDS), alive.shape)
    history = np.cumsum(alive, axis=0)
    eligible = alive & (history > ELIGIBLE_AFTER_SESSIONS)
    allowed = np.floor(SAFE_SHARE * eligible.sum(axis=1)).astype(np.int64)
    costly = chosen & (kinds != KINDS.index(Planted.COPY)) & (history >= ELIGIBLE_AFTER_SESSIONS - 1)
    chosen &= ~(costly & (np.cumsum(costly, axis=1) > allowed[:, None]))
    chosen[:1] = False
    session, security = np.nonzero(chosen)
    return DefectPlan(session, security, kinds[session, security])


SECTORS = (
    "Communication",
    "Consumer Cyclical",
    "Consumer Staples",
    "Energy",
    "Financials",
    "Health Care",
    "Industrials",
    "Information Technology",
    "Materials",
    "Real Estate",
    "Utilities",
)
SESSIONS = 2016
SYMBOLS = 220
END = date(2025, 12, 31)
STRENGTH = 0.075  # kappa: what the planted state adds to the next return, in units of the session's own volatility
ETF_SHARE = 0.03
HALT_RATE = 2.0e-4
FEWEST_SYMBOLS = 10
VENDOR = "generated"
NOTICE = "GENERATED MARKET: these symbols, prices and corporate actions are invented from seed {seed}. None is real.\n"
NOTICE_SESSIONS = {ActionKind.SPLIT: 10, ActionKind.DIVIDEND: 15, ActionKind.DELISTING: 5, ActionKind.SYMBOL_CHANGE: 10}
SEASONING_SESSIONS = 253  # sessions after its listing, its own included, that make a stock a member
UNIVERSE_FILE = "universe.parquet"
FIGURES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, eq=False)
class Truth:
    """The market's truth, which a vendor does not deliver; for tests.

    Attributes
    ----------
    sessions : tuple of date, length T
    first_symbols : tuple of str, length N
        The symbol under which each security listed.
    alive : bool, shape (T, N)
    total_return : float64, shape (T, N)
        Of the rounded raw prices with splits and dividends; NaN at the first session of each life.
    state : float64, shape (T, N)
        The planted state at each close.
    kappa : float
        Its effect; 0 when the signal is off.
    defects : tuple of (date, str, Planted)
    is_etf : bool, shape (N,)
    edge : float64, shape (T, N)
        The planted drift after each breakout, signed.
    """

    sessions: tuple[date, ...]
    first_symbols: tuple[str, ...]
    alive: NDArray[np.bool_]
    total_return: Floats
    state: Floats
    kappa: float
    defects: tuple[tuple[date, str, Planted], ...]
    is_etf: NDArray[np.bool_]
    edge: Floats


@dataclass(frozen=True, eq=False)
class GeneratedMarket:
    """A generated delivery.

    Attributes
    ----------
    bars : Table
        date, symbol (as it traded), open, high, low, close, volume (raw), kind, sector; sorted by date.
    """

    seed: int
    bars: pa.Table
    actions: tuple[Action, ...]
    truth: Truth
    lives: Lives

    def write(self, folder: Path, *, seasoning: int = SEASONING_SESSIONS) -> tuple[Path, Path]:
        """Write bars, actions, universe (.parquet) and a notice into `folder`; return the first two paths."""
        paths = folder / "bars.parquet", folder / "actions.parquet"
        tables = (self.bars, actions_rows(self.actions), self.universe(seasoning))
        for path, table in zip((*paths, folder / UNIVERSE_FILE), tables, strict=True):
            write_atomic(path, vendor_parquet(table, VENDOR))
        write_atomic(folder / "NOTICE.txt", NOTICE.format(seed=self.seed).encode())
        return paths

    def universe(self, seasoning: int = SEASONING_SESSIONS) -> pa.Table:
        """Point-in-time membership: every stock from its `seasoning`-th session on, until it is delisted or renamed.

        Two rows for a membership that ends: one known at its start, and one that became known with the end.
        """
        days, rows = self.truth.sessions, []
        for i in np.flatnonzero(~self.truth.is_etf):
            listed, gone, renamed = int(self.lives.listed[i]), int(self.lives.gone[i]), int(self.lives.renamed[i])
            start = listed + seasoning - 1
            first, later = self.lives.symbol[i], self.lives.later_symbol[i]
            rows += _membership(first, start, min(gone, renamed), ActionKind.SYMBOL_CHANGE, gone, days)
            if renamed < gone:
                rows += _membership(later, max(start, renamed), gone, ActionKind.DELISTING, gone, days)
        return pa.Table.from_pylist(sorted(rows, key=lambda r: (r["symbol"], r["known_at"])), schema=TOLD_UNIVERSE_SCHEMA)


def _membership(symbol: str, start: int, end: int, ends_by: ActionKind, gone: int, days: tuple[date, ...]) -> list[dict[str, object]]:
    """Rows of one membership of the sessions [start, end); none where it would never begin."""
    if start >= end:
        return []
    entry = {"symbol": symbol, "start": days[start], "end": None, "known_at": days[start]}
    if end >= len(days):
        return [entry]
    kind = ActionKind.DELISTING if end == gone else ends_by
    known = max(start, end - NOTICE_SESSIONS[kind])
    if known == start:
        return [{**entry, "end": days[end]}]
    return [entry, {**entry, "end": days[end], "known_at": days[known]}]


def generate(
    seed: int,
    symbols: int = SYMBOLS,
    sessions: int = SESSIONS,
    end: date = END,
    *,
    strength: float = STRENGTH,
    with_defects: bool = True,
    events: float = 0.0,
) -> GeneratedMarket:
    """Generate a market of `symbols` securities over the `sessions` sessions that end at `end`.

    Parameters
    ----------
    seed : int
        The same seed and arguments make the same market, byte for byte.
    symbols, sessions : int
        At least 10 and 2.
    strength : float
        kappa of `prices.py`; with 0 the planted state moves nothing.
    events : float
        Drift after a breakout (`Edges` of `prices.py`), in units of a session's volatility; 0 plants none.

    Raises
    ------
    NotASession
        `end` is not a session.
    FixInput
        Too few symbols or sessions.
    """
    if symbols < FEWEST_SYMBOLS or sessions < 2:
        raise FixInput(
            f"a market of {symbols} symbols and {sessions} sessions is too small",
            fix=f"Ask for {FEWEST_SYMBOLS} symbols and 2 sessions at least",
        )
    days = _days(sessions, end)
    rng = np.random.default_rng(seed)
    etfs = max(1, round(symbols * ETF_SHARE))
    traits = characters(rng, symbols, len(SECTORS), etfs)
    lives = draw_lives(rng, sessions, symbols - etfs, etfs)
    alive = lives.alive(sessions)
    returns = draw_returns(rng, traits, sessions, strength)
    halted = (rng.random(alive.shape) < HALT_RATE) & ~traits.is_etf
    prices = draw_prices(rng, returns, halted, events, seed)
    plan = plan_defects(rng, alive, *(() if with_defects else (0.0,)))
    actions = tuple(sorted(_actions(rng, prices, lives, days), key=lambda a: (a.effective, a.symbol, a.kind)))
    truth = _truth(days, lives, prices, returns, strength, plan, traits.is_etf)
    return GeneratedMarket(seed, _bars(prices, lives, traits, alive, days, plan), actions, truth, lives)


def _days(sessions: int, end: date) -> tuple[date, ...]:
    calendar = xnys(end - timedelta(days=sessions * 366 // 250 + 15), end + timedelta(days=7))
    last = calendar.index(end) + 1
    return calendar.days[last - sessions : last]


def _actions(rng: np.random.Generator, prices: Prices, lives: Lives, days: tuple[date, ...]) -> Iterator[Action]:
    def event(kind: ActionKind, t: int, i: int, *, ratio: float = 0, cash: float = 0, name: str = "") -> Action:
        symbol = lives.later_symbol[i] if t > lives.renamed[i] else lives.symbol[i]
        return Action(
            kind,
            symbol,
            days[t],
            days[max(0, t - NOTICE_SESSIONS[kind])],
            ratio=Decimal(str(ratio)) if ratio else None,
            cash=Decimal(f"{cash:.2f}") if kind in (ActionKind.DIVIDEND, ActionKind.DELISTING) else None,
            new_symbol=name or None,
        )

    inside = lives.alive(len(days))
    inside[1:] &= inside[:-1]
    inside[0] = False
    for t, i in np.argwhere((prices.ratio != 1) & inside):
        yield event(ActionKind.SPLIT, int(t), int(i), ratio=float(prices.ratio[t, i]))
    for t, i in np.argwhere((prices.cash > 0) & inside):
        yield event(ActionKind.DIVIDEND, int(t), int(i), cash=float(prices.cash[t, i]))
    for i in np.flatnonzero(lives.gone < len(days)):
        t = int(lives.gone[i])
        paid = float(prices.close[t - 1, i]) * float(rng.uniform(0.3, 1.2))
        yield event(ActionKind.DELISTING, t, int(i), cash=paid)
    for i in np.flatnonzero(lives.renamed < len(days)):
        yield event(ActionKind.SYMBOL_CHANGE, int(lives.renamed[i]), int(i), name=lives.later_symbol[i])


def _truth(
    days: tuple[date, ...], lives: Lives, prices: Prices, returns: Returns, kappa: float, plan: DefectPlan, is_etf: NDArray[np.bool_]
) -> Truth:
    alive = lives.alive(len(days))
    total = np.full(alive.shape, np.nan)
    total[1:] = prices.ratio[1:] * (prices.close[1:] + prices.cash[1:]) / prices.close[:-1] - 1
    total[1:][~(alive[1:] & alive[:-1])] = np.nan
    names = _names(lives, plan.session, plan.security)
    defects = tuple((days[t], str(name), KINDS[kind]) for t, name, kind in zip(plan.session, names, plan.kind, strict=True))
    return Truth(days, lives.symbol, alive, total, returns.state, kappa, defects, is_etf, prices.edge)


def _names(lives: Lives, session: NDArray[np.int64], security: NDArray[np.int64]) -> NDArray[np.object_]:
    first, later = np.array(lives.symbol, dtype=object), np.array(lives.later_symbol, dtype=object)
    return np.where(session >= lives.renamed[security], later[security], first[security])


def _bars(prices: Prices, lives: Lives, traits: Characters, alive: NDArray[np.bool_], days: tuple[date, ...], plan: DefectPlan) -> pa.Table:
    figures = {name: getattr(prices, name).copy() for name in FIGURES}
    cells = {kind: (plan.session[plan.kind == k], plan.security[plan.kind == k]) for k, kind in enumerate(KINDS)}
    figures["close"][cells[Planted.NULL_PRICE]] = np.nan
    figures["volume"][cells[Planted.NULL_VOLUME]] = np.nan
    figures["open"][cells[Planted.NON_POSITIVE_PRICE]] = 0.0
    bad = cells[Planted.HIGH_BELOW_BODY]
    figures["high"][bad] = np.round(np.maximum(figures["open"], figures["close"])[bad] * 0.97, 2)
    shown = alive.copy()
    shown[cells[Planted.MISSING]] = False
    session, security = np.nonzero(shown)
    rows = {name: figure[session, security] for name, figure in figures.items()}
    again = [np.concatenate([cells[Planted.COPY][axis], cells[Planted.CONFLICT][axis]]) for axis in (0, 1)]
    extra = {name: figure[again[0], again[1]] for name, figure in figures.items()}
    conflicts = slice(len(cells[Planted.COPY][0]), None)
    extra["volume"][conflicts] += 100.0
    session, security = np.concatenate([session, again[0]]), np.concatenate([security, again[1]])
    order = np.argsort(session, kind="stable")
    session, security = session[order], security[order]
    kinds, sectors = np.where(traits.is_etf, "etf", "stock"), np.array(SECTORS, dtype=object)[traits.sector]
    sectors[traits.is_etf] = ""
    return pa.table(
        {
            "date": pa.array(np.array(days, dtype="datetime64[D]")[session]),
            "symbol": pa.array(_names(lives, session, security), pa.string()),
            **{name: pa.array(np.concatenate([rows[name], extra[name]])[order]) for name in FIGURES},
            "kind": pa.array(kinds[security], pa.string()),
            "sector": pa.array(sectors[security], pa.string()),
        }
    )


def actions_rows(actions: tuple[Action, ...]) -> pa.Table:
    """Corporate actions in the vendor form that `trainer ingest --actions` reads."""
    return pa.table(
        {
            "kind": pa.array([str(a.kind) for a in actions], pa.string()),
            "symbol": pa.array([a.symbol for a in actions], pa.string()),
            "effective": pa.array([a.effective for a in actions], pa.date32()),
            "known_at": pa.array([a.known_at for a in actions], pa.date32()),
            "ratio": pa.array([None if a.ratio is None else float(a.ratio) for a in actions], pa.float64()),
            "cash": pa.array([None if a.cash is None else float(a.cash) for a in actions], pa.float64()),
            "new_symbol": pa.array([a.new_symbol for a in actions], pa.string()),
        }
    )
