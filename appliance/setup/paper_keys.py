"""The paper account's key pair: its form, the paper host's answer to one request, and where it is kept.

Invariants
----------
1. Keys go to Alpaca's paper host or to this machine and nowhere else: a live key is recognised by its form, before any request.
2. A key never stands in a message, an argument, a variable or a log; what is shown of the account is its last four digits.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_letters, digits

from appliance.runtime.venue import KEY_FILE, SECRET_FILE
from appliance.system.ports import Fs
from execution.brokers.base import Account, Broker
from signals.errors import FixInput, UnknownBrokerState
from signals.text.wording import reason_of

PAPER, LIVE, OF_A_BROKER = "PK", "AK", "CK"
GENERATE = "Open the paper account on Alpaca's page (its head says Paper), generate a key there, and give that pair: `appliance keys`"
SEALER = Path("/opt/appliance/bin/appliance-credential")
SEAL_SECONDS = 30
OF_A_SECRET = frozenset(f"{ascii_letters}{digits}+/=_-")
MOST_OF_A_FILE = 4_096
OTHER_KINDS = {
    LIVE: "this is the key of a live account: it moves real money, and this program trades paper accounts alone. It was sent nowhere",
    OF_A_BROKER: "this is the key of a broker's own programs, not of a paper account. It was sent nowhere",
}


@dataclass(frozen=True)
class KeyPair:
    """A key pair of a paper account; never shown."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)


def judged(key_id: str, secret: str) -> KeyPair:
    """Judge a pair by its form alone; raise `FixInput` for what is no paper key, before it is sent anywhere."""
    key_id, secret = key_id.strip(), secret.strip()
    for text, name in ((key_id, "key id"), (secret, "secret key")):
        if not text or not text.isascii() or (not text.isalnum() and not set(text) <= OF_A_SECRET):
            raise FixInput(f"the {name} is empty or has characters that no key has", fix="Copy it again, without spaces or quotes")
    if (reason := OTHER_KINDS.get(key_id[:2])) is not None:
        raise FixInput(reason, where=f"it begins with {key_id[:2]}; a paper key begins with {PAPER}", fix=GENERATE)
    if secret[:2] in (PAPER, LIVE) and len(secret) < len(key_id):
        raise FixInput("the two look exchanged: the secret key is the longer one", fix="Give the key id first, then the secret key")
    return KeyPair(key_id, secret)


def account_behind(broker: Broker) -> Account:
    """Ask for the account, once.

    Raises
    ------
    FixInput
        The host does not know these keys, or the account may not trade.
    BrokerUnreachable
        It does not answer.
    """
    try:
        account = broker.account()
    except UnknownBrokerState as error:
        raise FixInput(
            f"{error.what}: the paper host does not know this pair, or does not let it in",
            where="401 is also its answer to live keys, to a pair that was generated again, and to one of an account that was reset",
            fix=GENERATE,
        ) from None
    if account.status != "ACTIVE" or account.is_blocked:
        blocked = ", blocked" if account.is_blocked else ""
        raise FixInput(f"the account is {account.status}{blocked}", fix="Look at the account's page at the broker")
    return account


def described(account: Account) -> str:
    """Return the account for a person: PAPER, its last four digits, its equity."""
    return f"PAPER account ...{account.number[-4:]}, equity {account.equity:,.2f} USD"


def files_of(pair: KeyPair) -> tuple[tuple[str, str], ...]:
    """Return the names and contents of the files that hold the pair."""
    return (KEY_FILE, pair.key_id), (SECRET_FILE, pair.secret)


def pair_in(file: str) -> KeyPair:
    """Read a pair from the two lines of a file, key id first; `-` is standard input."""
    try:
        text = sys.stdin.read(MOST_OF_A_FILE) if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FixInput("the keys cannot be read", where=f"{file}: {reason_of(error)}", fix="Name a file with two lines") from None
    lines = text.split()
    if len(lines) != 2:
        raise FixInput(f"{len(lines)} words where a key id and a secret key are wanted, one a line", where=file)
    return judged(*lines)


def read_pair(folder: Path | None) -> KeyPair | None:
    """Return the pair in a credentials folder; None where one of the two files is missing or empty."""
    if folder is None:
        return None
    try:
        found = [(folder / name).read_text(encoding="utf-8").strip() for name in (KEY_FILE, SECRET_FILE)]
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise FixInput("the key files cannot be read", where=f"{folder}: {reason_of(error)}", fix="Give another --credentials") from None
    return KeyPair(*found) if all(found) else None


def keep(folder: Path, fs: Fs, contents: Sequence[tuple[str, str]]) -> None:
    """Write secrets as files that only this user may read, in a folder that only this user may enter."""
    try:
        for one in (folder.parent, folder):  # a state folder that is not there yet is this user's alone too
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name, text in contents:
            fs.write(folder / name, f"{text}\n".encode())
    except OSError as error:
        raise FixInput(
            "credentials cannot be written",
            where=f"{folder}: {reason_of(error)}",
            fix="Those of an installed service are sealed: `appliance keys` does it on the device, `rotate-keys.yml` from the inventory",
        ) from None


def seal(pair: KeyPair, sealer: Path = SEALER) -> None:
    """Give both to the service as systemd's encrypted credentials, through its standard input.

    Raises
    ------
    FixInput
        The service is not installed here, or refuses them.
    """
    if not sealer.is_file():
        raise FixInput(
            "no appliance service is installed on this machine, so nothing seals its credentials",
            where=str(sealer),
            fix="Leave --sealed out: the keys are kept in files that only you can read",
        )
    for name, text in files_of(pair):
        done = subprocess.run([str(sealer), name], input=text, capture_output=True, text=True, timeout=SEAL_SECONDS, check=False)
        if done.returncode:
            raise FixInput(f"{name} could not be sealed", where=str(sealer), fix="Run it as root; `systemd-creds setup` must have run once")
