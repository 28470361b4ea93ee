"""Private keys at rest: a file of its own for each (PKCS#8 PEM, mode 0600), or one file for all that a pass phrase locks.

`keys.pem` holds one encrypted PKCS#8 block for each key, its name and a salt in the line before it; the keys stay separate, and
what they sign is the same. A block's password is scrypt of the pass phrase: PKCS#8 as it is written here hashes it 2,048 times,
which is guessed too fast. A block without a salt, of an earlier version, is read with the pass phrase itself. The pass phrase
comes from where `PASSPHRASE` says, which a program sets once.

Invariants
----------
1. A private key is never written over, printed, or read from a file that others may read.
2. One that is locked is never written unlocked.
3. `keys.pem` is written only where every byte of it was understood.
"""

import hashlib
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from signals.bundle.seal import public_half
from signals.errors import FixInput
from signals.files import write_atomic
from signals.text.wording import reason_of

ONE_FILE = "keys.pem"
PRIVATE = 0o600
LEAST_PASSPHRASE = 12
BLOCK = re.compile(
    rb"# (\S+)(?: scrypt:([0-9a-f]{32}))?\n(-----BEGIN ENCRYPTED PRIVATE KEY-----\n.+?-----END ENCRYPTED PRIVATE KEY-----\n)", re.DOTALL
)


class LockedBlock(NamedTuple):
    """An encrypted key of the one file: the salt in hex digits, empty in an earlier version, and its PEM."""

    salt: bytes
    pem: bytes


def nobody(folder: Path) -> bytes:
    """Raise `FixInput`: where no pass phrase can come from."""
    raise FixInput(
        "these keys are locked, and nobody is here to type their pass phrase",
        where=str(folder / ONE_FILE),
        fix="Name the file that holds it, readable by you alone: `passphrase` in workspace.yml, or TRADEML_PASSPHRASE",
    )


PASSPHRASE: ContextVar[Callable[[Path], bytes]] = ContextVar("passphrase", default=nobody)


def read_passphrase(path: Path) -> bytes:
    """Read the first line of a file that holds a pass phrase; raise `FixInput` where others may read it or it is none."""
    content = read_private(path).split(b"\n", 1)[0].strip()
    if len(content) < LEAST_PASSPHRASE:
        raise FixInput(f"a pass phrase of less than {LEAST_PASSPHRASE} characters", where=str(path), fix="Write a longer one")
    return content


def is_locked(folder: Path) -> bool:
    """Whether the keys of this folder are in one file."""
    return (folder / ONE_FILE).exists()


def has(folder: Path, name: str) -> bool:
    """Whether the folder has the private key of this name."""
    return (folder / name).exists() or (is_locked(folder) and name in _blocks(folder))


def add(folder: Path, name: str, key: Ed25519PrivateKey) -> None:
    """Add a private key to the folder, as its other keys are kept."""
    for file, content in files(folder, {name: key}, locked=is_locked(folder)).items():
        write_atomic(folder / file, content, mode=PRIVATE)


def files(folder: Path, keys: Mapping[str, Ed25519PrivateKey], *, locked: bool) -> dict[str, bytes]:
    """Return the files, by name, that hold these private keys and, where they are locked, those that the folder has."""
    if not locked:
        return {name: key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for name, key in keys.items()}
    phrase = PASSPHRASE.get()(folder)
    if len(phrase) < LEAST_PASSPHRASE:
        raise FixInput(f"a pass phrase of less than {LEAST_PASSPHRASE} characters", where=str(folder), fix="Choose a longer one")
    held = _blocks(folder) if is_locked(folder) else {}
    if held:
        _unlocked(folder, next(iter(held)), phrase)  # every key under one phrase
    salt = next((block.salt for block in held.values() if block.salt), secrets.token_hex(16).encode())
    lock = BestAvailableEncryption(_password(phrase, salt))
    made = {name: LockedBlock(salt, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)) for name, key in keys.items()}
    return {ONE_FILE: _joined({**held, **made})}


def read(folder: Path, name: str, keyid: str) -> Ed25519PrivateKey:
    """Return the private key of this name, whose public half has this id.

    Raises
    ------
    FixInput
        It is not there, others may read it, it is another key, or the pass phrase does not open it.
    """
    path = folder / name
    if path.exists() or not has(folder, name):
        key = _loaded(read_private(path), None, path)
    else:
        path = folder / ONE_FILE
        key = _unlocked(folder, name, PASSPHRASE.get()(folder))
    if public_half(key).keyid != keyid:
        raise FixInput(f"not the private half of key {keyid}", where=str(path), fix="Restore it from its backup")
    return key


def read_private(path: Path) -> bytes:
    """Read a file that its owner alone may read."""
    try:
        content, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise FixInput(
            f"the file cannot be read: {reason_of(error)}", where=str(path), fix="Name a folder made by `trainer keys`"
        ) from None
    if mode & 0o077:
        raise FixInput("others may read this private key", where=str(path), fix=f"chmod 600 {path}, or replace it")
    return content


def _blocks(folder: Path) -> dict[str, LockedBlock]:
    content = read_private(folder / ONE_FILE)
    found = {name.decode(errors="replace"): LockedBlock(salt, pem) for name, salt, pem in BLOCK.findall(content)}
    if _joined(found) != content:
        raise FixInput(
            "the file of the keys is not as it was written", where=str(folder / ONE_FILE), fix="Restore it from its backup, byte for byte"
        )
    return found


def _joined(blocks: Mapping[str, LockedBlock]) -> bytes:
    lines = ((name.encode(), b" scrypt:" + block.salt if block.salt else b"", block.pem) for name, block in blocks.items())
    return b"".join(b"# %s%s\n%s" % line for line in lines)


@lru_cache(maxsize=2)
def _password(phrase: bytes, salt: bytes) -> bytes:
    if not salt:
        return phrase
    return hashlib.scrypt(phrase, salt=bytes.fromhex(salt.decode()), n=2**15, r=8, p=3, maxmem=2**26, dklen=32).hex().encode()


def _unlocked(folder: Path, name: str, phrase: bytes) -> Ed25519PrivateKey:
    block = _blocks(folder)[name]
    return _loaded(block.pem, _password(phrase, block.salt), folder / ONE_FILE)


def _loaded(content: bytes, phrase: bytes | None, path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(content, password=phrase)
    except (ValueError, TypeError):
        what = "the pass phrase does not open these keys" if phrase else "not a private key in PKCS#8 PEM"
        raise FixInput(what, where=str(path), fix="Type it again" if phrase else "Restore it from its backup") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise FixInput("not an Ed25519 key", where=str(path), fix="Restore it from its backup")
    return key
