"""The person at the terminal: login name, and typed confirmation of dangerous commands."""

import os
import pwd

from signals.errors import FixInput


def who() -> str:
    """Login name of the user that runs this process, as the record of an arming keeps it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def confirm_typed(word: str, what: str, *, yes: bool) -> None:
    """Ask for `word` unless `yes`; raise `FixInput` when something else is typed."""
    if yes:
        return
    import typer  # only commands that ask need it; the screens, which want only the name, stay light

    typed = typer.prompt(f"Type {word} to {what}", default="", show_default=False)
    if typed.strip() != word:
        raise FixInput(f"{word} was not typed; nothing was changed")
