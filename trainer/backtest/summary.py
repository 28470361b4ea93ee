"""The summary document of a backtest, `backtest.json`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import numpy as np

from signals.errors import TooLittleHistory
from signals.market.bars import Floats
from trainer.backtest.archive import Archive
from trainer.backtest.benchmark import Benchmark, universe
from trainer.backtest.engine import BacktestDay, Course
from trainer.backtest.figures import by_regime, by_year, regimes_before, worth
from trainer.validation.deciles import SESSIONS_PER_YEAR


def traded_days(course: Course) -> tuple[BacktestDay, ...]:
    """Days from the first plan on: before it there was no book to judge.

    Raises
    ------
    TooLittleHistory
        No session had a plan.
    """
    begun = next((i for i, day in enumerate(course.days) if not day.skipped), None)
    if begun is None:
        reasons = Counter(day.skipped for day in course.days).most_common(1)
        raise TooLittleHistory(
            "no session of the range could be traded",
            where=reasons[0][0] if reasons else "",
            fix="Mend that, or choose a range whose scores have a year of history before them",
        )
    if course.ruined and len(course.days) == 1:
        raise TooLittleHistory(
            f"the book was ruined in its first session, {course.ruined}: one session has no figures",
            where=f"{course.days[0].real_equity:,.2f} USD after all costs",
            fix="Start at least a session earlier to see it in a report",
        )
    return course.days[min(begun, max(0, len(course.days) - 2)) :]


def net_returns(course: Course) -> Floats:
    """Net return of each traded day, of the value with every cost; shape (T,)."""
    return _returns(course, [day.real_equity for day in traded_days(course)])


def paper_returns(course: Course) -> Floats:
    """Return of each traded day as the paper account shows it; shape (T,)."""
    return _returns(course, [day.equity for day in traded_days(course)])


def summary(course: Course, archive: Archive, benchmark: Benchmark | None = None) -> dict[str, Any]:
    """Every figure of a backtest; money in USD, fractions of equity otherwise.

    Without a benchmark the net returns are compared with the equal-weight universe.
    """
    days, net = traded_days(course), net_returns(course)
    sessions = tuple(day.session for day in days)
    first = archive.whole.index(sessions[0])
    benchmark = benchmark or universe(archive)
    index = np.nan_to_num(benchmark.returns[first : first + len(days)])
    regimes = regimes_before(archive.index)[first : first + len(days)]
    return {
        "first": str(sessions[0]),
        "last": str(sessions[-1]),
        "sessions": len(days),
        "skipped": dict(Counter(day.skipped for day in course.days if day.skipped)),
        "ruined": str(course.ruined) if course.ruined else None,
        "start_equity_usd": str(course.start_equity),
        "end_equity_usd": str(days[-1].real_equity),
        "net": asdict(worth(net)),
        "paper": asdict(worth(paper_returns(course))),
        "benchmark": benchmark.document(net, index),
        "turnover": _turnover(days),
        "exposure": _exposure(days),
        "costs": _costs(days),
        "orders": {"count": len(course.orders), **dict(sorted(Counter(o.state for o in course.orders).items()))},
        "fills": len(course.fills),
        "by_year": _beside(by_year(sessions, net), by_year(sessions, index)),
        "by_regime": _beside(by_regime(net, regimes), by_regime(index, regimes)),
    }


def _beside(ours: dict[str, dict[str, Any]], theirs: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {**row, "benchmark_return": theirs[name]["total_return"]} for name, row in ours.items()}


def _returns(course: Course, values: list[Decimal]) -> Floats:
    level = np.array([float(course.start_equity), *map(float, values)])
    found: Floats = level[1:] / level[:-1] - 1.0
    return found


def _funded(days: tuple[BacktestDay, ...]) -> tuple[BacktestDay, ...]:
    """Days with a positive paper value: of no other does a fraction say anything."""
    return tuple(day for day in days if day.equity > 0)


def _turnover(days: tuple[BacktestDay, ...]) -> dict[str, float]:
    one_way = np.array([float(day.traded / day.equity) / 2.0 for day in _funded(days)] or [0.0])
    return {"per_session": float(one_way.mean()), "annual": float(one_way.mean()) * SESSIONS_PER_YEAR}


def _exposure(days: tuple[BacktestDay, ...]) -> dict[str, float]:
    gross = np.array([float(day.gross / day.equity) for day in _funded(days)] or [0.0])
    net = np.array([float(day.net / day.equity) for day in _funded(days)] or [0.0])
    return {
        "mean_gross": float(gross.mean()),
        "max_gross": float(gross.max()),
        "mean_long": float((gross + net).mean()) / 2.0,
        "mean_short": float((gross - net).mean()) / 2.0,
        "mean_net": float(net.mean()),
        "max_abs_net": float(np.abs(net).max()),
    }


def _costs(days: tuple[BacktestDay, ...]) -> dict[str, Any]:
    paid = {  # 0.0 -: no cost is 0, not -0
        "auction_slippage": 0.0 - sum(float(day.auction) for day in days),
        "spread": 0.0 - sum(float(day.spread - day.auction) for day in days),
        "impact": 0.0 - sum(float(day.costs.impact - day.spread) for day in days),
        "borrow": 0.0 - sum(float(day.costs.borrow) for day in days),
        "fees": 0.0 - sum(float(day.costs.fees) for day in days),
    }
    equity = sum(float(day.equity) for day in _funded(days)) / max(1, len(_funded(days)))
    annual = SESSIONS_PER_YEAR / len(days) / equity if equity else 0.0
    return {
        "usd": paid,
        "annual": {name: value * annual for name, value in paid.items()},
        "annual_total": sum(paid.values()) * annual,
        "dividends_usd": sum(float(day.costs.dividends) for day in days),
        "unpriced": sorted({name for day in days for name in day.costs.unpriced}),
    }
