"""Parses query parameters: absent, well formed, or refused."""

from collections.abc import Collection
from datetime import UTC, date, datetime

from execution.exchange.protocol.message import ApiRequest
from execution.exchange.protocol.refusals import BAD_QUERY, RefusedByVenue
from signals.market.sessions import NEW_YORK

EARLIEST, LATEST = 1900, 2200  # years that a parameter may name


def word(request: ApiRequest, name: str, allowed: Collection[str], default: str) -> str:
    """Return one word of a closed set."""
    given = request.query.get(name) or default
    if given not in allowed:
        raise RefusedByVenue(BAD_QUERY, parameter=name, given=given)
    return given


def count(request: ApiRequest, name: str, default: int, most: int) -> int:
    """Return a number in [1, `most`]."""
    given = request.query.get(name)
    if given is None:
        return default
    if not (given.isdecimal() and len(given) <= len(str(most))) or not 1 <= int(given) <= most:
        raise RefusedByVenue(BAD_QUERY, parameter=name, given=given)
    return int(given)


def flag(request: ApiRequest, name: str) -> bool:
    """Return whether a boolean parameter is set."""
    return request.query.get(name, "").lower() in ("true", "1")


def words(request: ApiRequest, name: str) -> tuple[str, ...]:
    """Return a comma-separated list, empty when absent."""
    return tuple(part for part in request.query.get(name, "").split(",") if part)


def instant(request: ApiRequest, name: str) -> datetime | None:
    """Return an instant in UTC; a date only is its New York midnight."""
    given = request.query.get(name)
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


def day(request: ApiRequest, name: str) -> date | None:
    """Return a date; an instant is taken in New York."""
    given = request.query.get(name)
    if not given:
        return None
    at = instant(request, name)
    assert at is not None
    return at.astimezone(NEW_YORK).date()


def _microseconds(text: str) -> str:
    """Cut digits beyond microseconds: RFC 3339 allows nine, Python reads six."""
    if "." not in text:
        return text
    head, tail = text.split(".", 1)
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    return f"{head}.{digits[:6]}{tail[len(digits) :]}"
