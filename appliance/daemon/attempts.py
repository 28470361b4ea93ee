"""Retry times, crash counts and last error messages of the daemon's jobs, and the pace of its periodic work.

In memory only: after a restart of the daemon every job may be tried at once, and the ledger says what has ended.
"""

from dataclasses import dataclass
from datetime import date

Place = tuple[date, str]  # a session and a job


class Attempts:
    """Attempts by key; a job's key names its session too."""

    def __init__(self) -> None:
        self._not_before: dict[str, float] = {}
        self._crashes: dict[Place, int] = {}
        self._last_words: dict[Place, str] = {}

    def is_due(self, key: str, mono_s: float) -> bool:
        """Whether this may be tried at this monotonic second."""
        return mono_s >= self._not_before.get(key, float("-inf"))

    def wait_until(self, key: str, mono_s: float) -> None:
        """Do not try this again before that monotonic second."""
        self._not_before[key] = mono_s

    def failed(self, place: Place, words: str, again_at: float) -> None:
        """Record an attempt of a job after which its row is still open, and when it may be tried again."""
        self._last_words[place] = words
        self.wait_until(job_key(place), again_at)

    def crashed(self, place: Place) -> int:
        """Count a crash of this job; return how many there were."""
        self._crashes[place] = self._crashes.get(place, 0) + 1
        return self._crashes[place]

    def last_words(self, place: Place) -> str:
        """Return the last words of the job's last attempt; empty when none is open."""
        return self._last_words.get(place, "")

    def ended(self, place: Place) -> None:
        """Drop what is known of a job that has ended."""
        self._crashes.pop(place, None)
        self._last_words.pop(place, None)

    @property
    def open_jobs(self) -> tuple[str, ...]:
        """Jobs that are tried again, each with the last words of its last attempt."""
        return tuple(f"{job} of {session} is tried again: {words}" for (session, job), words in dict(self._last_words).items())


def job_key(place: Place) -> str:
    """Return the key of one job of one session."""
    session, job = place
    return f"{session} {job}"


@dataclass(frozen=True)
class Pace:
    """How often, in real seconds: slow for the card's sake; a rehearsal in virtual time is faster.

    Attributes
    ----------
    look : float
        Between two looks.
    retry : float
        Before a job that asked for it is tried again.
    publish : float
        Between two writings of `health.json`.
    lost : float
        Before an alert that reached nobody is sent again.
    """

    look: float = 5.0
    retry: float = 60.0
    publish: float = 60.0
    lost: float = 600.0
