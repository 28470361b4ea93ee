"""`trainer backtest`: runs one backtest and writes its folder of orders, fills, values, figures and report.

Invariants
----------
1. No session is traded on scores of a model that had seen it, unless a person asks for just that; the files say who
   scored each session, and call such scores in-sample.
2. The same run or bundle, dataset, range and settings give the same bytes.
3. The folder is whole or absent.

The daily table of a run takes the costs off one after the other:

    gross_equity = paper_equity + all dividends so far
    after_auction_slippage >= after_spread >= after_impact >= after_fees >= net_equity, the last of them less borrow too
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import accumulate, groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from execution.costs.fees import regulatory_fees
from execution.orders import Fill
from signals.errors import FixInput
from signals.market.bars import Floats, unknown_returns
from signals.storage.arrow import parquet_of
from trainer.backtest.archive import Archive, Benchmark, benchmark_of
from trainer.backtest.document import (
    BacktestFigures,
    BacktestProvenance,
    ScoreStretch,
    SharpeCertainty,
    SizingEvidence,
    Worth,
    regimes_before,
)
from trainer.backtest.engine import BacktestDay, Course, Progress
from trainer.backtest.scored import Evenings, Forecasts, Origin, forecasts, has_forecasts, store_of, tradable
from trainer.backtest.subject import BookSettings, trade
from trainer.backtest.summary import summary
from trainer.backtest.traded import Traded, of_bundle, of_run, of_sleeves
from trainer.runs import looks
from trainer.runs.looks import Look
from trainer.runs.run_folder import canonical_json
from trainer.runs.trials import Trials
from trainer.samples.source import UNKNOWN
from trainer.validation.significance import dsr

MONEY, SHARES = pa.decimal128(24, 6), pa.decimal128(24, 9)
STEP = Decimal("0.000001")
COST_COLUMNS = ("auction_slippage", "spread", "impact", "sec_fee", "taf_fee", "borrow")
ZERO = Decimal(0)


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


def nav_table(course: Course, scored: Evenings, benchmark: Benchmark) -> pa.Table:
    """One row a session: values in USD at the close, costs not positive, the benchmark from the same start."""
    days, archive = course.days, scored.archive
    costs = _costs(course)
    chain = _chain(days, costs)
    first = archive.whole.index(days[0].session)
    here = slice(first, first + len(days))
    level = float(course.start_equity) * np.cumprod(1.0 + np.nan_to_num(benchmark.returns[here]))
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
        "regime": pa.array(regimes_before(archive.index)[here].tolist(), pa.string()),
        "scores": pa.array([scored.origin(archive.manifest.calendar.previous(day.session)).value for day in days], pa.string()),
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
        level = [value + taken for value, taken in zip(level, accumulate(step), strict=True)]
        found[name] = level
    return found


def _money(values: Iterable[Decimal]) -> pa.Array:
    return pa.array([value.quantize(STEP, ROUND_HALF_EVEN) for value in values], MONEY)


ORDERS, FILLS, NAV, FIGURES = "orders.parquet", "fills.parquet", "nav.parquet", "backtest.json"


@dataclass(frozen=True)
class BacktestRequest:
    """Subject, range and settings of a backtest.

    Attributes
    ----------
    run : Path or None
        A run folder, or
    bundle : Path or None
        a bundle's folder or a store; exactly one of both.
    first, last : date
        Ends of the range; sessions at them without unseen scores are left out.
    benchmark : str
        A symbol or a file of closes, or empty for the equal-weight universe.
    trust : Path or None
        Root key that the bundle's keys must be signed by; None is the store's own.
    is_in_sample_allowed : bool
        Whether the sessions that the bundle learned from are traded too.
    risk : Path or None
        A risk bundle's folder or a store, whose forecasts scale the book; None takes that of the bundle's own store,
        as a device does, if there is one.
    sleeves : mapping of sleeve to weight
        Blend these sleeves of the store `bundle`; empty trades its newest bundle.
    """

    run: Path | None
    data: Path
    first: date
    last: date
    settings: BookSettings
    code_version: str
    benchmark: str = ""
    bundle: Path | None = None
    trust: Path | None = None
    is_in_sample_allowed: bool = False
    risk: Path | None = None
    sleeves: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Result:
    """Result of a backtest: the figures, the daily table and the files but for the report's."""

    figures: BacktestFigures
    nav: pa.Table
    files: Mapping[str, bytes]


