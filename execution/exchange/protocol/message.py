"""Transport-independent request and response of the exchange."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from execution.exchange.protocol.refusals import BODY_NOT_JSON, BODY_NOT_OBJECT, RefusedByVenue
from signals.text.strict_json import Json, loads

JSON = "application/json; charset=UTF-8"


@dataclass(frozen=True)
class ApiRequest:
    """One HTTP request.

    Attributes
    ----------
    query : mapping
        Query parameters; a repeated one is joined by commas.
    headers : mapping
        Names in lower case.
    received_at : datetime or None
        Real arrival time as the door saw it; None where only virtual time exists.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    received_at: datetime | None = None

    def json(self) -> Mapping[str, Json]:
        """Return the body as an object, every non-integer number as an exact Decimal; refuse anything else."""
        try:
            content = loads(self.body or b"{}")
        except ValueError:
            raise RefusedByVenue(BODY_NOT_JSON) from None
        if not isinstance(content, dict):
            raise RefusedByVenue(BODY_NOT_OBJECT)
        return content


@dataclass(frozen=True)
class ApiResponse:
    """One HTTP response.

    Attributes
    ----------
    delay_seconds : float
        How long a door holds it back; a scripted fault.
    breakage : str
        How a door spoils it on the wire: `drop`, `reset`, `cut_body` or `duplicate`; empty: not at all.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    breakage: str = ""


def answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> ApiResponse:
    """Return `content` as a JSON response."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return ApiResponse(status, body, {"content-type": JSON, **(headers or {})})


NO_CONTENT = ApiResponse(204)
