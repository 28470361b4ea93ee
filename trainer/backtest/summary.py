"""Summarises the course of a backtest: returns, costs, turnover and fills as figures."""

from collections import Counter
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from signals.errors import TooLittleHistory
from signals.market.bars import Floats
from trainer.backtest.archive import Archive, Benchmark, universe
from trainer.backtest.document import CostFigures, ExposureFigures, OneWayTurnover, PeriodFigures, TradingFigures, regimes_before, worth
from trainer.backtest.engine import BacktestDay, Course
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


def summary(course: Course, archive: Archive, benchmark: Benchmark | None = None) -> TradingFigures:
    """Return every figure.

    Without a benchmark the net returns are compared with the equal-weight universe.
    """
    days = traded_days(course)
    net = _returns(course, [day.real_equity for day in days])
    sessions = tuple(day.session for day in days)
    first = archive.whole.index(sessions[0])
    benchmark = benchmark or universe(archive)
    index = np.nan_to_num(benchmark.returns[first : first + len(days)])
    regimes = regimes_before(archive.index)[first : first + len(days)]
    return TradingFigures(
        first=sessions[0],
        last=sessions[-1],
        sessions=len(days),
        skipped=Counter(day.skipped for day in course.days if day.skipped),
        ruined=course.ruined,
        start_equity_usd=course.start_equity,
        end_equity_usd=days[-1].real_equity,
        net=worth(net),
        paper=worth(_returns(course, [day.equity for day in days])),
        benchmark=benchmark.document(net, index),
        turnover=_turnover(days),
        exposure=_exposure(days),
        costs=_costs(days),
        orders={"count": len(course.orders), **dict(sorted(Counter(o.state for o in course.orders).items()))},
        fills=len(course.fills),
        by_year=_periods(np.array([str(day.year) for day in sessions]), net, index),
        by_regime=_periods(regimes, net, index),
    )


def _periods(names: NDArray[np.str_], net: Floats, index: Floats) -> dict[str, PeriodFigures]:
    """Figures of the sessions of each name, shape (T,); those of fewer than two sessions are left out."""
    return {str(name): _period(net[names == name], index[names == name]) for name in np.unique(names) if (names == name).sum() > 1}


def _period(net: Floats, index: Floats) -> PeriodFigures:
    found = worth(net)
    return PeriodFigures(
        sessions=found.sessions,
        total_return=found.total_return,
        annual_sharpe=found.annual_sharpe,
        annual_volatility=found.annual_volatility,
        max_drawdown=found.max_drawdown,
        benchmark_return=worth(index).total_return,
    )


def _returns(course: Course, values: list[Decimal]) -> Floats:
    """Return of each traded day by the values at their closes; shape (T,)."""
    level = np.array([float(course.start_equity), *map(float, values)])
    found: Floats = level[1:] / level[:-1] - 1.0
    return found


def _funded(days: tuple[BacktestDay, ...]) -> tuple[BacktestDay, ...]:
    """Days with a positive paper value: of no other does a fraction say anything."""
    return tuple(day for day in days if day.equity > 0)


def _turnover(days: tuple[BacktestDay, ...]) -> OneWayTurnover:
    one_way = np.array([float(day.traded / day.equity) / 2.0 for day in _funded(days)] or [0.0])
    return OneWayTurnover(float(one_way.mean()), float(one_way.mean()) * SESSIONS_PER_YEAR)


def _exposure(days: tuple[BacktestDay, ...]) -> ExposureFigures:
    gross = np.array([float(day.gross / day.equity) for day in _funded(days)] or [0.0])
    net = np.array([float(day.net / day.equity) for day in _funded(days)] or [0.0])
    return ExposureFigures(
        mean_gross=float(gross.mean()),
        max_gross=float(gross.max()),
        mean_long=float((gross + net).mean()) / 2.0,
        mean_short=float((gross - net).mean()) / 2.0,
        mean_net=float(net.mean()),
        max_abs_net=float(np.abs(net).max()),
    )


def _costs(days: tuple[BacktestDay, ...]) -> CostFigures:
    paid = {  # 0.0 -: no cost is 0, not -0
        "auction_slippage": 0.0 - sum(float(day.auction) for day in days),
        "spread": 0.0 - sum(float(day.spread - day.auction) for day in days),
        "impact": 0.0 - sum(float(day.costs.impact - day.spread) for day in days),
        "borrow": 0.0 - sum(float(day.costs.borrow) for day in days),
        "fees": 0.0 - sum(float(day.costs.fees) for day in days),
    }
    equity = sum(float(day.equity) for day in _funded(days)) / max(1, len(_funded(days)))
    annual = SESSIONS_PER_YEAR / len(days) / equity if equity else 0.0
    return CostFigures(
        usd=paid,
        annual={name: value * annual for name, value in paid.items()},
        annual_total=sum(paid.values()) * annual,
        dividends_usd=float(sum(float(day.costs.dividends) for day in days)),
        unpriced=tuple(sorted({name for day in days for name in day.costs.unpriced})),
    )