def backtest(request: BacktestRequest, step: Progress = lambda day: None) -> Result:
    """Trade the range and return every figure and file of it.

    Raises
    ------
    FixInput
        The run, dataset or benchmark cannot be used, or the entry is not one that daily bars show.
    NotASession
        The range lacks unseen scores.
    TooLittleHistory
        No session of it could be traded.
    """
    if request.first > request.last:
        raise FixInput(f"{request.first} is after {request.last}", where="--start, --end", fix="Swap them")
    traded = _traded(request)
    archive, evenings = traded.archive, traded.evenings
    benchmark = benchmark_of(archive, request.benchmark)
    days = tradable(evenings, request.first, request.last, traded.horizon)
    benchmark.require(archive, days)
    sleeve, ends = traded.source.sleeve, (str(days[0]), str(days[-1]))
    for name in sleeve.split(", "):
        looks.record(request.data, Look("backtest", name, traded.model, *ends))
    policy = traded.policy(request.settings, request.code_version)
    risk = _risk(request, archive)
    volatility_on = risk.on if risk else lambda asof: {}
    course = trade(archive, policy, request.settings, list(days), evenings.on, step, volatility_on)
    nav = nav_table(course, evenings, benchmark)
    trading = summary(course, archive, benchmark)
    figures = BacktestFigures(
        **vars(trading),
        certainty=SharpeCertainty() if request.is_in_sample_allowed else certainty(trading.net, traded.trials),
        scores=origins(evenings, [day.session for day in course.days]),
        unknown_returns=unknown_returns(archive.whole),
        left_out=_left_out(archive, request, days),
        provenance=_provenance(traded, request, risk),
    )
    figures = replace(figures, warnings=warnings_of(figures))
    files = {
        ORDERS: parquet_of(orders_table(course)),
        FILLS: parquet_of(fills_table(course)),
        NAV: parquet_of(nav),
        FIGURES: canonical_json(figures),
    }
    return Result(figures, nav, files)


def certainty(net: Worth, trials: Trials) -> SharpeCertainty:
    """PSR of the net returns, and their DSR over the trials of the run where those were counted."""
    if net.sharpe is None or net.skewness is None or net.kurtosis is None:
        return SharpeCertainty()
    psr = dsr.probabilistic_sharpe_ratio(net.sharpe, net.sessions, skewness=net.skewness, kurtosis=net.kurtosis)
    hurdles = trials.known_hurdles
    if not hurdles:
        return SharpeCertainty(psr)
    known = dsr.SharpeMoments(net.sharpe, net.skewness, net.kurtosis, net.sessions)
    return SharpeCertainty(psr, dsr.strictest(known, hurdles), hurdles[0].trials)


def origins(unseen: Evenings, days: Sequence[date]) -> tuple[ScoreStretch, ...]:
    """Stretches of trade sessions by who scored them, oldest first."""
    calendar = unseen.archive.manifest.calendar
    stretches = groupby(days, key=lambda day: unseen.origin(calendar.previous(day)).value)
    named = [(origin, list(members)) for origin, members in stretches]
    return tuple(ScoreStretch(origin, members[0], members[-1], len(members)) for origin, members in named)


