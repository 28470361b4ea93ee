"""Rates a universe's survivorship: point-in-time, reconstructed, survivors only, or unknown.

Entry point: `universe_of`. A membership table is believed only as far as the bars do not contradict it: its members
have bars, no row became known after the fact, and names do not leave it just before they fall.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from signals.audit.delivered_rows import DeliveredRows
from signals.market.actions import Action, ActionKind
from signals.market.bars import Days, Flags, Floats
from signals.market.manifest import Survivorship
from trainer.curation.config import CurationConfig
from trainer.curation.eligibility import Membership

SESSIONS_PER_YEAR = 252
MONTH_SESSIONS = 21
WORST = 0.05  # quantile of members' returns over a month below which a return is a fall
SURE = 0.01  # chance of so many falls at which they are none
FEWEST = 3  # deaths outside the table; fewer are chance
WORTHLESS = 1e-6  # of the last close, where nothing is paid
TOLD = "a membership table that says when each row became known"
NO_KNOWN_AT = "the membership table has no known_at"
SHOWN = 3


@dataclass(frozen=True, eq=False)
class UniverseRows:
    """Rows of a dataset as the universe is judged by them.

    Attributes
    ----------
    usable, eligible : bool, shape (R,)
    total : float64, shape (R,)
        Total return of each row's session; NaN where there is none.
    days : datetime64[D], shape (T,)
    actions : iterable of Action
        Of which delistings say what a name was worth at its end.
    stitched : frozenset of str
        Securities that ended where another began under their symbol: nobody left.
    """

    data: DeliveredRows
    usable: Flags
    eligible: Flags
    total: Floats
    days: Days
    actions: tuple[Action, ...]
    stitched: frozenset[str] = frozenset()


def universe_of(held: UniverseRows, membership: Membership | None, config: CurationConfig) -> tuple[Survivorship, str]:
    """Return the state of the universe, and the sentence that says why it has it.

    Point-in-time needs a membership table whose rows say when they became known, whose members have bars, and whose
    ends do not precede falls. Reconstructed needs a person's word that every asset was delivered, inactive ones too.
    """
    faults = [] if membership is None else _faults(held, membership, config)
    if membership is not None and not faults:
        return Survivorship.POINT_IN_TIME, TOLD + early_end(membership, held.days)
    contradicted = "; ".join(faults)
    if membership is not None and membership.foreseen is not None:
        return Survivorship.UNKNOWN, contradicted  # a table that the bars contradict is worth no rule either
    newest = np.full(len(held.data.securities), -1, dtype=np.int64)
    np.maximum.at(newest, held.data.rows.security[held.usable], held.data.session[held.usable])
    count = len(held.days)
    lives = (newest >= count - config.survivor_sessions) | np.isin(held.data.securities, list(held.stitched))
    if bool(np.all(lives)) and count > config.survivor_years * SESSIONS_PER_YEAR:
        return Survivorship.SURVIVORS_ONLY, "every name has a bar in the last sessions: nobody ever left"
    if config.all_assets and not [fault for fault in faults if fault != NO_KNOWN_AT]:
        return Survivorship.RECONSTRUCTED, "a rule at each date over all assets, inactive ones too, by the ingest's word"
    return Survivorship.UNKNOWN, contradicted or "nothing says whether names that ended were delivered"


def early_end(membership: Membership, days: Days) -> str:
    """Say that the table ends before the bars: fewer than half of its most members are left, from some session to the last; "" else."""
    members = membership.member[:, :-1].sum(axis=1)
    most = int(members.max(initial=0))
    enough = np.flatnonzero((members > 0) & (2 * members >= most))
    late = len(days) - 1 - int(enough[-1]) if enough.size else 0
    left = f"{members[-1]} of once {most} members are left, and nothing else is eligible"
    return f"; it ends {late:,} sessions before the bars, on {days[enough[-1]]}: {left}" if late else ""


def _faults(held: UniverseRows, membership: Membership, config: CurationConfig) -> list[str]:
    """Sentences about what keeps a membership table from being point-in-time."""
    found = []
    covered = int(held.eligible.sum()) / max(1, int(membership.member.sum()))
    if covered < config.coverage.min_usable_share:
        found.append(f"{1 - covered:.1%} of the members' sessions have no bar: those of its dead were not delivered")
    if membership.foreseen is None:
        found.append(NO_KNOWN_AT)
    elif membership.foreseen:
        shown = ", ".join(membership.foreseen[:SHOWN])
        found.append(
            f"{len(membership.foreseen)} ends were known over a year before ({shown}): a row's known_at is the "
            "day on which its end was known, an earlier row holds the start"
        )
    ends = early_ends(held, membership)
    if bdtrc(len(ends.falls) - 1, ends.left, config.max_early_ends) < SURE:
        shown = ", ".join(ends.falls[:SHOWN])
        found.append(
            f"{len(ends.falls)} of {ends.left} names that traded on after leaving the table fell at once ({shown}): it "
            "ends before the losses"
        )
    if len(ends.outside) >= FEWEST and len(ends.outside) > config.max_early_ends * ends.deaths:
        shown = ", ".join(ends.outside[:SHOWN])
        found.append(
            f"{len(ends.outside)} of {ends.deaths} recorded delistings came within 21 sessions after the name left the "
            f"table ({shown}): its dead ended before they died"
        )
    return found


@dataclass(frozen=True)
class Ends:
    """How names leave a membership table.

    Attributes
    ----------
    falls : tuple of str
        Names that left it, traded on, and fell: their return over the 21 sessions after it, a delisting's payout
        included, is below the 5 % quantile of the members' own returns over 21 sessions.
    left : int
        Names that left it and traded on.
    outside : tuple of str
        Names that left it, traded on, and were delisted within those sessions.
    deaths : int
        Recorded delistings of names that were members within 21 sessions before.
    """

    falls: tuple[str, ...]
    left: int
    outside: tuple[str, ...]
    deaths: int


def early_ends(held: UniverseRows, membership: Membership) -> Ends:
    """Return how names leave the table, by the bars that they have after it."""
    data, rows = held.data, np.flatnonzero(held.usable)
    security, session = data.rows.security[rows], data.session[rows]
    order = np.lexsort((session, security))
    rows, security, session = rows[order], security[order], session[order]
    member = membership.member[session, membership.of_rows(data.symbol[rows])]
    growth = np.log1p(np.nan_to_num(held.total[rows]).clip(min=-0.999999))
    level = np.cumsum(growth)
    last = np.searchsorted(security, security, side="right") - 1
    ahead = np.minimum(last, _rows_until(security, session, session + MONTH_SESSIONS))
    moved = level[ahead] - level
    payout = _payouts(held, rows[last])
    dies = (ahead == last) & np.isfinite(payout)
    moved = np.where(dies, moved + np.nan_to_num(payout), moved)
    usual = moved[member & (ahead < last)][::MONTH_SESSIONS]
    left = np.flatnonzero(member[:-1] & ~member[1:] & (security[1:] == security[:-1]))
    fell = left[moved[left] < np.quantile(usual, WORST)] if usual.size else left[:0]
    outside = left[dies[left]]
    inside = int(np.count_nonzero(member[last] & dies & (last == np.arange(len(last)))))
    named = [[f"{data.symbol[rows[place]]} {held.days[session[place]]}" for place in part] for part in (fell, outside)]
    return Ends(tuple(named[0]), len(left), tuple(named[1]), len(outside) + inside)


def _rows_until(security: NDArray[np.int64], session: NDArray[np.int64], until: NDArray[np.int64]) -> NDArray[np.int64]:
    """Last row of the same security at or before the session `until`; rows are sorted by security, session."""
    width = int(until.max(initial=0)) + 2
    return np.searchsorted(security * width + session, security * width + until, side="right") - 1


def _payouts(held: UniverseRows, last: NDArray[np.int64]) -> Floats:
    """Log of a delisting's payout over the close of each security's last row; NaN where none is recorded after it."""
    ends: dict[str, list[tuple[int, float]]] = {}  # several of a symbol that was used again
    for action in held.actions:
        if action.kind is ActionKind.DELISTING and action.cash is not None:
            effective = int(np.searchsorted(held.days, np.datetime64(action.effective, "D")))
            ends.setdefault(action.symbol, []).append((effective, float(action.cash)))
    rows, place = np.unique(last, return_inverse=True)
    found = np.full(len(rows), np.nan)
    for number, row in enumerate(rows.tolist()):
        later = [end for end in ends.get(str(held.data.symbol[row]), ()) if end[0] > held.data.session[row]]
        close = float(held.data.rows.close[row])
        if later and close > 0:
            found[number] = np.log(max(min(later)[1] / close, WORTHLESS))
    return found[place]
