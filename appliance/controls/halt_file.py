"""The file HALT in the state folder: its presence is a request to halt, for a person with only a shell.

Its name alone halts. Whatever it is (a folder, a link to nothing, what the service may not read, what never ends) its
words are a courtesy to the record.
"""

import os
from pathlib import Path

from appliance.system.ports import Fs
from appliance.system.state_folder import StateFolder
from signals.text.wording import clean, reason_of

WORDS = 200


def is_requested(fs: Fs, folder: StateFolder) -> bool:
    """Whether a person asks for a halt."""
    return fs.exists(folder.halt_request)


def stated_reason(fs: Fs, folder: StateFolder) -> str:
    """Return what the file says, for the record; never raises."""
    try:
        said = fs.head(folder.halt_request, 4 * WORDS)
    except OSError as error:
        return f"it cannot be read: {reason_of(error)}"
    return said.decode(errors="replace").strip()[:WORDS] or "no reason given"


def request(fs: Fs, folder: StateFolder, reason: str) -> bool:
    """Ask the process at work to cancel its orders; False when the disk does not even take an empty file."""
    try:
        fs.write(folder.halt_request, clean(reason).encode())
    except OSError:
        return _touched(folder.halt_request)
    return True


def remove(fs: Fs, folder: StateFolder) -> bool:
    """Remove the file; False when it stays, as a folder with something in it does."""
    try:
        fs.remove(folder.halt_request)
    except OSError:
        return False
    return True


def identity(folder: StateFolder) -> str:
    """Name this very file, so that one that cannot be removed is acted on once."""
    found = os.lstat(folder.halt_request)
    return f"{found.st_ino}-{found.st_mtime_ns}"


def _touched(path: Path) -> bool:
    try:
        path.touch(mode=0o600)
    except OSError:
        return False
    return True
