"""Plots of option research: smiles, surfaces, quality, and profits."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from signals.market.bars import Days, Floats
from trainer.options.chains.chain import DAYS_A_YEAR
from trainer.options.surface.surface import Curve, Smile, Surface
from trainer.options.surface.svi import checked
from trainer.reports.canvas import ACCENT, INK, SECOND, date_axis, new_axes, png

PANELS = 6  # smiles in one picture
SHADES = ("#0b3c5d", "#1f5f8b", "#328cc1", "#5aa9d6", "#8fc4e4", "#c05621", "#d98a5a")
COLOURS = (ACCENT, SECOND, "#5a8f3c", "#9a9a9a", INK)
TERM_POINTS = 60
TERMS = (7, 14, 30, 60, 91, 182, 365, 730)  # days


def smiles(surface: Surface) -> bytes:
    """Bid to ask of every used quote as a bar, and the fitted curve through them; up to six expiries, near to far."""
    shown = _spread(surface.smiles, PANELS)
    axes = new_axes(f"{surface.root} {surface.day}: smiles", "", "", height=2.6 * -(-len(shown) // 3) + 0.6)
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.delaxes(axes)
    figure.suptitle(axes.get_title(loc="left"), x=0.01, ha="left", color=INK, fontsize=11, fontweight="bold")
    for place, smile in enumerate(shown):
        panel = figure.add_subplot(-(-len(shown) // 3), min(3, len(shown)), place + 1)
        quotes, scale = smile.quotes, 100.0 / np.sqrt(smile.years)
        panel.vlines(quotes.k, scale * quotes.low, scale * quotes.high, color=ACCENT, alpha=0.55, linewidth=2.2, label="bid to ask")
        k = np.linspace(quotes.k.min() * 1.1, quotes.k.max() * 1.1, 200)
        panel.plot(k, 100.0 * smile.volatility(k), color=SECOND if smile.flags else INK, linewidth=1.3, label="fitted")
        word = ", ".join(smile.flags) or ("clean" if smile.source is Curve.SVI else str(smile.source))
        days = round(smile.years * DAYS_A_YEAR)
        panel.set_title(
            f"{days} days, rmse {100 * smile.rmse:.2f} points: {word}", loc="left", fontsize=8, color=SECOND if smile.flags else INK
        )
        panel.grid(color="#d9d9d9", linewidth=0.5)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=7)
        if place % 3 == 0:
            panel.set_ylabel("volatility, %", fontsize=8)
        panel.set_xlabel("ln(strike / forward)", fontsize=7)
    figure.axes[0].legend(frameon=False, fontsize=7)
    return png(figure.axes[0])


def total_variance(surface: Surface) -> bytes:
    """Total variance of every expiry over the money: where two lines cross, a calendar spread is an arbitrage."""
    axes = new_axes(f"{surface.root} {surface.day}: total variance by expiry", "ln(strike / forward)", "total variance")
    for place, smile in enumerate(surface.smiles):
        k = checked(smile.quotes.k)
        colour = SHADES[place % len(SHADES)]
        axes.plot(k, smile.curve.w(k), color=colour, linewidth=1.4, label=f"{round(smile.years * DAYS_A_YEAR)} days")
    axes.set_yscale("log")
    _plain(axes)
    axes.legend(frameon=False, fontsize=7, ncols=2)
    return png(axes)


def surface_map(surface: Surface) -> bytes:
    """Volatility by time and moneyness, as a map."""
    axes = new_axes(f"{surface.root} {surface.day}: implied volatility", "standard deviations from the money", "days to expiry", height=4.2)
    first, last = surface.smiles[0].years, surface.smiles[-1].years
    years = np.geomspace(first, max(last, first * 1.05), TERM_POINTS)
    z = np.linspace(-2.5, 2.0, TERM_POINTS)
    values = np.array([[surface.volatility(s * surface.volatility(0.0, t) * np.sqrt(t), t) for s in z] for t in years.tolist()])
    drawn = axes.pcolormesh(z, years * DAYS_A_YEAR, 100.0 * values, cmap="viridis", shading="gouraud")
    lines = axes.contour(z, years * DAYS_A_YEAR, 100.0 * values, levels=8, colors="white", linewidths=0.6)
    axes.clabel(lines, fontsize=7)
    axes.set_yscale("log")
    axes.set_yticks([days for days in TERMS if years[0] <= days / DAYS_A_YEAR <= years[-1]])
    _plain(axes)
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.colorbar(drawn, label="volatility, %")
    return png(axes)


def quality(surfaces: Sequence[Surface]) -> bytes:
    """Error of every slice against half of its quotes' width, by day; flagged ones in another colour."""
    axes = new_axes("Fit against the quotes' own width", "", "rmse, vol points")
    rows = [(surface.day, smile) for surface in surfaces for smile in surface.smiles]
    days = np.array([day for day, _ in rows], dtype="datetime64[D]")
    error = np.array([100.0 * smile.rmse for _, smile in rows])
    width = np.array([100.0 * smile.half_width for _, smile in rows])
    bad = np.array([bool(smile.flags) for _, smile in rows])
    axes.scatter(days, width, s=10, color="#b0b0b0", label="half of the quoted width")
    axes.scatter(days[~bad], error[~bad], s=14, color=ACCENT, label="rmse of a slice")
    axes.scatter(days[bad], error[bad], s=18, color=SECOND, marker="x", label="flagged")
    axes.set_yscale("log")
    _plain(axes)
    date_axis(axes)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.1), ncols=3)
    return png(axes)


def running_sums(title: str, unit: str, days: Days, series: Mapping[str, Floats]) -> bytes:
    """Running sums of what is known of each series; one called "total" is drawn bold."""
    axes = new_axes(title, "", unit)
    for colour, (name, values) in zip(COLOURS, series.items(), strict=False):
        known = np.isfinite(values)
        is_total = name == "total"
        axes.plot(days[known], np.cumsum(values[known]), color=INK if is_total else colour, linewidth=2.0 if is_total else 1.3, label=name)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    date_axis(axes)
    axes.legend(frameon=False, ncols=5, loc="upper left", bbox_to_anchor=(0.0, -0.08))
    return png(axes)


def marks(days: Days, mid: Floats, liquidation: Floats) -> bytes:
    """Value at mid and at what a sale at the touch would bring."""
    axes = new_axes("Value at mid and at liquidation", "", "USD")
    axes.plot(days, mid, color=ACCENT, linewidth=1.5, label="at mid")
    axes.plot(days, liquidation, color=SECOND, linewidth=1.5, label="at liquidation")
    axes.fill_between(days, liquidation, mid, color=SECOND, alpha=0.15)
    date_axis(axes)
    axes.legend(frameon=False)
    return png(axes)


def _plain(axes: Axes) -> None:
    """Write the numbers of a logarithmic axis as they are."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _spread(rows: Sequence[Smile], most: int) -> list[Smile]:
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))
    return [rows[place] for place in chosen]
