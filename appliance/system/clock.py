"""Clocks: the machine's, a served exchange's, and a virtual one that a replay advances."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from signals.errors import BrokerUnreachable, InvariantBroken, TrademlError
from signals.text import strict_json
from signals.text.wording import reason_of, utc_words

if TYPE_CHECKING:
    from appliance.system.ports import Clock

ASK_SECONDS = 5.0
LOOK_SECONDS = 2.0  # a person waits for it
CLOCK_PATH = "/_sim/clock"
CLOCK_FILE = "clock.json"


def instant(clock: Clock) -> datetime:
    """The clock's time, or the machine's where an exchange that owns the time does not answer: a halt never waits."""
    try:
        return clock.now()
    except TrademlError:
        return SystemClock().now()


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current UTC instant."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the seconds of the machine's monotonic counter."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread."""
        time.sleep(seconds)


class VirtualClock:
    """A clock that moves only when it is advanced: history passes as fast as the work allows.

    Parameters
    ----------
    start : datetime
        Aware instant.
    on_advance : callable, optional
        Called with every new instant, so that an exchange hosted in the same process lives at the same time.
    """

    def __init__(self, start: datetime, on_advance: Callable[[datetime], None] | None = None) -> None:
        self._now = start.astimezone(UTC)
        self._start = self._now
        self._on_advance = on_advance

    def now(self) -> datetime:
        """Return the instant to which the clock was last moved."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since the clock's start."""
        return (self._now - self._start).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Move the clock forward."""
        self.advance(self._now + timedelta(seconds=seconds))

    def advance(self, to: datetime) -> None:
        """Move the clock to the instant `to`; raise `InvariantBroken` on a step backwards."""
        instant = to.astimezone(UTC)
        if instant < self._now:
            raise InvariantBroken("a clock never goes back", where=f"{utc_words(self._now)} to {utc_words(instant)}")
        self._now = instant
        if self._on_advance is not None:
            self._on_advance(instant)


class ExchangeTime:
    """The clock of an exchange that another process serves: it owns the time, we read it.

    Parameters
    ----------
    patience : float
        Seconds to wait for an answer.
    """

    def __init__(self, url: str, patience: float = ASK_SECONDS) -> None:
        self._url, self._patience = url, patience
        self._real = SystemClock()

    def now(self) -> datetime:
        """Ask the exchange for its instant; raise `BrokerUnreachable` when it does not answer."""
        from http.client import HTTPException  # most readers of a clock ask no exchange

        try:
            return _instant(get(self._url, CLOCK_PATH, self._patience)[1])
        except (OSError, HTTPException, ValueError) as error:
            raise BrokerUnreachable(
                "the exchange does not report its time",
                where=f"{self._url}: {reason_of(error)}",
                fix="Start it with `paper-exchange serve` or correct venue.url in config.yml",
            ) from None

    def monotonic(self) -> float:
        """Return real seconds: time-outs are always measured in them."""
        return self._real.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for real seconds."""
        self._real.sleep(seconds)


def hosted_time(root: Path) -> datetime | None:
    """Return the time of an exchange hosted in the state folder `root`; None before it was first moved.

    Raises
    ------
    InvariantBroken
        Its file cannot be read.
    """
    path = root / CLOCK_FILE
    try:
        return _instant(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise InvariantBroken("the hosted clock's file cannot be read", where=str(path)) from None


def venue_time(root: Path, real: Clock, *, is_exchange: bool, url: str) -> datetime | None:
    """Return the venue's time for a reader; None before a hosted clock was first moved.

    Parameters
    ----------
    root : Path
        State folder.
    real : Clock
        The machine's, which counts at a broker.
    is_exchange : bool
        The venue is an exchange of ours, which owns the time.
    url : str
        Where that is served; empty when the device hosts it.

    Raises
    ------
    BrokerUnreachable
        A served exchange does not answer.
    InvariantBroken
        A hosted clock's file cannot be read.
    """
    if not is_exchange:
        return real.now()
    return ExchangeTime(url, LOOK_SECONDS).now() if url else hosted_time(root)


def get(url: str, path: str, patience: float = ASK_SECONDS) -> tuple[str, bytes]:
    """Return the Date header and the body of one answer, whatever its status."""
    from http.client import HTTPConnection, HTTPSConnection

    address = urlsplit(url)
    kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
    connection = kind(address.netloc, timeout=patience)
    try:
        connection.request("GET", address.path.rstrip("/") + path)
        answer = connection.getresponse()
        return answer.headers["Date"] or "", answer.read(65_536)
    finally:
        connection.close()


def _instant(content: bytes) -> datetime:
    """Read an object that holds an instant with its offset; raise ValueError for anything else."""
    try:
        at = datetime.fromisoformat(strict_json.loads(content)["now"])
        if at.tzinfo is None:
            raise ValueError("an instant without an offset")
        return at.astimezone(UTC)
    except (KeyError, TypeError, OverflowError):
        raise ValueError("no instant") from None
