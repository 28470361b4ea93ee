"""`tui`: the screens, in a process of their own that holds none of the libraries that jobs need."""

from __future__ import annotations

import os
import sys

import typer


def register(app: typer.Typer) -> None:
    """Put the command of this file on `app`."""
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(tui)


def tui(context: typer.Context) -> None:
    """Open the screens: is all well, what is held, why each order was sent; `--demo` shows an invented device."""
    os.execv(sys.executable, [sys.executable, "-m", "appliance.tui", *context.args])