def warnings_of(figures: BacktestFigures) -> tuple[str, ...]:
    """Return warnings that qualify the figures."""
    known = figures.provenance
    found = []
    if figures.ruined:
        found.append(
            f"RUINED: on {figures.ruined} nothing was left of the book, "
            f"{float(figures.end_equity_usd):,.2f} USD after all costs. It ends there, and has no Sharpe ratio."
        )
    learned = sum(row.sessions for row in figures.scores if row.origin == Origin.IN_SAMPLE)
    if learned:
        found.append(
            f"IN-SAMPLE: in {learned} of {figures.sessions} sessions the model trades what it learned from. "
            "No figure here says anything about what it can earn."
        )
    if not known.is_trained_on:
        found.append("No version of this dataset is one that the bundle was trained on.")
    if known.fixed_ic is not None:
        found.append(f"The book is sized by a fixed IC of {known.fixed_ic:g}, a rehearsal: no evidence stands behind it.")
    else:
        found.append(
            f"Sized by the walk-forward evidence of the whole range ({known.ic.evidence:.2f} of the book that "
            "Kelly and the caps allow): the book's size knows the range, its ranking not."
        )
    risk = known.risk
    if risk and str(figures.first) <= risk["from"]:
        found.append(
            f"Volatilities are forecast from the evening of {risk['from']} on; before it the window's scale the book, "
            "because the risk bundle had learned from what it would forecast."
        )
    if figures.left_out:
        found.append(f"{figures.left_out} sessions of the range asked for have no unseen scores and were not traded.")
    held = sum(row.sessions for row in figures.scores if row.origin == Origin.NONE)
    if held:
        found.append(f"In {held} sessions inside the range the book was held: they have no unseen scores.")
    if known.survivorship != "point-in-time":
        found.append(f"Universe: {known.survivorship}; names that died may be missing, which flatters every figure.")
    if names := figures.costs.unpriced:
        found.append(f"Impact or borrow of {len(names)} names is not known and not charged: {', '.join(names[:8])}.")
    if figures.unknown_returns:
        found.append(UNKNOWN.format(count=figures.unknown_returns))
    for reason, count in Counter(figures.skipped).most_common(3):
        found.append(f"{count} sessions without a plan: {reason}.")
    return tuple(found)


def _traded(request: BacktestRequest) -> Traded:
    if request.run is not None and request.bundle is None and not request.is_in_sample_allowed:
        return of_run(request.run, request.data, request.last)
    if request.bundle is not None and request.run is None and request.sleeves:
        fixed_ic = request.settings.portfolio.fixed_ic
        allowed = request.is_in_sample_allowed
        return of_sleeves(request.bundle, request.sleeves, request.trust, request.data, fixed_ic=fixed_ic, in_sample=allowed)
    if request.bundle is not None and request.run is None:
        return of_bundle(request.bundle, request.trust, request.data, in_sample=request.is_in_sample_allowed)
    raise FixInput(
        "a backtest is of a run or of a bundle, and only a bundle's is ever in-sample",
        where="--run, --bundle, --in-sample",
        fix="Give one of --run and --bundle",
    )


def _risk(request: BacktestRequest, archive: Archive) -> Forecasts | None:
    """Forecasts of the risk bundle that was named, or of the bundle's own store; None where there is none."""
    place = request.risk
    if place is None and request.bundle is not None and has_forecasts(request.bundle):
        place = store_of(request.bundle)
    if place is None:
        return None
    return forecasts(archive, place, request.trust, in_sample=request.is_in_sample_allowed)


def _left_out(archive: Archive, request: BacktestRequest, days: Sequence[date]) -> int:
    calendar = archive.manifest.calendar
    asked = calendar.between(max(request.first, archive.manifest.first), min(request.last, archive.manifest.last))
    return len(asked) - len(days)


def _provenance(traded: Traded, request: BacktestRequest, risk: Forecasts | None) -> BacktestProvenance:
    settings, manifest = request.settings, traded.archive.manifest
    return BacktestProvenance(
        **vars(traded.source),
        snapshot_id=manifest.snapshot_id,
        dataset=manifest.name,
        vendor=manifest.vendor,
        survivorship=manifest.universe_state,
        eligibility=manifest.eligibility_rule,
        settings=settings.fingerprint(),
        fixed_ic=settings.portfolio.fixed_ic,
        ic=SizingEvidence(traded.ic.mean, traded.ic.t, traded.ic.evidence, traded.ic.book_t),
        seed=settings.seed,
        code_version=request.code_version,
        risk=risk.document() if risk else None,
        others={"asked": {"first": request.first, "last": request.last}, "mode": settings.portfolio.mode},
    )
