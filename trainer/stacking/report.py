"""The report of a stack: weights, records of all members, and the verdict."""

from collections.abc import Mapping, Sequence

import numpy as np

from signals.market.bars import Days, Floats
from trainer.reports import page
from trainer.reports.canvas import ACCENT, SECOND, new_axes, png
from trainer.reports.plots import running_sums
from trainer.stacking.document import StackFigures

CAPTIONS = {
    "cumulative_ic.png": "Cumulative out-of-fold rank IC of the stack, of each member and of the configured average.",
    "weights.png": "What the stack learned for each group of sessions: weights that jump are weights that fit noise.",
}
TITLE = "Cumulative rank IC, out of fold"
GREYS = ("#7a9cb3", "#b0b0b0", "#8f8f6a", "#a58aa8", "#6fa08b")


def report_files(known: StackFigures, sessions: Days, series: Mapping[str, Floats]) -> dict[str, bytes]:
    """Render everything: relative path -> content."""
    has_weights = known.weights is not None
    captions = CAPTIONS if has_weights else {"cumulative_ic.png": CAPTIONS["cumulative_ic.png"]}
    shown = page.Page("Stack of " + ", ".join(m.name for m in known.members), tuple(lines_of(known)), tuple(warnings_of(known)), captions)
    pictures = {"cumulative_ic.png": running_sums(TITLE, "sum of session ICs", sessions, series, bold="stack")}
    if has_weights:
        pictures["weights.png"] = weights([learned for learned in known.weights_by_group if learned is not None])
    return page.files(shown, pictures)


def lines_of(known: StackFigures) -> list[tuple[str, str]]:
    """(what, figure) lines of the report, which the command prints too."""
    lines = [("Verdict", "promotable" if known.promotable else "not promotable"), ("Best member", known.best)]
    if known.weights is not None:
        lines.append(("Weights", ", ".join(f"{name} {weight:.3f}" for name, weight in known.weights.items())))
    if known.budgets:
        firm = known.firmness
        reach = {name: f" ({firm.low[name]:.3f} to {firm.high[name]:.3f})" for name in firm.low}
        lines.append(("Risk budgets (HRP)", ", ".join(f"{name} {share:.3f}{reach.get(name, '')}" for name, share in known.budgets.items())))
        moved = f"{_number(firm.redrawn, '.1%')} by a redrawn history, {_number(firm.turnover, '.1%')} a month ({firm.months} months)"
        lines.append(("Risk budgets that move", moved))
    for name, record in known.records.items():
        ic, forward = record.ic, record.forward_ic
        lines.append(
            (
                f"{name}: out-of-fold IC, walk-forward IC, Sharpe and its 95 % interval",
                f"{_number(ic.mean, '+.4f')} (t {_number(ic.t, '+.2f')}), {_number(forward.mean, '+.4f')} "
                f"(t {_number(forward.t, '+.2f')}), {_number(record.sharpe, '+.2f')} "
                f"({' to '.join(_number(end, '+.2f') for end in record.sharpe_interval)})",
            )
        )
    for row in known.rows:
        against = f" against {row.best:.4f}" if row.best is not None else ""
        mark = "ok" if row.passed else "MISSED"
        lines.append((f"{mark}: {row.what}", f"{_number(row.stack, '.4f')}{against}"))
    return lines


def warnings_of(known: StackFigures) -> list[str]:
    """Say why the stack may not be used."""
    missed = [row.what for row in known.rows if not row.passed]
    return [f"not better than {known.best}: {', '.join(missed)}"] if missed else []


def weights(by_group: Sequence[Mapping[str, float]]) -> bytes:
    """Stacked bars of the weights learned for each group."""
    axes = new_axes("Weights learned for each group", "group of sessions", "weight", height=3.0)
    base = np.zeros(len(by_group))
    for name, colour in zip(by_group[0], (ACCENT, SECOND, *GREYS) * len(by_group[0]), strict=False):
        heights = np.array([learned[name] for learned in by_group])
        axes.bar(range(1, len(by_group) + 1), heights, bottom=base, color=colour, width=0.7, label=name)
        base = base + heights
    axes.set_xticks(range(1, len(by_group) + 1))
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return png(axes)


def _number(value: float | None, form: str) -> str:
    return "n/a" if value is None or not np.isfinite(value) else format(value, form)
