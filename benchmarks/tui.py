"""The screens on a ledger of 90 sessions and 1,000 symbols: start, blocking, scrolling, refresh, memory.

Three measurements, each of a process of its own:

1. the demo, from the command to the first screen that says ARMED, by the clock and by the processor (best of five);
2. `appliance tui` in a terminal of 120 x 40, walked through every screen, then scrolled through the largest table: its
   resident memory, as the kernel counts it, and the time by the clock from a key to the first that is painted after it;
3. the screens without a terminal: each look, refresh and step of scrolling, and the longest single callback of the
   thread that draws, which is how long a key may have to wait. Those are times of that thread's processor, so that
   other work on the machine does not count.

The clock's times count other work on the machine too; none but the start of the demo has a goal.

The exit status is 1 when a goal is missed.

    python benchmarks/tui.py [--symbols 1000] [--sessions 90]
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS, BLOCKING_MS, REFRESH_MS, RESIDENT_MB = 2.0, 50.0, 100.0, 80.0
KEYS = "1234567890pamdvo"  # every screen but the trace, which is entered from the blotter
PAGES, LINES, REFRESHES = 20, 200, 20
QUIET_SECONDS, SETTLED_SECONDS = 0.7, 0.03
PAGE_DOWN = "\x1b[6~"


@dataclass
class Terminal:
    """The screens in a terminal of their own, read from outside."""

    process: subprocess.Popen[bytes]
    main: int
    seen: bytes = b""

    def until(self, word: bytes, seconds: float = 60.0) -> None:
        """Read until a word is painted."""
        end = time.perf_counter() + seconds
        while word not in self.seen:
            if time.perf_counter() > end:
                sys.exit(f"{word!r} was not painted within {seconds} s: {self.seen[-2_000:]!r}")
            self._read(0.05)

    def press(self, key: str) -> None:
        """Press a key and read until nothing more is painted."""
        os.write(self.main, key.encode())
        while self._read(QUIET_SECONDS):
            pass

    def step(self, key: str) -> float:
        """Press a key; return the ms by the clock until something is painted."""
        began = time.perf_counter()
        os.write(self.main, key.encode())
        self._read(QUIET_SECONDS)
        took = time.perf_counter() - began
        while self._read(SETTLED_SECONDS):
            pass
        return took * 1e3

    def _read(self, seconds: float) -> bool:
        if not select.select([self.main], [], [], seconds)[0]:
            return False
        self.seen += os.read(self.main, 65_536)
        return True

    def status(self, name: str) -> float:
        """A size of the process in MB, as the kernel counts it."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith(f"{name}:")).split()[1]) * 1_024 / 1e6

    def processor_seconds(self) -> float:
        """Time of the processor that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def opened(columns: int, lines: int, *options: str) -> Iterator[Terminal]:
    """Run `appliance tui` in a terminal of that size."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "tui", *options],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm-256color"},
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        yield Terminal(process, main)
    finally:
        process.terminate()
        process.wait()
        os.close(main)
        os.close(terminal)


def start_of_demo() -> tuple[float, float]:
    """Seconds to the first screen in a terminal of 80 x 24: by the clock, and of the processor."""
    began = time.perf_counter()
    with opened(80, 24, "--demo") as terminal:
        terminal.until(b"ARMED")
        return time.perf_counter() - began, terminal.processor_seconds()


@dataclass
class Figures:
    """What is held against a goal."""

    missed: list[str] = field(default_factory=list)

    def say(self, what: str, value: float, unit: str, goal: float | None = None, more: str = "") -> None:
        """Print a figure and remember whether it misses its goal."""
        said = "" if goal is None else f"   goal {goal:g}: {'met' if value <= goal else 'MISSED'}"
        print(f"  {what:<58} {value:>7.2f} {unit:<3}{more}{said}")
        if goal is not None and value > goal:
            self.missed.append(what)


def walked(state: Path, figures: Figures) -> None:
    """Resident MB, and ms by the clock for each step of scrolling, in a terminal of 120 x 40."""
    sizes = []
    with opened(120, 40, "--state", str(state)) as terminal:
        terminal.until(b"ARMED")
        for key in (*KEYS, "3", "\r", "4"):
            terminal.press(key)
            sizes.append(terminal.status("VmRSS"))
        steps = [terminal.step(key) for key in ["j"] * LINES + [PAGE_DOWN] * PAGES]
        figures.say("resident memory, the most at any time", terminal.status("VmHWM"), "MB", RESIDENT_MB)
    print(f"    at first {sizes[0]:.0f} MB, after every screen {sizes[-1]:.0f} MB")
    figures.say("from a key to the scrolled screen in a terminal, median", statistics.median(steps), "ms")
    figures.say("from a key to the scrolled screen in a terminal, worst", max(steps), "ms")


