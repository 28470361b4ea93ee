"""The positions that outcomes are measured on: a straddle at the money, a vertical and a calendar, each delta-hedged.

A position is entered at the close of the session after the one that is scored, at mid with half spreads counted as cost, hedged
with the forward at every close by its curve's delta, and marked at mid. Profits are in vol points of the vega of the straddle's
call, so that names and days compare. `refusal` says in words what too short a history of them can show.
"""

import itertools

import numpy as np
from scipy.special import ndtr, ndtri

from signals.market.bars import Floats
from trainer.options.chains.chain import DAYS_A_YEAR
from trainer.options.surface.surface import OptionLeg, Smile, Surface

TERM_DAYS, LEAST_TERM_DAYS, CALENDAR_GAP_DAYS = 30, 9, 14
MOST_HORIZON = 10
POINTS = 100.0
TEMPLATES = ("straddle", "vertical", "calendar")
LEVEL, POWER = 0.05, 0.80
LEAST_SESSIONS = 504  # of a history that is evidence


def front(surface: Surface) -> Smile | None:
    """Return the expiry nearest to 30 days of those with 9 or more; None where there is none."""
    usable = [smile for smile in surface.smiles if smile.years * DAYS_A_YEAR >= LEAST_TERM_DAYS]
    return min(usable, key=lambda smile: abs(smile.years * DAYS_A_YEAR - TERM_DAYS), default=None)


def positions(evening: Surface) -> tuple[dict[str, tuple[OptionLeg, ...]], float] | None:
    """Return the legs of each template that can be entered, and the vega of the straddle's call, USD a vol of 1.0.

    None without a straddle.
    """
    near = front(evening)
    if near is None:
        return None
    forward = near.quotes.forward.value
    strikes = np.unique(near.quotes.strike)
    order = strikes[np.argsort(np.abs(np.log(strikes / forward)), kind="stable")].tolist()
    at = next((k for k in order if _two_sided(evening, near.expiration, k)), None)
    if at is None:
        return None
    call, put = OptionLeg(near.expiration, at, True, 1.0), OptionLeg(near.expiration, at, False, 1.0)
    found: dict[str, tuple[OptionLeg, ...]] = {"straddle": (call, put)}
    deviation = float(np.sqrt(near.curve.w(np.zeros(1))[0]))
    higher = [k for k in strikes.tolist() if k > at and evening.touch(OptionLeg(near.expiration, k, True, 1.0))]
    if higher:
        far = min(higher, key=lambda k: abs(np.log(k / forward) - deviation))
        found["vertical"] = (call, OptionLeg(near.expiration, far, True, -1.0))
    later = [smile for smile in evening.smiles if (smile.years - near.years) * DAYS_A_YEAR >= CALENDAR_GAP_DAYS]
    for smile in later:
        if evening.touch(back := OptionLeg(smile.expiration, at, True, 1.0)):
            found["calendar"] = (OptionLeg(near.expiration, at, True, -1.0), back)
            break
    return found, float(near.greeks(at, True, forward).vega)


def _two_sided(evening: Surface, expiration: np.datetime64, strike: float) -> bool:
    return all(evening.touch(OptionLeg(expiration, strike, right, 1.0)) for right in (True, False))


def hedged_path(evenings: list[Surface | None], legs: tuple[OptionLeg, ...], vega: float) -> tuple[Floats, Floats]:
    """Cumulative profit after 1, 2, ... sessions and the half spreads of both ends, in vol points, float64 (n - 1,) each.

    `evenings` are those of n sessions in a row, the entry's first; from a session without a mark on both are NaN.
    """
    profit, cost = np.full(len(evenings) - 1, np.nan), np.full(len(evenings) - 1, np.nan)
    each = (None if evening is None else evening.mark(legs) for evening in evenings)
    marks = []
    for mark in each:
        if mark is None:
            break
        marks.append(mark)
    hedge = 0.0
    for place, (before, now) in enumerate(itertools.pairwise(marks)):
        hedge -= sum(delta * (now.forward[expiry] - before.forward[expiry]) for expiry, delta in before.delta.items())
        profit[place] = POINTS / vega * (now.mid - marks[0].mid + hedge)
        cost[place] = POINTS / vega * (marks[0].half_spread + now.half_spread)
    return profit, cost


def refusal(profits: Floats, least: int = LEAST_SESSIONS, unit: str = "vol points", counted: int | None = None) -> str:
    """Say that so few sessions are no evidence, and how many a mean as large as the one seen would take.

    Parameters
    ----------
    profits : float64, shape (T,)
        Profit of each session; NaN where there is none.
    unit : str
        Of a profit.
    counted : int, optional
        Sessions that have the outcome asked for, where it is another than the one of a session.
    """
    known = profits[np.isfinite(profits)]
    n = len(known)
    said = f"{n if counted is None else counted} sessions of hedged profits are no evidence of a premium; {least} are asked for"
    if n < 2:
        return said
    mean, deviation = float(known.mean()), float(known.std(ddof=1))
    needed = ((ndtri(1.0 - LEVEL) + ndtri(POWER)) * deviation / mean) ** 2 if mean else np.inf
    seen = float(ndtr(abs(mean) * np.sqrt(n) / deviation - ndtri(1.0 - LEVEL))) if deviation > 0.0 else 0.0
    return (
        f"{said}. {'Their mean' if counted in (None, n) else f'The mean of {n} profits of a session'} is {mean:+.2f} {unit} with a "
        f"deviation of {deviation:.2f}, from {known.min():+.1f} to {known.max():+.1f}: were it the truth, {n} sessions would show it in "
        f"{seen:.0%} of histories, and {needed:,.0f} sessions in {POWER:.0%}"
    )
