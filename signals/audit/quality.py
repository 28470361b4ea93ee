"""Session status GREEN, AMBER or RED: which sessions may be trained on and traded, with the reasons.

Entry points: `expected` (who should have a bar), `audit_sessions` (GREEN, AMBER or RED), `non_session_audits`.

Invariants
----------
1. RED: a non-session, under `min_usable_share` of the expected names usable, no usable bar at all, a fault of the whole
   session (`signals.audit.session_audit`), a quarter of the names moved by a split's ratio without a split, or files that
   the manifest does not vouch for. AMBER: not RED, but rows
   quarantined, an expected name absent, a doubt about the whole session, a row without a return, or another warning
   (zero volume, stale runs, suspected splits) on more than a share of the rows (`Defect.most`, and on `LEAST_WARNED`
   at least). GREEN: none of these. Warnings are named in `reasons`.
2. The status of a session depends on that session and earlier ones only: cutting the future changes no status.
3. A name that stops appearing is missing for at most `expected_sessions` sessions, then forgotten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from signals.audit.defects import DEFECTS, Defect, Defects, Reason
from signals.config import Config
from signals.market.audits import SessionAudit, SessionStatus
from signals.market.bars import Days

Flags = NDArray[np.bool_]
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
