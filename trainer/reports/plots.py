"""Plots of a training and of its evidence (calibration, trials, overfitting, drawdown, capacity, embargo), byte-reproducible."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np

from execution.yardstick import levels
from signals.market.bars import Days, Floats
from signals.scoring.evidence import Capacity, Mean
from trainer.reports.canvas import ACCENT, INK, SECOND, date_axis, new_axes, png
from trainer.validation.probabilities import Group

LOGIT_EDGES = np.linspace(-5.0, 5.0, 21)
COLOURS = (ACCENT, SECOND, "#5a8f3c", "#9a9a9a", "#a58aa8", "#8f8f6a", "#6fa08b", "#7a9cb3")  # of series in one picture
CAPACITY_DECADES = np.geomspace(1e4, 1e10, 121)


def reliability(groups: Sequence[Group]) -> bytes:
    """Probability said against frequency seen, in tenths, on sessions that the map was not fitted on."""
    axes = new_axes("Reliability: of names given p %, p % should beat the median", "said, %", "came, %")
    said, came, low, high = (100.0 * np.array([getattr(group, key) for group in groups]) for key in ("said", "came", "low", "high"))
    span = np.array([min(said.min(), came.min()) - 0.5, max(said.max(), came.max()) + 0.5])
    axes.plot(span, span, color=INK, linewidth=0.8, label="said = came")
    axes.plot(said, came, "o-", color=ACCENT, linewidth=1.0, markersize=5, label="a tenth of the later sessions' names")
    axes.vlines(said, low, high, color=ACCENT, linewidth=1.0, label="90 % interval")
    axes.legend(frameon=False, loc="upper left")
    return png(axes)


def logits(counts: Sequence[int], value: float) -> bytes:
    """Histogram of the CSCV logits: left of zero the best in sample fell below the median out of sample."""
    axes = new_axes(f"Overfitting: PBO {value:.1%}", "logit of the out-of-sample rank", "splits", height=3.2)
    colours = [SECOND if left < 0 else ACCENT for left in LOGIT_EDGES[:-1]]
    axes.bar(LOGIT_EDGES[:-1], counts, width=np.diff(LOGIT_EDGES), align="edge", color=colours)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    return png(axes)


def trials(ratios: Floats, chosen: float, benchmark: float, count: int) -> bytes:
    """Annual Sharpe ratios of every trial, the chosen one, and what the best of so many lucky ones would have."""
    axes = new_axes(f"Sharpe ratios of what was tried ({count} count)", "net Sharpe ratio a year", "trials", height=3.2)
    known = ratios[np.isfinite(ratios)]
    if known.size:
        axes.hist(known, bins=min(30, max(5, known.size // 2)), color="#9db7c9", label="trials")
    axes.axvline(chosen, color=ACCENT, linewidth=2.0, label=f"chosen {chosen:+.2f}")
    axes.axvline(benchmark, color=SECOND, linewidth=1.6, linestyle="--", label=f"luck alone would reach {benchmark:+.2f}")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return png(axes)


def drawdown(sessions: Days, net: Floats) -> bytes:
    """Wealth below its peak, of the walk-forward decile book after the spread."""
    axes = new_axes("Drawdown of the walk-forward decile book", "", "% below the peak", height=3.0)
    wealth = levels(net)
    below = 100.0 * (wealth / np.maximum.accumulate(np.concatenate([[1.0], wealth]))[1:] - 1.0)
    axes.fill_between(sessions, below, color=SECOND, alpha=0.35, linewidth=0)
    axes.plot(sessions, below, color=SECOND, linewidth=0.9)
    date_axis(axes)
    return png(axes)


def capacity(figures: Capacity) -> bytes:
    """Net return of the decile book by equity: impact grows with its square root and takes it all in the end.

    net(E) = n (1 - sqrt(E / E_half) / 2), n the return before impact and E_half where impact has taken half of it.
    """
    axes = new_axes("Capacity: what impact leaves", "equity, USD", "net return, % a year", height=3.2)
    net, half = 100.0 * figures.net_of_spread_annual, figures.equity_usd
    if half and half > 0:
        axes.plot(CAPACITY_DECADES, net * (1.0 - 0.5 * np.sqrt(CAPACITY_DECADES / half)), color=ACCENT, linewidth=1.6)
        axes.axvline(half, color=SECOND, linewidth=1.0, linestyle="--", label=f"half is left at ${half:,.0f}")
        axes.set_ylim(min(-abs(net) * 0.5, 0), max(net * 1.1, 0.1))
        axes.legend(frameon=False)
    else:
        axes.axhline(net, color=ACCENT, linewidth=1.6, label="nothing is left before impact")
        axes.legend(frameon=False)
    axes.set_xscale("log")
    axes.axhline(0.0, color=INK, linewidth=0.8)
    return png(axes)


def embargoes(short: Mean, long: Mean, lengths: tuple[int, int]) -> bytes:
    """Rank IC under both embargoes with 95 % intervals: a gap means that look-backs reached into the test."""
    axes = new_axes("Rank IC under both embargoes", "", "mean rank IC", height=3.0)
    names = [f"{length} sessions" for length in lengths]
    means = [short.mean, long.mean]
    errors = [1.96 * figure.standard_error for figure in (short, long)]
    axes.bar(names, means, yerr=errors, color=[ACCENT, SECOND], width=0.4, error_kw={"ecolor": INK})
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.grid(axis="x", visible=False)
    return png(axes)


SHOWN_FEATURES = 20


def ic_by_path(figures: list[float], mean: float, standard_error: float) -> bytes:
    """Mean IC of each path against the mean of all with its 95 % interval."""
    axes = new_axes("Rank IC by path (out of fold)", "path", "mean rank IC")
    axes.bar(range(len(figures)), figures, color=ACCENT, width=0.6, zorder=3)
    low, high = mean - 1.96 * standard_error, mean + 1.96 * standard_error
    axes.axhspan(low, high, color=SECOND, alpha=0.15, label="95 % interval of the mean")
    axes.axhline(mean, color=SECOND, linewidth=1.5, zorder=4, label=f"mean {mean:+.4f}")
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.set_xticks(range(len(figures)))
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=2)
    return png(axes)


def cumulative_ic(sessions: Days, series: Floats, forward: Floats) -> bytes:
    """Running sum of the per-session IC, cross-validated and walking forward."""
    both = {"cross-validated, mean of paths": series, "walk-forward": forward}
    return running_sums("Cumulative rank IC", "sum of session ICs", sessions, both)


def running_sums(title: str, unit: str, sessions: Days, series: Mapping[str, Floats], bold: str = "") -> bytes:
    """Running sums of what is known of each series, float64 (T,) by name, NaN where a session has none; the one called `bold` is so."""
    axes = new_axes(title, "", unit)
    for colour, (name, values) in zip(cycle(COLOURS), series.items(), strict=False):
        known, line, width = np.isfinite(values), *((INK, 2.0) if name == bold else (colour, 1.3))
        axes.plot(sessions[known], np.cumsum(values[known]), color=line, linewidth=width, label=name)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    date_axis(axes)
    axes.legend(frameon=False, ncols=5, loc="upper left", bbox_to_anchor=(0.0, -0.08))
    return png(axes)


def decile_curve(curve: Sequence[float], k: int) -> bytes:
    """Mean label of each score decile, in excess of the session's mean."""
    axes = new_axes(f"Return over {k} sessions by score decile", "decile (1 lowest score)", "excess return, bps")
    values = 1e4 * np.array(curve, dtype=float)
    axes.bar(range(1, len(values) + 1), values, color=[SECOND if v < 0 else ACCENT for v in values], width=0.7)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.set_xticks(range(1, len(values) + 1))
    return png(axes)


