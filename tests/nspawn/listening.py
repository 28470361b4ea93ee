"""Whoever is told of a device's trouble, on a bench: takes every message and writes it down.

python -m tests.nspawn.listening PORT FILE
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

WRITING = Lock()


class Listening(BaseHTTPRequestHandler):
    """One message."""

    file: Path

    def do_POST(self) -> None:
        """Write it down and thank for it."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        row = {"title": self.headers.get("Title", ""), "priority": self.headers.get("Priority", ""), "body": body}
        with WRITING, self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        """Say that somebody listens."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Listen until the end."""
    port, file = sys.argv[1:]
    Listening.file = Path(file)
    ThreadingHTTPServer(("", int(port)), Listening).serve_forever()


if __name__ == "__main__":
    main()
