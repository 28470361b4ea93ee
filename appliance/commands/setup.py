"""The commands `init` and `arm`: from an empty folder to a device that may send orders."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.config import BarsFrom, Venue
from appliance.controls.latch import Latch
from appliance.options import DEFAULT_STATE, AsJson, Credentials, State
from appliance.runtime.commissioning import DeviceOptions, commission, settings, trusted
from appliance.runtime.device import opened
from appliance.setup.arming import arm_after_showing
from appliance.system.state_folder import DurableFs, StateFolder
from signals.text.console import emit
from signals.text.wording import clean_lines


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(init)
    app.command()(arm)


def init(
    venue: Annotated[Venue, typer.Option("--venue", help="Where orders go; never switched by the program.")],
    store: Annotated[str, typer.Option("--store", help="A folder or s3://bucket/prefix: data/, published bundles, keyset.json.")],
    state: State = DEFAULT_STATE,
    equity: Annotated[float, typer.Option("--equity", min=1, help="USD in a hosted exchange's account.")] = 100_000,
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
    config = settings(DeviceOptions(store, venue, equity, url, configs, fixed_ic, endpoint, bars))
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
        record, shown = arm_after_showing(device, session, yes=yes, show=lambda text: None if as_json else typer.echo(clean_lines(text)))
    emit({"latch": record.state.value, "by": record.by, "at": record.at, "shown": shown}, as_json=as_json, text=record.sentence())
