"""Lines drawn in braille: eight dots to a character, told apart by their stroke as well as by their tone.

A dot of a later line wins the tone of the character that it shares with an earlier one; none is ever erased.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from textual.reactive import reactive
from textual.widgets import Static

from appliance.tui.columns import Tone
from appliance.tui.said import Said

BLANK = 0x2800
# The bit of each dot of a braille character, by row from the top and column from the left (Unicode chart U2800).
BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
DOTS_ACROSS, DOTS_DOWN = 2, 4
SAMPLES = {"solid": "──", "dashed": "╌╌", "dotted": "┈┈"}


class Stroke(Enum):
    """Which dots of a line are drawn: (on, off) along it."""

    SOLID = (1, 0)
    DASHED = (4, 3)
    DOTTED = (1, 3)


@dataclass(frozen=True)
class Line:
    """One line: values at equal steps, None where there is none."""

    name: str
    values: tuple[float | None, ...]
    tone: Tone = Tone.PLAIN
    stroke: Stroke = Stroke.SOLID


@dataclass(frozen=True)
class Chart:
    """Lines over one axis, a title above them, and how a value of the axis is said."""

    title: str
    lines: tuple[Line, ...]
    unit: str = "{:,.0f}"
    empty: str = "nothing to draw yet"


def drawn(chart: Chart, width: int, height: int) -> Said:
    """Draw the chart into `width` x `height` characters: a title with the legend, then the lines beside their axis.

    Returns
    -------
    Said
        `height` lines; only the title and what is empty where there are no two points to join.
    """
    known = [value for line in chart.lines for value in line.values if value is not None]
    if len(known) < 2 or height < 2:
        return Said(chart.title, Tone.DIM).append(f"\n{chart.empty}", Tone.DIM)
    low, high = min(known), max(known)
    if high == low:
        low, high = low - 1.0, high + 1.0
    rows = height - 1
    marks = {0: chart.unit.format(high), rows - 1: chart.unit.format(low)}
    margin = max(map(len, marks.values()))
    across = max(1, width - margin - 1)
    bits = [[0] * across for _ in range(rows)]
    tones = [[Tone.PLAIN] * across for _ in range(rows)]
    for line in chart.lines:
        for x, y in _dots(line, low, high, across * DOTS_ACROSS, rows * DOTS_DOWN):
            bits[y // DOTS_DOWN][x // DOTS_ACROSS] |= BITS[y % DOTS_DOWN][x % DOTS_ACROSS]
            tones[y // DOTS_DOWN][x // DOTS_ACROSS] = line.tone
    text = _titled(chart, width)
    for row in range(rows):
        text.append(f"\n{marks.get(row, ''):>{margin}} ", Tone.DIM)
        for cell, tone in zip(bits[row], tones[row], strict=True):
            text.append(chr(BLANK + cell) if cell else " ", tone)
    return text


def _titled(chart: Chart, width: int) -> Said:
    """The title, and as much of the legend as there is room for."""
    text = Said(chart.title[:width], Tone.DIM)
    for line in chart.lines:
        said = f"  {SAMPLES[line.stroke.name.lower()]} {line.name}"
        if line.name and len(text.plain) + len(said) <= width:
            text.append(said, line.tone)
    return text


def _dots(line: Line, low: float, high: float, across: int, down: int) -> Iterator[tuple[int, int]]:
    """Dots of the straight pieces between neighbouring values, in the line's stroke."""
    count, step = len(line.values), 0
    on, off = line.stroke.value
    before: tuple[int, int] | None = None
    for i, value in enumerate(line.values):
        if value is None:
            before = None
            continue
        here = (
            round(i / max(1, count - 1) * (across - 1)), round((high - value) / (high - low) * (down - 1))
        )  # fmt: skip
        for dot in _piece(before or here, here):
            if step % (on + off) < on:
                yield dot
            step += 1
        before = here


def _piece(start: tuple[int, int], end: tuple[int, int]) -> Sequence[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (start[0] + math.floor((end[0] - start[0]) * i / steps + 0.5),
         start[1] + math.floor((end[1] - start[1]) * i / steps + 0.5))
        for i in range(1, steps + 1)
    ]  # fmt: skip


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
            self.update(drawn(self.chart, self.size.width, self.size.height).content)
