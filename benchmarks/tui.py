"""The screens on a ledger of 90 sessions and 1,000 symbols: start, refresh, scrolling, memory.

Times are of the processor: what a person waits on a machine that does nothing else, whatever else this one does.

python benchmarks/tui.py [--symbols 1000] [--sessions 90]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pty
import resource
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KIB = 1_024


def start_of_demo() -> tuple[float, float]:
    """Seconds to the first screen that says ARMED in a terminal of 80 x 24: of the processor, and by the clock."""
    main, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "tui", "--demo"], stdin=terminal, stdout=terminal, stderr=terminal,
        env=environment, start_new_session=True,
    )  # fmt: skip
    seen = b""
    while b"ARMED" not in seen and time.perf_counter() - began < 30:
        if select.select([main], [], [], 0.05)[0]:
            seen += os.read(main, 65_536)
    took = time.perf_counter() - began
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    process.terminate()
    process.wait()
    os.close(main)
    os.close(terminal)
    return used, took


def resident_mib() -> float:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / KIB / KIB


async def measure(root: Path) -> None:
    from appliance.clock import SystemClock
    from appliance.tui.app import ApplianceApp, Settings
    from appliance.tui.screens import SCREENS
    from appliance.tui.source import LedgerSource

    source = LedgerSource(root, SystemClock())
    app = ApplianceApp(source, Settings(refresh_seconds=0))
    async with app.run_test(size=(120, 40)) as pilot:

        async def settle() -> None:
            await pilot.pause()
            while app.is_reading:
                await pilot.pause(0.002)
            await pilot.pause()

        await settle()
        for screen in SCREENS:
            began = time.process_time()
            app.action_show(screen.name)
            await settle()
            took = time.process_time() - began
            rows = len(app.pane.grid.content.rows) if app.pane else 0
            print(f"  first look at {screen.name:<15} {rows:>6} rows {took * 1e3:>8.0f} ms, read and drawn")
        app.action_show("signals")
        await settle()
        refreshes, steps = [], []
        answer = app.answer
        for _ in range(20):
            began = time.process_time()
            app.pane.answer = None
            app.pane.answer = answer
            await pilot.pause()
            refreshes.append(time.process_time() - began)
        for key in ["pagedown"] * 20 + ["down"] * 40:
            began = time.process_time()
            await pilot.press(key)
            steps.append(time.process_time() - began)
        print(f"  refresh of {len(app.pane.grid.content.rows)} rows to the drawn screen: median "
              f"{statistics.median(refreshes) * 1e3:.1f} ms, worst {max(refreshes) * 1e3:.1f} ms")  # fmt: skip
        print(f"  one step of scrolling to the drawn screen: median {statistics.median(steps) * 1e3:.1f} ms, "
              f"worst {max(steps) * 1e3:.1f} ms")  # fmt: skip
        print(f"  resident memory after every screen: {resident_mib() * KIB * KIB / 1e6:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=1_000)
    parser.add_argument("--sessions", type=int, default=90)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        asyncio.run(measure(options.measure))
        return
    used, took = min(start_of_demo() for _ in range(3))
    print(f"demo: first screen after {used:.2f} s of the processor, {took:.2f} s by the clock (best of 3)")
    with tempfile.TemporaryDirectory() as folder:
        code = (
            "import sys; from pathlib import Path; from appliance.tui.demo import build;"
            f"build(Path({folder!r}), seed=3, sessions={options.sessions}, names={options.symbols}, orders=60,"
            " recent_orders=300)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
        size = (Path(folder) / "device" / "ledger.sqlite").stat().st_size / KIB / KIB
        print(f"ledger: {options.sessions} sessions, {options.symbols} symbols, {size:.0f} MiB")
        subprocess.run([sys.executable, __file__, "--measure", str(Path(folder) / "device")], check=True)


if __name__ == "__main__":
    main()
