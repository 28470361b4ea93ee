"""The equity curve as SVG: paper and real NAV with drawdown, byte-identical for the same figures."""

from collections.abc import Sequence

from appliance.ledger.nav import NavRow
from appliance.reports.svg import Band, Box, Chart, Line, drawn

WIDTH, HEIGHT, FALL = 900, 450, 130
PAPER, REAL = "#1f4e79", "#b4690e"


def draw(rows: Sequence[NavRow]) -> bytes:
    """Return an SVG document of both values by session, with the drawdown of the real one below."""
    paper, real = [float(row.paper_nav) for row in rows], [float(row.restated_nav) for row in rows]
    names = {place: rows[place].session.isoformat() for place in _labelled(len(rows))}
    lines = (Line(paper, PAPER, "paper account"), Line(real, REAL, "with dividends, borrow, fees and impact", is_dashed=True))
    fall = [100 * depth for depth in drawdowns(real)]
    value = Chart("Net asset value at the close, USD", lines, form="{:,.0f}".format)
    below = Chart("drawdown, %", (Line(fall, REAL),), (Band(fall, [0.0] * len(fall), REAL, 0.4),), names)
    return drawn(((value, Box(0, 0, WIDTH, HEIGHT - FALL)), (below, Box(0, HEIGHT - FALL, WIDTH, FALL))), WIDTH, HEIGHT)


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
