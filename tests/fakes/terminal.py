"""A program on a pseudo-terminal, and who types into it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path


class Person:
    """`python -m trainer WORDS` in a folder, asked and answered."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.master, slave = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen([sys.executable, "-m", "trainer", *words], cwd=folder, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)

    def sees(self, text: str) -> None:
        """Wait until `text` is on the screen; what was before it is forgotten."""
        until = time.monotonic() + 120
        while text not in self.seen:
            assert time.monotonic() < until, self.seen
            if select.select([self.master], [], [], 1)[0]:
                try:
                    self.seen += os.read(self.master, 4096).decode()
                except OSError as error:  # the program has ended
                    raise AssertionError(self.seen) from error
        self.seen = self.seen.partition(text)[2]

    def types(self, text: str) -> None:
        os.write(self.master, text.encode())

    def ends(self) -> int:
        """Exit code; a program that goes on is killed."""
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            os.close(self.master)
