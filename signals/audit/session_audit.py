"""The audit of one session's delivered bars: coverage of the expected symbols, defects of the session as a whole, and its status.

Entry points: `audit_rows`, `bar_cells`, `fixed_returns`, `session_faults`, `expected` (who should have a bar), `audit_sessions`
(GREEN, AMBER or RED), `non_session_audits`. The trainer and the device curate a session by them.

Sessions can be wrong although each row is plausible: repeated, multiplied by one common factor, of another calendar. A feed
that repeats yesterday, does not move, rescales or shuffles its names delivers such sessions; nobody can train on them or trade
on them.

Invariants
----------
1. A session is compared with the two before it only: cutting the future changes nothing.
2. A check needs enough names to be no coincidence; below that it says nothing.
3. RED: a non-session, under `min_usable_share` of the expected names usable, no usable bar at all, a fault of the whole
   session, a quarter of the names moved by a split's ratio without a split, or files that the manifest does not vouch
   for. AMBER: not RED, but rows quarantined, an expected name absent, a doubt about the whole session, a row without a
   return, or another warning (zero volume, stale runs, suspected splits) on more than a share of the rows
   (`Defect.most`, and on `LEAST_WARNED` at least). GREEN: none of these. Warnings are named in `reasons`.
4. The status of a session depends on that session and earlier ones only: cutting the future changes no status.
5. A name that stops appearing is missing for at most `expected_sessions` sessions, then forgotten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from signals.audit.defects import DEFECTS, Defect, Defects, Reason, Rows
from signals.audit.delivered_rows import DeliveredRows, Events
from signals.audit.returns import gap_returns, returns, steps
from signals.config import Config
from signals.market.bars import Days, Flags, Floats
from signals.market.sessions import SessionAudit, SessionStatus

LEAST_SPLIT, MOST_SPLIT = 10, 0.25  # names, and share of a session's, that may seem to split together
LEAST_WARNED = 5  # rows; fewer are a coincidence in a small universe


class CoverageConfig(Config):
    """Thresholds of coverage below which a session is RED.

    Attributes
    ----------
    min_usable_share : float
        Least share of the expected names that must have a usable bar.
    expected_sessions : int
        How many sessions a name without a bar stays expected.
    """

    min_usable_share: float = Field(default=0.98, ge=0, le=1)
    expected_sessions: int = Field(default=5, ge=1)


def expected(has_bar: Flags, eligible: Flags, ended: Flags, sessions: int) -> Flags:
    """Names that should have a bar at each session, by what was known before it.

    A name is expected at t when it was eligible at its last usable bar u < t, t - u <= `sessions`, and nothing
    recorded has ended it by t.

    Parameters
    ----------
    has_bar, eligible : bool, shape (T, N)
        A usable bar; in the universe with a usable bar.
    ended : bool, shape (T, N)
        Delisted by a recorded action, or no longer a member by the universe table.

    Returns
    -------
    bool, shape (T, N)
    """
    rows = np.arange(has_bar.shape[0], dtype=np.int32)[:, None]
    before = last_rows(has_bar)
    was_eligible = np.take_along_axis(eligible, np.maximum(before, 0), axis=0) & (before >= 0)
    result: Flags = was_eligible & (rows - before <= sessions) & ~ended
    return result


def last_rows(has_bar: Flags) -> NDArray[np.int32]:
    """Row of the last usable bar before each session, shape (T, N); -1 where there is none."""
    rows = np.arange(has_bar.shape[0], dtype=np.int32)[:, None]
    last = np.maximum.accumulate(np.where(has_bar, rows, np.int32(-1)), axis=0)
    return np.vstack([np.full((1, has_bar.shape[1]), -1, dtype=np.int32), last[:-1]])


@dataclass(frozen=True, eq=False)
class Coverage:
    """Counts per session, each int64 of shape (T,)."""

    rows: NDArray[np.int64]
    usable: NDArray[np.int64]
    eligible: NDArray[np.int64]
    expected: NDArray[np.int64]
    absent: NDArray[np.int64]


def audit_sessions(
    days: Days,
    coverage: Coverage,
    counts: Mapping[Reason, NDArray[np.int64]],
    config: CoverageConfig,
    faults: Sequence[tuple[str, ...]] = (),
    doubts: Sequence[tuple[str, ...]] = (),
) -> tuple[SessionAudit, ...]:
    """Give each session its status and reasons.

    Parameters
    ----------
    days : datetime64[D], shape (T,)
    counts : mapping of Reason to int64, shape (T,)
        Rows per session and reason.
    faults : sequence of tuple of str, length T
        What makes a session RED as a whole; none where empty.
    doubts : sequence of tuple of str, length T
        What makes it AMBER, likewise.
    """
    nothing: list[tuple[str, ...]] = [()] * len(days)
    return tuple(
        _audit_of(day.astype(object), t, coverage, counts, config, (faults or nothing)[t], (doubts or nothing)[t])
        for t, day in enumerate(days)
    )


def _audit_of(
    day: date,
    t: int,
    coverage: Coverage,
    counts: Mapping[Reason, NDArray[np.int64]],
    config: CoverageConfig,
    faults: tuple[str, ...],
    doubts: tuple[str, ...],
) -> SessionAudit:
    wanted, absent = int(coverage.expected[t]), int(coverage.absent[t])
    usable, rows = int(coverage.usable[t]), int(coverage.rows[t])
    reasons: list[str] = []
    status = SessionStatus.GREEN
    warned = any(_is_beyond(defect, int(counts[defect.reason][t]), usable) for defect in DEFECTS)
    if rows > usable or absent or warned or doubts:
        status = SessionStatus.AMBER
    if absent:
        reasons.append(f"expected names without a usable bar: {absent} of {wanted}")
    if usable == 0:
        status = SessionStatus.RED
        reasons.insert(0, "no usable bar")
    elif wanted and (wanted - absent) / wanted < config.min_usable_share:
        status = SessionStatus.RED
        reasons.insert(0, f"only {(wanted - absent) / wanted:.1%} of expected names usable")
    split = int(counts[Reason.SUSPECTED_SPLIT][t])
    if split >= LEAST_SPLIT and split > MOST_SPLIT * usable:  # companies do not split on one day: a delivery of another level
        status = SessionStatus.RED
        reasons.insert(0, f"{split} of {usable} names moved by a split's ratio that nobody recorded")
    if faults:
        status = SessionStatus.RED
        reasons[:0] = faults
    reasons += doubts
    reasons += [f"{defect.reason}: {counts[defect.reason][t]}" for defect in DEFECTS if counts[defect.reason][t]]
    return SessionAudit(day, status, tuple(reasons), int(coverage.eligible[t]), usable, rows, rows - usable)


def _is_beyond(defect: Defect, count: int, usable: int) -> bool:
    """Whether a warning is on more of a session's rows than leave it GREEN."""
    if defect.quarantines or not count:
        return False
    return defect.most == 0 or (count >= LEAST_WARNED and count > defect.most * usable)


def non_session_audits(days: Days, defects: Defects) -> tuple[SessionAudit, ...]:
    """RED audits of the dates that carry rows although the exchange was closed.

    Parameters
    ----------
    days : datetime64[D], shape (R,)
        The date of each row.
    """
    closed = defects.flags[Reason.NON_SESSION]
    found, counts = np.unique(days[closed], return_counts=True)
    return tuple(
        SessionAudit(day.astype(object), SessionStatus.RED, (f"{Reason.NON_SESSION}: {n}",), 0, 0, int(n), int(n))
        for day, n in zip(found, counts, strict=True)
    )


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
