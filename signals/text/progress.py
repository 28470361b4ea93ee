"""Progress of a long command on standard error: a bar on a terminal, elsewhere a line a minute."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Protocol

from signals.errors import TryAgain
from signals.text.plain_text import clean


@dataclass(frozen=True)
class Kept:
    """What there is of work that a person ended, and how to go on."""

    what: str = "what was there before is as it was"
    fix: str = "Run the same command: it begins again"


GOES_ON = "Run the same command: it goes on"


class StepCounter(Protocol):
    """Takes note of a step: a name alone is one more step, numbers say where the work is."""

    def __call__(self, name: object = "", done: int | None = None, of: int | None = None) -> None:
        """Take note of the step `name`, or that `done` of `of` are done."""
        ...


class _Count:
    """How far the work is."""

    def __init__(self, name: str, of: int | None) -> None:
        self.name, self.done, self.of = name, 0, of

    def __call__(self, name: object = "", done: int | None = None, of: int | None = None) -> None:
        self.name = clean(name) or self.name
        self.done = self.done + 1 if done is None else done
        self.of = of or self.of


@contextmanager
def progress(
    what: str, total: int | None = None, *, as_json: bool = False, seconds: float = 60.0, kept: Callable[[], Kept] = Kept
) -> Iterator[StepCounter]:
    """Show how far a long command is, for as long as the context is open.

    Parameters
    ----------
    what : str
        What is done, as `training`.
    total : int, optional
        Steps in all, where known.
    as_json : bool, default False
        Draw no bar; a line a minute is written nevertheless where no terminal is.
    seconds : float, default 60
        Between two lines.
    kept : callable
        Asked, where a person ends the work by Ctrl-C, what there is of it.

    Raises
    ------
    TryAgain
        A person ended it.
    """
    try:
        with _shown(what, _Count(what, total), as_json=as_json, seconds=seconds) as step:
            yield step
    except KeyboardInterrupt:
        found = kept()
        raise TryAgain(f"{what}: ended by a person; {found.what}", fix=found.fix) from None


@contextmanager
def _shown(what: str, count: _Count, *, as_json: bool, seconds: float) -> Iterator[StepCounter]:
    if sys.stderr.isatty():
        with _bar(what, count, shown=not as_json) as step:
            yield step
        return
    ended = Event()
    lines = Thread(target=_lines, args=(what, count, ended, seconds), daemon=True)
    lines.start()
    try:
        yield count
    finally:
        ended.set()
        lines.join()


def _lines(what: str, count: _Count, ended: Event, seconds: float) -> None:
    times = 0
    while not ended.wait(seconds):
        times += 1
        parts = [f"{count.done:,} of {count.of:,}" if count.of else f"{count.done:,} steps"] if count.done else []
        parts += [count.name] if count.name != what else []
        sys.stderr.write(f"{what}: {', '.join([*parts, f'{times * seconds / 60:.0f} min'])}\n")
        sys.stderr.flush()


@contextmanager
def _bar(what: str, count: _Count, *, shown: bool) -> Iterator[StepCounter]:
    # here rather than above: what draws nothing does without
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    counted = (MofNCompleteColumn(),) if count.of else ()
    columns = TextColumn("{task.description:<28}"), BarColumn(), *counted, TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), disable=not shown, transient=True) as bar:
        task = bar.add_task(escape(what), total=count.of)

        def step(name: object = "", done: int | None = None, of: int | None = None) -> None:
            count(name, done, of)
            bar.update(task, completed=count.done, total=count.of, description=escape(count.name))

        yield step
