"""Alerts by webhook: one HTTP POST to each configured address, such as a topic of ntfy.

Invariants
----------
1. It never raises and never takes longer than `TOTAL_SECONDS`: trading does not wait for a message.
2. What leaves is the title, the machine's name, how loud it is, when, and the key: no figures, no account, no text
   from anywhere else.
3. The address is a secret. It comes from the credentials folder and is neither logged nor shown.
"""

import logging

import httpx

from signals.alerts.alert import Alert, Severity, within
from signals.alerts.next_steps import next_step
from signals.text.plain_text import clean
from signals.text.wording import utc_words

STEP_SECONDS, TOTAL_SECONDS = 4.0, 8.0
PRIORITIES = {Severity.INFO: "low", Severity.WARN: "default", Severity.PAGE: "urgent"}


class WebhookNotifier:
    """Posts alerts to one address, each once.

    Parameters
    ----------
    transport : httpx.BaseTransport, optional
        Tests put their own here.
    device : str
        Name of the machine, by which a person with several knows which one calls; empty leaves it out.
    more : str
        Where a person learns more, in words.
    """

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None, *, device: str = "", more: str = "") -> None:
        self._url, self._transport, self._device, self._more = url, transport, device, more
        for name in ("httpx", "httpcore"):  # both log the address at INFO and DEBUG
            logging.getLogger(name).setLevel(logging.WARNING)

    def notify(self, alert: Alert) -> bool:
        """Post one message; False when the other side did not take it in time, whatever the cause."""
        return within(TOTAL_SECONDS, lambda: self._post(alert))

    def _post(self, alert: Alert) -> bool:
        title = headline(alert, self._device).encode("ascii", "replace").decode()
        headers = {"Title": title, "Priority": PRIORITIES[alert.severity]}
        try:
            with (
                httpx.Client(timeout=STEP_SECONDS, transport=self._transport, trust_env=False) as client,
                client.stream("POST", self._url, content=message(alert, self._device, self._more), headers=headers) as answer,
            ):
                return answer.is_success
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
            return False


def headline(alert: Alert, device: str) -> str:
    """Return the title with the device that calls."""
    return clean(f"{alert.title} on {device}" if device else alert.title)


def message(alert: Alert, device: str = "", more: str = "") -> str:
    """Return what is sent: enough to get up for, nothing to keep secret (invariant 2)."""
    at = utc_words(alert.at)
    what = f"{headline(alert, device)} ({alert.severity}, {at}, {clean(alert.key)})"
    return " ".join(filter(None, (f"{what}.", next_step(alert.key), more)))
