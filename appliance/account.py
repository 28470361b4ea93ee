"""The account and the machine as figures for the tripwires."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from appliance.deps import Deps
from appliance.jobs.base import JobStatus
from appliance.ledger import job_runs, nav, snapshots
from appliance.measures import loss
from appliance.tripwires import Figure, Figures
from execution.brokers.base import Account, Position

ACTIVE = "ACTIVE"
NAV_SESSIONS = 2520


def account_figures(deps: Deps, session: date, account: Account, positions: Sequence[Position]) -> Figures:
    """Measure exposure, losses and identity of the account on the morning of D.

    The daily loss is the worse of two: since the broker's last close, and over the whole of asof, so that a bad day is
    seen on the morning after it.
    """
    equity = float(account.equity)
    asof = deps.calendar.previous(session)
    before = snapshots.find(deps.ledger, deps.calendar.previous(asof), snapshots.Phase.CLOSE)
    return Figures(
        held_gross=held_gross(positions, account.equity),
        daily_loss=_worse(
            loss(equity, float(account.last_equity)), loss(equity, float(before.equity) if before else None)
        ),
        drawdown=loss(equity, _high_water(deps)),
        account_faults=account_faults(account, snapshots.first(deps.ledger)),
        recon_breaks=_recon_breaks(deps, session),
    )


def machine_figures(deps: Deps) -> Figures:
    """Measure what the machine itself could get wrong."""
    skew = abs((deps.broker.clock().now - deps.clock.now()).total_seconds())
    usage = shutil.disk_usage(deps.state)
    return Figures(
        halt_requests=float(deps.fs.read(deps.folder.halt_request) is not None),
        clock_skew_seconds=skew,
        free_disk=usage.free / usage.total,
    )


def held_gross(positions: Sequence[Position], equity: Decimal) -> Figure:
    """Sum of absolute position values over equity; None when a holding has no price or equity is not positive."""
    if equity <= 0 or any(position.current_price is None for position in positions):
        return None
    return float(sum((abs(p.quantity * p.current_price) for p in positions if p.current_price), Decimal(0)) / equity)


def account_faults(account: Account, first: snapshots.Snapshot | None) -> float:
    """Count what is wrong with the account's identity and standing; `first` is how it was when it was first agreed."""
    faults = [account.status != ACTIVE, account.is_blocked, account.multiplier <= 0]
    if first is not None:
        faults += [account.id != first.account_id, account.multiplier != first.multiplier]
    return float(sum(faults))


def _worse(one: Figure, other: Figure) -> Figure:
    measured = [figure for figure in (one, other) if isinstance(figure, float)]
    return max(measured) if measured else one


def _high_water(deps: Deps) -> float | None:
    """Highest equity at a close since a person last armed the device; None before the first close."""
    since = deps.latch.read().at
    rows = nav.history(deps.ledger, date.max, NAV_SESSIONS)
    values = [float(row.paper_nav) for row in rows if row.at.isoformat() >= since]
    return max(values, default=None)


def _recon_breaks(deps: Deps, session: date) -> Figure:
    run = job_runs.find(deps.ledger, session, "reconcile_morning")
    return 0.0 if run is not None and run.status is JobStatus.DONE else None
