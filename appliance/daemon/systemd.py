"""The service manager's protocol, one datagram to the socket it names, and the liveness that its watchdog is fed by.

The daemon is alive by a completed look and a ledger read within the last half minute. The watchdog is fed from another
thread than the one that looks, and only while this says so: a look that hangs, or a ledger that no longer answers,
starves the watchdog, and the service manager starts the device again.
"""

import socket
from collections.abc import Mapping
from threading import Lock

SILENT_SECONDS = 30.0


class Liveness:
    """The last signs of life, in seconds of the monotonic clock.

    Parameters
    ----------
    mono_s : float
        The start counts as a sign of life.
    """

    def __init__(self, mono_s: float) -> None:
        self._lock = Lock()
        self.started = self._looked = self._answered = mono_s

    def looked(self, mono_s: float) -> None:
        """A look went round."""
        with self._lock:
            self._looked = mono_s

    def answered(self, mono_s: float) -> None:
        """The ledger answered."""
        with self._lock:
            self._answered = mono_s

    def is_alive(self, mono_s: float) -> bool:
        """Whether both were heard of lately."""
        with self._lock:
            return mono_s - min(self._looked, self._answered) <= SILENT_SECONDS


SOCKET, WATCHDOG = "NOTIFY_SOCKET", "WATCHDOG_USEC"
WITHOUT_WATCHDOG_SECONDS = 5.0
SEND_SECONDS = 1.0


class ServiceManager:
    """The states that the process may report to systemd.

    Parameters
    ----------
    environment : mapping of str to str
        NOTIFY_SOCKET names the socket; WATCHDOG_USEC how often it wants to hear.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        name = environment.get(SOCKET, "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        asked = environment.get(WATCHDOG, "")
        self.watchdog_seconds = int(asked) / 1e6 if asked.isdigit() else None

    @property
    def feed_every(self) -> float:
        """Seconds between two signs of life: a third of what the watchdog allows, and never rarer than every five."""
        if self.watchdog_seconds is None:
            return WITHOUT_WATCHDOG_SECONDS
        return min(WITHOUT_WATCHDOG_SECONDS, self.watchdog_seconds / 3)

    def ready(self) -> None:
        """Say that the device does its work from now on."""
        self._send("READY=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Say in one line what the process does; `systemctl status` shows it."""
        self._send("STATUS=" + " ".join(text.split()))

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
            door.settimeout(SEND_SECONDS)
            try:
                door.sendto(message.encode(), self._address)
            except OSError:
                return  # a manager that is gone needs no report, and one that does not read must not hold us up
