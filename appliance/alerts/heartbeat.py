"""The dead-man's switch: pings an external watcher at the start and end of a day, which pages when a ping is missing.

The address is that of one check at a service such as healthchecks: POST to it means success, to `/start` that the day
has begun, to `/fail` that something is wrong, with words in the body. What follows a question mark in it stays where it is.

Invariants
----------
1. It never raises into trading and never takes longer than `TOTAL_SECONDS`: a beat that was not taken is a result.
2. What leaves is words about jobs: no figures, no account, no address.
3. The address is a secret. It comes from the credentials folder and is neither logged nor shown.
"""

from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from appliance.system.ports import Heartbeat, HeartbeatSignal
from signals.alerts.alert import within
from signals.errors import BadConfig

ADDRESS = "heartbeat-url"
STEP_SECONDS, TOTAL_SECONDS = 5.0, 10.0
MAX_BODY = 4_000


class NoHeartbeat:
    """Nobody outside watches this device."""

    is_set = False

    def beat(self, beat: HeartbeatSignal, body: str = "") -> bool:
        """Take nothing."""
        return False


class HttpHeartbeat:
    """A watcher at an HTTP address."""

    is_set = True

    def __init__(self, url: str) -> None:
        self._url = url

    def beat(self, beat: HeartbeatSignal, body: str = "") -> bool:
        """Post one beat; False when the watcher did not take it in time, whatever the cause."""
        return within(TOTAL_SECONDS, lambda: self._post(beat, body))

    def _post(self, beat: HeartbeatSignal, body: str) -> bool:
        try:
            address = urlsplit(self._url)
            path = (address.path.rstrip("/") + beat.value or "/") + (f"?{address.query}" if address.query else "")
            kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
            with closing(kind(address.netloc, timeout=STEP_SECONDS)) as connection:
                connection.request("POST", path, body[:MAX_BODY].encode())
                return 200 <= connection.getresponse().status < 300
        except (OSError, HTTPException, ValueError):
            return False


def configured_heartbeat(credentials: Path | None) -> Heartbeat:
    """Return the watcher whose address is among the credentials, or none without the file.

    Raises
    ------
    BadConfig
        The file does not hold one http(s) address; the address is not repeated.
    """
    if credentials is None or not (credentials / ADDRESS).is_file():
        return NoHeartbeat()
    url = (credentials / ADDRESS).read_text(encoding="utf-8").strip()
    if not url.startswith(("https://", "http://")) or len(url.split()) != 1:
        raise BadConfig(
            f"{ADDRESS} does not hold one http(s) address",
            where=str(credentials / ADDRESS),
            fix="Write the address of the check, nothing else",
        )
    return HttpHeartbeat(url)
