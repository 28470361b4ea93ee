"""The person at the terminal: login name, and typed confirmation of dangerous commands."""

import os
import pwd

from signals.errors import FixInput, TryAgain


class PersonLeft(TryAgain):
    """A person left at a question, named by its subject."""

    def __init__(self, subject: str) -> None:
        self.subject = subject.replace("_", " ")
        super().__init__(f"you left at {self.subject}; nothing was changed", fix="Run it again")


def who() -> str:
    """Login name of the user that runs this process, as the record of an arming keeps it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def confirm_typed(word: str, what: str, *, yes: bool) -> None:
    """Ask for `word` unless `yes`; raise `FixInput` when something else is typed, `PersonLeft` where the person leaves."""
    if yes:
        return
    import typer  # only commands that ask need it; the screens, which want only the name, stay light

    try:
        typed = typer.prompt(f"Type {word} to {what}", default="", show_default=False)
    except (typer.Abort, KeyboardInterrupt, EOFError):
        typer.echo(err=True)  # what is said of it begins a line of its own
        raise PersonLeft("the typed word") from None
    if typed.strip() != word:
        raise FixInput(f"{word} was not typed; nothing was changed")


def require_as_shown(shown: str, now: str) -> None:
    """Raise `FixInput` where something changed while a person was asked: nobody holds a lock at a prompt."""
    if shown != now:
        raise FixInput("it changed while you were asked; nothing was changed here", where=f"{shown}; now: {now}", fix="Run it again")
