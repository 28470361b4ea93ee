"""The audit of one session's delivered bars: coverage of the expected symbols, and the resulting status.

Entry points: `audit_rows`, `bar_cells`, `fixed_returns`. The trainer and the device curate a session by them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from signals.audit.defects import Defects, Reason
from signals.audit.delivered_rows import DeliveredRows, Events
from signals.audit.quality import Coverage, CoverageConfig, audit_sessions, expected
from signals.audit.returns import gap_returns, returns, steps
from signals.audit.session_checks import session_faults
from signals.market.audits import SessionAudit, SessionStatus
from signals.market.bars import Days, Floats

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
