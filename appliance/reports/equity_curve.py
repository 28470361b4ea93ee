"""The equity curve: paper beside real, drawn without a display, the same bytes for the same figures."""

from __future__ import annotations

import io
from collections.abc import Sequence

from appliance.ledger.nav import NavRow

SIZE_INCHES, DOTS_PER_INCH = (9.0, 4.5), 100
PAPER, REAL = "#1f4e79", "#b4690e"


def draw(rows: Sequence[NavRow]) -> bytes:
    """Return a PNG of both values by session, with the drawdown of the real one below.

    matplotlib is imported here: nothing else on the device needs it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    value, fall = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    places = range(len(rows))
    paper, real = [float(row.paper_nav) for row in rows], [float(row.restated_nav) for row in rows]
    value.plot(places, paper, color=PAPER, label="paper account")
    value.plot(places, real, color=REAL, linestyle="--", label="with dividends, borrow, fees and impact")
    value.set_ylabel("USD")
    value.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}")
    value.legend(loc="best", frameon=False)
    value.set_title("Net asset value at the close")
    fall.fill_between(places, [100 * d for d in drawdowns(real)], 0, color=REAL, alpha=0.4, linewidth=0)
    fall.set_ylabel("drawdown, %")
    labelled = _labelled(len(rows))
    fall.set_xticks(labelled, [rows[i].session.isoformat() for i in labelled])
    for axis in (value, fall):
        axis.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def drawdowns(values: Sequence[float]) -> list[float]:
    """Fall below the highest value so far, as negative fractions.

    Examples
    --------
    >>> drawdowns([100.0, 110.0, 99.0])
    [0.0, 0.0, -0.1]
    """
    highest, found = float("-inf"), []
    for value in values:
        highest = max(highest, value)
        found.append(round(value / highest - 1.0, 12))
    return found


def _labelled(count: int, most: int = 6) -> list[int]:
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})
