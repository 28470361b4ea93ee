"""Writes the report of a backtest: Markdown, HTML and plots."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from signals.market.bars import Days, Floats
from trainer.backtest.document import BacktestFigures, BacktestProvenance, PeriodFigures, SharpeCertainty, TradedBundle
from trainer.backtest.run import column
from trainer.backtest.scored import Origin
from trainer.reports import page
from trainer.reports.canvas import ACCENT, INK, SECOND, date_axis, new_axes, png
from trainer.reports.page import number
from trainer.validation.deciles import SESSIONS_PER_YEAR

LAYERS = {
    "auction slippage": ("auction_slippage",),
    "spread": ("spread",),
    "impact": ("impact",),
    "SEC and TAF fees": ("sec_fee", "taf_fee"),
    "borrow": ("borrow",),
}
LAYER_COLOURS = ("#1f5f8b", "#6b9ac4", "#c05621", "#7a7a7a", "#e0a458")
TURNOVER_WINDOW = 20


def pictures(nav: pa.Table, start: float, benchmark: str) -> Mapping[str, bytes]:
    """Draw every picture: name -> PNG."""
    sessions = nav.column("session").to_numpy().astype("datetime64[D]")
    return {
        "equity.png": equity(sessions, nav, start, benchmark),
        "drawdown.png": drawdown(sessions, nav, start, benchmark),
        "exposure.png": exposure(sessions, nav),
        "turnover.png": turnover(sessions, nav),
        "costs.png": costs(sessions, nav, start),
    }


def equity(sessions: Days, nav: pa.Table, start: float, benchmark: str) -> bytes:
    """Value before and after all costs, and the benchmark from the same start."""
    is_learned = Origin.IN_SAMPLE.value in nav.column("scores").to_pylist()
    axes = new_axes("IN-SAMPLE: no evidence of skill" if is_learned else "Value of the account", "", "USD")
    axes.plot(sessions, column(nav, "benchmark"), color="#a8a8a8", linewidth=1.2, label=f"{benchmark}, no costs")
    axes.plot(sessions, column(nav, "gross_equity"), color=SECOND, linewidth=1.2, label="before costs")
    axes.plot(sessions, column(nav, "net_equity"), color=ACCENT, linewidth=1.8, label="after all costs")
    axes.axhline(start, color=INK, linewidth=0.8)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    date_axis(axes)
    _legend_below(axes, 3)
    return png(axes)


def drawdown(sessions: Days, nav: pa.Table, start: float, benchmark: str) -> bytes:
    """Value after all costs below its peak, next to the benchmark's."""
    axes = new_axes("Drawdown after all costs", "", "% below the peak", height=3.0)
    ours, theirs = (_below(column(nav, name), start) for name in ("net_equity", "benchmark"))
    axes.plot(sessions, theirs, color="#a8a8a8", linewidth=1.0, label=benchmark)
    axes.fill_between(sessions, ours, color=SECOND, alpha=0.35, linewidth=0)
    axes.plot(sessions, ours, color=SECOND, linewidth=1.0, label="after all costs")
    axes.set_ylim(top=0.0)
    date_axis(axes)
    _legend_below(axes, 2)
    return png(axes)


def exposure(sessions: Days, nav: pa.Table) -> bytes:
    """Long, short, gross and net exposure at each close, % of paper equity."""
    axes = new_axes("Exposure at the close", "", "% of equity", height=3.2)
    paper = _positive(nav)
    long, short = (100.0 * column(nav, name) / paper for name in ("long", "short"))
    axes.fill_between(sessions, long, color=ACCENT, alpha=0.35, linewidth=0, label="long")
    axes.fill_between(sessions, short, color=SECOND, alpha=0.35, linewidth=0, label="short")
    axes.plot(sessions, long - short, color=INK, linewidth=1.2, label="gross")
    axes.plot(sessions, long + short, color="#7a1f8b", linewidth=1.2, label="net")
    axes.axhline(0.0, color=INK, linewidth=0.6)
    date_axis(axes)
    _legend_below(axes, 4)
    return png(axes)


