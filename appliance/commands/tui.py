"""The command `tui`: starts the screens in a process of their own, without the libraries that jobs need."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

SCREENS = "tui"


def register(app: typer.Typer) -> None:
    """Put the command of this file on `app`."""
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(tui)


def tui(context: typer.Context) -> None:
    """Open the screens: is all well, what is held, why each order was sent; `--demo` shows an invented device."""
    open_screens(context.args)


def open_screens(arguments: Sequence[str]) -> NoReturn:
    """Become the process of the screens."""
    os.execv(sys.executable, [sys.executable, "-m", "appliance.tui", *arguments])
