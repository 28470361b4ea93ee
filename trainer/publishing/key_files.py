"""Private keys at rest: a file of its own for each (PKCS#8 PEM, mode 0600), or one file for all that a pass phrase locks.

`keys.pem` holds one encrypted PKCS#8 block for each key, its name in the line before it; the keys stay separate, and what they
sign is the same. Its pass phrase comes from where `PASSPHRASE` says, which a program sets once.

Invariants
----------
1. A private key is never written over, printed, or read from a file that others may read.
2. One that is locked is never written unlocked.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

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
BLOCK = re.compile(rb"# (\S+)\n(-----BEGIN ENCRYPTED PRIVATE KEY-----\n.+?-----END ENCRYPTED PRIVATE KEY-----\n)", re.DOTALL)


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


def write(folder: Path, name: str, key: Ed25519PrivateKey, *, locked: bool) -> None:
    """Add a private key to the folder."""
    if not locked:
        write_atomic(folder / name, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=PRIVATE)
        return
    phrase = PASSPHRASE.get()(folder)
    if len(phrase) < LEAST_PASSPHRASE:
        raise FixInput(f"a pass phrase of less than {LEAST_PASSPHRASE} characters", where=str(folder), fix="Choose a longer one")
    held = _blocks(folder) if is_locked(folder) else {}
    if held:
        _unlocked(folder, next(iter(held)), phrase)  # every key under one phrase
    block = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(phrase))
    content = b"".join(b"# %s\n%s" % (one.encode(), held[one]) for one in held) + b"# %s\n%s" % (name.encode(), block)
    write_atomic(folder / ONE_FILE, content, mode=PRIVATE)


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


def _blocks(folder: Path) -> dict[str, bytes]:
    return {name.decode(errors="replace"): block for name, block in BLOCK.findall(read_private(folder / ONE_FILE))}


def _unlocked(folder: Path, name: str, phrase: bytes) -> Ed25519PrivateKey:
    return _loaded(_blocks(folder)[name], phrase, folder / ONE_FILE)


def _loaded(content: bytes, phrase: bytes | None, path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(content, password=phrase)
    except (ValueError, TypeError):
        what = "the pass phrase does not open these keys" if phrase else "not a private key in PKCS#8 PEM"
        raise FixInput(what, where=str(path), fix="Type it again" if phrase else "Restore it from its backup") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise FixInput("not an Ed25519 key", where=str(path), fix="Restore it from its backup")
    return key
