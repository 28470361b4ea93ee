"""Restores a backup of the ledger: started by a person only, with the latch closed before a file moves.

Invariants
----------
1. The latch closes first, durably; the device is HALTED whatever happens next.
2. The ledger that was there is kept next to the new one, with its journal, under a name with the time.
3. Whenever it is cut off, the ledger's name holds the old ledger, or nothing, or the whole backup; it can be run again.
"""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from appliance.backup.copies import STAMP, Backup
from appliance.controls.latch import Latch, LatchRecord
from appliance.ledger import AccessMode, Ledger
from appliance.system.state_folder import StateFolder
from signals.errors import FixInput, LedgerUnusable, Locked
from signals.files import read_pieces, sync_folder, write_pieces

HALT_NAME = "RESTORED"
RESTORED_FROM = "restored_from"
JOURNALS = ("-wal", "-shm", "")  # the ledger itself last: a journal must never meet another ledger


def require_free(folder: StateFolder, *, replace: bool) -> None:
    """Raise `FixInput` when there is a ledger and nobody said that it may be replaced."""
    if folder.ledger.exists() and not replace:
        raise FixInput(
            "there is a ledger; a backup is never put over it unasked",
            where=str(folder.ledger),
            fix="Add --replace: the ledger that is there is kept next to the restored one",
        )


def words(backup: Backup) -> str:
    """Why the device is halted after it."""
    return f"the ledger is that of {backup.at:%Y-%m-%d %H:%M} UTC; reconcile before you re-arm"


def put_back(folder: StateFolder, plain: Path, backup: Backup, latch: Latch, at: datetime) -> LatchRecord:
    """Put the unpacked and checked ledger `plain` in place; return the halt in force.

    Parameters
    ----------
    folder : StateFolder
        Its locks are held.
    at : datetime
        UTC.
    """
    arrived = folder.ledger.with_name("ledger.sqlite.arrived")
    write_pieces(arrived, read_pieces(plain), mode=0o600)
    record = latch.halt(HALT_NAME, words(backup), at)
    set_aside(folder.ledger, at)
    arrived.replace(folder.ledger)
    sync_folder(folder.root)
    with Ledger(folder.ledger, AccessMode.WRITE) as ledger:  # an older schema is led forward here
        ledger.write_meta(RESTORED_FROM, f"{backup.name} at {at.isoformat(timespec='seconds')}")
    return record


def set_aside(ledger: Path, at: datetime) -> None:
    """Keep the ledger and its journals next to their place, under the time `at`."""
    if not ledger.exists():
        for journal in JOURNALS[:-1]:
            ledger.with_name(ledger.name + journal).unlink(missing_ok=True)
        return
    with suppress(LedgerUnusable, Locked):  # it may be damaged: that is why there is a restore
        Ledger(ledger, AccessMode.WRITE).close()  # a sound one takes its journal in
    for journal in JOURNALS:
        path = ledger.with_name(ledger.name + journal)
        if path.exists():
            path.rename(ledger.with_name(f"{ledger.name}.replaced-{at.strftime(STAMP)}{journal}"))
    sync_folder(ledger.parent)
