"""Access control of the exchange's HTTP server: Host, Origin and the simulation token.

Every process of this machine reaches loopback, a browser too, and a page of the internet can lead its browser there:
by a form or a script of its own origin, or by a name that it lets point to 127.0.0.1 (DNS rebinding). The first says
so in `Origin` or `Sec-Fetch-Site`, the second in `Host`.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from execution.exchange.api.routes import SIM_PREFIX
from execution.exchange.protocol.refusals import FOREIGN_HOST, FOREIGN_ORIGIN, SIM_TOKEN_WANTED, RefusedByVenue
from signals.files import write_atomic

LOOPBACK = "127.0.0.1"
OWN_HOSTS = frozenset({LOOPBACK, "localhost"})
FREE = ("GET", f"{SIM_PREFIX}clock")  # daemon and jobs read the time
TOKEN_FILE, TOKEN_HEADER = "sim-token", "x-sim-token"
TOKEN_BYTES = 32
SCHEMES = ("http", "https", "ws", "wss")
FROM_ELSEWHERE = frozenset({"cross-site", "same-site"})
Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Gate:
    """What a door asks of every connection.

    Attributes
    ----------
    token : str
        Of what steers the simulation.
    hosts : collection of str
        Names under which the exchange may be asked for; the port is of no concern.
    """

    token: str
    hosts: Collection[str] = OWN_HOSTS

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Raise `RefusedByVenue` unless a request with these raw headers may pass."""
        hosts, origins, sites, tokens = (
            [value.decode("latin-1") for name, value in headers if name.lower() == wanted]
            for wanted in (b"host", b"origin", b"sec-fetch-site", TOKEN_HEADER.encode())
        )
        if len(hosts) != 1 or _name(f"//{hosts[0]}") not in self.hosts:
            raise RefusedByVenue(FOREIGN_HOST)
        own = {f"{scheme}://{hosts[0]}" for scheme in SCHEMES}  # some stream clients send it without being a browser
        if not own.issuperset(origins) or not FROM_ELSEWHERE.isdisjoint(sites):
            raise RefusedByVenue(FOREIGN_ORIGIN)
        if path.startswith(SIM_PREFIX) and (method, path) != FREE and not self._is_steering(tokens):
            raise RefusedByVenue(SIM_TOKEN_WANTED)

    def _is_steering(self, given: list[str]) -> bool:
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self.token.encode())


def _name(authority: str) -> str:
    try:
        return (urlsplit(authority).hostname or "") if "/" not in authority[2:] and "@" not in authority else ""
    except ValueError:
        return ""


def token_in(folder: Path) -> str:
    """Return the token kept in `folder`; make one when there is none that its owner alone can read.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    path = folder / TOKEN_FILE
    kept = _kept(path)
    if kept:
        return kept
    token = secrets.token_urlsafe(TOKEN_BYTES)
    write_atomic(path, token.encode() + b"\n", mode=0o600)
    return token


def _kept(path: Path) -> str:
    """Return a token that only its owner could read or write, else nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            return ""
        text = stream.read(1024).decode("ascii", "replace").strip()
    return text if len(text) >= TOKEN_BYTES and text.isprintable() else ""
