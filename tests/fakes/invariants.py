"""Rules that hold at every instant of a rehearsed session, judged by the broker's log and what is on the device's disk.

Each function returns the sentences of what was broken; the names I2 to I13 are those of `docs/assurance.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import pairwise

from appliance.alerts.reminders import key_of
from appliance.context import Deps
from appliance.controls.latch import LatchRecord
from appliance.ledger import alerts, fills, job_runs, snapshots
from appliance.ledger.snapshots import Phase
from execution.orders import Intent, Plan, TimeInForce
from execution.planning.config import PretradeConfig
from signals.market.sessions import NEW_YORK
from tests.fakes.broker import FakeBroker, Inbox

# New York wall-clock times between which an order may reach the broker: the device's own windows, written down again
HOURS = {
    TimeInForce.OPG: (time(4, 0), time(9, 27)),
    TimeInForce.CLS: (time(9, 30), time(15, 49)),
    TimeInForce.DAY: (time(9, 30), time(15, 59)),
}


def outside_hours(posts: Iterable[tuple[datetime, Intent]], session: date) -> list[str]:
    """I6: no order reaches the broker outside its window or on another day."""
    broken = []
    for when, intent in posts:
        local = when.astimezone(NEW_YORK)
        first, until = HOURS[intent.time_in_force]
        if local.date() != session or not first <= local.time() < until:
            broken.append(f"I6: {intent.key.client_order_id} was posted at {local}")
    return broken


def beyond_limits(broker: FakeBroker, plan: Plan, limits: PretradeConfig) -> list[str]:
    """I2: with all that is open filled, at the plan's prices, gross and every name stay within their limits.

    A name that the account already held above its limit may stay there, and no further.
    """
    broken = []
    for when, shares in broker.books:
        values = {symbol: quantity * plan.references[symbol] / plan.equity for symbol, quantity in shares.items()}
        if sum(map(abs, values.values())) > limits.max_gross:
            broken.append(f"I2: gross is {sum(map(abs, values.values())):.4f} at {when}")
        for symbol, share in values.items():
            if abs(share) > limits.max_name:
                broken.append(f"I2: {symbol} is {share:.4f} of equity at {when}")
            if shares[symbol] < 0 and shares[symbol] % 1:
                broken.append(f"I2: {shares[symbol]} shares of {symbol} are short at {when}")
    return broken


def without_provenance(broker: FakeBroker, deps: Deps) -> list[str]:
    """I4: every order at the broker joins to a plan that says which bundle, data, configuration and program made it."""
    rows = deps.ledger.read(
        tuple[str, str, str, str, str, str],
        "SELECT i.client_order_id, p.bundle_sha256, p.snapshot_id, p.config_hash, p.code_version, p.digest"
        " FROM intents i JOIN plans p ON p.session = i.session",
    )
    joined = {cid: found for cid, *found in rows}
    return [f"I4: {cid} has no provenance" for _, cid in broker.accepted if not all(joined.get(cid, [None]))]


def not_conserved(broker: FakeBroker, deps: Deps, session: date, before: date) -> list[str]:
    """I8: what was held before, plus the fills that the ledger booked, is what it holds at the close; to the cent.

    The broker's fills are booked exactly once each, none is invented.
    """
    opened, closed = (snapshots.find(deps.ledger, before, Phase.CLOSE), snapshots.find(deps.ledger, session, Phase.CLOSE))
    if opened is None or closed is None:
        return []
    booked = fills.of_session(deps.ledger, session)
    told = sorted(item.id for item in broker.news if item.kind == "FILL")
    broken = [] if sorted(row.fill.id for row in booked) == told else ["I8: the ledger's fills are not the broker's"]
    shares: dict[str, Decimal] = {p.symbol: p.quantity for p in opened.positions}
    for row in booked:
        moved = row.fill.side.sign * row.fill.quantity
        shares[row.fill.symbol] = shares.get(row.fill.symbol, Decimal(0)) + moved
    if opened.cash + sum((row.fill.cash for row in booked), Decimal(0)) != closed.cash:
        broken.append("I8: cash is not conserved")
    if {s: q for s, q in shares.items() if q} != {p.symbol: p.quantity for p in closed.positions if p.quantity}:
        broken.append("I8: shares are not conserved")
    return broken


def reopened(latched: Sequence[bytes]) -> list[str]:
    """I9: once closed, the latch stays closed: no person came in a rehearsed session."""
    states = [json.loads(content)["state"] for content in latched]
    return ["I9: the latch opened by itself"] if ("halted", "armed") in pairwise(states) else []


def without_one_end(deps: Deps, session: date, ended: Sequence[tuple[str, str]]) -> list[str]:
    """I11: every job that ended has one row, that says how it ended the first time."""
    broken = []
    rows = {run.job: run for run in job_runs.since(deps.ledger, session)}
    if len(job_runs.since(deps.ledger, session)) != len(rows):
        broken.append("I11: a job has two rows")
    for job, status in ended:
        found = rows[job].status
        if found is None or found.value != status:
            broken.append(f"I11: {job} ended {status} and is on record as {found}")
    return broken


def unheard(deps: Deps, standing: LatchRecord, inbox: Inbox) -> list[str]:
    """I13: a halt has reached a person, or stands in the ledger as one that has not."""
    if standing.is_armed:
        return []
    told = alerts.last_of(deps.ledger, key_of(standing))
    if told is None:
        return [f"I13: nobody was told of {standing.name}"]
    reached = any(alert.key == key_of(standing) for alert in inbox.alerts)
    return [] if told.delivered == reached else [f"I13: the alert of {standing.name} is on record as {told.delivered}"]


def excess(plan: Plan, broker: FakeBroker) -> list[str]:
    """More shares than planned, or an opening half that did not wait; by what was posted and filled."""
    frozen = {(i.key.symbol, i.key.slice): i for i in plan.intents}
    by_id = {intent.key.client_order_id: intent for _, intent in broker.posts}
    filled: dict[tuple[str, int], int] = {}
    for row in broker.rows.values():
        key = by_id[row.client_order_id].key
        filled[key.symbol, key.slice] = filled.get((key.symbol, key.slice), 0) + int(row.filled_quantity)
    early = [
        f"{intent.key.client_order_id} did not wait for its closing half"
        for _, intent in broker.posts
        if (leader := intent.waits_for) is not None
        and filled.get((leader.symbol, leader.slice), 0) != frozen[(leader.symbol, leader.slice)].quantity
    ]
    if early:
        return early
    return [f"{shares} shares of {place}" for place, shares in filled.items() if shares > frozen[place].quantity]
