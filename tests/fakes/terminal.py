"""A program on a pseudo-terminal, and who types into it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TRAINER = (sys.executable, "-m", "trainer")
CTRL_C = "\x03"


class Person:
    """`python -m trainer WORDS` in a folder, or another program, asked and answered.

    Parameters
    ----------
    folder : Path
    words : str
    program : sequence of str
    environment : mapping or None
        This process's own where None.
    columns : int
        Width of the terminal; 0 does not say.

    Attributes
    ----------
    shown : str
        Everything that came to the screen.
    seen : str
        Of it, what came since the text that was waited for last.
    """

    def __init__(
        self, folder: Path, *words: str, program: Sequence[str] = TRAINER, environment: Mapping[str, str] | None = None, columns: int = 0
    ) -> None:
        self.master, slave = pty.openpty()
        self.seen = self.shown = ""
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40 if columns else 0, columns, 0, 0))
        self.process = subprocess.Popen(
            [*program, *words],
            cwd=folder,
            env=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,  # so that Ctrl-C reaches it
        )
        os.close(slave)

    def sees(self, text: str, seconds: float = 120) -> None:
        """Wait until `text` is on the screen; what was before it is forgotten."""
        until = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < until, self.seen
            if not self._read(1.0):
                self.ends()
                raise AssertionError(f"{text!r} was not shown, but:\n{self.seen}")  # the program has ended
        self.seen = self.seen.partition(text)[2]

    def waits(self, seconds: float) -> None:
        """Read until nothing has come for so long: what asks has then written the whole of its question."""
        while select.select([self.master], [], [], seconds)[0] and self._read(0.0):
            pass

    def leaves(self, text: str, presses: int = 60) -> None:
        """Press Ctrl-C until `text` is on the screen: one that comes between a question and its reading waits for the next key."""
        for _ in range(presses):
            self.types(CTRL_C)
            self.waits(1.0)
            if text in self.seen:
                break
        self.sees(text)

    def types(self, text: str) -> None:
        os.write(self.master, text.encode())

    def ends(self, seconds: float = 60) -> int:
        """Exit code; a program that goes on is killed."""
        until = time.monotonic() + seconds
        try:
            while self._read(0.1):
                assert time.monotonic() < until, self.seen
            return self.process.wait(max(1.0, until - time.monotonic()))
        finally:
            self.process.kill()
            os.close(self.master)

    def _read(self, seconds: float) -> bool:
        """Read what comes within these seconds; False once the program has closed its end."""
        if select.select([self.master], [], [], seconds)[0]:
            try:
                content = os.read(self.master, 65_536).decode(errors="replace")
            except OSError:
                return False
            self.seen, self.shown = self.seen + content, self.shown + content
        return True


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # who began in the background ignores it, and would hand that down
