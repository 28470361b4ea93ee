"""The channels that lead away from the device: one for each line of the credential `alert-urls`.

Slack, Telegram, e-mail and ntfy are reached through Apprise, the extra `alerts`. The invariants of
`signals/alerts/webhook.py` hold here too: it never raises, it ends in time, the same few words leave, and the address,
which names the service (`slack://`, `mailtos://` ...), is neither logged nor shown.
"""

import logging
import socket
from importlib.util import find_spec
from pathlib import Path

from signals.alerts.alert import ADDRESSES, SERVICES, WEB, Alert, Notifier, Severity, scheme_of, within
from signals.alerts.webhook import WebhookNotifier, headline, message
from signals.errors import BadConfig


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
