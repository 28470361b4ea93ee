"""A virtual table widget: only visible lines are drawn, so that a thousand rows cost no more than thirty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from appliance.tui.columns import GAP, GUTTER, Column, Tone, aligned, fit
from appliance.views.view import ViewRow
from signals.text.wording import clean

HEADER_LINES = 1
MARK, DOWN, UP = "▸ ", "▼", "▲"


@dataclass(frozen=True)
class Content:
    """Everything a grid shows.

    Attributes
    ----------
    columns, rows
        Already filtered and sorted.
    empty : str
        Said when there is no row.
    sort : str
        Key of the sorted column, marked in the header.
    group : str
        Key of a column whose repeats are left blank.
    """

    columns: tuple[Column, ...] = ()
    rows: tuple[ViewRow, ...] = ()
    empty: str = ""
    sort: str = ""
    descending: bool = False
    group: str = ""


class Grid(ScrollView, can_focus=True):
    """A scrolling table with a cursor; its one input is `content`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--header",
        "grid--cursor",
        "grid--good",
        "grid--bad",
        "grid--warn",
        "grid--dim",
        "grid--plain",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "jump(0)", "First", show=False),
        Binding("end", "jump(-1)", "Last", show=False),
        Binding("enter", "choose", "Why?", show=False),
    ]

    content: reactive[Content] = reactive(Content(), layout=False)
    cursor: reactive[int] = reactive(0)

    @dataclass
    class Moved(Message):
        """The cursor moved to another row, or the row under it changed."""

        grid: Grid
        row: ViewRow | None

    @dataclass
    class Chosen(Message):
        """A person pressed enter on a row."""

        grid: Grid
        row: ViewRow

    @dataclass
    class HeaderClicked(Message):
        """A person clicked a column's title."""

        grid: Grid
        key: str

    @property
    def row(self) -> ViewRow | None:
        """The row under the cursor."""
        rows = self.content.rows
        return rows[self.cursor] if 0 <= self.cursor < len(rows) else None

    def watch_content(self, content: Content) -> None:
        """Fit the cursor and the scrollable height to the new rows."""
        self.cursor = max(0, min(self.cursor, len(content.rows) - 1))
        self._measure()
        self.refresh()
        self.post_message(self.Moved(self, self.row))

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor on a row."""
        return max(0, min(cursor, len(self.content.rows) - 1))

    def watch_cursor(self) -> None:
        """Keep the cursor in sight."""
        self.scroll_to_region(Region(0, self.cursor + HEADER_LINES, 1, 1), animate=False, force=True, spacing=None, top=False)
        if self.cursor == 0:
            self.scroll_to(y=0, animate=False)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        self.refresh()
        self.post_message(self.Moved(self, self.row))

    def on_resize(self) -> None:
        """Fit the columns to the new width."""
        self._measure()

    def _measure(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self.content.rows) + HEADER_LINES)

    def render_line(self, y: int) -> Strip:
        """Draw one visible line: the header stays, rows scroll under it."""
        width = self.scrollable_content_region.width
        placed = fit(self.content.columns, width)
        if y == 0:
            return self._header(placed, width)
        index = y - HEADER_LINES + self.scroll_offset.y
        if not self.content.rows:
            text = clean(self.content.empty) if y == 2 else ""
            return Strip([Segment(f"  {text}".ljust(width), self._style("dim"))]).crop_extend(0, width, self.rich_style)
        if index >= len(self.content.rows):
            return Strip.blank(width, self.rich_style)
        return self._line(index, placed, width)

    def _header(self, placed: tuple[tuple[Column, int], ...], width: int) -> Strip:
        style = self.get_component_rich_style("grid--header")
        parts = []
        for column, size in placed:
            mark = (DOWN if self.content.descending else UP) if column.key == self.content.sort else ""
            parts.append(aligned(column.title + mark, column, size))
        return Strip([Segment((" " * GUTTER + (" " * GAP).join(parts)).ljust(width), style)]).crop(0, width)

    def _line(self, index: int, placed: tuple[tuple[Column, int], ...], width: int) -> Strip:
        row = self.content.rows[index]
        is_cursor = index == self.cursor
        base = self.get_component_rich_style("grid--cursor") if is_cursor and self.has_focus else self.rich_style
        segments = [Segment(MARK if is_cursor else " " * GUTTER, base)]
        for i, (column, size) in enumerate(placed):
            value = column.cell(row)
            text = "" if self._repeats(column, index) else column.text(value)
            tone = column.tone(value)
            style = base if tone is Tone.PLAIN else base + Style(color=self._style(tone.value).color)
            segments.append(Segment(aligned(text, column, size), style))
            if i < len(placed) - 1:
                segments.append(Segment(" " * GAP, base))
        return Strip(segments).crop_extend(0, width, base)

    def _repeats(self, column: Column, index: int) -> bool:
        if column.key != self.content.group or index == 0:
            return False
        rows = self.content.rows
        return bool(rows[index][column.key] == rows[index - 1][column.key]) and index != self.scroll_offset.y

    def _style(self, tone: str) -> Style:
        return self.get_component_rich_style(f"grid--{tone}")

    def action_move(self, lines: int) -> None:
        """Move the cursor by lines."""
        self.cursor += lines

    def action_page(self, pages: int) -> None:
        """Move the cursor by what is seen at once."""
        self.cursor += pages * max(1, self.scrollable_content_region.height - HEADER_LINES - 1)

    def action_jump(self, index: int) -> None:
        """Move the cursor to the first row, or to the last one for -1."""
        self.cursor = len(self.content.rows) - 1 if index < 0 else index

    def action_choose(self) -> None:
        """Ask for the details of the row under the cursor."""
        if (row := self.row) is not None:
            self.post_message(self.Chosen(self, row))

    def on_focus(self) -> None:
        """Show the cursor as active."""
        self.refresh()

    def on_blur(self) -> None:
        """Show the cursor as passive."""
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Select the clicked row, choose it on a double click, or sort by the clicked title."""
        if event.y < HEADER_LINES:
            left = GUTTER
            for column, size in fit(self.content.columns, self.scrollable_content_region.width):
                if left <= event.x < left + size + GAP:
                    self.post_message(self.HeaderClicked(self, column.key))
                    return
                left += size + GAP
            return
        self.cursor = event.y - HEADER_LINES + self.scroll_offset.y
        if event.chain == 2:
            self.action_choose()
