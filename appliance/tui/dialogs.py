"""Modal dialogs: the help page, and the typed confirmation of a dangerous request."""

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

WORDS = {"halt": "HALT", "rearm": "REARM", "cancel-all": "CANCEL"}
EFFECTS = {
    "halt": "The latch is closed and every working order is cancelled. Nothing is sold. Only a person re-arms.",
    "rearm": "The latch is opened after a clean reconcile; the device sends orders again.",
    "cancel-all": "Every working order is cancelled. The latch stays as it is.",
}
KEYS = """\
SCREENS  1 Overview  2 Positions  3 Blotter  4 Signals    5 Risk
         6 Jobs      7 Data       8 Bundle   9 Logs       0 Reconcile
         p Performance: a attribution  m the model's life  d drift
         4 Signals: v events of the evening  o what became of events
WHY      3, then enter on an order: signal, features, data, bundle
SESSION  [ earlier   ] later   n newest
TABLE    / filter    s sort by the next column    S turn the order
         g go to a symbol         a click on a title sorts, too
         c copy row as JSON       C as CSV
         e export rows as CSV     E as JSON
MOVE     arrows or j k, page up, page down, home, end, mouse
SCREEN   L light or dark   F5 read again   ^p every command   q quit
"""
REQUESTS = """\
DEVICE   H halt      R re-arm      X cancel every working order
         asked of the daemon, after a reason and a typed word
"""
SYMBOLS = """\
SIGNS    ✔ well  ! look at it  ✘ bad  ■ halted  ▼ reduce  ? unknown
"""


class HelpScreen(ModalScreen[None]):
    """Every key on one page."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "dismiss", "Close")]

    def __init__(self, *, can_request: bool) -> None:
        super().__init__()
        self._can_request = can_request

    def compose(self) -> ComposeResult:
        """The page."""
        with VerticalScroll(classes="dialog") as box:
            box.border_title = "keys; escape closes"
            yield Static(KEYS + (REQUESTS if self._can_request else "") + SYMBOLS, markup=False)


@dataclass(frozen=True)
class Typed:
    """A request that a person has confirmed."""

    command: str
    reason: str
    halt_id: str


class TypedScreen(ModalScreen[Typed | None]):
    """A reason and a typed word before the daemon is asked."""

    AUTO_FOCUS = "#reason"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel")]

    def __init__(self, command: str, halt_id: str) -> None:
        super().__init__()
        self._command, self._halt_id = command, halt_id

    def compose(self) -> ComposeResult:
        """The consequence, the reason, the word."""
        word = WORDS[self._command]
        with Vertical(classes="dialog") as box:
            box.border_title = f"{word}: asked of the daemon; escape leaves everything as it is"
            yield Static(EFFECTS[self._command], markup=False)
            if self._command == "rearm":
                yield Static(f"halt id: {self._halt_id or 'not halted'}", markup=False)
            yield Input(placeholder="why, in words, for the record", id="reason")
            yield Input(placeholder=f"type {word}", id="word")
            yield Static("", id="fault", markup=False)

    def on_input_submitted(self) -> None:
        """Go on to the word, then ask; say what is missing."""
        reason, word = self.query_one("#reason", Input), self.query_one("#word", Input)
        fault = self.query_one("#fault", Static)
        if not reason.value.strip():
            fault.update("a reason is needed")
            reason.focus()
        elif word.value.strip() != WORDS[self._command]:
            if word.value.strip():
                fault.update(f"{WORDS[self._command]} was not typed; nothing was asked")
            word.focus()
        else:
            self.dismiss(Typed(self._command, reason.value.strip(), self._halt_id))

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)
