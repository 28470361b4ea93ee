"""The audit of one session's delivered bars: coverage of the expected symbols, defects of the session as a whole, and its status.

Entry points: `audit_rows`, `bar_cells`, `fixed_returns`, `session_faults`. The trainer and the device curate a session by them.

Sessions can be wrong although each row is plausible: repeated, multiplied by one common factor, of another calendar. A feed
that repeats yesterday, does not move, rescales or shuffles its names delivers such sessions; nobody can train on them or trade
on them.

Invariants
----------
1. A session is compared with the two before it only: cutting the future changes nothing.
2. A check needs enough names to be no coincidence; below that it says nothing.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from signals.audit.defects import Defects, Reason, Rows
from signals.audit.delivered_rows import DeliveredRows, Events
from signals.audit.quality import Coverage, CoverageConfig, audit_sessions, expected
from signals.audit.returns import gap_returns, returns, steps
from signals.market.audits import SessionAudit, SessionStatus
from signals.market.bars import Days, Floats

LEAST_NAMES = 2  # that can repeat or does not move
LEAST_MOVES = 10  # that can move alike, or apart
REPEATED_SHARE = 0.5
ALIKE_SHARE = 0.9
ALIKE = 1e-6  # relative, next to half a cent of rounding
HALF_A_CENT = 0.005
APART_SHARE = 0.25
APART = np.log(2.0)  # a close that doubled or halved

REPEATED = "the bars of the session before, again"
IDLE = "no share traded in any name"
FACTOR = "all closes moved by one factor"
SHUFFLED = "a quarter of the closes doubled or halved"


def session_faults(rows: Rows, session: NDArray[np.int64], usable: NDArray[np.bool_], sessions: int) -> tuple[tuple[str, ...], ...]:
    """Name the faults of each session, length T.

    Parameters
    ----------
    session : int64, shape (R,)
        Position of each row's session; not read where not usable.
    usable : bool, shape (R,)
    sessions : int
        T.
    """
    kept = np.flatnonzero(usable)
    count = np.bincount(session[kept], minlength=sessions)
    traded = np.bincount(session[kept], rows.volume[kept] > 0, minlength=sessions)
    one, two = _pairs(rows, session, kept, 1), _pairs(rows, session, kept, 2)
    apart, apart_of_two = _apart(rows, session, *one, sessions), _apart(rows, session, *two, sessions)
    found: list[tuple[str, ...]] = []
    repeated, factor = _repeated(rows, session, *one, sessions), _one_factor(rows, session, *one, sessions)
    was_shuffled = False
    for t in range(sessions):
        # A session that is back where the one before a shuffled one was is sane.
        was_shuffled = bool(apart[t] and (not was_shuffled or apart_of_two[t]))
        flags = {
            REPEATED: repeated[t],
            IDLE: count[t] >= LEAST_NAMES and traded[t] == 0,
            FACTOR: factor[t] and not repeated[t],
            SHUFFLED: was_shuffled,
        }
        found.append(tuple(name for name, is_found in flags.items() if is_found))
    return tuple(found)


Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def _pairs(rows: Rows, session: NDArray[np.int64], kept: NDArray[np.int64], lag: int) -> Pairs:
    """Rows of one security that lie `lag` sessions apart: earlier, later."""
    span = int(session[kept].max(initial=0)) + lag + 1
    key = rows.security[kept] * span + session[kept]
    place = np.searchsorted(key, key - lag)
    same = (key[np.minimum(place, len(key) - 1)] == key - lag) & (session[kept] >= lag)
    return kept[place[same]], kept[same]


def _share(session: NDArray[np.int64], flags: NDArray[np.bool_], least: int, sessions: int) -> Floats:
    """Share of the pairs of each session that are flagged; 0 where there are fewer than `least`."""
    count = np.bincount(session, minlength=sessions)
    hits = np.bincount(session, flags, minlength=sessions)
    result: Floats = np.where(count >= least, hits / np.maximum(count, 1), 0.0)
    return result


def _repeated(
    rows: Rows, session: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64], sessions: int
) -> NDArray[np.bool_]:
    columns = (rows.open, rows.high, rows.low, rows.close, rows.volume)
    same = np.logical_and.reduce([column[before] == column[after] for column in columns]) & (rows.volume[after] > 0)
    found: NDArray[np.bool_] = _share(session[after], same, LEAST_NAMES, sessions) > REPEATED_SHARE
    return found


def _one_factor(
    rows: Rows, session: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64], sessions: int
) -> NDArray[np.bool_]:
    """Whether nearly all closes are one factor times those before, to the cent."""
    order = np.argsort(session[after], kind="stable")
    before, after = before[order], after[order]
    move = rows.close[after] / rows.close[before]
    edges = np.searchsorted(session[after], np.arange(sessions + 1))
    median = np.array([np.median(move[a:b]) if b > a else 1.0 for a, b in pairwise(edges)])
    apart = np.abs(rows.close[after] - median[session[after]] * rows.close[before])
    alike = apart <= HALF_A_CENT + ALIKE * rows.close[after]
    found: NDArray[np.bool_] = _share(session[after], alike, LEAST_MOVES, sessions) >= ALIKE_SHARE
    return found


def _apart(rows: Rows, session: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64], sessions: int) -> NDArray[np.bool_]:
    far = np.abs(np.log(rows.close[after] / rows.close[before])) >= APART
    found: NDArray[np.bool_] = _share(session[after], far, LEAST_MOVES, sessions) > APART_SHARE
    return found


Flags = NDArray[np.bool_]


def bar_cells(data: DeliveredRows, rows: Flags, sessions: int) -> Flags:
    """Whether a security has one of these rows at a session, bool (T, N).

    Parameters
    ----------
    rows : bool, shape (R,)
        None of them on a non-session.
    """
    cells = np.zeros((sessions, len(data.securities)), dtype=bool)
    cells[data.session[rows], data.rows.security[rows]] = True
    return cells


def audit_rows(
    data: DeliveredRows,
    defects: Defects,
    eligible: Flags,
    ended: Flags,
    days: Days,
    config: CoverageConfig,
    doubts: Sequence[tuple[str, ...]] = (),
) -> tuple[tuple[SessionAudit, ...], Flags]:
    """Audit each session.

    Parameters
    ----------
    defects : Defects
        Of its rows.
    eligible : bool, shape (R,)
        Rows of names that belong to the universe at their session.
    ended : bool, shape (T, N)
        Whether a record has ended a name by each session.
    days : datetime64[D], shape (T,)
    doubts : sequence of tuple of str, length T
        About whole sessions, from elsewhere; none where empty.

    Returns
    -------
    audits : tuple of SessionAudit, length T
    missing : bool, shape (T, N)
        Where an expected name has no usable bar.
    """
    count = len(days)
    has_bar = bar_cells(data, ~defects.quarantined, count)
    universe = bar_cells(data, eligible, count)
    wanted = expected(has_bar, universe, ended, config.expected_sessions)
    missing: Flags = wanted & ~has_bar
    here = ~defects.flags[Reason.NON_SESSION]
    coverage = Coverage(
        rows=np.bincount(data.session[here], minlength=count),
        usable=has_bar.sum(axis=1),
        eligible=universe.sum(axis=1),
        expected=wanted.sum(axis=1),
        absent=missing.sum(axis=1),
    )
    counts = {reason: np.bincount(data.session[here & flags], minlength=count) for reason, flags in defects.flags.items()}
    faults = session_faults(data.rows, data.session, ~defects.quarantined, count)
    return audit_sessions(days, coverage, counts, config, faults, doubts), missing


def fixed_returns(data: DeliveredRows, usable: Flags, audits: Sequence[SessionAudit], recorded: Events) -> dict[str, Floats]:
    """Every return of every row, shape (R,) each, by the names of the bars' columns.

    A reader has no bar of a RED session: its rows have no return, and returns across gaps reach over it.
    """
    red = np.zeros(len(audits) + 1, dtype=bool)  # a row past the last audited session is never usable
    red[: len(audits)] = [audit.status is SessionStatus.RED for audit in audits]
    pairs = steps(data.rows, usable & ~red[data.session], data.session)
    total, overnight = returns(data.rows, pairs, recorded.ratio, recorded.cash)
    gap, gap_overnight = gap_returns(data.rows, pairs, recorded.ratio, recorded.cash)
    return {"total_return": total, "overnight_return": overnight, "gap_return": gap, "gap_overnight": gap_overnight}
