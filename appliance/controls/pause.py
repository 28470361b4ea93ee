"""A pause: no new orders up to a session, at the request of a person. Nothing is halted, positions stay, and it ends by itself.

It is a file of its own, so that setting it waits for no job, and is looked at before each order. One that cannot be read
pauses, whatever it is: a folder, a pipe, what the service may not read.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime

from appliance.system.ports import Fs
from appliance.system.state_folder import StateFolder
from signals.errors import Paused
from signals.text import strict_json
from signals.text.documents import BadDocument, from_json, to_json
from signals.text.wording import clean

MOST_BYTES = 65_536
UNREADABLE = "the file pause.json cannot be read, so nothing new is ordered: `appliance pause --end` removes it"


@dataclass(frozen=True)
class Pause:
    """Up to which session D, whose word, when and why."""

    until: date
    by: str
    at: datetime
    reason: str

    @property
    def sentence(self) -> str:
        """One sentence for a person."""
        return f"PAUSED until {self.until} by {clean(self.by)}: {clean(self.reason)}"


def begin(fs: Fs, folder: StateFolder, pause: Pause) -> None:
    """Order nothing new up to `pause.until`, durably; a pause that was there is replaced."""
    fs.write(folder.pause, json.dumps(to_json(pause), sort_keys=True).encode())


def end(fs: Fs, folder: StateFolder) -> None:
    """Go on; no error where nothing was paused."""
    fs.remove(folder.pause)


def sentence(fs: Fs, folder: StateFolder, session: date) -> str:
    """Return why nothing new is ordered for the session D; empty where nothing is paused."""
    if not fs.exists(folder.pause):
        return ""
    try:
        pause = from_json(Pause, strict_json.loads(fs.head(folder.pause, MOST_BYTES)))
    except FileNotFoundError:  # it has just ended; a link to nothing is none that can be read
        return UNREADABLE if fs.exists(folder.pause) else ""
    except (OSError, ValueError, BadDocument):
        return UNREADABLE
    return pause.sentence if session <= pause.until else ""


def require_none(fs: Fs, folder: StateFolder, session: date) -> None:
    """Raise `Paused` while the session D is paused."""
    if words := sentence(fs, folder, session):
        raise Paused(words, fix="It ends by itself, or by `appliance pause --end`")
