"""One child process: started, limited in time and memory, and ended when it exceeds either.

Invariants
----------
1. A child that outlives its time is interrupted first, as by a reboot, which never halts an armed device; it is killed
   `GRACE_SECONDS` later. One that holds more memory than it may is killed at once.
2. When memory runs out the kernel takes a child before anything else, never the daemon.
3. Of what a child prints the last `TAIL_BYTES` are kept, in memory: it can fill no disk.
"""

import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

GRACE_SECONDS = 10.0
TAIL_BYTES = 4_000
WORDS = 300
MEGABYTE = 2**20
DATA_PER_RESIDENT = 4  # room for what is reserved and never touched: thread stacks, arenas, a database's pool
FIRST_TO_GO = b"900"
TRY_AGAIN, HALTED_CODE = 5, 4  # exit codes of `appliance`: it could not be done now; the device is halted, or should be


@dataclass(frozen=True)
class ProcessLimits:
    """Limits of one child: real seconds, and resident memory."""

    seconds: float
    megabytes: int


@dataclass(frozen=True)
class ProcessExit:
    """How a child process ended.

    Attributes
    ----------
    code : int
        Exit code, or minus the number of the signal that ended it.
    peak_megabytes : int
        Most resident memory that was seen.
    last_line : str
        The last line that it printed: on standard output when it ended well, else on standard error.
    ended_for : str
        Why the daemon itself ended it; empty when it did not.
    """

    code: int
    seconds: float
    peak_megabytes: int
    last_line: str
    ended_for: str = ""

    @property
    def words(self) -> str:
        """One sentence for the record."""
        if self.ended_for:
            return self.ended_for
        if self.code == -signal.SIGKILL:
            return "it was killed (SIGKILL): the machine ran out of memory, or somebody killed it"
        if self.code < 0:
            return f"it was ended by {signal.Signals(-self.code).name}"
        return f"it ended with exit code {self.code}: {self.last_line or 'without a word'}"


class ChildProcess:
    """One running process.

    Parameters
    ----------
    environment : mapping of str to str
    mono_s : float
        Monotonic seconds.
    """

    def __init__(self, command: Sequence[str], limits: ProcessLimits, environment: Mapping[str, str], mono_s: float) -> None:
        self._limits, self._started = limits, mono_s
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        self._out, self._err = _Tail(self._process.stdout), _Tail(self._process.stderr)
        self._peak, self._ended_for, self._kill_at = 0, "", float("inf")
        self._restrain()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def poll(self, mono_s: float) -> ProcessExit | None:
        """Enforce the limits, and return how it ended once it has."""
        code = self._process.poll()
        self._out.read()
        self._err.read()
        if code is not None:
            return self._end(code, mono_s)
        self._peak = max(self._peak, _resident_megabytes(self.pid))
        taken = mono_s - self._started
        if not self._ended_for and self._peak > self._limits.megabytes:
            self._ended_for = f"it held {self._peak} MB of memory, {self._limits.megabytes} are allowed: it was killed"
            self.kill()
        elif not self._ended_for and taken > self._limits.seconds:
            self._ended_for = f"it took longer than {self._limits.seconds:.0f} s and was ended"
            self.interrupt(mono_s)
        elif mono_s > self._kill_at:
            self.kill()
        return None

    def interrupt(self, mono_s: float) -> None:
        """Break its work off as a reboot does; the device stays as it is. It is killed if it does not end soon."""
        self._kill_at = min(self._kill_at, mono_s + GRACE_SECONDS)
        self._signal(signal.SIGINT)

    def halt(self) -> None:
        """Have it close the latch and cancel its orders, at once."""
        self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        """End it and everything that it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _restrain(self) -> None:
        wall = self._limits.megabytes * MEGABYTE * DATA_PER_RESIDENT
        try:
            resource.prlimit(self.pid, resource.RLIMIT_DATA, (wall, wall))
            descriptor = os.open(f"/proc/{self.pid}/oom_score_adj", os.O_WRONLY)
            try:
                os.write(descriptor, FIRST_TO_GO)
            finally:
                os.close(descriptor)
        except (OSError, ValueError):
            return  # it has ended already, or the machine does not allow it: the watch over its memory remains

    def _end(self, code: int, mono_s: float) -> ProcessExit:
        out, err = self._out.close(), self._err.close()
        last_line = (out or err) if code == 0 else (err or out)
        return ProcessExit(code, mono_s - self._started, self._peak, last_line, self._ended_for)


def _resident_megabytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * resource.getpagesize() // MEGABYTE


class _Tail:
    """The end of what comes out of a pipe that is never waited for."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None  # it was asked for
        self._pipe, self._kept = pipe, b""
        os.set_blocking(pipe.fileno(), False)

    def read(self) -> None:
        """Take what there is."""
        while not self._pipe.closed:
            try:
                piece = os.read(self._pipe.fileno(), TAIL_BYTES)
            except BlockingIOError:
                return
            if not piece:
                return
            self._kept = (self._kept + piece)[-TAIL_BYTES:]

    def close(self) -> str:
        """Take the rest, and return the last line."""
        self.read()
        self._pipe.close()
        lines = self._kept.decode(errors="replace").strip().splitlines()
        return lines[-1][:WORDS] if lines else ""
