"""The commands `backup`, `backups` and `restore`: copies of the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from appliance.backup.copies import Backup, fetch, listed, retire, shorter, take
from appliance.backup.restore import HALT_NAME, put_back, require_free, words
from appliance.backup.vault import Vault, vault_at
from appliance.commands.text_table import render
from appliance.config import ApplianceConfig, load_config
from appliance.controls.latch import Latch, LatchRecord
from appliance.ledger import AccessMode, Ledger
from appliance.options import DEFAULT_STATE, AsJson, Credentials, State
from appliance.runtime.device import opened
from appliance.safety.halt import carry_out
from appliance.system.clock import SystemClock
from appliance.system.operator import confirm_typed, who
from appliance.system.state_folder import DurableFs, StateFolder, exclusive, only_daemon
from signals.code_version import code_version
from signals.errors import BadBackup, BadConfig, TrademlError
from signals.text.console import emit

Place = Annotated[str, typer.Option("--from", help="Another place than backup.to of config.yml.", show_default=False)]
COLUMNS = ["name", "session", "rows", "megabytes", "code"]


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(backup)
    app.command()(backups)
    app.command()(restore)


def backup(
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    if_older: Annotated[float, typer.Option("--if-older-than", min=0, help="Hours; a newer backup makes this one needless.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Copy the ledger to the place that config.yml names, and read the copy back, whatever the device is doing.

    The daemon does the same every night; this is for a person, and for a timer that goes on while the daemon does not.
    Exit code 5: the place cannot be reached; earlier backups are as they were.
    """
    folder, config = _device(state)
    if if_older and not config.backup.to:  # a timer asks every night, and nobody wanted any
        emit({"taken": None, "newest": None}, as_json=as_json, text="No place for backups is set: none is kept.")
        return
    vault, at = _vault(folder, config, "", credentials), SystemClock().now()
    newest = max((one.at for one in listed(vault)), default=None)
    if newest is not None and timedelta(0) <= at - newest < timedelta(hours=if_older):
        emit(
            {"taken": None, "newest": newest.isoformat()},
            as_json=as_json,
            text=f"The newest backup is of {newest:%Y-%m-%d %H:%M} UTC: none is needed.",
        )
        return
    with Ledger(folder.ledger, AccessMode.READ) as ledger:
        done = take(ledger, vault, folder.copies, at=at, code_version=code_version("appliance"))
    gone = retire(vault, done, config.backup)
    emit(
        {"taken": _row(done), "gone": list(gone)},
        as_json=as_json,
        text=f"Backup {done.name}: {sum(done.rows.values())} rows, {done.size / 2**20:.1f} MB, read back; {len(gone)} old ones deleted.",
    )


def backups(place: Place = "", state: State = DEFAULT_STATE, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """List the backups that can be restored, oldest first."""
    folder, config = _device(state)
    rows = [_row(one) for one in listed(_vault(folder, config, place, credentials))]
    emit({"backups": rows}, as_json=as_json, text=render(rows, COLUMNS, empty="there is no backup"))


def restore(
    place: Place = "",
    name: Annotated[str, typer.Option("--name", help="Of `appliance backups`; default: the newest.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of the ledger that is there.")] = False,
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the typed word.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup of the ledger back. The device ends HALTED: reconcile, then `appliance rearm`.

    The backup is unpacked and checked before anything changes. A ledger that is there is replaced only with --replace,
    and kept next to the new one. Refused while a daemon runs (exit code 5).
    """
    folder, config = _device(state)
    require_free(folder, replace=replace)
    vault = _vault(folder, config, place, credentials)
    chosen = _chosen(listed(vault), name)
    with _nobody_else(folder), fetch(vault, chosen, folder.copies) as plain:
        confirm_typed("RESTORE", f"go back to the ledger of {chosen.at:%Y-%m-%d %H:%M} UTC", yes=yes)
        record = put_back(folder, plain, chosen, Latch(folder.root, DurableFs()), SystemClock().now())
    reactions = _react(folder, record, words(chosen), credentials)
    emit(
        {"restored": _row(chosen), "halt_id": record.halt_id, "by": who(), "reactions": reactions},
        as_json=as_json,
        text=f"The ledger is that of {chosen.at:%Y-%m-%d %H:%M} UTC, session {chosen.session or 'none'}.\n{reactions}\n{record.sentence()}",
    )


def _device(state: Path) -> tuple[StateFolder, ApplianceConfig]:
    folder = StateFolder(state)
    folder.require()
    return folder, load_config(folder.config)


def _vault(folder: StateFolder, config: ApplianceConfig, place: str, credentials: Path | None) -> Vault:
    found = place or config.backup.to
    if not found:
        raise BadConfig(
            "no place for backups is set",
            where="backup.to in config.yml is empty",
            fix="Write a folder on another disk there, or name one with --from",
        )
    return vault_at(config.backup.model_copy(update={"to": found}), folder.root, folder.key_folder(credentials))


def _chosen(found: tuple[Backup, ...], name: str) -> Backup:
    fitting = [one for one in found if name in ("", one.name)]
    if not fitting:
        raise BadBackup("there is no such backup", where=name or "none has a record", fix="See `appliance backups`")
    if not name and (fuller := shorter(fitting[-1], found)):
        raise BadBackup(
            "the newest backup holds less than an earlier one",
            where=f"{fitting[-1].name} and {fuller.name}",
            fix="Name the one that you mean with --name",
        )
    return fitting[-1]


@contextmanager
def _nobody_else(folder: StateFolder) -> Iterator[None]:
    """Hold the folder, and the daemon's place where one has ever run."""
    with only_daemon(folder) if folder.daemon_lock.exists() else nullcontext(), exclusive(folder):
        yield


def _react(folder: StateFolder, record: LatchRecord, reason: str, credentials: Path | None) -> str:
    """Do what follows a closed latch; where that cannot be done now, the next attendance does it."""
    try:
        with opened(folder.root, credentials=credentials) as device, device.deps() as deps:
            carry_out(deps, None, record, HALT_NAME, reason)
    except TrademlError as error:
        return f"Working orders could not be cancelled now: {error}"
    return "Working orders were cancelled and the halt is recorded."


def _row(one: Backup) -> dict[str, object]:
    return {
        "name": one.name,
        "at": one.at.isoformat(),
        "session": one.session,
        "rows": sum(one.rows.values()),
        "megabytes": round(one.size / 2**20, 2),
        "sha256": one.sha256,
        "code": one.code_version,
    }
