"""Output of command lines: a result as text or JSON, an error as one line with its exit code.

Exit codes: 0 done; 1 a verdict that says no; 2 a person corrects input or options; 3 to 6 as `signals.errors` has them;
71 the machine failed; 130 ended by a person; 70 a fault of the program, whose traceback is printed.
"""

import errno
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Protocol

from signals.errors import FixInput, InvariantBroken, MachineFailed, TrademlError, TryAgain
from signals.text.wording import clean, clean_lines, reason_of

INTERRUPTED = 130  # by Ctrl-C: what the command-line library makes of it

# What a person can give otherwise: a path, a permission, a port. Everything else is the machine's.
OF_A_PERSON = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOENT,
        errno.EEXIST,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENOTEMPTY,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EXDEV,
        errno.ETXTBSY,
        errno.EADDRINUSE,
        errno.EADDRNOTAVAIL,
    }
)


def emit(result: Mapping[str, object], *, as_json: bool, text: str) -> None:
    """Write `result` as one JSON document, or `text` for a person, to standard output."""
    shown = json.dumps(result, default=str, sort_keys=True) if as_json else clean_lines(text.rstrip("\n"))
    sys.stdout.write(shown + "\n")


def remark(sentence: object) -> None:
    """Write a line for a person on standard error, above the bar where `progress` draws one: it must go through `sys.stderr`."""
    sys.stderr.write(f"{clean(sentence)}\n")


def aligned(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return one line a row, the figures under one another."""
    found = list(rows)
    width = max((len(what) for what, _ in found), default=0)
    return [f"{what:<{width}}  {figure}" for what, figure in found]


def run(app: Callable[[], object]) -> None:
    """Run a command line; a known error is one line on standard error, and its code the exit code."""
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # outside of work that says itself what it keeps, as `progress` does
            remark("ended by a person. Run the same command again")
        raise
    except TrademlError as error:
        _end(error)
    except (OSError, MemoryError) as error:
        _end(of_the_system(error))
    except Exception as error:  # noqa: BLE001 - the outermost frame: what nobody expected ends here, with its code
        traceback.print_exc()
        _end(InvariantBroken(f"a fault of this program: {reason_of(error)}", fix="Report it with the lines above"))


def of_the_system(error: OSError | MemoryError) -> TrademlError:
    """Return what the operating system refused as an error for a person, or as a failure of the machine."""
    if isinstance(error, MemoryError):
        return MachineFailed("not enough memory", fix="Close other programs, or use a machine with more")
    where = " to ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    if error.errno in OF_A_PERSON:
        return FixInput(reason_of(error), where=where, fix="Correct the path, the port or the permission")
    return MachineFailed(reason_of(error), where=where, fix="Free or repair what failed, then run it again")


def _end(error: TrademlError) -> None:
    """Print the error and exit with its code."""
    if "--json" in sys.argv:  # for a program, which acts by the kind of error; a person reads the sentence
        kind = type(error).__name__
        sys.stdout.write(json.dumps({"error": kind, "what": error.what, "where": error.where, "mend": error.fix}) + "\n")
    sys.stderr.write("".join(f"{clean(line)}\n" for line in (error, error.also) if str(line)))
    sys.exit(error.exit_code)


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
