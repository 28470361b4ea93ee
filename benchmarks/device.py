"""What a device takes: the memory and CPU of each job's process, what a session writes to the card, the idle daemon.

    nice .venv/bin/python -m benchmarks.device [--symbols 1000] [--sessions 540] [--days 2]

A generated market is curated and served to a device by an exchange of its own process, over real HTTP; every job of
the timetable runs at its hour as the daemon runs it, a process of its own. The last session is told: the first one
fetches the whole history. What is written is what the kernel charges the process for (blocks of the disk that holds
`var/`; none are charged on a tmpfs), the copies of a backup included. Ends with 1 where a budget is exceeded or a job
fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml

from appliance.schedule.timetable import TIMETABLE
from signals.schedule.job_windows import windows
from tests.fakes import steering
from tests.fakes.store import END, Published, publish_store
from trainer.curation.generated.market import generate

ROOT = Path(__file__).resolve().parents[1]
IDLE_MB, JOB_MB, DAY_CPU_S, DAY_WRITTEN_MB = 60, 350, 60.0, 200.0
BLOCK, LOOK_SECONDS = 512, 0.01
START_SECONDS, IDLE_SECONDS, IDLE_CPU = 20.0, 20.0, 0.02


@dataclass(frozen=True)
class Usage:
    """What one process took, with what it had started and waited for."""

    code: int
    cpu_seconds: float
    peak_megabytes: float
    written_megabytes: float


def measured(command: Sequence[str]) -> Usage:
    """Run a command to its end."""
    return ended(subprocess.Popen(list(command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))


def ended(process: subprocess.Popen[str]) -> Usage:
    """Wait for a process and ask the kernel what it took.

    Its peak is read while it lives: what the kernel tells of a dead one counts the memory of who started it.
    """
    peak = 0
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
        peak = max(peak, high_water(process.pid))
        time.sleep(LOOK_SECONDS)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        assert process.stderr is not None
        print(process.stderr.read()[-2_000:], file=sys.stderr)
    return Usage(process.returncode, usage.ru_utime + usage.ru_stime, peak / 1024, usage.ru_oublock * BLOCK / 2**20)


def high_water(pid: int) -> int:
    """The most kilobytes that a living process has held since it began its program."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def appliance(*arguments: str, state: Path) -> list[str]:
    return [sys.executable, "-m", "appliance", *arguments, "--state", str(state)]


@contextmanager
def served(published: Published, first: date) -> Iterator[str]:
    """An exchange whose clock stands before the evening of asof."""
    start = windows(first, published.manifest.calendar, TIMETABLE)[0].at
    command = [sys.executable, "-m", "execution.exchange", "serve", "--data", str(published.root / "data")]
    command += ["--port", "0", "--at", start.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield steering.told(server.stdout.readline())
        finally:
            server.terminate()


def prepare(published: Published, folder: Path, url: str) -> Path:
    """An armed device whose backups go beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    state = folder / "state"
    (folder / "backups").mkdir(parents=True)
    asked = ("init", "--venue", "exchange", "--store", str(published.root), "--trust", str(published.trust))
    subprocess.run(appliance(*asked, "--fixed-ic", "0.05", "--url", url, state=state), check=True, capture_output=True)
    settings = yaml.safe_load((state / "config.yml").read_text()) | {"backup": {"to": str(folder / "backups")}}
    settings["tripwires"]["max_invalid_scores"] = 1.0  # the store's model, stumps on ranks, ties among so many names
    (state / "config.yml").write_text(yaml.safe_dump(settings))
    subprocess.run(appliance("arm", "--yes", state=state), check=True, capture_output=True)
    return state


def live(published: Published, state: Path, url: str, day: date) -> dict[str, Usage]:
    """Live one session, job by job."""
    found = {}
    for row in windows(day, published.manifest.calendar, TIMETABLE):
        steering.advance(url, row.at)
        found[row.job] = measured(appliance("job", row.job, "--session", str(day), state=state))
    return found


def own_cpu(pid: int) -> float:
    """CPU seconds of a living process itself, without those of its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle(state: Path) -> tuple[float, float, Usage]:
    """Resident megabytes of a daemon that has nothing to do, the share of a core it then takes, and its whole life."""
    process = subprocess.Popen(appliance("run", state=state), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(START_SECONDS)
    before = own_cpu(process.pid)
    time.sleep(IDLE_SECONDS)
    share = (own_cpu(process.pid) - before) / IDLE_SECONDS
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    process.send_signal(signal.SIGTERM)
    return pages * os.sysconf("SC_PAGESIZE") / 2**20, share, ended(process)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=1_000)
    parser.add_argument("--sessions", type=int, default=540)
    parser.add_argument("--days", type=int, default=2)
    options = parser.parse_args()
    folder = ROOT / "var" / "bench-device"
    shutil.rmtree(folder, ignore_errors=True)
    published = publish_store(folder / "store", generate(11, options.symbols, options.sessions, END))
    days = published.sessions(options.days)
    with served(published, days[0]) as url:
        state = prepare(published, folder / "device", url)
        sizes, ledger = [], state / "ledger.sqlite"
        for day in days:
            used = live(published, state, url, day)
            sizes.append(ledger.stat().st_size / 2**20)
        resident, share, daemon = idle(state)
    print(f"{options.symbols} symbols, session {days[-1]}; the ledger is {sizes[-1]:.1f} MB after {len(days)} sessions")
    for job, usage in used.items():
        print(
            f"  {job:18} exit {usage.code}  {usage.cpu_seconds:6.2f} s CPU  {usage.peak_megabytes:5.0f} MB"
            f"  {usage.written_megabytes:6.2f} MB written"
        )
    cpu = sum(usage.cpu_seconds for usage in used.values())
    peak = max(usage.peak_megabytes for usage in used.values())
    written = sum(usage.written_megabytes for usage in used.values())
    print(
        f"  the day            {cpu:6.2f} s CPU (at most {DAY_CPU_S:.0f}), largest job {peak:.0f} MB"
        f" (at most {JOB_MB}), {written:.1f} MB written (at most {DAY_WRITTEN_MB:.0f})"
    )
    print(
        f"  the idle daemon    {resident:.0f} MB resident (at most {IDLE_MB}), {share:.1%} of a core (at most {IDLE_CPU:.0%});"
        f" with its start {daemon.cpu_seconds:.2f} s CPU"
        f" and {daemon.written_megabytes:.2f} MB written in {START_SECONDS + IDLE_SECONDS:.0f} s"
    )
    failed = [job for job, usage in used.items() if usage.code]
    if failed:
        sys.exit(f"these jobs failed, so these figures are of no whole session: {', '.join(failed)}")
    if resident > IDLE_MB or share > IDLE_CPU or peak > JOB_MB or cpu > DAY_CPU_S or written > DAY_WRITTEN_MB:
        sys.exit("a budget is exceeded")


if __name__ == "__main__":
    main()
