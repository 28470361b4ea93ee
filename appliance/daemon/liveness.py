"""The daemon's liveness for the watchdog: a completed look and a ledger read within the last half minute.

The watchdog is fed from another thread than the one that looks, and only while this says so: a look that hangs, or a
ledger that no longer answers, starves the watchdog, and the service manager starts the device again.
"""

from threading import Lock

SILENT_SECONDS = 30.0


class Liveness:
    """The last signs of life, in seconds of the monotonic clock.

    Parameters
    ----------
    mono_s : float
        The start counts as a sign of life.
    """

    def __init__(self, mono_s: float, silent_seconds: float = SILENT_SECONDS) -> None:
        self._lock = Lock()
        self.started = self._looked = self._answered = mono_s
        self._silent = silent_seconds

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
            return mono_s - min(self._looked, self._answered) <= self._silent
