"""Options of the device's command line that mean the same in every command."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from signals.errors import NotASession

State = Annotated[
    Path,
    typer.Option("--state", envvar=["TRADEML_STATE", "STATE_DIRECTORY"], help="The state folder; systemd sets it to /var/lib/appliance."),
]
Credentials = Annotated[
    Path | None,
    typer.Option(
        "--credentials",
        envvar=["TRADEML_CREDENTIALS", "CREDENTIALS_DIRECTORY"],
        help="Folder with alpaca-key-id and alpaca-secret-key; systemd sets it.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
SessionText = Annotated[str, typer.Option("--session", metavar="YYYY-MM-DD", help="D, the trade session.", show_default=False)]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Most rows to show.")]

DEFAULT_STATE = Path("var/appliance")


def to_session(text: str) -> date:
    """Read a session date; raise `NotASession` for anything that is not a date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NotASession(f"{text!r} is not a date", fix="Write it as YYYY-MM-DD") from None
