"""Access control of the exchange's HTTP server: Host, Origin and the simulation token; see `signals.serving.gate`."""

from collections.abc import Collection
from dataclasses import dataclass

from execution.exchange.api.routes import SIM_PREFIX
from execution.exchange.protocol.refusals import FOREIGN_HOST, FOREIGN_ORIGIN, SIM_TOKEN_WANTED, RefusedByVenue
from signals.serving.gate import OWN_HOSTS, Foreign, RawHeaders, foreign, is_token, values_of

FREE = ("GET", f"{SIM_PREFIX}clock")  # daemon and jobs read the time
TOKEN_FILE, TOKEN_HEADER = "sim-token", "x-sim-token"


@dataclass(frozen=True)
class Gate:
    """What a door asks of every connection.

    Attributes
    ----------
    token : str
        Of what steers the simulation.
    hosts : collection of str
        Names under which the exchange may be asked for; the port is of no concern.
    """

    token: str
    hosts: Collection[str] = OWN_HOSTS

    def check(self, method: str, path: str, headers: RawHeaders) -> None:
        """Raise `RefusedByVenue` unless a request with these raw headers may pass."""
        if (why := foreign(headers, self.hosts)) is not None:
            raise RefusedByVenue(FOREIGN_HOST if why is Foreign.HOST else FOREIGN_ORIGIN)
        steers = path.startswith(SIM_PREFIX) and (method, path) != FREE
        if steers and not is_token(values_of(headers, TOKEN_HEADER), self.token):
            raise RefusedByVenue(SIM_TOKEN_WANTED)
