"""The shared plot canvas: headless, one style, byte-reproducible."""

import io

import matplotlib.dates as mdates
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from signals.text.wording import clean_lines

INK, ACCENT, SECOND, GRID = "#2b2b2b", "#1f5f8b", "#c05621", "#d9d9d9"
SIZE_INCHES, DPI = (9.0, 3.8), 110


def new_axes(title: str, x: str, y: str, *, height: float = SIZE_INCHES[1]) -> Axes:
    """Axes of one picture; `height` in inches."""
    figure = Figure(figsize=(SIZE_INCHES[0], height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def date_axis(axes: Axes) -> None:
    """Label the x axis by dates, as briefly as they allow."""
    locator = mdates.AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def png(axes: Axes) -> bytes:
    """Render the picture of `axes`; names are drawn as they are, a dollar sign begins no formula."""
    buffer = io.BytesIO()
    figure = axes.figure
    assert isinstance(figure, Figure)
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text(clean_lines(text.get_text()))
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
