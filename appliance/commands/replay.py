"""The command `replay`: runs a range of past sessions through the device's jobs."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.bundles.store import BundleStore
from appliance.config import ApplianceConfig, Venue, load_config
from appliance.options import DEFAULT_STATE, AsJson, to_session
from appliance.runtime.commissioning import ROOT_KEY, DeviceOptions, root_key, settings
from appliance.runtime.replay import ReplaySummary
from appliance.runtime.replay import replay as run_replay
from appliance.system.state_folder import DurableFs, StateFolder
from signals.bundle import PublicKey
from signals.text.console import Kept, emit, progress

HALTED = 4


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(replay)


def replay(
    start: Annotated[str, typer.Option("--start", metavar="YYYY-MM-DD", help="First trade session, or a day before it.")],
    end: Annotated[str, typer.Option("--end", metavar="YYYY-MM-DD", help="Last trade session, or a day after it.")],
    state: Annotated[Path, typer.Option("--state", help="A folder without a device; the replay's own.")] = Path("var/replay"),
    like: Annotated[Path, typer.Option("--like", help="State folder of the device whose settings are used.")] = DEFAULT_STATE,
    store: Annotated[Path | None, typer.Option("--store", help="Use this published store, not a device's settings.")] = None,
    trust: Annotated[Path | None, typer.Option("--trust", help="With --store: the trainer's root.pub.")] = None,
    configs: Annotated[Path | None, typer.Option("--configs", help="With --store: folder of settings.")] = None,
    equity: Annotated[float, typer.Option("--equity", min=1, help="With --store: USD to start with.")] = 100_000,
    fixed_ic: Annotated[float | None, typer.Option("--fixed-ic", min=-1, max=1, help="Size by this IC, not by the bundle's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run every session of a range through the very jobs of the device, in virtual time, on a hosted exchange.

    The state folder is the replay's own and must not hold a device; live ledgers are never touched. After every
    session the ledger must equal the exchange to the cent. Ends with a summary and an equity curve. Exit code 4: a
    tripwire halted it.
    """
    config, key = _settings(like, store, trust, configs, equity, fixed_ic)
    kept = Kept(f"{state} holds its sessions so far", "Remove that folder or name another --state, and run it again")
    with progress("replay", as_json=as_json, kept=lambda: kept) as step:
        summary = run_replay(
            StateFolder(state), config, key, to_session(start), to_session(end), lambda day, number, of: step(day, number - 1, of)
        )
    emit(vars(summary), as_json=as_json, text=described(summary))
    raise typer.Exit(HALTED if summary.halted else 0)


def described(summary: ReplaySummary) -> str:
    """Return a replay's summary for a person."""
    change = summary.paper_nav - summary.first_equity
    lines = [
        f"{summary.sessions} sessions, {summary.plans} plans, {summary.orders} orders, {summary.fills} fills",
        f"{len(summary.skipped)} skipped, {'HALTED' if summary.halted else 'no halt'}; "
        "the ledger equalled the exchange to the cent after every session",
        f"paper NAV {summary.paper_nav:,.2f} USD ({change:+,.2f}), real NAV {summary.real_nav:,.2f} USD",
        f"equity curve: {summary.curve}",
        *(f"  skipped {session}: {reason}" for session, reason in summary.skipped),
    ]
    return "\n".join([*lines, summary.halted] if summary.halted else lines)


def _settings(
    like: Path, store: Path | None, trust: Path | None, configs: Path | None, equity: float, fixed_ic: float | None
) -> tuple[ApplianceConfig, PublicKey]:
    if store is not None:
        config = settings(DeviceOptions(store, Venue.EXCHANGE, equity, configs=configs, fixed_ic=fixed_ic))
        return config, root_key(trust or store / ROOT_KEY)
    folder = StateFolder(like)
    folder.require()
    config = load_config(folder.config)
    if fixed_ic is not None:
        config = config.model_copy(update={"portfolio": config.portfolio.model_copy(update={"fixed_ic": fixed_ic})})
    return config, BundleStore(folder.bundles, DurableFs()).roots()[0]
