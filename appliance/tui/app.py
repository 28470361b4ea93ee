"""The Textual application: reads in a worker, passes each answer to the widgets, and maps keys to actions.

Invariants
----------
1. The thread that draws never touches a file, a socket or the ledger: every reading and every request is a worker.
2. An answer that belongs to a question of before is never shown over a newer one.
3. Nothing here can send an order. Halting, re-arming and cancelling are requests to the daemon, typed in words.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import ClassVar, Protocol

from textual import work
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.notifications import SeverityLevel
from textual.screen import Screen as TextualScreen

from appliance.daemon import control_socket
from appliance.tui import plot, row_export
from appliance.tui.banner import Banner, BannerState, KeyBar, Notice, ScreenBar, banner_state
from appliance.tui.dialogs import HelpScreen, Typed, TypedScreen
from appliance.tui.grid import Grid
from appliance.tui.grid_pane import GridPane
from appliance.tui.ledger_source import ScreenAnswer, ScreenQuery
from appliance.tui.overview_pane import OverviewPane
from appliance.tui.prompt_line import PromptLine
from appliance.tui.row_filter import Arrangement, read_sorts, write_sorts
from appliance.tui.screens import BY_NAME, DEEPER, OVERVIEW, SCREENS, SYMBOL, TRACE, Screen
from signals.errors import TrademlError
from signals.text.wording import clean_lines, reason_of

DARK, LIGHT = "textual-dark", "textual-light"


class AnswerSource(Protocol):
    """Where answers come from."""

    def read(self, question: ScreenQuery) -> ScreenAnswer:
        """Answer one question; may block."""

    def close(self) -> None:
        """Close what is open."""


@dataclass(frozen=True)
class TuiSettings:
    """How the screens run.

    Attributes
    ----------
    refresh_seconds : float
        Between two readings; 0 reads only when asked.
    socket : Path or None
        The daemon's control socket; None where requests to it are not offered (a demo).
    exports : Path
        Folder that exported tables are written to.
    by : str
        Who asks, for the daemon's record.
    note : str
        A line under the banner when nothing more urgent is there.
    start : str
        Name of the first screen.
    remembered : Path or None
        File that keeps the sort of each screen for the next start; None keeps none.
    """

    refresh_seconds: float = 2.0
    socket: Path | None = None
    exports: Path = Path()
    by: str = ""
    note: str = ""
    start: str = "overview"
    remembered: Path | None = None


class ApplianceApp(App[None]):
    """The screens of one device."""

    TITLE = "appliance"
    CSS_PATH = "appliance.tcss"
    AUTO_FOCUS = None  # the first thing that could take the keys is the hidden line to ask on
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("slash", "ask('filter')", "Filter", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("S", "turn", "Turn the order", show=False),
        Binding("g", "ask('symbol')", "Go to"),
        Binding(SYMBOL.key, "symbol", SYMBOL.title, show=False),
        Binding("left_square_bracket", "session(-1)", "Session", key_display="[ ]"),
        Binding("right_square_bracket", "session(1)", "Later session", show=False),
        Binding("n", "session(0)", "Newest session", show=False),
        Binding("c", "copy('json')", "Copy"),
        Binding("C", "copy('csv')", "Copy as CSV", show=False),
        Binding("e", "export('csv')", "Export"),
        Binding("E", "export('json')", "Export as JSON", show=False),
        Binding("L", "theme", "Light or dark", show=False),
        Binding("f5", "refresh_now", "Read again", show=False),
        Binding("escape", "back", "Back", show=False),
        Binding("H", "request('halt')", "Halt"),
        Binding("R", "request('rearm')", "Re-arm", show=False),
        Binding("X", "request('cancel-all')", "Cancel all", show=False),
        Binding("ctrl+p", "command_palette", "All", key_display="^p"),
        Binding("q", "quit", "Quit"),
        *(
            Binding(screen.key, f"show('{screen.name}')", screen.title, show=False)
            for screen in (*SCREENS, *DEEPER)
            if screen not in (TRACE, SYMBOL)
        ),
    ]

    def __init__(self, source: AnswerSource, settings: TuiSettings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._source, self._settings, self._monotonic = source, settings, monotonic
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self.is_reading = self._asks_again = False
        self._read_at: float | None = None
        self._started = monotonic()
        self.answer: ScreenAnswer | None = None
        self.front: Screen = BY_NAME[settings.start]
        self.session: date | None = None
        self.order, self._asked_on = "", TRACE.above
        self.symbol, self._left_for_symbol = "", SYMBOL.above
        self._sorts = read_sorts(settings.remembered) if settings.remembered else {}

    def compose(self) -> ComposeResult:
        """Banner, notice, bar of screens, the pane in front, the line to ask on, the keys."""
        yield Banner()
        yield Notice()
        yield ScreenBar()
        yield Container(id="panes")
        yield PromptLine(id="ask")
        yield KeyBar()

    def on_mount(self) -> None:
        """Bring the first screen to the front and start reading."""
        self.theme = DARK
        self.action_show(self.front.name)
        if self._settings.refresh_seconds > 0:
            self.set_interval(self._settings.refresh_seconds, self.action_refresh_now)
            self.set_interval(1.0, self._show_banner)

    def on_unmount(self) -> None:
        """Let the reader go without waiting for a lock it may hang on."""
        self._reader.submit(self._source.close)
        self._reader.shutdown(wait=False)

    # -- reading ------------------------------------------------------------------------------------------------------

    def action_refresh_now(self) -> None:
        """Read the ledger; one reading at a time, and once more if something was asked meanwhile."""
        if self.is_reading:
            self._asks_again = True
            return
        self._read()

    @work(group="reading")
    async def _read(self) -> None:
        self.is_reading = True
        try:
            while True:
                self._asks_again = False
                self._take(await self._answered(ScreenQuery(self.front.query, self.session, self.order, self.symbol)))
                if not self._asks_again:
                    return
        finally:
            self.is_reading = False

    async def _answered(self, question: ScreenQuery) -> ScreenAnswer:
        if self.front.charts:
            self._reader.submit(plot.load)  # by the time of the answer there is what draws it
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._source.read, question)

    def _take(self, answer: ScreenAnswer) -> None:
        if answer.overview is not None:
            self._read_at = self._monotonic()
        if answer.overview is None and self.answer is not None and self.answer.overview is not None:
            answer = replace(self.answer, trouble=answer.trouble)  # what was read stays in sight, marked as old
            self.answer = answer
            self._show_banner()
            return
        self.answer = answer
        if answer.question == ScreenQuery(self.front.query, self.session, self.order, self.symbol):
            self._pane(self.front).answer = answer
        self._show_banner()

    def _show_banner(self) -> None:
        age = self._monotonic() - (self._read_at if self._read_at is not None else self._started)
        is_known = self.answer is None or self.answer.overview is not None
        state: BannerState = banner_state(self.answer, age if is_known else 0.0, self._settings.note)
        self.query_one(Banner).banner_state = state
        self.query_one(Notice).banner_state = state
        panes = self.query_one("#panes")
        panes.set_class(state.is_old, "-old")
        panes.display = self.answer is None or self.answer.overview is not None

    # -- screens ------------------------------------------------------------------------------------------------------

    def action_show(self, name: str) -> None:
        """Bring a screen to the front."""
        self.front = BY_NAME[name]
        pane = self._pane(self.front)
        for other in self.query(".pane"):
            other.display = other is pane
            if isinstance(other, GridPane) and other is not pane:
                other.rest()
        self.query_one(ScreenBar).current = self.query_one(KeyBar).current = name
        self.call_after_refresh(self._focus_grid)
        self.action_refresh_now()

    def _pane(self, screen: Screen) -> GridPane | OverviewPane:
        """The screen's pane, made when it is first needed."""
        found = [pane for pane in self.query(".pane") if pane.id == screen.name]
        if found:
            pane = found[0]
            assert isinstance(pane, (GridPane, OverviewPane))
            return pane
        how = self._sorts.get(screen.name, Arrangement())
        made: GridPane | OverviewPane = OverviewPane() if screen is OVERVIEW else GridPane(screen, how)
        self.query_one("#panes").mount(made)
        return made

    @property
    def pane(self) -> GridPane | None:
        """The pane in front, when it has a grid."""
        pane = self._pane(self.front)
        return pane if isinstance(pane, GridPane) else None

    def action_session(self, step: int) -> None:
        """Go to the session before, after, or back to the newest."""
        if self.answer is None:
            return
        if step:
            there = self.answer.before if step < 0 else self.answer.after
            if there is None:
                self.notify("there is no earlier session" if step < 0 else "this is the newest session")
                return
            self.session = there
        else:
            self.session = None
        self.action_refresh_now()

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        """Enter on a row: the trace of its order; a name without one in the shown session is state to have none."""
        if order := event.row.get("client_order_id"):
            self.order, self._asked_on = str(order), self.front.name
            self.action_show(TRACE.name)
        elif "symbol" in event.row and self.pane is not None:
            self.notify(f"no order of {event.row['symbol']} in the session {self.pane.shown.session}")

    def action_symbol(self) -> None:
        """Go to the symbol of the row under the cursor."""
        row = self.pane.grid.row if self.pane is not None else None
        if row is not None and row.get("symbol"):
            self.symbol, self._left_for_symbol = str(row["symbol"]), self.front.name
            self.action_show(SYMBOL.name)

    async def action_back(self) -> None:
        """Close the line, clear the filter, or go back to the screen that this one belongs to."""
        ask = self.query_one(PromptLine)
        if ask.is_open:
            ask.close()
        elif self.pane is not None and self.pane.arrangement.words:
            self.pane.arrangement = replace(self.pane.arrangement, words="")
        elif self.front in (TRACE, SYMBOL):
            self.action_show(self._asked_on if self.front is TRACE else self._left_for_symbol)
        elif self.front.above:
            self.action_show(self.front.above)
        self._focus_grid()

    def _focus_grid(self) -> None:
        if self.pane is None:
            self.set_focus(None)
        else:
            self.pane.focus_grid()

    # -- tables -------------------------------------------------------------------------------------------------------

    def action_sort(self) -> None:
        """Sort by the next column."""
        if self.pane is not None:
            self.pane.sort_next()

    def action_turn(self) -> None:
        """Turn the order of the sort."""
        if self.pane is not None and self.pane.arrangement.sort:
            self.pane.sort_by(self.pane.arrangement.sort)

    def on_grid_pane_arranged(self, event: GridPane.Arranged) -> None:
        """Remember how the screen is sorted."""
        how = replace(event.how, words="")
        if self._settings.remembered is not None and how != self._sorts.get(event.screen, Arrangement()):
            self._sorts[event.screen] = how
            self._reader.submit(self._remember, self._settings.remembered, dict(self._sorts))

    def _remember(self, path: Path, sorts: dict[str, Arrangement]) -> None:
        try:
            write_sorts(path, sorts)
        except OSError as error:
            self.call_from_thread(self.notify, f"the sort is not remembered: {reason_of(error)}", severity="warning")

    def action_ask(self, what: str) -> None:
        """Open the line for a filter or a symbol."""
        if self.pane is not None:
            start = self.pane.arrangement.words if what == "filter" else ""
            self.query_one(PromptLine).open(what, start)

    def on_prompt_line_changed(self, event: PromptLine.Changed) -> None:
        """Filter while it is typed."""
        if event.what == "filter" and self.pane is not None:
            self.pane.arrangement = replace(self.pane.arrangement, words=event.text)

    def on_prompt_line_done(self, event: PromptLine.Done) -> None:
        """Go to the symbol that was typed, or keep the filter."""
        if event.what == "symbol":
            self._go_to(event.text)
        self._focus_grid()

    def _go_to(self, symbol: str) -> None:
        if self.pane is not None and symbol.strip() and not self.pane.go_to(symbol):
            self.notify(f"no row of {symbol.strip().upper()} here", severity="warning")

    def action_copy(self, form: str) -> None:
        """Copy the row under the cursor."""
        row = self.pane.grid.row if self.pane is not None else None
        if row is None:
            return
        self.copy_to_clipboard(row_export.as_json([row]) if form == "json" else row_export.as_csv([row]))
        self.notify(f"copied one row as {form.upper()}")

    @work(thread=True, group="exporting", exit_on_error=False)
    def action_export(self, form: str) -> None:
        """Write the rows that are shown to a file."""
        pane = self.pane
        if pane is None:
            return
        rows = pane.grid.content.rows
        name = f"{pane.spec.command}_{self.answer.session if self.answer else 'none'}.{form}"
        try:
            path = row_export.write(self._settings.exports / name, rows, form)
        except OSError as error:
            self.call_from_thread(self.notify, f"not exported: {reason_of(error)}", severity="error")
            return
        self.call_from_thread(self.notify, f"{len(rows)} rows written to {path}")

    def notify(
        self, message: str, *, title: str = "", severity: SeverityLevel = "information", timeout: float | None = None, markup: bool = False
    ) -> None:
        """Show a message for a moment, cleaned: what the daemon or a person state is never markup."""
        super().notify(clean_lines(message), title=title, severity=severity, timeout=timeout, markup=markup)

    # -- the rest -----------------------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """Show every key."""
        self.push_screen(HelpScreen(can_request=self._settings.socket is not None))

    def action_theme(self) -> None:
        """Light or dark."""
        self.theme = LIGHT if self.theme == DARK else DARK

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer requests to the daemon only where there may be one, and table keys only on tables."""
        if action == "request":
            return self._settings.socket is not None
        if action in ("sort", "turn", "ask", "copy", "export"):
            return self.front is not OVERVIEW
        return True

    def action_request(self, command: str) -> None:
        """Ask the daemon to halt, re-arm or cancel, after the word has been typed."""
        halt_id = self.answer.overview.halt_id if self.answer and self.answer.overview else ""
        self.push_screen(TypedScreen(command, halt_id), self._typed)

    def _typed(self, typed: Typed | None) -> None:
        if typed is not None:
            self._ask_daemon(typed)

    @work(thread=True, group="control", exit_on_error=False)
    def _ask_daemon(self, typed: Typed) -> None:
        socket = self._settings.socket
        if socket is None:
            return
        request = control_socket.ControlRequest(control_socket.Command(typed.command), typed.reason, typed.halt_id, self._settings.by)
        try:
            answer = control_socket.ask(socket, request)
            self.call_from_thread(self.notify, answer.text, severity="information" if answer.ok else "error", timeout=20)
        except TrademlError as error:
            self.call_from_thread(self.notify, str(error), severity="error", timeout=30)
        self.call_from_thread(self.action_refresh_now)

    def get_system_commands(self, screen: TextualScreen[object]) -> Iterable[SystemCommand]:
        """Every screen and every action, for the palette."""
        yield from super().get_system_commands(screen)
        for item in (*SCREENS, *DEEPER[1:]):
            yield SystemCommand(f"Go to {item.title}", f"key {item.key}", lambda name=item.name: self.action_show(name))
        yield SystemCommand("Session: earlier", "key [", lambda: self.action_session(-1))
        yield SystemCommand("Session: later", "key ]", lambda: self.action_session(1))
        yield SystemCommand("Session: newest", "key n", lambda: self.action_session(0))
        yield SystemCommand("Light or dark", "key L", self.action_theme)
        yield SystemCommand("Read again", "key F5", self.action_refresh_now)
        if self.front is not OVERVIEW:
            yield SystemCommand("Filter rows", "key /", lambda: self.action_ask("filter"))
            yield SystemCommand("Go to a symbol", "key g", lambda: self.action_ask("symbol"))
            yield SystemCommand("Sort by the next column", "key s", self.action_sort)
            yield SystemCommand("Turn the order", "key S", self.action_turn)
            yield SystemCommand("Copy row as JSON", "key c", lambda: self.action_copy("json"))
            yield SystemCommand("Copy row as CSV", "key C", lambda: self.action_copy("csv"))
            yield SystemCommand("Export table as CSV", "key e", lambda: self.action_export("csv"))
            yield SystemCommand("Export table as JSON", "key E", lambda: self.action_export("json"))
        if self._settings.socket is not None:
            yield SystemCommand("Halt the device", "key H", lambda: self.action_request("halt"))
            yield SystemCommand("Re-arm the device", "key R", lambda: self.action_request("rearm"))
            yield SystemCommand("Cancel every working order", "key X", lambda: self.action_request("cancel-all"))
