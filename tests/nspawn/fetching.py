"""A forward proxy for one guest: it has a network of its own, and packages to fetch.

It answers plain `GET http://...` alone, which is what Debian's package manager asks for.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 2**16
CARRIED = ("Content-Length", "Content-Type", "Last-Modified")


class Fetching(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Pass it on."""
        asked = urllib.request.Request(self.path, headers={k: v for k, v in self.headers.items() if k == "Range"})
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                self.send_response(answer.status)
                for name in CARRIED:
                    if value := answer.headers.get(name):
                        self.send_header(name, value)
                self.end_headers()
                while block := answer.read(BLOCK):
                    self.wfile.write(block)
        except urllib.error.HTTPError as error:
            self.send_error(error.code)
        except (OSError, ValueError) as error:
            self.send_error(502, type(error).__name__)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def serve(address: str, port: int) -> ThreadingHTTPServer:
    """Serve until `shutdown`."""
    server = ThreadingHTTPServer((address, port), Fetching)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
