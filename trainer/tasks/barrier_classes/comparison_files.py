"""Rows, summary, page, picture and files of a comparison."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from signals.scoring.evidence import Mean
from trainer.reports import page
from trainer.reports.canvas import ACCENT, GRID, INK, SECOND, new_axes, png
from trainer.tasks.barrier_classes.comparison import Comparison
from trainer.tasks.barrier_classes.decisions import GAP_LIMIT, PSI_SHOWN, DirectionFigures

PICTURE = "directions.png"
CAPTION = (
    "How much of a bar's direction each knows, with 95 % intervals by session. Left of the orange line: no more than the best of as many "
    "learners without any skill. Grey: what they are read beside. The seal was opened for the best alone."
)
HEAD = (
    *("what", "IC", "t", "p of the best of all", "long/short loss saved", "net bp a trade", "t", "trades", "hit rate", "net Sharpe"),
    *("deepest fall", "3-class log loss", "macro F1", "worst regime t", "minutes", "rows"),
)


@dataclass(frozen=True)
class DirectionRow:
    """One row of the table; texts are written as they are, what is not known is empty."""

    name: str
    part: str
    ic: Mean
    figures: tuple[str, ...]
    is_beside: bool = False


def picture(rows: Sequence[DirectionRow], critical_t: float) -> bytes:
    """Draw the ICs with their intervals, best on top; `critical_t` is the t that 5 % of the best without skill reach."""
    axes = new_axes("What each knows of direction", "IC by session, 95 % interval", "", height=1.4 + 0.28 * len(rows))
    place = np.arange(len(rows))[::-1]
    errors = np.nan_to_num([row.ic.standard_error for row in rows])
    for y, row, error in zip(place, rows, errors, strict=True):
        axes.errorbar(
            row.ic.mean, y, xerr=1.96 * error, fmt="o", color=INK if row.is_beside else ACCENT, alpha=0.5 if row.is_beside else 1.0
        )
    axes.axvline(0.0, color=GRID, linewidth=1.5)
    judged = [error for row, error in zip(rows, errors, strict=True) if not row.is_beside and row.part == "validation"]
    if judged:
        axes.axvline(critical_t * float(np.median(judged)), color=SECOND, linestyle="--")
    axes.set_yticks(place, [f"{row.name}, {row.part}" for row in rows])
    return png(axes)


def document(
    title: str, summary: Sequence[tuple[str, str]], warnings: Sequence[str], rows: Sequence[DirectionRow], tables: Sequence[page.Table]
) -> str:
    """Return the page as HTML; its picture is in `plots/`."""
    whole = page.Table("Learners", HEAD, tuple((f"{row.name}, {row.part}", *row.figures) for row in rows))
    return page.html(page.Page(title, tuple(summary), tuple(warnings), {PICTURE: CAPTION}, (whole, *tables)))


CLASSES_WARNING = (
    "Three-class figures are mostly volatility and the clock: read them beside the row of the clock alone, and take none of them for skill."
)
SHOWN_SHIFTS = 10


def files(found: Comparison, title: str) -> Mapping[str, bytes]:
    """Return the page, its picture and the same figures as JSON, by path."""
    rows = rows_of(found)
    critical = found.cells[0].adjusted.critical if found.cells[0].adjusted is not None else float("nan")
    text = document(title, summary(found), (*found.reasons, CLASSES_WARNING), rows, (_regimes(found.test), _shifts(found)))
    figures = {
        "skilled": found.is_skilled,
        "reasons": list(found.reasons),
        "pbo": found.pbo,
        "clusters": found.clusters,
        "loss_chance": found.loss_chance,
        "ic_gap": vars(found.gap),
        "embargoed": {"reach": found.embargoed.reach, "further": vars(found.embargoed.further), "nearer": vars(found.embargoed.nearer)},
        "over_clock": vars(found.over_clock),
        "charge": vars(found.charge),
        "rows": [{"what": row.name, "part": row.part, "ic": vars(row.ic), "figures": list(row.figures)} for row in rows],
    }
    content = json.dumps(_finite(figures), indent=2, sort_keys=True, allow_nan=False) + "\n"
    return {"compare.html": text.encode(), f"plots/{PICTURE}": picture(rows, critical), "compare.json": content.encode()}


def rows_of(found: Comparison) -> tuple[DirectionRow, ...]:
    """The best cell's test row and those it is compared with, then all cells by validation."""
    best = found.cells[0]
    rows = [_row(best.name, "test", found.test, minutes=best.minutes)]
    rows += [_row(name, "test", figures, is_beside=True) for name, figures in found.test_beside.items()]
    for cell in found.cells:
        p = "" if cell.adjusted is None else f"{cell.adjusted.p:.3f}"
        rows.append(_row(cell.name, "validation", cell.figures, p=p, minutes=cell.minutes))
    rows += [_row(name, "validation", figures, is_beside=True) for name, figures in found.beside.items()]
    return tuple(rows)


