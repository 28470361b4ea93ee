"""Arming a device: the rehearsal up to the frozen plan, the plan for a person, the typed word, the open latch."""

from collections.abc import Callable
from datetime import date

from appliance.controls.latch import LatchRecord
from appliance.ledger import AccessMode, Ledger, halts, plans
from appliance.options import to_session
from appliance.orders import OrderPath
from appliance.orders.reconciliation import require_decided
from appliance.runtime.device import Device
from appliance.schedule.job import EXIT_CODES, JobReport
from appliance.schedule.timetable import JOBS
from appliance.system.operator import confirm_typed, who
from execution.orders import Plan, Rounding
from signals.errors import FixInput
from signals.schedule.job_windows import windows

REHEARSED = JOBS[: JOBS.index("plan") + 1]


def arm_after_showing(device: Device, session: str, *, yes: bool, show: Callable[[str], None]) -> tuple[LatchRecord, str]:
    """Show the plan of `session` (none where it is empty), ask for the typed word and open the latch.

    Returns
    -------
    LatchRecord, str
        The open latch, and what was shown.

    Raises
    ------
    FixInput
        The rehearsal did not end well, the account holds what nobody has decided about, or the word was not typed.
    """
    device.latch.require_armable()
    require_decided_about(device)
    rehearsed = [device.run(name, to_session(session)) for name in REHEARSED] if session else []
    shown = _shown(device, session, rehearsed)
    show(shown)
    failed = [item for item in rehearsed if EXIT_CODES[item.status]]
    if failed:
        raise FixInput(
            f"{failed[0].job} did not end well, so the device stays halted",
            where=failed[0].summary,
            fix="Fix it, or arm for another session",
        )
    confirm_typed("ARM", "send this device's orders", yes=yes)
    at = device.clock.now()
    record = device.latch.arm(by=who(), at=at)
    with Ledger(device.folder.ledger, AccessMode.WRITE) as ledger:
        halts.record_armed(ledger, at)
    return record, shown


def next_session(device: Device) -> date:
    """Return the session whose plan may still be made and sent, by the device's clock.

    Raises
    ------
    FixInput
        The calendar ends before it.
    """
    now = device.clock.now()
    first = device.calendar.last_closed(now)
    for day in device.calendar.between(first, device.calendar.days[-1])[1:]:
        if next(row.deadline for row in windows(day, device.calendar, device.table) if row.job == "plan") > now:
            return day
    raise FixInput("the calendar of the dataset has no session ahead", where=device.manifest.name, fix="Publish the dataset again")


def require_decided_about(device: Device) -> None:
    """Raise `FixInput` on a device that has never sent an order while the account holds what is not its own."""
    if not device.latch.read().is_fresh:
        return
    with device.deps() as deps:
        require_decided(OrderPath.of(deps), deps.broker.positions(), deps.broker.orders(open_only=True))


def _shown(device: Device, session: str, rehearsed: list[JobReport]) -> str:
    lines = [f"{item.job:<18} {item.status.value:<8} {item.summary}" for item in rehearsed]
    with Ledger(device.folder.ledger, AccessMode.WRITE) as ledger:
        plan = plans.load(ledger, to_session(session)) if session else None
    venue = device.config.venue
    lines.append(f"Venue: {venue.broker.value}{' (hosted here, virtual time)' if venue.is_hosted else ''}")
    lines.append(described(plan) if plan else "No plan is frozen yet: the first one is made at 08:00 of a session.")
    return "\n".join(lines)


def described(plan: Plan, most: int = 12) -> str:
    """Return a frozen plan for a person: its size, and its largest orders."""
    total = sum((abs(i.notional) for i in plan.intents), start=plan.equity * 0)
    head = (
        f"The plan of {plan.session}: {len(plan.intents)} orders, {total:,.0f} USD of {plan.equity:,.2f} USD equity, "
        f"{len(plan.refusals)} refused, digest {plan.digest[:12]}"
    )
    largest = sorted(plan.intents, key=lambda i: (-abs(i.notional), i.key))[:most]
    lines = [
        f"  {i.side.value:<4} {i.quantity:>8} {i.key.symbol:<8} at about {i.reference_price:>12} {i.time_in_force.value}" for i in largest
    ]
    more = [f"  ... and {len(plan.intents) - most} smaller ones"] if len(plan.intents) > most else []
    return "\n".join([head, *lines, *more, *given_up(plan.rounding)])


def given_up(rounding: Rounding) -> list[str]:
    """Say the gross that the target book aims at, and what rounding to tradable shares gives up of it."""
    if rounding.target_gross == 0:
        return []
    never = f"; never held: {', '.join(rounding.never_held)}" if rounding.never_held else ""
    return [f"  goal: a gross of {rounding.target_gross:.1%} of equity; rounding gives up {rounding.share:.1%} of the target book{never}"]