@dataclass
class Callbacks:
    """Every callback of the loop that draws: ms of the thread's processor."""

    times: list[float] = field(default_factory=list)

    def watch(self) -> None:
        """Time each from now on."""
        run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            began = time.thread_time()
            run(handle)
            self.times.append((time.thread_time() - began) * 1e3)

        asyncio.Handle._run = timed  # type: ignore[method-assign]

    def longest(self) -> float:
        """The longest since it was last asked."""
        found = max(self.times, default=0.0)
        self.times.clear()
        return found


async def drawn(state: Path, figures: Figures) -> None:
    """Look at every screen, refresh the largest table and scroll through it."""
    from appliance.system.clock import SystemClock
    from appliance.tui.__main__ import keep_what_is_loaded
    from appliance.tui.app import ApplianceApp, TuiSettings
    from appliance.tui.ledger_source import LedgerSource
    from appliance.tui.screens import BY_NAME

    callbacks = Callbacks()
    callbacks.watch()
    app = ApplianceApp(LedgerSource(state, SystemClock()), TuiSettings(refresh_seconds=0))
    keep_what_is_loaded()
    async with app.run_test(size=(120, 40)) as pilot:

        async def settle() -> None:
            await pilot.pause()
            while app.is_reading:
                await pilot.pause(0.002)
            await pilot.pause()

        async def timed(action: Awaitable[object]) -> float:
            began = time.thread_time()
            await action
            return (time.thread_time() - began) * 1e3

        await settle()
        callbacks.longest()
        for name in BY_NAME:
            app.action_show(name)
            await settle()
            rows = len(app.pane.grid.content.rows) if app.pane else 0
            figures.say(f"first look at {name}, {rows} rows: longest callback", callbacks.longest(), "ms", BLOCKING_MS)
        app.action_show("signals")
        await settle()
        answer, pane = app.answer, app.pane
        assert pane is not None
        refreshes = []
        for _ in range(REFRESHES):
            pane.answer = None
            pane.answer = answer
            refreshes.append(await timed(pilot.pause()))
        rows = len(pane.grid.content.rows)
        worst(figures, f"refresh of {rows} rows to the drawn screen", refreshes, REFRESH_MS)
        callbacks.longest()
        steps = [await timed(pilot.press(key)) for key in ["pagedown"] * PAGES + ["down"] * LINES + ["end", "home"]]
        worst(figures, f"one step of scrolling through {rows} rows", steps, BLOCKING_MS)
        figures.say("  longest callback while scrolling", callbacks.longest(), "ms", BLOCKING_MS)


def worst(figures: Figures, what: str, times: list[float], goal: float) -> None:
    """Say the median and the worst."""
    figures.say(f"{what}, median", statistics.median(times), "ms", goal)
    figures.say(f"{what}, worst", max(times), "ms", goal)


def main() -> int:
    """Measure and say whether every goal is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=1_000)
    parser.add_argument("--sessions", type=int, default=90)
    parser.add_argument("--ledger", type=Path, help="a folder for the ledger, built when it is not there yet")
    parser.add_argument("--drawn", action="store_true", help="measure drawing alone")
    asked = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.ledger or Path(scratch)
        state = folder / "device"
        if not state.exists():
            code = (
                "from pathlib import Path; from appliance.tui.demo import build;"
                f"build(Path({str(folder)!r}), seed=3, sessions={asked.sessions}, names={asked.symbols}, orders=60,"
                " recent_orders=300)"
            )
            subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
        size = (state / "ledger.sqlite").stat().st_size / 1e6
        print(f"ledger: {asked.sessions} sessions, {asked.symbols} symbols, {size:.0f} MB")
        if not asked.drawn:
            clock, used = min(start_of_demo() for _ in range(5))
            figures.say("demo: first screen", clock, "s", START_SECONDS, f" ({used:.2f} s of the processor)")
            walked(state, figures)
        asyncio.run(drawn(state, figures))
    if figures.missed:
        print("MISSED:", "; ".join(figures.missed))
    return 1 if figures.missed else 0


if __name__ == "__main__":
    sys.exit(main())
