"""Plots of a training, headless and byte-reproducible."""

from collections.abc import Sequence

import numpy as np

from signals.market.bars import Days, Floats
from trainer.reports.canvas import ACCENT, INK, SECOND, date_axis, new_axes, png

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
    axes = new_axes("Cumulative rank IC", "", "sum of session ICs")
    for values, colour, name in ((series, ACCENT, "cross-validated, mean of paths"), (forward, SECOND, "walk-forward")):
        known = np.isfinite(values)
        axes.plot(sessions[known], np.cumsum(values[known]), color=colour, linewidth=1.4, label=name)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    date_axis(axes)
    axes.legend(frameon=False)
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
