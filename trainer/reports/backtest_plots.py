"""Plots of a backtest."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from signals.market.bars import Days, Floats
from trainer.backtest.scored import Origin
from trainer.backtest.tables import column
from trainer.reports.canvas import ACCENT, INK, SECOND, date_axis, new_axes, png
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
    found: Floats = 100.0 * (values / peak - 1.0)
    return found
