"""After a reset of the paper account: the old ledger is set aside whole, a new one begins, and the device is halted.

Invariants
----------
1. Nothing of the old ledger is changed or lost; it is kept next to the new one under the time of the reset.
2. The latch is closed before anything else; a person opens it, with a reason.
3. Nothing is done while the broker answers with the account that the ledger knows.
"""

from pathlib import Path

from appliance.backup.restore import set_aside
from appliance.ledger import AccessMode, Ledger, snapshots
from appliance.runtime.device import opened
from appliance.safety.halt import carry_out
from appliance.system.operator import confirm_typed, who
from appliance.system.state_folder import DurableFs, StateFolder
from execution.brokers.base import Account
from signals.errors import FixInput

HALT_NAME = "ACCOUNT_RESET"
FORMER = "former_account"


def begin_again(folder: StateFolder, credentials: Path | None, *, yes: bool) -> str:
    """Set the ledger of the former account aside and begin an empty one; return the sentence of the halt.

    Raises
    ------
    FixInput
        The broker answers with the account of the ledger, nothing was ever agreed, or the word was not typed.
    BrokerUnreachable
        The broker does not answer; nothing was done.
    """
    with opened(folder.root, credentials=credentials) as device:
        with device.deps() as deps:
            account = deps.broker.account()
            before = _former(account, snapshots.latest(deps.ledger))
        confirm_typed("RESET", f"set the ledger of ...{before.account[-4:]} aside and begin one for ...{account.number[-4:]}", yes=yes)
        at = device.clock.now()
        words = f"the paper account was reset: ...{account.number[-4:]} takes the place of ...{before.account[-4:]}"
        record = device.latch.halt(HALT_NAME, words, at)
        set_aside(folder.ledger, at)
        with Ledger(folder.ledger, AccessMode.WRITE) as ledger:
            ledger.write_meta(FORMER, f"{before.account} until {at.isoformat(timespec='seconds')}, by {who()}")
        with device.deps() as deps:
            carry_out(deps, None, record, HALT_NAME, words)
        _forget(folder, device.fs)
    return record.sentence()


def _former(account: Account, before: snapshots.AccountSnapshot | None) -> snapshots.AccountSnapshot:
    """Return the ledger's last agreement, where it is one with another account than the broker answers with now."""
    if before is None:
        raise FixInput("this ledger never agreed with an account, so there is nothing to set aside", fix="Run `appliance setup`")
    if (account.id, account.number) == (before.account_id, before.account):
        raise FixInput(
            f"the broker answers with the account that this ledger knows, ...{account.number[-4:]}",
            where="nothing was changed",
            fix="Give the keys of the new account first: `appliance keys`",
        )
    return before


def _forget(folder: StateFolder, fs: DurableFs) -> None:
    """Drop the kept answers: they were about the former account."""
    fs.remove(folder.setup)
