"""Transport-independent request and response of the exchange; a query parameter is absent, well formed, or refused."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from execution.exchange.protocol.refusals import BAD_QUERY, BODY_NOT_JSON, BODY_NOT_OBJECT, RefusedByVenue
from signals.market.sessions import NEW_YORK
from signals.text.strict_json import Json, loads

JSON = "application/json; charset=UTF-8"
EARLIEST, LATEST = 1900, 2200  # years that a parameter may name


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

    def word(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return one word of a closed set."""
        given = self.query.get(name) or default
        if given not in allowed:
            raise RefusedByVenue(BAD_QUERY, parameter=name, given=given)
        return given

    def count(self, name: str, default: int, most: int) -> int:
        """Return a number in [1, `most`]."""
        given = self.query.get(name)
        if given is None:
            return default
        if not (given.isdecimal() and len(given) <= len(str(most))) or not 1 <= int(given) <= most:
            raise RefusedByVenue(BAD_QUERY, parameter=name, given=given)
        return int(given)

    def flag(self, name: str) -> bool:
        """Return whether a boolean parameter is set."""
        return self.query.get(name, "").lower() in ("true", "1")

    def words(self, name: str) -> tuple[str, ...]:
        """Return a comma-separated list, empty when absent."""
        return tuple(part for part in self.query.get(name, "").split(",") if part)

    def instant(self, name: str) -> datetime | None:
        """Return an instant in UTC; a date only is its New York midnight."""
        given = self.query.get(name)
        if not given:
            return None
        text = given.replace(" ", "+")  # an unescaped plus sign of an offset arrives as a space
        try:
            at = datetime.fromisoformat(_microseconds(text))
            if at.tzinfo is None:
                at = at.replace(tzinfo=NEW_YORK if len(text) == len("2020-01-01") else UTC)
            if not EARLIEST <= at.year <= LATEST:
                raise ValueError(text)
            return at.astimezone(UTC)
        except (ValueError, OverflowError):
            raise RefusedByVenue(BAD_QUERY, parameter=name, given=given) from None

    def day(self, name: str) -> date | None:
        """Return a date; an instant is taken in New York."""
        given = self.query.get(name)
        if not given:
            return None
        at = self.instant(name)
        assert at is not None
        return at.astimezone(NEW_YORK).date()


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


def _microseconds(text: str) -> str:
    """Cut digits beyond microseconds: RFC 3339 allows nine, Python reads six."""
    if "." not in text:
        return text
    head, tail = text.split(".", 1)
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    return f"{head}.{digits[:6]}{tail[len(digits) :]}"
