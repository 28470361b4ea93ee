"""The commands `init` and `arm`: from an empty folder to a device that may send orders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from appliance.config import BarsFrom, Venue
from appliance.controls.latch import Latch
from appliance.ledger import AccessMode, Ledger, halts, plans
from appliance.options import DEFAULT_STATE, AsJson, Credentials, State, to_session
from appliance.orders import OrderPath
from appliance.orders.reconciliation import require_decided
from appliance.runtime.commissioning import commission, settings, trusted
from appliance.runtime.device import Device, opened
from appliance.schedule.job import EXIT_CODES, JobReport
from appliance.schedule.timetable import JOBS
from appliance.system.durable_files import DurableFs
from appliance.system.operator import confirm_typed, who
from appliance.system.state_folder import StateFolder
from execution.orders import Plan
from signals.errors import FixInput
from signals.text.console import emit
from signals.text.plain_text import clean_lines

REHEARSED = JOBS[: JOBS.index("plan") + 1]


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(init)
    app.command()(arm)


def init(
    venue: Annotated[Venue, typer.Option("--venue", help="Where orders go; never switched by the program.")],
    store: Annotated[str, typer.Option("--store", help="A folder or s3://bucket/prefix: data/, published bundles, keyset.json.")],
    state: State = DEFAULT_STATE,
    equity: Annotated[float, typer.Option("--equity", min=1, help="USD in a hosted exchange's account.")] = 1_000_000,
    url: Annotated[str, typer.Option("--url", help="Of a served exchange; empty hosts it here.")] = "",
    trust: Annotated[Path | None, typer.Option("--trust", help="The trainer's root.pub; default: the one in the store.")] = None,
    configs: Annotated[Path | None, typer.Option("--configs", help="Folder with appliance.yml, portfolio.yml, sleeves.yml ...")] = None,
    fixed_ic: Annotated[
        float | None, typer.Option("--fixed-ic", min=-1, max=1, help="Rehearsals: size by this IC, not the bundle's.")
    ] = None,
    endpoint: Annotated[str, typer.Option("--endpoint", help="Of an object store that is not Amazon's: MinIO, SeaweedFS.")] = "",
    bars: Annotated[
        BarsFrom, typer.Option("--bars", help="Source of the sessions that the published dataset does not hold yet.")
    ] = BarsFrom.PUBLISHED,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Make a new device in an empty state folder and write its config.yml.

    The device starts HALTED: nothing is wrong, no orders are sent until you arm it. The root key decides for ever
    which bundles it believes; it is printed so that you can compare it with the trainer's.
    """
    config = settings(store=store, venue=venue, equity=equity, url=url, configs=configs, fixed_ic=fixed_ic, endpoint=endpoint, bars=bars)
    key = trusted(trust, store)
    manifest = commission(StateFolder(state), config, key, credentials=credentials)
    emit(
        {"state": state, "venue": venue.value, "root_key": key.keyid, "dataset": manifest.name, "latch": "halted"},
        as_json=as_json,
        text=f"A device in {state}, venue {venue.value}, dataset {manifest.name} to {manifest.last}.\n"
        f"It trusts the root key {key.keyid}.\n{Latch(state, DurableFs()).read().sentence()}",
    )


def arm(
    session: Annotated[str, typer.Option("--session", metavar="YYYY-MM-DD", help="D, to show its plan first.")] = "",
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the typed word.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a device that was never armed send orders, after showing what it would send.

    With --session the jobs up to the frozen plan run first and the plan is shown: nothing of it is sent by this
    command. A device that halted for a reason is opened by `appliance rearm` only. While the account holds positions
    that nobody has decided about (`appliance adopt`, `appliance keep`), or an order works in it, nothing is armed.
    """
    with opened(state, credentials=credentials) as device:
        device.latch.require_armable()
        _require_decided(device)
        rehearsed = _rehearse(device, session) if session else []
        shown = _shown(device, session, rehearsed)
        if not as_json:
            typer.echo(clean_lines(shown))
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
    emit({"latch": record.state.value, "by": record.by, "at": record.at, "shown": shown}, as_json=as_json, text=record.sentence())


def _require_decided(device: Device) -> None:
    """Raise `FixInput` on a device that has never sent an order while the account holds what is not its own."""
    if not device.latch.read().is_fresh:
        return
    with device.deps() as deps:
        require_decided(OrderPath.of(deps), deps.broker.positions(), deps.broker.orders(open_only=True))


def _rehearse(device: Device, session: str) -> list[JobReport]:
    day = to_session(session)
    return [device.run(name, day) for name in REHEARSED]


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
    return "\n".join([head, *lines, *more])
