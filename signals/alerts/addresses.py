"""Alert addresses outside the device, one for each line of the credential `alert-urls`: a webhook, or a service through Apprise.

A webhook is one HTTP POST, for example to a topic of ntfy. Slack, Telegram, e-mail and ntfy are reached through Apprise, the
extra `alerts`, by an address that names the service (`slack://`, `mailtos://` ...).

Invariants
----------
1. It never raises and never takes longer than `TOTAL_SECONDS`: trading does not wait for a message.
2. What leaves is the title, the machine's name, how loud it is, when, and the key: no figures, no account, no text
   from anywhere else.
3. The address is a secret. It comes from the credentials folder and is neither logged nor shown.
"""

import logging
import socket
from importlib.util import find_spec
from pathlib import Path

import httpx

from signals.alerts.alert import ADDRESSES, SERVICES, WEB, Alert, Notifier, Severity, scheme_of, within
from signals.alerts.next_steps import next_step
from signals.errors import BadConfig
from signals.text.wording import clean, utc_words

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


def channels_of(credentials: Path | None, more: str = "") -> tuple[Notifier, ...]:
    """Return a channel for each address in the file `alert-urls` among the credentials; none without the file.

    `more` is where a message says that a person learns more.

    Raises
    ------
    BadConfig
        A line is no address of a known kind, or it needs the extra `alerts`; the line itself is not repeated.
    """
    if credentials is None or not (credentials / ADDRESSES).is_file():
        return ()
    where = str(credentials / ADDRESSES)
    lines = [line.strip() for line in (credentials / ADDRESSES).read_text(encoding="utf-8").splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        if scheme_of(line) not in WEB | SERVICES:
            kinds = ", ".join(f"{scheme}://" for scheme in sorted(WEB | SERVICES))
            raise BadConfig(f"address {number} of {ADDRESSES} is none of {kinds}", where=where, fix="Write one address a line")
        if scheme_of(line) in SERVICES and not are_installed():
            raise BadConfig(
                f"address {number} of {ADDRESSES} needs the extra `alerts`, which is not installed",
                where=where,
                fix="Install `trademl[alerts]` (a release: `make release EXTRA=alerts`), or write an http(s) address",
            )
    device = socket.gethostname()
    return tuple((WebhookNotifier if scheme_of(line) in WEB else ServiceNotifier)(line, device=device, more=more) for line in lines)


STEP_SECONDS, TOTAL_SECONDS = 4.0, 15.0  # a small device takes seconds to load the library
SILENT = logging.CRITICAL + 1
KINDS = {Severity.INFO: "info", Severity.WARN: "warning", Severity.PAGE: "failure"}


def are_installed() -> bool:
    """Whether the extra `alerts` is."""
    try:
        return find_spec("apprise") is not None
    except ValueError:  # hidden from this process
        return False


class ServiceNotifier:
    """Sends alerts to one address of Apprise's, each once.

    Parameters
    ----------
    device, more : str
        Name of the machine, and where a person learns more; empty leaves it out.
    """

    def __init__(self, url: str, *, device: str = "", more: str = "") -> None:
        self._url, self._device, self._more = url, device, more

    def notify(self, alert: Alert) -> bool:
        """Send one message; False when the other side did not take it in time, whatever the cause."""
        return within(TOTAL_SECONDS, lambda: self._send(alert))

    def _send(self, alert: Alert) -> bool:
        import apprise  # nine tenths of a second: only where an address asks for it

        logging.getLogger("apprise").setLevel(SILENT)  # its warnings hold parts of the address
        asset = apprise.AppriseAsset(async_mode=False, storage_mode=apprise.PersistentStoreMode.MEMORY, allow_templates=False)
        asset.app_id = asset.app_desc = "trademl"
        asset.app_url = asset.image_url_mask = asset.image_url_logo = ""  # nothing of anybody else's is named or fetched
        asset.http_redirects = False
        try:
            service = apprise.Apprise.instantiate(self._url, asset=asset, suppress_exceptions=True)
            if service is None:
                return False
            service.socket_connect_timeout = service.socket_read_timeout = STEP_SECONDS
            title = headline(alert, self._device)
            return bool(service.notify(body=message(alert, self._device, self._more), title=title, notify_type=KINDS[alert.severity]))
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError):
            return False
