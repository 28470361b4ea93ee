"""Intervals of the daemon's periodic work, slow for the card's sake, faster in a rehearsal."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """How often, in real seconds; a rehearsal in virtual time is faster.

    Attributes
    ----------
    look : float
        Between two looks.
    retry : float
        Before a job that asked for it is tried again.
    publish : float
        Between two writings of `health.json`.
    lost : float
        Before an alert that reached nobody is sent again.
    """

    look: float = 5.0
    retry: float = 60.0
    publish: float = 60.0
    lost: float = 600.0