def turnover(sessions: Days, nav: pa.Table) -> bytes:
    """One-way turnover of each session, and its mean over 20 sessions."""
    axes = new_axes("Turnover, one way", "", "% of equity a session", height=3.0)
    daily = np.nan_to_num(50.0 * column(nav, "traded") / _positive(nav))
    axes.fill_between(sessions, daily, step="mid", color="#b9cad6", linewidth=0, label="session")
    axes.set_ylim(bottom=0.0)
    if len(daily) > TURNOVER_WINDOW:
        mean = np.convolve(daily, np.ones(TURNOVER_WINDOW) / TURNOVER_WINDOW, mode="valid")
        annual = float(daily.mean()) / 100.0 * SESSIONS_PER_YEAR
        label = f"mean of {TURNOVER_WINDOW} sessions (all: {annual:.1f} times a year)"
        axes.plot(sessions[TURNOVER_WINDOW - 1 :], mean, color=ACCENT, linewidth=1.5, label=label)
    date_axis(axes)
    _legend_below(axes, 2)
    return png(axes)


def costs(sessions: Days, nav: pa.Table, start: float) -> bytes:
    """Cumulative costs, stacked, % of the equity at the start."""
    axes = new_axes("What costs have taken so far", "", "% of the start's equity", height=3.4)
    paid = [-100.0 * np.cumsum(sum(column(nav, name) for name in names)) / start for names in LAYERS.values()]
    labels = [f"{name} {values[-1]:.2f} %" for name, values in zip(LAYERS, paid, strict=True)]
    axes.stackplot(sessions, paid, labels=labels, colors=LAYER_COLOURS, linewidth=0)
    axes.set_ylim(bottom=0.0)
    date_axis(axes)
    _legend_below(axes, 3)
    return png(axes)


def _legend_below(axes: Axes, columns: int) -> None:
    axes.legend(ncols=columns, loc="upper left", bbox_to_anchor=(0.0, -0.1), frameon=False)


def _positive(nav: pa.Table) -> Floats:
    """Paper value of each session; NaN where nothing is left: no fraction of it says anything."""
    paper = column(nav, "paper_equity")
    return np.where(paper > 0, paper, np.nan)


def _below(values: Floats, start: float) -> Floats:
    peak = np.maximum.accumulate(np.concatenate([[start], values]))[1:]
    return 100.0 * (values / peak - 1.0)


CAPTIONS = {
    "equity.png": "What was shown by the exchange plus dividends, what is left after every cost, and the benchmark.",
    "drawdown.png": "How far the value stood below its highest so far.",
    "exposure.png": "Marked at the close; short positions are negative. Gross is long and short together.",
    "turnover.png": "Half of all that was bought and sold.",
    "costs.png": "An auction's fills pay half a quoted spread as slippage; impact grows with the root of size.",
}
HEAD = ("", "sessions", "net return", "benchmark", "Sharpe", "volatility", "drawdown")
COST_NAMES = {
    "auction_slippage": "auction slippage",
    "spread": "spread",
    "impact": "impact",
    "fees": "SEC and TAF fees",
    "borrow": "borrow",
}


def report_files(known: BacktestFigures, nav: pa.Table) -> Mapping[str, bytes]:
    """Render everything: relative path -> content."""
    return page.files(_page(known), pictures(nav, float(known.start_equity_usd), str(known.benchmark.name)))


def rows_of(known: BacktestFigures) -> list[tuple[str, str]]:
    """(what, figure) lines of the report, which the command prints too."""
    net, paper, beside = known.net, known.paper, known.benchmark
    return [
        ("Sessions", f"{known.sessions}, {known.first} to {known.last}"),
        *((f"Scored by: {row.origin}", f"{row.sessions} sessions, {row.first} to {row.last}") for row in known.scores),
        *((("Ruined", f"on {known.ruined}; nothing was traded after it"),) if known.ruined else ()),
        ("Value", f"{float(known.start_equity_usd):,.2f} to {float(known.end_equity_usd):,.2f} USD after all costs"),
        ("Net return", f"{_share(net.total_return)}, {_share(net.annual_return)} a year"),
        ("Net Sharpe ratio a year", f"{number(net.annual_sharpe, '+.2f')}, volatility {net.annual_volatility:.1%}"),
        ("Probability that it is above 0 (PSR)", number(known.certainty.psr, ".1%")),
        ("Deflated by its trials (DSR)", _deflated(known.certainty)),
        ("Deepest fall", f"{net.max_drawdown:.2%}"),
        ("As the paper account shows it", f"{_share(paper.total_return)}, Sharpe {number(paper.annual_sharpe, '+.2f')}"),
        (
            f"Benchmark: {beside.name}",
            f"{_share(beside.total_return)}, Sharpe {number(beside.annual_sharpe, '+.2f')}, deepest fall {beside.max_drawdown:.2%}",
        ),
        (
            "Beside the benchmark",
            f"beta {number(beside.beta, '+.2f')}, correlation {number(beside.correlation, '+.2f')}, "
            f"{_share(beside.tracking_difference)} a year (tracking difference), "
            f"tracking error {beside.tracking_error:.1%}",
        ),
        *_book(known),
        *_provenance(known.provenance),
    ]


