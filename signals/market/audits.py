"""The audit result of a session as a light value that screens can load without the audit's libraries."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class SessionStatus(StrEnum):
    """Quality of a session's bars."""

    GREEN = "GREEN"
    AMBER = "AMBER"
    RED = "RED"


@dataclass(frozen=True)
class SessionAudit:
    """Result of the audit of one session.

    Attributes
    ----------
    reasons : tuple of str
        "<reason>: <count>" in a fixed order; a GREEN session may carry warnings.
    eligible : int
        Names of the universe with a usable bar at this session.
    usable : int
        Rows that are in the curated bars.
    rows : int
        Rows delivered.
    quarantined : int
        Rows delivered but kept out of the curated bars.
    """

    session: date
    status: SessionStatus
    reasons: tuple[str, ...]
    eligible: int
    usable: int
    rows: int
    quarantined: int
