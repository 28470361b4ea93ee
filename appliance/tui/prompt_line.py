"""The input line at the bottom for a filter or a symbol."""

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label

TITLES = {"filter": "filter", "symbol": "go to symbol"}
HINTS = {"filter": "words that a row must hold; -word must not; enter keeps it, escape clears it", "symbol": "a symbol or its beginning"}


class PromptLine(Horizontal):
    """A label and an input; hidden until it is opened."""

    @dataclass
    class Changed(Message):
        """The text changed."""

        what: str
        text: str

    @dataclass
    class Done(Message):
        """Enter was pressed."""

        what: str
        text: str

    what = ""

    def compose(self) -> ComposeResult:
        """Label and input."""
        yield Label("")
        yield Input(compact=True)

    @property
    def is_open(self) -> bool:
        """Whether the line is shown."""
        return self.has_class("-open")

    def open(self, what: str, text: str) -> None:
        """Show the line for `what`, starting with `text`."""
        self.what = what
        self.query_one(Label).update(TITLES[what])
        field = self.query_one(Input)
        field.placeholder = HINTS[what]
        with field.prevent(Input.Changed):
            field.value = text
        self.add_class("-open")
        field.focus()

    def close(self) -> None:
        """Hide the line."""
        self.remove_class("-open")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Report the text typed up to now."""
        event.stop()
        if self.is_open:
            self.post_message(self.Changed(self.what, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Report the text that was typed and hide the line."""
        event.stop()
        self.close()
        self.post_message(self.Done(self.what, event.value))