def summary(found: Comparison) -> tuple[tuple[str, str], ...]:
    """Lines of what was found, (what, figure)."""
    replaced = f"not applicable: {found.clusters} clusters of learners, 10 are needed; the best of one half of the sessions lost in the "
    gap = f"{found.gap.value:+.0%}, 95 % interval {found.gap.low:+.0%} to {found.gap.high:+.0%}"
    return (
        ("best on validation", found.cells[0].name),
        ("skilled", "yes" if found.is_skilled else f"no: {found.reasons[0]}"),
        ("counted with them", str(found.charge)),
        ("test part", f"opened once, for {found.cells[0].name}"),
        ("beyond the clock, test", _mean(found.over_clock)),
        (f"IC on validation {found.embargoed.reach} bars and more from training", _further(found.embargoed.further)),
        ("IC lost from validation to test", gap + (f": above {GAP_LIMIT:.0%}" if found.gap.is_failure else "; a small gap proves nothing")),
        ("PBO", f"{found.pbo:.2f}" if found.pbo is not None else f"{replaced}other with chance {found.loss_chance:.2f}"),
    )


def _row(
    name: str, part: str, figures: DirectionFigures, *, p: str = "", minutes: float | None = None, is_beside: bool = False
) -> DirectionRow:
    worst = figures.worst_regime
    words = (
        f"{figures.ic.mean:+.4f}",
        f"{figures.ic.t:+.2f}",
        p,
        f"{figures.loss_saved.mean:+.4f}",
        f"{figures.net_bps.mean:+.2f}",
        f"{figures.net_bps.t:+.2f}",
        str(figures.trades),
        f"{figures.win_rate:.1%}",
        f"{figures.sharpe:+.2f}",
        f"{figures.drawdown:.2%}",
        f"{figures.log_loss:.4f}",
        f"{figures.macro_f1:.3f}",
        "" if worst is None else f"{worst.ic.t:+.2f} ({worst.regime})",
        "" if minutes is None else f"{minutes:.2f}",
        figures.rows,
    )
    return DirectionRow(name, part, figures.ic, words, is_beside)


def _regimes(test: DirectionFigures) -> page.Table:
    rows = tuple((row.regime, _mean(row.ic), f"{row.net_bps:+.2f}", f"{row.hit_rate:.1%}", str(row.ic.sessions)) for row in test.regimes)
    return page.Table("The best one by regime, test", ("regime", "IC", "net bp a trade", "hit rate", "sessions"), rows)


def _shifts(found: Comparison) -> page.Table:
    rows = tuple((one.name, f"{one.psi:.3f}", f"{one.limit:.3f}") for one in found.shifts[:SHOWN_SHIFTS])
    above = sum(one.psi > max(one.limit, PSI_SHOWN) for one in found.shifts)
    title = f"Features that moved most from training to test (PSI; {above} above {PSI_SHOWN} and above their own training)"
    return page.Table(title, ("feature", "PSI", "95 % of as long a piece of training"), rows)


def _mean(mean: Mean) -> str:
    return f"{mean.mean:+.4f}, t {mean.t:+.2f}"


def _further(mean: Mean) -> str:
    return _mean(mean) if np.isfinite(mean.t) else f"not measured: waived, only {mean.sessions} sessions are so far away"


def _finite(value: object) -> object:
    """`value` with None for what is not a number."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
