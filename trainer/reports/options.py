"""Reports of option research: smiles, surfaces with their quality, and backtests, as pages and pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from signals.market.bars import days_array
from trainer.options.backtest import OptionBacktestConfig, OptionDay
from trainer.options.chains import DAYS_A_YEAR
from trainer.options.surface import Curve, Smile, Surface
from trainer.options.svi import checked, jump_wings
from trainer.reports import page
from trainer.reports.canvas import ACCENT, INK, SECOND, date_axis, new_axes, png
from trainer.reports.page import Page, Table
from trainer.reports.plots import running_sums

PANELS, ABREAST, TERM_POINTS = 6, 3, 60  # smiles in one picture, and in a row of it; times in the map
SHADES = ("#0b3c5d", "#1f5f8b", "#328cc1", "#5aa9d6", "#8fc4e4", "#c05621", "#d98a5a")
TERMS = (7, 14, 30, 60, 91, 182, 365, 730)  # days
SURFACE_CAPTIONS = {
    "smiles.png": "Bid to ask of each used quote, and the fitted slice. Orange is flagged.",
    "total_variance.png": "Total variance over the quoted range and half as much again. Lines may touch, not cross.",
    "surface.png": "Implied volatility by time and standard deviations from the money.",
    "quality.png": "Error of every slice against half of the width of its own quotes.",
}
BACKTEST_CAPTIONS = {
    "marks.png": "What the position is worth at mid, and what selling it at the touch would bring.",
    "parts.png": "Profit before costs by what it is made of; the parts and the residual sum to the total, to the cent.",
}
PARTS = ("gamma", "theta", "vega", "residual")
HEAD = ("expiry", "days", "quotes", "forward", "ATM", "skew", "puts", "calls", "low", "rmse", "half width", "inside", "curve", "flags")


def surface_report(surfaces: Sequence[Surface], shown: Surface, warnings: tuple[str, ...] = ()) -> Mapping[str, bytes]:
    """Render the surfaces of an underlier, one day of them in full: relative path -> content."""
    every = [smile for surface in surfaces for smile in surface.smiles]
    flags = Counter(str(flag) for smile in every for flag in smile.flags)
    quoted = sum(len(smile.quotes) for smile in every)
    held = sum(smile.inside * len(smile.quotes) for smile in every)
    rows = (
        ("Days", f"{len(surfaces)}, {surfaces[0].chain.day} to {surfaces[-1].chain.day}"),
        ("Slices", f"{len(every)}; {sum(bool(smile.flags) for smile in every)} flagged"),
        ("Flags", ", ".join(f"{count} {name}" for name, count in sorted(flags.items())) or "none"),
        ("RMSE, vol points", f"{100 * np.median([one.rmse for one in every]):.3f} at the median"),
        ("Half of the quoted width", f"{100 * np.median([one.half_width for one in every]):.3f} at the median"),
        ("Quotes that hold the curve", f"{held / quoted:.1%} of all {quoted:,}"),
    )
    tables = [Table(f"Slices of {shown.chain.day}", HEAD, tuple(map(_row, shown.smiles)))]
    tables += [Table("Left out", ("expiry", "why"), tuple(shown.left_out.items()))] if shown.left_out else []
    document = Page(f"Implied volatility of {shown.chain.root}", rows, warnings, SURFACE_CAPTIONS, tuple(tables))
    title = f"{shown.chain.root} {shown.chain.day}:"
    drawn = (_smiles(title, shown.smiles), _total_variance(title, shown.smiles), _surface_map(title, shown), _quality(surfaces))
    return page.files(document, dict(zip(SURFACE_CAPTIONS, drawn, strict=True)))


def backtest_report(root: str, days: Sequence[OptionDay], config: OptionBacktestConfig, warnings: tuple[str, ...]) -> Mapping[str, bytes]:
    """Render a backtest: relative path -> content."""
    axis, shown = days_array([one.day for one in days]), (*PARTS, "gross", "mid", "liquidation")
    *parts, gross, mid, liquidation = (np.array([float(getattr(one, name)) for one in days]) for name in shown)
    axes = new_axes("Value at mid and at liquidation", "", "USD")
    axes.plot(axis, mid, color=ACCENT, linewidth=1.5, label="at mid")
    axes.plot(axis, liquidation, color=SECOND, linewidth=1.5, label="at liquidation")
    axes.fill_between(axis, liquidation, mid, color=SECOND, alpha=0.15)
    date_axis(axes)
    axes.legend(frameon=False)
    series = dict(zip(PARTS, parts, strict=True)) | {"total": gross}
    drawn = {"marks.png": png(axes), "parts.png": running_sums("Where the profit came from", "USD, cumulative", axis, series, "total")}
    events = tuple((str(one.day), event) for one in days for event in one.events if not event.startswith(("opened", "closed")))
    tables = (Table("Expiries and exercises", ("day", "what"), events),) if events else ()
    title = f"{config.side.capitalize()} {config.template} of {root}, hedged at the close"
    return page.files(Page(title, tuple(backtest_rows(days)), warnings, BACKTEST_CAPTIONS, tables), drawn)


def backtest_rows(days: Sequence[OptionDay]) -> list[tuple[str, str]]:
    """(what, figure) lines of a backtest."""
    names = (*PARTS, "gross", "costs", "spreads", "fees", "hedging", "net")
    total = {name: sum(getattr(one, name) for one in days) for name in names}
    worst = min(days, key=lambda one: one.net)
    return [
        ("Days", f"{len(days)}, {days[0].day} to {days[-1].day}"),
        ("Net profit", f"{total['net']:,.2f} USD after {total['costs']:,.2f} USD of costs"),
        ("Before costs", f"{total['gross']:,.2f} USD"),
        *((f"  of which {name}", f"{total[name]:,.2f} USD") for name in PARTS),
        ("Half spreads, fees, hedging", f"{total['spreads']:,.2f}, {total['fees']:,.2f}, {total['hedging']:,.2f} USD"),
        ("Worst day", f"{worst.net:,.2f} USD on {worst.day}"),
        ("Most by which liquidation is below mid", f"{max(one.mid - one.liquidation for one in days):,.2f} USD"),
    ]


def _row(smile: Smile) -> tuple[str, ...]:
    wings = jump_wings(smile.curve, smile.years)
    quoted = (f"{len(smile.quotes)}", f"{smile.quotes.forward.value:,.2f}")
    shape = (f"{wings.v**0.5:.1%}", f"{wings.psi:+.3f}", f"{wings.p:.2f}", f"{wings.c:.2f}", f"{max(wings.least_v, 0.0) ** 0.5:.1%}")
    fit = (f"{100 * smile.rmse:.2f}", f"{100 * smile.half_width:.2f}", f"{smile.inside:.0%}", str(smile.source))
    return str(smile.expiration), f"{smile.years * DAYS_A_YEAR:.0f}", *quoted, *shape, *fit, ", ".join(smile.flags) or "none"


def _smiles(title: str, smiles: Sequence[Smile]) -> bytes:
    """Draw up to six expiries, near to far."""
    places = np.unique(np.linspace(0, len(smiles) - 1, min(PANELS, len(smiles))).round().astype(int))
    rows, columns = -(-len(places) // ABREAST), min(ABREAST, len(places))
    figure = new_axes("", "", "", height=2.6 * rows + 0.6).figure
    figure.clear()
    figure.suptitle(f"{title} smiles", x=0.01, ha="left", color=INK, fontsize=11, fontweight="bold")
    for place, smile in enumerate(smiles[number] for number in places):
        panel = figure.add_subplot(rows, columns, place + 1)
        quotes, scale, colour = smile.quotes, 100.0 / np.sqrt(smile.years), SECOND if smile.flags else INK
        panel.vlines(quotes.k, scale * quotes.low, scale * quotes.high, color=ACCENT, alpha=0.55, linewidth=2.2, label="bid to ask")
        k = np.linspace(quotes.k.min() * 1.1, quotes.k.max() * 1.1, 200)
        panel.plot(k, 100.0 * smile.volatility(k), color=colour, linewidth=1.3, label="fitted")
        word = ", ".join(smile.flags) or ("clean" if smile.source is Curve.SVI else str(smile.source))
        about = f"{round(smile.years * DAYS_A_YEAR)} days, rmse {100 * smile.rmse:.2f} points: {word}"
        panel.set_title(about, loc="left", fontsize=8, color=colour)
        panel.grid(color="#d9d9d9", linewidth=0.5)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=7)
        panel.set_ylabel("volatility, %" if place % ABREAST == 0 else "", fontsize=8)
        panel.set_xlabel("ln(strike / forward)", fontsize=7)
    figure.axes[0].legend(frameon=False, fontsize=7)
    return png(figure.axes[0])


def _total_variance(title: str, smiles: Sequence[Smile]) -> bytes:
    axes = new_axes(f"{title} total variance by expiry", "ln(strike / forward)", "total variance")
    for place, smile in enumerate(smiles):
        k, label = checked(smile.quotes.k), f"{round(smile.years * DAYS_A_YEAR)} days"
        axes.plot(k, smile.curve.w(k), color=SHADES[place % len(SHADES)], linewidth=1.4, label=label)
    _by_log(axes)
    axes.legend(frameon=False, fontsize=7, ncols=2)
    return png(axes)


def _surface_map(title: str, surface: Surface) -> bytes:
    axes = new_axes(f"{title} implied volatility", "standard deviations from the money", "days to expiry", height=4.2)
    first, last = surface.smiles[0].years, surface.smiles[-1].years
    years = np.geomspace(first, max(last, first * 1.05), TERM_POINTS)
    z = np.linspace(-2.5, 2.0, TERM_POINTS)
    values = np.array([[surface.volatility(s * surface.volatility(0.0, t) * np.sqrt(t), t) for s in z] for t in years.tolist()])
    drawn = axes.pcolormesh(z, years * DAYS_A_YEAR, 100.0 * values, cmap="viridis", shading="gouraud")
    lines = axes.contour(z, years * DAYS_A_YEAR, 100.0 * values, levels=8, colors="white", linewidths=0.6)
    axes.clabel(lines, fontsize=7)
    _by_log(axes)
    axes.set_yticks([days for days in TERMS if years[0] <= days / DAYS_A_YEAR <= years[-1]])
    axes.figure.colorbar(drawn, label="volatility, %")
    return png(axes)


def _quality(surfaces: Sequence[Surface]) -> bytes:
    axes = new_axes("Fit against the quotes' own width", "", "rmse, vol points")
    rows = [(one.chain.day, 100.0 * smile.rmse, 100.0 * smile.half_width, bool(smile.flags)) for one in surfaces for smile in one.smiles]
    days, error, width, bad = map(np.array, zip(*rows, strict=True))
    axes.scatter(days, width, s=10, color="#b0b0b0", label="half of the quoted width")
    axes.scatter(days[~bad], error[~bad], s=14, color=ACCENT, label="rmse of a slice")
    axes.scatter(days[bad], error[bad], s=18, color=SECOND, marker="x", label="flagged")
    _by_log(axes)
    date_axis(axes)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.1), ncols=3)
    return png(axes)


def _by_log(axes: Axes) -> None:
    """Draw by logarithms, and write the numbers as they are."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
