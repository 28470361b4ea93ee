"""Plots of forecasts of volatility."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import NullLocator
from numpy.lib.stride_tricks import sliding_window_view

from signals.market.bars import Days, Floats
from signals.scoring.evidence import Mean
from trainer.reports.canvas import ACCENT, INK, SECOND, date_axis, new_axes, png
from trainer.validation.forecasts import session_mean

QUARTER_SESSIONS = 63


def qlike(losses: Mapping[str, Mean], own: str = "HAR") -> bytes:
    """Mean loss of each forecaster with two standard errors, the best on top; `own` is the recipe's."""
    order = sorted(losses, key=lambda name: -losses[name].mean)
    axes = new_axes("How far forecasts were from what came (QLIKE)", "mean QLIKE, lower is better", "", height=2.8)
    axes.barh(
        order,
        [losses[name].mean for name in order],
        height=0.6,
        xerr=[2.0 * losses[name].standard_error for name in order],
        error_kw={"ecolor": INK, "elinewidth": 1.0},
        color=[ACCENT if name == own else "#9db7c9" for name in order],
    )
    axes.grid(axis="y", visible=False)
    return png(axes)


def calibration(points: Sequence[Sequence[float]], horizon: int) -> bytes:
    """Forecast against outcome, both annualised, on logarithmic axes."""
    axes = new_axes(f"Is a forecast of 30 % followed by 30 %? ({horizon} sessions)", "forecast, % a year", "came, % a year")
    expected, came = (100.0 * np.array(side) for side in zip(*points, strict=True))
    span = [min(expected.min(), came.min()) * 0.9, max(expected.max(), came.max()) * 1.1]
    axes.plot(span, span, color=INK, linewidth=0.8, label="forecast = outcome")
    axes.plot(expected, came, "o", color=ACCENT, markersize=5, label="a twentieth of all forecasts")
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = [tick for tick in (5, 10, 15, 20, 30, 50, 80, 120, 200, 400) if span[0] <= tick <= span[1]]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [str(tick) for tick in ticks])
        axis.set_minor_locator(NullLocator())
    axes.legend(frameon=False, loc="upper left")
    return png(axes)


def coverage(sessions: Days, inside: Floats, interval: float, below: Floats, level: float) -> bytes:
    """Rolling share of outcomes inside the band and under the drawdown quantile, with what was asked for."""
    axes = new_axes("Do the bands hold what they promise?", "", "% of outcomes")
    for panel, wanted, colour, name in (
        (inside, interval, ACCENT, f"inside the {interval:.0%} volatility band"),
        (below, level, SECOND, f"below the {level:.0%} drawdown quantile"),
    ):
        series = 100.0 * session_mean(panel)
        axes.plot(*_rolling(sessions, series), color=colour, linewidth=1.4, label=name)
        axes.axhline(100.0 * wanted, color=colour, linewidth=0.8, linestyle="--")
    date_axis(axes)
    axes.legend(frameon=False, loc="lower left")
    return png(axes)


def through_time(sessions: Days, forecast: Floats, realised: Floats, horizon: int, own: str = "HAR") -> bytes:
    """Median forecast and median outcome of each session."""
    axes = new_axes(f"The median name's volatility over {horizon} sessions", "", "% a year")
    for panel, colour, width, name in ((realised, "#b0b0b0", 1.0, "came"), (forecast, ACCENT, 1.4, f"{own}, known before")):
        known = np.isfinite(panel).any(axis=1)
        axes.plot(sessions[known], 100.0 * np.nanmedian(panel[known], axis=1), color=colour, linewidth=width, label=name)
    axes.set_ylim(bottom=0)
    date_axis(axes)
    axes.legend(frameon=False)
    return png(axes)


def _rolling(sessions: Days, series: Floats) -> tuple[Days, Floats]:
    known = np.isfinite(series)
    values, days = series[known], sessions[known]
    if len(values) < QUARTER_SESSIONS:
        return days[:0], values[:0]
    return days[QUARTER_SESSIONS - 1 :], sliding_window_view(values, QUARTER_SESSIONS).mean(axis=1)
