"""Reports of option research: surfaces with their quality, and backtests."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from signals.market.bars import Floats, days_array
from trainer.options.backtest import OptionBacktestConfig, OptionDay
from trainer.options.chains.chain import DAYS_A_YEAR
from trainer.options.surface.surface import Surface
from trainer.options.surface.svi import jump_wings
from trainer.reports import page
from trainer.reports.options import plots
from trainer.reports.page import Page, Table

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
HEAD = ("expiry", "days", "quotes", "forward", "ATM", "skew", "rmse", "half width", "inside", "curve", "flags")


def surface_report(surfaces: Sequence[Surface], shown: Surface, warnings: tuple[str, ...] = ()) -> Mapping[str, bytes]:
    """Render the surfaces of an underlier, one day of them in full: relative path -> content."""
    smiles = [smile for surface in surfaces for smile in surface.smiles]
    flags = Counter(str(flag) for smile in smiles for flag in smile.flags)
    rows = (
        ("Days", f"{len(surfaces)}, {surfaces[0].day} to {surfaces[-1].day}"),
        ("Slices", f"{len(smiles)}; {sum(bool(smile.flags) for smile in smiles)} flagged"),
        ("Flags", ", ".join(f"{count} {name}" for name, count in sorted(flags.items())) or "none"),
        ("RMSE, vol points", f"{100 * np.median([one.rmse for one in smiles]):.3f} at the median"),
        ("Half of the quoted width", f"{100 * np.median([one.half_width for one in smiles]):.3f} at the median"),
        ("Quotes that hold the curve", f"{np.median([one.inside for one in smiles]):.1%} of the median slice"),
    )
    left_out = Table("Left out", ("expiry", "why"), tuple(shown.left_out.items()))
    table = Table(f"Slices of {shown.day}", HEAD, tuple(_row(shown, place) for place in range(len(shown.smiles))))
    tables = (table, left_out) if shown.left_out else (table,)
    document = Page(f"Implied volatility of {shown.root}", rows, warnings, SURFACE_CAPTIONS, tables)
    drawn = {
        "smiles.png": plots.smiles(shown),
        "total_variance.png": plots.total_variance(shown),
        "surface.png": plots.surface_map(shown),
        "quality.png": plots.quality(surfaces),
    }
    return _files(document, drawn)


def backtest_report(root: str, days: Sequence[OptionDay], config: OptionBacktestConfig, warnings: tuple[str, ...]) -> Mapping[str, bytes]:
    """Render a backtest: relative path -> content."""
    axis = days_array([one.day for one in days])
    parts = {name: _series(days, name) for name in NAMES[:4]} | {"total": _series(days, "gross")}
    drawn = {
        "marks.png": plots.marks(axis, _series(days, "mid"), _series(days, "liquidation")),
        "parts.png": plots.running_sums("Where the profit came from", "USD, cumulative", axis, parts),
    }
    events = tuple((str(one.day), event) for one in days for event in one.events if not event.startswith(("opened", "closed")))
    tables = (Table("Expiries and exercises", ("day", "what"), events),) if events else ()
    title = f"{config.side.capitalize()} {config.template} of {root}, hedged at the close"
    return _files(Page(title, tuple(backtest_rows(days)), warnings, BACKTEST_CAPTIONS, tables), drawn)


def backtest_rows(days: Sequence[OptionDay]) -> list[tuple[str, str]]:
    """(what, figure) lines of a backtest."""
    total = {name: sum(getattr(one, name) for one in days) for name in NAMES}
    worst = min(days, key=lambda one: one.net)
    return [
        ("Days", f"{len(days)}, {days[0].day} to {days[-1].day}"),
        ("Net profit", f"{total['net']:,.2f} USD after {total['costs']:,.2f} USD of costs"),
        ("Before costs", f"{total['gross']:,.2f} USD"),
        *((f"  of which {name}", f"{total[name]:,.2f} USD") for name in NAMES[:4]),
        ("Half spreads, fees, hedging", f"{total['spreads']:,.2f}, {total['fees']:,.2f}, {total['hedging']:,.2f} USD"),
        ("Worst day", f"{worst.net:,.2f} USD on {worst.day}"),
        ("Most by which liquidation is below mid", f"{max(one.mid - one.liquidation for one in days):,.2f} USD"),
    ]


NAMES = ("gamma", "theta", "vega", "residual", "gross", "costs", "spreads", "fees", "hedging", "net")


def _series(days: Sequence[OptionDay], name: str) -> Floats:
    return np.array([float(getattr(one, name)) for one in days])


def _row(surface: Surface, place: int) -> tuple[str, ...]:
    smile = surface.smiles[place]
    wings = jump_wings(smile.curve, smile.years)
    return (
        str(smile.expiration),
        f"{smile.years * DAYS_A_YEAR:.0f}",
        str(len(smile.quotes)),
        f"{smile.quotes.forward.value:,.2f}",
        f"{np.sqrt(wings.v):.1%}",
        f"{wings.psi:+.3f}",
        f"{100 * smile.rmse:.2f}",
        f"{100 * smile.half_width:.2f}",
        f"{smile.inside:.0%}",
        str(smile.source),
        ", ".join(smile.flags) or "none",
    )


def _files(document: Page, drawn: Mapping[str, bytes]) -> Mapping[str, bytes]:
    drawn_at = {f"plots/{name}": content for name, content in drawn.items()}
    return {"report.md": page.markdown(document).encode(), "report.html": page.html(document).encode(), **drawn_at}
