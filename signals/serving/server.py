"""Runs an API until it is interrupted: address, token file and TLS."""

import ipaddress
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from signals.errors import BadConfig, FixInput
from signals.serving.application import Api, application
from signals.serving.connections import PATIENCE_SECONDS, Wires, listen
from signals.serving.gate import OWN_HOSTS
from signals.text.wording import reason_of

TOKEN_FILE = "serve-token"
TUNNEL = "Give --certificate and --key, or stay on loopback behind a tunnel: ssh -L 8780:127.0.0.1:8780 DEVICE"
CONCURRENT_MOST = 64


@dataclass(frozen=True)
class Address:
    """Where an API is served.

    Attributes
    ----------
    listen : str
        An IP address.
    port : int
        0 takes a free one.
    names : tuple of str
        Names under which it may be asked for, besides the address and those of loopback.
    certificate, key : Path or None
        PEM files of TLS; both or neither.
    """

    listen: str = "127.0.0.1"
    port: int = 8780
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        try:
            is_loopback = ipaddress.ip_address(self.listen).is_loopback
        except ValueError:
            raise BadConfig("not an IP address", where=f"--listen {self.listen}", fix="Give one of this machine, as 192.168.1.10") from None
        if (self.certificate is None) != (self.key is None):
            raise BadConfig("TLS needs a certificate and its key", where="--certificate, --key", fix="Give both or neither")
        if not is_loopback and self.certificate is None:
            raise BadConfig("the token would cross the network in the clear", where=f"--listen {self.listen}", fix=TUNNEL)
        try:
            mode = stat.S_IMODE(self.key.stat().st_mode) if self.key is not None else 0
        except OSError as error:
            raise BadConfig(f"the key of TLS cannot be read: {reason_of(error)}", where=str(self.key), fix="Name its PEM file") from None
        if mode & 0o077:
            raise BadConfig("others can read the key of TLS", where=str(self.key), fix=f"chmod 600 {self.key}")

    @property
    def hosts(self) -> frozenset[str]:
        """Names under which it may be asked for; an address that means every one of the machine is none."""
        own = () if ipaddress.ip_address(self.listen).is_unspecified else (self.listen,)
        return OWN_HOSTS | {name.lower() for name in (*own, *self.names)}

    def url(self, port: int) -> str:
        """Return the address of its page."""
        place = f"[{self.listen}]" if ":" in self.listen else self.listen
        return f"{'https' if self.certificate else 'http'}://{place}:{port}/"


def serve(api: Api, at: Address, token_file: Path) -> None:
    """Serve until interrupted. The first line of output is the page's address; on a terminal, with the token.

    Raises
    ------
    FixInput
        The port is taken, or the certificate cannot be used.
    """
    wires = Wires(PATIENCE_SECONDS)
    config = uvicorn.Config(
        application(api),
        http=wires.protocol(),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        limit_concurrency=CONCURRENT_MOST,
        timeout_graceful_shutdown=2,
        ssl_certfile=at.certificate,
        ssl_keyfile=at.key,
    )
    try:
        config.load()
    except OSError as error:  # of which an error of TLS is one
        raise FixInput(
            "TLS cannot be used", where=f"{at.certificate}: {reason_of(error)}", fix="Give a PEM certificate and its key"
        ) from None
    try:
        bound = listen(at.listen, at.port)
    except OSError as error:
        where = f"{at.listen}:{at.port}: {reason_of(error)}"
        raise FixInput("the port cannot be listened on", where=where, fix="Choose another with --port") from None
    with bound:
        here = at.url(bound.getsockname()[1])
        secret = f"#token={api.token}" if sys.stdout.isatty() else f"  (the token is in {token_file})"
        sys.stdout.write(f"{here}{secret}\n")
        sys.stdout.flush()
        uvicorn.Server(config).run(sockets=[bound])
