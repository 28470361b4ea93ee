"""The channels that lead away from the device: one for each line of the credential `alert-urls`."""

import socket
from pathlib import Path

from signals.alerts import services
from signals.alerts.alert import ADDRESSES, SERVICES, WEB, Notifier, scheme_of
from signals.alerts.services import ServiceNotifier
from signals.alerts.webhook import WebhookNotifier
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
        if scheme_of(line) in SERVICES and not services.are_installed():
            raise BadConfig(
                f"address {number} of {ADDRESSES} needs the extra `alerts`, which is not installed",
                where=where,
                fix="Install `trademl[alerts]` (a release: `make release EXTRA=alerts`), or write an http(s) address",
            )
    device = socket.gethostname()
    return tuple((WebhookNotifier if scheme_of(line) in WEB else ServiceNotifier)(line, device=device, more=more) for line in lines)
