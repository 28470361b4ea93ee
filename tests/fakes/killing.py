"""A process of its own that kills itself, truly, at one numbered point, and what it leaves behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

LIMIT_SECONDS = 240


def die() -> NoReturn:
    """End this process as `kill -9` does: no handler, no clean-up, nothing flushed."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes on")


def killed(work: Callable[[], Any]) -> None:
    """Run `work` in a child process and assert that SIGKILL ended it; reaching its end is a failure."""
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT_SECONDS)
        try:
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"the process ended by itself with {os.waitstatus_to_exitcode(status)}"
    assert os.WTERMSIG(status) == signal.SIGKILL


def dying_after(function: Callable[..., Any], fits: Callable[..., bool] = lambda *a, **k: True) -> Callable[..., Any]:
    """Wrap `function`: the process dies right after the first call whose arguments fit."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        answer = function(*arguments, **named)
        if fits(*arguments, **named):
            die()
        return answer

    return wrapped


def dying_before(function: Callable[..., Any], fits: Callable[..., bool] = lambda *a, **k: True) -> Callable[..., Any]:
    """Wrap `function`: the process dies instead of the first call whose arguments fit."""

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if fits(*arguments, **named):
            die()
        return function(*arguments, **named)

    return wrapped
