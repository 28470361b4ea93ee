"""A job's process: watched, ended when it takes too long or too much, and explained in words (F57, F58)."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from signals.schedule.child_process import GRACE_SECONDS, ChildProcess, ProcessExit, ProcessLimits

ROOMY = ProcessLimits(60.0, 512)


def start(program: str, limits: ProcessLimits = ROOMY) -> ChildProcess:
    return ChildProcess((sys.executable, "-c", program), limits, os.environ, time.monotonic())


def end_of(child: ChildProcess, after: float = 0.0) -> ProcessExit:
    """Poll until it has ended, `after` seconds later than it is."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        ended = child.poll(time.monotonic() + after)
        if ended is not None:
            return ended
        time.sleep(0.02)
    child.kill()
    raise AssertionError("it never ended")


def begun(sign: Path) -> None:
    """Wait until the child has said so: a busy machine takes its time to start it."""
    until = time.monotonic() + 120
    while not sign.exists():
        assert time.monotonic() < until, "it never began"
        time.sleep(0.02)


def alive_in_group(group: int) -> list[str]:
    """Processes of the group that are no zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, own = path.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(own) == group and state != "Z":
            found.append(path.parent.name)
    return found


def test_a_child_that_ends_is_told_with_its_code_and_last_line() -> None:
    ended = end_of(start("import sys; print('one'); print('two'); sys.stderr.write('hm\\n')"))
    assert (ended.code, ended.last_line) == (0, "two") and ended.seconds > 0
    ended = end_of(start("import sys; print('one'); sys.stderr.write('first\\nlast words\\n'); sys.exit(5)"))
    assert (ended.code, ended.words) == (5, "it ended with exit code 5: last words")


def test_a_child_that_is_killed_is_explained() -> None:
    child = start("import time; time.sleep(60)")
    os.kill(child.pid, signal.SIGKILL)
    assert end_of(child).words == "it was killed (SIGKILL): the machine ran out of memory, or somebody killed it"


def test_a_child_that_takes_too_long_is_interrupted_first_and_killed_later(tmp_path: Path) -> None:
    ready = tmp_path / "ready"  # the handler is set by the child: under nohup it would inherit a deaf ear
    polite = start(
        f"import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler)\nopen({str(ready)!r}, 'w').close(); time.sleep(60)",
        ProcessLimits(0.5, 512),
    )
    begun(ready)
    ended = end_of(polite, after=1.0)
    assert ended.words == "it took longer than 0 s and was ended" and ended.code in (-signal.SIGINT, 1, 130)
    up = tmp_path / "up"
    deaf = start(
        f"import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); open({str(up)!r}, 'w').close()\nwhile True: time.sleep(1)",
        ProcessLimits(5.0, 512),
    )
    begun(up)
    assert deaf.poll(time.monotonic() + 6) is None  # the interrupt is not heard
    assert end_of(deaf, after=6 + GRACE_SECONDS + 1).code == -signal.SIGKILL


def test_a_child_that_holds_too_much_is_killed_with_what_it_started() -> None:
    program = (
        "import subprocess, sys, time\nsubprocess.Popen(['sleep', '60'])\nprint('up', flush=True)\n"
        "held = bytearray(120 * 2**20)\nheld[::4096] = b'x' * len(held[::4096])\ntime.sleep(60)"
    )
    child = start(program, ProcessLimits(60.0, 64))
    ended = end_of(child)
    assert ended.code == -signal.SIGKILL and ended.peak_megabytes > 64
    assert "of memory, 64 are allowed: it was killed" in ended.words
    until = time.monotonic() + 120
    while alive_in_group(child.pid):
        assert time.monotonic() < until, "what it started goes on"
        time.sleep(0.02)


def test_the_kernel_refuses_what_no_job_may_ever_reserve() -> None:
    program = "import resource, time\nwhile resource.getrlimit(resource.RLIMIT_DATA)[0] < 0: time.sleep(0.01)\nbytearray(2**31)"
    ended = end_of(start(program, ProcessLimits(60.0, 256)))
    assert ended.code == 1 and "MemoryError" in ended.words


def test_the_kernel_takes_a_child_before_the_daemon() -> None:
    program = "import time\nwhile open('/proc/self/oom_score_adj').read() != '900\\n': time.sleep(0.01)\nprint('seen')"
    assert end_of(start(program)).last_line == "seen"


def test_a_child_that_never_stops_talking_fills_nothing() -> None:
    ended = end_of(start("for n in range(60_000): print('x' * 100)\nprint('end')"))
    assert (ended.code, ended.last_line) == (0, "end")
