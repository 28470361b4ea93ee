"""Checks for a terminal at the start, and ends the screens when it is closed.

Invariants
----------
1. Without a terminal on all three standard streams nothing is drawn and no key is waited for.
2. Once the terminal is gone the process ends, whatever its other threads wait for: what the drawing thread still wants
   to write can no longer be written.
"""

import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from threading import Thread

from signals.errors import FixInput

HUNG_UP = 128 + signal.SIGHUP  # exit code of a program that its terminal ended


def require() -> None:
    """Refuse to start without a terminal.

    Raises
    ------
    FixInput
        Standard input, output or error is closed, or is no terminal.
    """
    streams = (("input", sys.stdin), ("output", sys.stdout), ("error", sys.stderr))
    if missing := [name for name, stream in streams if stream is None or stream.closed or not stream.isatty()]:
        raise FixInput(
            "the screens need a terminal",
            where=f"no terminal at standard {' and '.join(missing)}",
            fix="Run it in a terminal, or open a page in a browser: `appliance serve`; `appliance overview` prints one",
        )


def end_with_it(finish: Callable[[], None]) -> None:
    """End the process when the terminal hangs up or goes away; call from the main thread.

    Parameters
    ----------
    finish : callable
        Runs just before the end; nothing else does.
    """
    signal.signal(signal.SIGHUP, lambda _signal, _frame: _end(finish))
    descriptors = [stream.fileno() for stream in (sys.stdin, sys.stderr)]
    Thread(target=_watch, args=(descriptors, finish), name="terminal", daemon=True).start()


def _watch(descriptors: Sequence[int], finish: Callable[[], None]) -> None:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, 0)  # a hang-up is always reported, and nothing else is asked for
    poll.poll()
    _end(finish)


def _end(finish: Callable[[], None]) -> None:
    try:
        finish()
    finally:
        os._exit(HUNG_UP)
