"""Asks Alpaca's read-only interfaces through alpaca-py's clients until a whole answer comes."""

import random
from collections.abc import Callable
from typing import Any

import requests
import urllib3
from alpaca.common.exceptions import APIError
from alpaca.common.rest import RESTClient

from execution.brokers.rate_limit import RateClock, asked_wait
from execution.brokers.transport import GuardedTransport
from signals.errors import BadBars, BrokerUnreachable, InvariantBroken
from signals.text.wording import reason_of

REPEATS = 3
PATIENCE = 20  # answers 429: another program may use up the same key's minute, and each wait ends with a window
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 90.0
BUSY = 429
AGAIN = frozenset({408, BUSY, 500, 502, 503, 504})
FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)


class Asking:
    """Repeats a request that changes nothing.

    Parameters
    ----------
    name : str
        What messages call the venue.
    patience : int
        Answers 429 for which it waits as long as they ask for, besides the `REPEATS`; a job with a deadline has none.
    """

    def __init__(self, name: str, clock: RateClock, patience: int = 0) -> None:
        self.name, self._clock, self._patience, self._jitter = name, clock, patience, random.Random(0)

    def read(self, request: Callable[[], Any]) -> Any:
        """Ask until a whole answer comes; the client pages, and a page that fails begins the request again.

        Raises
        ------
        BrokerUnreachable
            No whole answer came.
        BadBars
            The request was refused.
        """
        wait, reason, failed, busy = FIRST_WAIT_SECONDS, "", 0, 0
        while failed <= REPEATS:
            pause = wait * self._jitter.uniform(0.8, 1.2)
            try:
                return request()
            except APIError as error:
                status = error.status_code
                if status not in AGAIN:
                    raise BadBars(
                        f"refused with {status}: {reason_of(error)}", where=self.name, fix="Check the key pair and its data rights"
                    ) from None
                reason = f"answered {status}"
                if status == BUSY and busy < self._patience:
                    busy += 1
                    self._clock.sleep(asked_wait(error.response.headers, pause, self._clock.now(), LONGEST_WAIT_SECONDS))
                    continue
            except FAILURES as error:
                reason = reason_of(error)
            failed += 1
            if failed <= REPEATS:
                self._clock.sleep(pause)
                wait *= 2
        raise BrokerUnreachable(
            f"no whole answer after {failed + busy} requests ({reason})",
            where=self.name,
            fix="Run the same command later: what had come is kept",
        )


def tame(client: RESTClient, transport: GuardedTransport) -> None:
    """Mount our transport and switch off the client's own repeats, which wait without a limit of ours."""
    session = getattr(client, "_session", None)
    if not isinstance(session, requests.Session) or not isinstance(getattr(client, "_retry", None), int):
        raise InvariantBroken(
            "this version of alpaca-py cannot be held to time-outs and single requests",
            where="alpaca-py",
            fix="Install the version that the lock file names",
        )
    client._retry = 0
    session.trust_env = False  # neither a proxy nor a .netrc of the environment may redirect or sign a request
    session.adapters.clear()
    session.mount("https://", transport)
    session.mount("http://", transport)
