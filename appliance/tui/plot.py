"""Line charts in the terminal, drawn with plotext; lines differ in stroke as well as in tone.

A dot of a later line wins the tone of the character that it shares with an earlier one; none is ever erased.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from textual.reactive import reactive
from textual.widgets import Static

from appliance.tui.columns import Tone
from appliance.tui.formatting import TonedText

if TYPE_CHECKING:
    import plotext

# The library's colour of each tone; only distinct here, the theme gives the colours that are seen.
INKS = {tone: (0, 0, i) for i, tone in enumerate(Tone, start=1)}
TONES = {ink: tone for tone, ink in INKS.items()}
DOTS_ACROSS = 2  # of a braille character
LEAST_WITH_SPAN = 5  # lines of a chart; below, every line is needed for what is drawn


MARKS = {"^": "▲", "v": "▼"}


class Stroke(StrEnum):
    """Where along a line its dots are drawn: a pattern, again and again."""

    SOLID = "#"
    DASHED = "####   "
    DOTTED = "#   "
    DASH_DOT = "#####  #  "
    UP = "^"  # each value by itself, a mark that points up
    DOWN = "v"

    @property
    def sample(self) -> str:
        """Two characters of it, for the legend."""
        return {Stroke.SOLID: "──", Stroke.DASHED: "╌╌", Stroke.DOTTED: "┈┈", Stroke.DASH_DOT: "╌·", Stroke.UP: " ▲", Stroke.DOWN: " ▼"}[
            self
        ]


@dataclass(frozen=True)
class ChartLine:
    """One line: values at equal steps, None where there is none; what is not finite is none."""

    name: str
    values: tuple[float | None, ...]
    tone: Tone = Tone.PLAIN
    stroke: Stroke = Stroke.SOLID

    def __post_init__(self) -> None:
        finite = tuple(value if value is not None and math.isfinite(value) else None for value in self.values)
        object.__setattr__(self, "values", finite)


@dataclass(frozen=True)
class Chart:
    """Lines over one axis.

    Attributes
    ----------
    title : str
        Shown above, with the legend.
    unit : str
        Format of a value of the axis.
    empty : str
        Said while there are no two values.
    span : tuple of str
        Shown under the first and the last value: their sessions.
    """

    title: str
    lines: tuple[ChartLine, ...]
    unit: str = "{:,.0f}"
    empty: str = "nothing to draw yet"
    span: tuple[str, str] = ("", "")


def load() -> None:
    """Load the library, which takes a moment: for a thread that draws nothing."""
    importlib.import_module("plotext")


def rendered(chart: Chart, width: int, height: int) -> TonedText:
    """Draw the chart into `width` x `height` characters: a title with the legend, then the lines inside their axes.

    Returns
    -------
    Said
        `height` lines; only the title and what is empty where there are no two values.
    """
    known = [value for line in chart.lines for value in line.values if value is not None]
    if len(known) < 2 or height < 2 or width < 1:
        return TonedText(chart.title, Tone.DIM).append(f"\n{chart.empty}", Tone.DIM)
    text = _titled(chart, width)
    canvas = _canvas(chart, min(known), max(known), width, height)
    for row, cells in enumerate(canvas.string(colorless=True).splitlines()):
        text.append("\n")
        inked = ((TONES.get(canvas.get(row, column).foreground(), Tone.DIM), cell) for column, cell in enumerate(cells))
        for tone, run in groupby(inked, key=lambda each: each[0]):
            text.append("".join(cell for _, cell in run), tone)
    return text


def _titled(chart: Chart, width: int) -> TonedText:
    """The title, and as much of the legend as there is room for."""
    text = TonedText(chart.title[:width], Tone.DIM)
    for line in chart.lines:
        label = f"  {line.stroke.sample} {line.name}"
        if line.name and len(text.plain) + len(label) <= width:
            text.append(label, line.tone)
    return text


def _canvas(chart: Chart, low: float, high: float, width: int, height: int) -> plotext.matrix:
    """The part below the title, as the library draws it."""
    import plotext

    figure = plotext.figure
    plotext.terminal.limit(False, False)  # the room is the widget's, not the terminal's
    figure.clear.all()
    figure.plot_size(width, height - 1)
    figure.axes(False)
    marks = {value: f"{chart.unit.format(value)} " for value in (low, high)}
    for line in chart.lines:
        figure.draw(_signal(line, DOTS_ACROSS * (width - max(map(len, marks.values())))))
    bottom, top = (low, high) if high > low else (low - 1.0, high + 1.0)
    figure.ruler("y").lim(bottom, top).alignment("edge").ticks(list(marks), labels=list(marks.values()))
    last = max(1, *(len(line.values) - 1 for line in chart.lines))
    across = figure.ruler("x").lim(0, last).alignment("edge").frequency(0)
    if any(chart.span) and height >= LEAST_WITH_SPAN:
        across.ticks([0, last], labels=list(chart.span))
    return figure.build()


def _signal(line: ChartLine, dots: int) -> object:
    """The line's points, joined where they are neighbours."""
    import plotext

    mark = MARKS.get(line.stroke)
    is_whole = line.stroke is Stroke.SOLID or mark is not None
    points = list(enumerate(line.values)) if is_whole else list(stroked(line, dots))
    xs, ys = [x for x, y in points if y is not None], [y for _, y in points if y is not None]
    signal = plotext.figure.signal(xs, ys, marker=plotext.marker(mark or "braille", plotext.pixel(INKS[line.tone])))
    place = 0
    for (_, before), (_, here) in pairwise(points):
        place += before is not None
        if before is not None and here is not None and mark is None:
            signal.line(place)
    return signal


def stroked(line: ChartLine, dots: int) -> Iterator[tuple[float, float | None]]:
    """Walk along the line in `dots` equal steps: its place among the values, and its value, None where it is not drawn.

    >>> [y for _, y in stroked(Line("", (0.0, 7.0), stroke=Stroke.DASHED), 8)]
    [0.0, 1.0, 2.0, 3.0, None, None, None, 7.0]
    """
    last = len(line.values) - 1
    for step in range(dots):
        place = step / (dots - 1) * last if dots > 1 else 0.0
        left = min(int(place), max(0, last - 1))
        before, after = line.values[left], line.values[min(left + 1, last)]
        is_drawn = line.stroke.value[step % len(line.stroke.value)] != " "
        if not is_drawn or before is None or after is None:
            yield place, None
        else:
            yield place, before + (place - left) * (after - before)


class Plot(Static):
    """A chart as large as its room; its one input is `chart`."""

    chart: reactive[Chart | None] = reactive(None)

    def __init__(self) -> None:
        super().__init__(markup=False, classes="plot")

    def watch_chart(self, _chart: Chart | None) -> None:
        """Draw the new chart."""
        self._draw_now()

    def on_resize(self) -> None:
        """Draw it to the new size."""
        self._draw_now()

    def _draw_now(self) -> None:
        if self.chart is not None and self.size.width > 0:
            self.update(rendered(self.chart, self.size.width, self.size.height).content)
