"""Detects an absence longer than the forecasts' horizon, after which a person decides before trading resumes."""

from collections.abc import Sequence
from datetime import date

ABSENT = "ABSENT"
ABSENT_SESSIONS = 5  # the horizon of the daily sleeve: a book older than its forecasts is nobody's decision any more


def absence(unattended: Sequence[date]) -> str:
    """Return why an armed device must halt, given the newest sessions of which no job ended; empty when it need not."""
    away = len(unattended)
    if away < ABSENT_SESSIONS:
        return ""
    return f"nothing ran for {away} sessions, {unattended[0]} to {unattended[-1]}: what is held is older than its forecast"
