"""The page and the picture of a comparison of learners of direction: one table, rows equal by hash."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from signals.scoring.evidence import Mean
from trainer.reports import page
from trainer.reports.canvas import ACCENT, GRID, INK, SECOND, new_axes, png

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
