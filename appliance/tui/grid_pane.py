"""The pane of a screen with a grid: caption, charts, filter line, table and details."""

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

from appliance.tui.grid import Content, Grid
from appliance.tui.ledger_source import ScreenAnswer
from appliance.tui.plot import Plot
from appliance.tui.row_filter import Arrangement, arrange, find_symbol
from appliance.tui.screens import Screen
from appliance.views import View


class GridPane(Vertical):
    """A screen with a grid."""

    answer: reactive[ScreenAnswer | None] = reactive(None)
    arrangement: reactive[Arrangement] = reactive(Arrangement())

    @dataclass
    class Arranged(Message):
        """The rows of a screen were filtered or sorted anew."""

        screen: str
        how: Arrangement

    def __init__(self, screen: Screen, how: Arrangement) -> None:
        super().__init__(id=screen.name, classes="pane")
        self.spec = screen
        self.set_reactive(GridPane.arrangement, how)
        self.shown = View((), (), "")
        self._is_composed = False
        self._place = 0

    def compose(self) -> ComposeResult:
        """Head, charts where there are any, filter line, grid, detail."""
        yield Static(classes="head", markup=False)
        if self.spec.charts:
            with Horizontal(classes="charts"):
                for _ in self.spec.charts:
                    yield Plot()
        yield Static(classes="arranged", markup=False)
        yield Grid()
        yield Static(classes="detail", markup=False)

    def on_mount(self) -> None:
        """Show what was answered before there was anything to show it on."""
        self._is_composed = True
        self.watch_answer(self.answer)
        if self.display:
            self.grid.focus()

    @property
    def grid(self) -> Grid:
        """The grid."""
        return self.query_one(Grid)

    def watch_answer(self, answer: ScreenAnswer | None) -> None:
        """Show the rows of the answer."""
        if not self._is_composed:
            return
        views = answer.views if answer else None
        if answer is None or views is None:
            return
        if self.spec.command not in views:
            self.shown = View((), (), answer.trouble.what if answer.trouble else "")
            self._fill()
            return
        self.shown = views[self.spec.command]
        head = self.spec.head(answer, self.app.size.width)
        line = self.query_one(".head", Static)
        line.update(head.content)
        line.display = bool(head.plain)
        for plot, chart in zip(self.query(Plot), self.spec.charts, strict=True):
            plot.chart = chart(answer)
        self._fill()
        if self._place:
            self.grid.cursor, self._place = self._place, 0

    def rest(self) -> None:
        """Drop the rows while another screen is in front, and remember the place: a thousand rows use memory."""
        if self.answer is None or not self._is_composed:
            return
        self._place = self.grid.cursor
        self.answer, self.shown = None, View((), (), "")
        self.grid.content = Content((), (), "")

    def watch_arrangement(self, how: Arrangement) -> None:
        """Filter and sort the rows that are there."""
        if self._is_composed:
            self._fill()
            self.post_message(self.Arranged(self.spec.name, how))

    def _fill(self) -> None:
        how = self.arrangement
        rows = arrange(self.shown.rows, self.spec.columns, how)
        empty = self.shown.empty if not self.shown.rows else f"no row matches {how.words!r}; escape clears the filter"
        group = "" if how.sort else self.spec.group
        self.grid.content = Content(self.spec.columns, rows, empty, how.sort, how.descending, group)
        line = self.query_one(".arranged", Static)
        line.display = bool(how.words)
        line.update(f"filter {how.words!r}: {len(rows)} of {len(self.shown.rows)} rows; escape clears it")

    def on_grid_moved(self, event: Grid.Moved) -> None:
        """Say more about the row under the cursor."""
        detail = self.query_one(".detail", Static)
        text = self.spec.detail(event.row, self.size) if event.row else None
        detail.display = bool(text and text.plain)
        if text is not None:
            detail.update(text.content)

    def on_grid_header_clicked(self, event: Grid.HeaderClicked) -> None:
        """Sort by the clicked column; a second click turns the order."""
        self.sort_by(event.key)

    def focus_grid(self) -> None:
        """Give the keys to the grid, once there is one."""
        if self._is_composed:
            self.grid.focus()

    def sort_by(self, key: str) -> None:
        """Sort by a column, or turn the order when it is sorted by already."""
        how = self.arrangement
        self.arrangement = Arrangement(how.words, key, key == how.sort and not how.descending)

    def sort_next(self) -> None:
        """Sort by the next column; after the last one, the query's own order again."""
        keys = ["", *(column.key for column in self.spec.columns)]
        here = keys.index(self.arrangement.sort) if self.arrangement.sort in keys else 0
        self.arrangement = Arrangement(self.arrangement.words, keys[(here + 1) % len(keys)])

    def go_to(self, symbol: str) -> bool:
        """Put the cursor on a symbol; False when no row has it."""
        found = find_symbol(self.grid.content.rows, symbol)
        if found is None:
            return False
        self.grid.cursor = found
        return True