def _book(known: BacktestFigures) -> list[tuple[str, str]]:
    held, costs, orders = known.exposure, known.costs, dict(known.orders)
    count = orders.pop("count")
    states = ", ".join(f"{number} {state}" for state, number in orders.items())
    return [
        ("Turnover a year, one way", f"{known.turnover.annual:.1f} times the equity"),
        (
            "Exposure, mean",
            f"gross {held.mean_gross:.1%}, long {held.mean_long:.1%}, short {held.mean_short:.1%}, net {_share(held.mean_net)}",
        ),
        *((f"Cost: {name}", f"{costs.usd[key]:,.2f} USD, {1e4 * costs.annual[key]:.1f} bps a year") for key, name in COST_NAMES.items()),
        ("All costs", f"{sum(costs.usd.values()):,.2f} USD, {1e4 * costs.annual_total:.1f} bps a year"),
        ("Dividends", f"{costs.dividends_usd:+,.2f} USD"),
        ("Orders", f"{count}: {states}" if states else "none"),
    ]


def _provenance(known: BacktestProvenance) -> list[tuple[str, str]]:
    sized = (
        f"fixed {known.fixed_ic:g}"
        if known.fixed_ic is not None
        else f"{known.ic.mean:+.4f}, of which the evidence leaves {known.ic.evidence:.2f} of the book"
    )
    risk = known.risk
    return [
        ("Run", f"{known.run} ({known.sleeve}), trained until {known.last_training_session}"),
        *_bundle(known.bundle),
        ("Sized by an IC of", sized),
        ("Volatilities", f"forecast by risk bundle {risk['bundle']} from {risk['from']} on" if risk else "of the window: no risk bundle"),
        ("Data", f"{known.dataset} of {known.vendor}, snapshot {known.snapshot_id[:12]}"),
        ("Eligible names have", known.eligibility),
        ("Program and settings", f"{known.code_version}, {known.settings[:12]}, seed {known.seed}"),
    ]


def _bundle(known: TradedBundle | None) -> list[tuple[str, str]]:
    if known is None:
        return []
    role = f"{known.role}, {known.refusal}" if known.refusal else known.role
    return [("Bundle", f"{known.sha256[:12]}, signed by {', '.join(known.signers)}; {role}")]


def _page(known: BacktestFigures) -> page.Page:
    tables = (_table("By year", known.by_year), _table("By regime of the market, as it was known on the evening before", known.by_regime))
    is_learned = any(row.origin == Origin.IN_SAMPLE for row in known.scores)
    title = f"{'RUINED: ' * bool(known.ruined)}{'IN-SAMPLE: ' * is_learned}Backtest of {known.provenance.run}"
    return page.Page(title, tuple(rows_of(known)), tuple(known.warnings), CAPTIONS, tables)


def _table(title: str, rows: Mapping[str, PeriodFigures]) -> page.Table:
    return page.Table(
        title,
        HEAD,
        tuple(
            (
                name,
                str(row.sessions),
                _share(row.total_return),
                _share(row.benchmark_return),
                number(row.annual_sharpe, "+.2f"),
                f"{row.annual_volatility:.1%}",
                f"{row.max_drawdown:.2%}",
            )
            for name, row in rows.items()
        ),
    )


def _deflated(known: SharpeCertainty) -> str:
    if known.dsr is None:
        return "not known: the run does not say how many trials it is the best of"
    return f"{number(known.dsr, '.1%')} over {known.trials} trials"


def _share(value: float) -> str:
    return f"{value:+.2%}"
