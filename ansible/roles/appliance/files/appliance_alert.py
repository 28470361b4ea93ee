#!/usr/bin/python3
"""Notify a person how a unit of this device ended: by the release's own program, and without it where it does not run.

    appliance-alert UNIT     run by appliance-alert@UNIT.service, which OnFailure= of the unit starts

It needs the system's Python and nothing else: it has to work when every release is broken. What leaves is the names of
the unit and the machine; the addresses are the credential alert-urls and are neither shown nor logged.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from base64 import b64encode
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import unquote, urlsplit

PROGRAM = "/opt/appliance/current/bin/appliance"
NOTIFIED, NOBODY = 0, 5  # of `appliance tell-unit`: either way it has done its part
PROGRAM_SECONDS, STEP_SECONDS = 60.0, 5.0


def has_told(program: str, unit: str) -> int | None:
    """Let the release's program send the message; None when it did not get to its end."""
    try:
        code = subprocess.run([program, "tell-unit", "--unit", unit], check=False, timeout=PROGRAM_SECONDS).returncode
    except (OSError, subprocess.TimeoutExpired):
        return None
    return code if code in (NOTIFIED, NOBODY) else None


def addresses(credentials: str) -> list[str]:
    """Every http(s) address of the credential; those of other services need the release's own program."""
    try:
        lines = (Path(credentials) / "alert-urls").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return []
    return [line for line in lines if line.startswith(("https://", "http://"))]


def takes(address: str, unit: str) -> bool:
    """Post one message; whether the other side took it."""
    title = f"{unit} needs a person on {socket.gethostname()}"
    body = f"{title}, and the release's own program does not run. `systemctl --failed` says more."
    try:
        to = urlsplit(address)
        kind = HTTPSConnection if to.scheme == "https" else HTTPConnection
        headers = {"Title": title, "Priority": "urgent"}
        if to.username is not None:
            words = f"{unquote(to.username)}:{unquote(to.password or '')}"
            headers["Authorization"] = f"Basic {b64encode(words.encode()).decode()}"
        with closing(kind(to.hostname or "", to.port, timeout=STEP_SECONDS)) as connection:
            where = (to.path or "/") + (f"?{to.query}" if to.query else "")
            connection.request("POST", where, body.encode(), headers)
            return 200 <= connection.getresponse().status < 300
    except (OSError, HTTPException, ValueError):
        return False


def main() -> int:
    """Tell it one way or the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unit")
    parser.add_argument("--program", default=PROGRAM)
    asked = parser.parse_args()
    code = has_told(asked.program, asked.unit)
    if code is not None:
        return code
    print(f"the release's program does not run; the message about {asked.unit} is sent without it", file=sys.stderr)
    if any([takes(address, asked.unit) for address in addresses(os.environ.get("CREDENTIALS_DIRECTORY", ""))]):
        return 0
    print("nobody was reached", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