def importance(names: tuple[str, ...], shares: Floats) -> bytes:
    """Share of the total gain of the strongest features of the published model."""
    return _ranked(names, 100.0 * shares, "Feature importance (share of gain)", "% of total gain")


def losses(names: tuple[str, ...], lost: Floats) -> bytes:
    """IC lost without the features, or clusters of features, that cost most."""
    return _ranked(names, lost, "Permutation importance, out of fold", "rank IC lost")


def shap(names: tuple[str, ...], size: Floats) -> bytes:
    """Mean absolute SHAP values, out of fold."""
    return _ranked(names, size, "SHAP, out of fold", "mean |SHAP value|, units of the score")


def _ranked(names: tuple[str, ...], shares: Floats, title: str, label: str) -> bytes:
    order = np.argsort(-shares, kind="stable")[:SHOWN_FEATURES][::-1]
    axes = new_axes(title, "", "", height=0.26 * len(order) + 1.2)
    axes.barh([names[i] for i in order], shares[order], color=ACCENT, height=0.7)
    axes.set_xlabel(label)
    axes.grid(axis="y", visible=False)
    return png(axes)


def coverage(sessions: Days, eligible: np.ndarray, used: np.ndarray, holdout: tuple[str, str] | None) -> bytes:
    """Names per session: eligible, and used in the cross-validation; the sealed holdout shaded."""
    axes = new_axes("Names per session", "", "names")
    axes.plot(sessions, np.where(eligible > 0, eligible, np.nan), color="#b0b0b0", linewidth=3.5, label="eligible")
    axes.plot(sessions, np.where(used > 0, used, np.nan), color=ACCENT, linewidth=1.2, label="labelled and cross-validated")
    if holdout:
        first, last = (np.datetime64(day, "D") for day in holdout)
        inside = (sessions >= first) & (sessions <= last)
        axes.fill_between(sessions, eligible, where=list(inside), color=SECOND, alpha=0.2, label="sealed holdout")
    axes.set_ylim(bottom=0)
    date_axis(axes)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.08), ncols=3)
    return png(axes)
