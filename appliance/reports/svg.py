"""The report's charts as SVG, the same bytes for the same figures: equity, fans of realised against predicted figures, candles."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from appliance.ledger.nav import NavRow
from signals.events.recorded import Candle

FONT = "font-family='sans-serif' font-size='11' fill='#333'"
LEFT, RIGHT, TOP, BOTTOM = 78.0, 36.0, 28.0, 24.0  # of a chart, around its plot, in pixels
MOST_TICKS = 6


@dataclass(frozen=True)
class Line:
    """Values at places `first`, `first` + 1 ...; one that is no number leaves a gap."""

    values: Sequence[float]
    colour: str
    label: str = ""
    is_dashed: bool = False
    first: int = 0


@dataclass(frozen=True)
class Band:
    """The area between two lines."""

    lower: Sequence[float]
    upper: Sequence[float]
    colour: str
    opacity: float
    first: int = 0


@dataclass(frozen=True)
class Chart:
    """One plot; `names` are the words below its places, `form` writes a value of the vertical axis."""

    title: str
    lines: Sequence[Line] = ()
    bands: Sequence[Band] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    form: Callable[[float], str] = "{:,.4g}".format


@dataclass(frozen=True)
class Box:
    """Where a chart is, in pixels."""

    x: float
    y: float
    width: float
    height: float


def drawn(charts: Sequence[tuple[Chart, Box]], width: int, height: int) -> bytes:
    """Return the charts as one SVG document."""
    return _document([part for chart, box in charts for part in _chart(chart, box)], width, height)


def _document(parts: Sequence[str], width: int, height: int) -> bytes:
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}'>"
    return "\n".join((head, f"<rect width='{width}' height='{height}' fill='white'/>", *parts, "</svg>", "")).encode()


def ticks(low: float, high: float) -> list[float]:
    """Round values in [low, high], a step of 1, 2 or 5 times a power of ten apart.

    Examples
    --------
    >>> ticks(0.0, 10.0)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    >>> ticks(-0.13, 0.0)
    [-0.1, -0.05, 0.0]
    """
    power = 10.0 ** math.floor(math.log10((high - low) / (MOST_TICKS - 1)))
    step = next(scale * power for scale in (1, 2, 5, 10, 20) if (high - low) / (scale * power) <= MOST_TICKS - 1)
    return [round(number * step, 12) + 0.0 for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _chart(chart: Chart, box: Box) -> list[str]:
    series = [(line.first, line.values) for line in chart.lines]
    series += [(band.first, values) for band in chart.bands for values in (band.lower, band.upper)]
    figures = [float(value) for _, values in series for value in values if math.isfinite(value)] or [0.0]
    low, high = min(figures), max(figures)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5 * max(1.0, abs(low)), high + 0.5 * max(1.0, abs(high))
    first = min((place for place, values in series if len(values)), default=0)
    last = max((place + len(values) - 1 for place, values in series if len(values)), default=0)

    def across(place: float) -> float:
        share = 0.5 if last == first else (place - first) / (last - first)
        return box.x + LEFT + share * (box.width - LEFT - RIGHT)

    def down(value: float) -> float:
        return box.y + TOP + (high - value) / (high - low) * (box.height - TOP - BOTTOM)

    floor, right = box.y + box.height - BOTTOM, box.x + box.width - RIGHT
    parts = [_text(box.x + LEFT, box.y + 17, chart.title, "start")]
    for value in ticks(low, high):
        parts.append(_rule(box.x + LEFT, down(value), right, down(value)))
        parts.append(_text(box.x + LEFT - 6, down(value) + 4, chart.form(value), "end"))
    for place in chart.names:
        parts.append(_rule(across(place), box.y + TOP, across(place), floor))
        parts.append(_text(across(place), floor + 16, chart.names[place], "middle"))
    for band in chart.bands:
        there = [(across(band.first + at), down(value)) for at, value in enumerate(band.lower)]
        back = [(across(band.first + at), down(value)) for at, value in enumerate(band.upper)]
        parts.append(f"<polygon points='{_points(there + back[::-1])}' fill='{band.colour}' fill-opacity='{band.opacity}'/>")
    for line in chart.lines:
        parts += _line(line, across, down)
    named = [line for line in chart.lines if line.label]
    return parts + [part for row, line in enumerate(named) for part in _label(line, box.x + LEFT + 10, box.y + TOP + 14 + 15 * row)]


def _line(line: Line, across: Callable[[float], float], down: Callable[[float], float]) -> list[str]:
    stretches: list[list[tuple[float, float]]] = [[]]
    for at, value in enumerate(line.values):
        if math.isfinite(value):
            stretches[-1].append((across(line.first + at), down(value)))
        else:
            stretches.append([])
    parts = [f"<polyline points='{_points(one)}' fill='none' {_stroke(line)}/>" for one in stretches if len(one) > 1]
    alone = [one[0] for one in stretches if len(one) == 1]
    return parts + [f"<circle cx='{x:.2f}' cy='{y:.2f}' r='2' fill='{line.colour}'/>" for x, y in alone]


def _label(line: Line, x: float, y: float) -> list[str]:
    return [f"<path d='M{x:.2f} {y - 4:.2f}h22' {_stroke(line)}/>", _text(x + 28, y, line.label, "start")]


def _stroke(line: Line) -> str:
    dashes = " stroke-dasharray='5 3'" if line.is_dashed else ""
    return f"stroke='{line.colour}' stroke-width='1.5'{dashes}"


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<path d='M{x1:.2f} {y1:.2f}L{x2:.2f} {y2:.2f}' stroke='#ccc' stroke-width='0.6'/>"


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f"<text x='{x:.2f}' y='{y:.2f}' text-anchor='{anchor}' {FONT}>{escape(words)}</text>"


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)


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


WIDTH, HEIGHT = 1_000, 600
LIVE, FAN = "#b4690e", "#1f4e79"
TITLES = {
    "ic": "mean rank IC so far",
    "turnover": "turnover of a session, mean so far",
    "cost": "cost of trading, basis points, mean so far",
    "drawdown": "deepest drawdown so far",
}


@dataclass(frozen=True)
class FanPanel:
    """One figure: what was lived, and the promised quantiles after 1, 2, ... sessions, lowest level first."""

    live: Sequence[float]
    bands: Sequence[Sequence[float]]


def fans(panels: Mapping[str, FanPanel]) -> bytes:
    """Return an SVG document."""
    charts = []
    for number, (name, panel) in enumerate(panels.items()):
        levels = list(zip(*panel.bands, strict=True))
        bands = [Band(levels[depth], levels[-1 - depth], FAN, 0.18, first=1) for depth in range(len(levels) // 2)]
        promised = Line(levels[len(levels) // 2], FAN, "promised median" if number == 0 else "", is_dashed=True, first=1)
        live = Line(panel.live, LIVE, "realised" if number == 0 else "", first=1)
        last = len(panel.bands)
        names = {place: str(place) for place in sorted({1, (1 + last) // 2, last})}
        box = Box(number % 2 * WIDTH / 2, number // 2 * HEIGHT / 2, WIDTH / 2, HEIGHT / 2)
        charts.append((Chart(f"{TITLES[name]}, by session", (promised, live), bands, names), box))
    return drawn(charts, WIDTH, HEIGHT)


RISING, FALLING = "#1d7a4f", "#b0352b"
ACROSS, CELL, STEP, LEVEL = 4, (240, 172), 3.5, 2  # cells in a line, size of one, and of a bar and a level in it, in pixels


def candles(titled: Sequence[tuple[str, Sequence[Candle]]]) -> bytes:
    """Return an SVG document of the candles of several pictures, each under its title."""
    parts = []
    for place, (title, bars) in enumerate(titled):
        x, y = place % ACROSS * CELL[0] + 10, place // ACROSS * CELL[1] + 30
        parts.append(_text(x, y - 8, title, "start"))
        for colour, is_rising in ((RISING, True), (FALLING, False)):
            for width, first, last in ((0.8, "high", "low"), (2.6, "top", "bottom")):
                spans = ((at, getattr(one, first), getattr(one, last) + 1) for at, one in enumerate(bars) if one.is_rising is is_rising)
                path = "".join(f"M{x + STEP * at:.1f} {y + LEVEL * high}V{y + LEVEL * low}" for at, high, low in spans)
                parts.append(f"<path d='{path}' stroke='{colour}' stroke-width='{width}'/>")
    return _document(parts, min(len(titled), ACROSS) * CELL[0], -(-len(titled) // ACROSS) * CELL[1])
