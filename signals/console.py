"""How every command of both hosts speaks: a result as text or JSON, an error as one line with its exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from signals.errors import TrademlError
from signals.plain_text import clean, clean_lines


def emit(result: Mapping[str, Any], *, as_json: bool, text: str) -> None:
    """Write `result` as one JSON document, or `text` for a person, to standard output."""
    shown = json.dumps(result, default=str, sort_keys=True) if as_json else clean_lines(text.rstrip("\n"))
    sys.stdout.write(shown + "\n")


def run(app: Callable[[], object]) -> None:
    """Run a command line; a known error is one line on standard error, and its code the exit code."""
    try:
        app()
    except TrademlError as error:
        if "--json" in sys.argv:  # for a program, which acts by the kind of error; a person reads the sentence
            kind = type(error).__name__
            sys.stdout.write(
                json.dumps({"error": kind, "what": error.what, "where": error.where, "mend": error.mend}) + "\n"
            )
        sys.stderr.write(f"{clean(error)}\n")
        sys.exit(error.exit_code)
