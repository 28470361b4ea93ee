"""Sends a message within a time limit, whatever the other side does."""

from collections.abc import Callable
from threading import Thread


def within(seconds: float, send: Callable[[], bool]) -> bool:
    """Return what `send` returns, or False when it has not ended by then.

    A peer that drips bytes outlives every time-out of a single read: only the end of a thread is sure.
    """
    taken: list[bool] = []
    sender = Thread(target=lambda: taken.append(send()), daemon=True)
    sender.start()
    sender.join(seconds)
    return taken == [True]
