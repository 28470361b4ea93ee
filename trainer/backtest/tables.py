"""Parquet tables of a backtest: orders, fills and session values, byte-reproducible.

The daily table takes the costs off one after the other:

    gross_equity = paper_equity + all dividends so far
    after_auction_slippage >= after_spread >= after_impact >= after_fees >= net_equity, the last of them less borrow too
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pyarrow as pa

from execution.costs.fees import regulatory_fees
from execution.fills import Fill
from signals.market.bars import Floats
from trainer.backtest.archive import Archive
from trainer.backtest.benchmark import Benchmark
from trainer.backtest.engine import BacktestDay, Course
from trainer.backtest.figures import regimes_before
from trainer.backtest.scored import Evenings

MONEY, SHARES = pa.decimal128(24, 6), pa.decimal128(24, 9)
STEP = Decimal("0.000001")
COST_COLUMNS = ("auction_slippage", "spread", "impact", "sec_fee", "taf_fee", "borrow")
ZERO = Decimal(0)


@dataclass(frozen=True)
class TableContext:
    """What the sessions of a course are told with."""

    archive: Archive
    scored: Evenings
    benchmark: Benchmark


def orders_table(course: Course) -> pa.Table:
    """One row an order, by session and id: what was asked, what became of it, and why it was not sent."""
    rows = course.orders
    return pa.table(
        {
            "session": pa.array([row.session for row in rows], pa.date32()),
            "client_order_id": pa.array([row.client_order_id for row in rows], pa.string()),
            "symbol": pa.array([row.intent.key.symbol for row in rows], pa.string()),
            "side": pa.array([row.intent.side.value for row in rows], pa.string()),
            "quantity": pa.array([row.intent.quantity for row in rows], SHARES),
            "type": pa.array([row.intent.type.value for row in rows], pa.string()),
            "tif": pa.array([row.intent.time_in_force.value for row in rows], pa.string()),
            "reference_price": _money(row.intent.reference_price for row in rows),
            "state": pa.array([row.state for row in rows], pa.string()),
            "filled": pa.array([row.filled for row in rows], SHARES),
            "reason": pa.array([row.reason for row in rows], pa.string()),
        }
    )


def fills_table(course: Course) -> pa.Table:
    """One row an execution, in the order in which they happened; `at` is UTC, fees are what it owes."""
    fills = course.fills
    fees = [regulatory_fees(f.side, f.quantity, f.price, f.at.date()) for f in fills]
    return pa.table(
        {
            "at": pa.array([f.at for f in fills], pa.timestamp("us", "UTC")),
            "id": pa.array([f.id for f in fills], pa.string()),
            "order_id": pa.array([f.order_id for f in fills], pa.string()),
            "symbol": pa.array([f.symbol for f in fills], pa.string()),
            "side": pa.array([f.side.value for f in fills], pa.string()),
            "quantity": pa.array([f.quantity for f in fills], SHARES),
            "price": _money(f.price for f in fills),
            "sec_fee": _money(-fee.sec for fee in fees),
            "taf_fee": _money(-fee.taf for fee in fees),
        }
    )


def nav_table(course: Course, context: TableContext) -> pa.Table:
    """One row a session: values in USD at the close, costs not positive, the benchmark from the same start."""
    days, calendar = course.days, context.archive.manifest.calendar
    costs = _costs(course)
    chain = _chain(days, costs)
    first = context.archive.whole.index(days[0].session)
    here = slice(first, first + len(days))
    level = float(course.start_equity) * np.cumprod(1.0 + np.nan_to_num(context.benchmark.returns[here]))
    columns = {
        "session": pa.array([day.session for day in days], pa.date32()),
        "paper_equity": _money(day.equity for day in days),
        **{name: _money(values) for name, values in chain.items()},
        "cash": _money(day.cash for day in days),
        "long": _money((day.gross + day.net) / 2 for day in days),
        "short": _money((day.net - day.gross) / 2 for day in days),
        "traded": _money(day.traded for day in days),
        "dividends": _money(day.costs.dividends for day in days),
        **{name: _money(costs[name]) for name in COST_COLUMNS},
        "benchmark": pa.array(level, pa.float64()),
        "regime": pa.array(regimes_before(context.archive.index)[here].tolist(), pa.string()),
        "scores": pa.array([context.scored.origin(calendar.previous(day.session)).value for day in days], pa.string()),
        "orders": pa.array([day.orders for day in days], pa.int32()),
        "skipped": pa.array([day.skipped for day in days], pa.string()),
    }
    return pa.table(columns)


def column(table: pa.Table, name: str) -> Floats:
    """Return a column of money as float64, for pictures and figures."""
    return np.array([float(value) for value in table.column(name).to_pylist()], dtype=np.float64)


def _costs(course: Course) -> dict[str, list[Decimal]]:
    days = course.days
    sec, taf = _fees(course.fills, [day.session for day in days])
    return {
        "auction_slippage": [day.auction for day in days],
        "spread": [day.spread - day.auction for day in days],
        "impact": [day.costs.impact - day.spread for day in days],
        "sec_fee": sec,
        "taf_fee": taf,
        "borrow": [day.costs.borrow for day in days],
    }


def _fees(fills: Iterable[Fill], sessions: Sequence[date]) -> tuple[list[Decimal], list[Decimal]]:
    sec, taf = dict.fromkeys(sessions, ZERO), dict.fromkeys(sessions, ZERO)
    for fill in fills:
        session = fill.at.date()  # the market is open within one UTC day
        owed = regulatory_fees(fill.side, fill.quantity, fill.price, session)
        sec[session] -= owed.sec
        taf[session] -= owed.taf
    return list(sec.values()), list(taf.values())


def _chain(days: Sequence[BacktestDay], costs: dict[str, list[Decimal]]) -> dict[str, list[Decimal]]:
    """Equity with ever more of the costs taken off; the last is the engine's own net value, to the cent."""
    steps = {
        "gross_equity": [day.costs.dividends for day in days],
        "after_auction_slippage": costs["auction_slippage"],
        "after_spread": costs["spread"],
        "after_impact": costs["impact"],
        "after_fees": [s + t for s, t in zip(costs["sec_fee"], costs["taf_fee"], strict=True)],
        "net_equity": costs["borrow"],
    }
    level = [day.equity for day in days]
    found = {}
    for name, step in steps.items():
        level = [value + taken for value, taken in zip(level, _running(step), strict=True)]
        found[name] = level
    return found


def _running(values: Iterable[Decimal]) -> list[Decimal]:
    total, found = ZERO, []
    for value in values:
        total += value
        found.append(total)
    return found


def _money(values: Iterable[Decimal]) -> pa.Array:
    return pa.array([value.quantize(STEP, ROUND_HALF_EVEN) for value in values], MONEY)
