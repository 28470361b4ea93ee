"""Steering an exchange that is served over HTTP: its clock, its log and its script of faults, with its token."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from execution.exchange.doors.http import TOKEN_HEADER

TOKEN = "a token of the tests, long enough to be one"  # of exchanges in this process; those of processes tell theirs
TIMEOUT_SECONDS = 60.0
_tokens: dict[str, str] = {}


def told(line: str) -> str:
    """Return the address in the first line of `paper-exchange serve`, and keep the token of its file."""
    first = json.loads(line)
    keep(first["url"], Path(first["token_file"]))
    return str(first["url"])


def keep(url: str, token_file: Path) -> None:
    """Steer the exchange at `url` by the token of this file from now on."""
    _tokens[url] = token_file.read_text(encoding="ascii").strip()


def forget(url: str) -> None:
    """Steer the exchange at `url` by `TOKEN`: the system has given the port of one that ended to a new one."""
    _tokens.pop(url, None)


def keys(url: str) -> dict[str, str]:
    """Return the headers of a request that steers the exchange at `url`."""
    return {TOKEN_HEADER: _tokens.get(url, TOKEN)}


def ask(url: str, method: str, what: str, body: object = None, /, **query: str) -> Any:
    """Ask `/_sim/{what}` of the exchange at `url`, and return what it answers."""
    answered = requests.request(method, f"{url}/_sim/{what}", params=query, json=body, headers=keys(url), timeout=TIMEOUT_SECONDS)
    answered.raise_for_status()
    return answered.json()


def advance(url: str, to: datetime | str) -> Any:
    """Let everything happen that is due by `to`."""
    return ask(url, "POST", "advance", {"to": to if isinstance(to, str) else to.isoformat()})


def log(url: str, **query: str) -> list[dict[str, Any]]:
    """Return the requests that arrived, in order."""
    found: list[dict[str, Any]] = ask(url, "GET", "log", **query)
    return found
