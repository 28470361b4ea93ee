"""Access control of a server on a machine with browsers: Host, Origin and a token that a file holds.

Every process of this machine reaches loopback, a browser too, and a page of the internet can lead its browser there:
by a form or a script of its own origin, or by a name that it lets point to 127.0.0.1 (DNS rebinding). The first says
so in `Origin` or `Sec-Fetch-Site`, the second in `Host`.
"""

import hmac
import os
import secrets
import stat
from collections.abc import Collection, Iterable
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from signals.files import write_atomic

LOOPBACK = "127.0.0.1"
OWN_HOSTS = frozenset({LOOPBACK, "localhost"})
TOKEN_BYTES = 32
SCHEMES = ("http", "https", "ws", "wss")
FROM_ELSEWHERE = frozenset({"cross-site", "same-site"})
RawHeaders = Iterable[tuple[bytes, bytes]]


class Foreign(Enum):
    """Why a request is not from here."""

    HOST = "asked for under a name that is not this server's"
    ORIGIN = "asked by a page of another origin"


def foreign(headers: RawHeaders, hosts: Collection[str]) -> Foreign | None:
    """Return why a request with these raw headers is not from here; None where it is.

    Parameters
    ----------
    headers : iterable of (name, value)
    hosts : collection of str
        Names under which the server may be asked for; the port is of no concern.
    """
    asked, origins, sites = (values_of(headers, name) for name in ("host", "origin", "sec-fetch-site"))
    if len(asked) != 1 or _name(f"//{asked[0]}") not in hosts:
        return Foreign.HOST
    own = {f"{scheme}://{asked[0]}" for scheme in SCHEMES}  # some stream clients send it without being a browser
    if not own.issuperset(origins) or not FROM_ELSEWHERE.isdisjoint(sites):
        return Foreign.ORIGIN
    return None


def values_of(headers: RawHeaders, wanted: str) -> list[str]:
    """Return every value of one header, as it was sent."""
    return [value.decode("latin-1") for name, value in headers if name.lower() == wanted.encode()]


def is_token(given: list[str], token: str) -> bool:
    """Whether the token was given, once."""
    return len(given) == 1 and hmac.compare_digest(given[0].encode(), token.encode())


def _name(authority: str) -> str:
    try:
        return (urlsplit(authority).hostname or "") if "/" not in authority[2:] and "@" not in authority else ""
    except ValueError:
        return ""


def token_in(path: Path) -> str:
    """Return the token kept in the file `path`; make one when there is none that its owner alone can read.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
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
