"""Key management: the offline root key, online signing keys and the signed key set.

A key folder holds `root.key`, `signing-<keyid>.key` for bundles and scores and `data-<keyid>.key` for datasets
(PKCS#8 PEM, mode 0600; or `keys.pem` for all of them: `trainer/publishing/key_files.py`), `root.pub` for devices, and
the root-signed `keyset.json`. In production `root.key` is moved to offline storage and brought back only to change the
key set or to sign a rollback grant; publishing needs the signing keys only, and publishing data the data keys only.

Invariants
----------
1. A private key is never written over.
2. A new folder has all of its keys and its key set, or is not there: a crash leaves no part of one.
3. Every change of the key set raises its version and is signed by the root.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from signals.bundle import DataGrant, DataKeys, Keyset, PublicKey, RollbackGrant, SigningKey, read_keyset
from signals.bundle.keyset import seal_grant, seal_keyset
from signals.bundle.seal import DATA_GRANT_KIND, GRANT_KIND, KEYSET_KIND, parse_json, public_half, sign
from signals.errors import FixInput
from signals.files import write_atomic
from signals.text.wording import reason_of
from trainer.publishing import key_files
from trainer.runs.run_folder import write_run

ROOT_KEY, ROOT_PUBLIC, KEYSET_NAME = "root.key", "root.pub", "keyset.json"
SIGNING, DATA = "signing", "data"  # the roles, as the files of their keys are named

Generate = Callable[[], Ed25519PrivateKey]


@dataclass(frozen=True)
class KeyCounts:
    """How many keys to make, and how many of them must sign: bundles and scores, and published datasets.

    Attributes
    ----------
    signers, threshold : int
        Signing keys to make, and how many of them must sign a bundle.
    data_signers, data_threshold : int
        Data keys to make, and how many of them must sign a published dataset.
    """

    signers: int = 1
    threshold: int = 1
    data_signers: int = 1
    data_threshold: int = 1


ONE_EACH = KeyCounts()


def create_keys(
    folder: Path,
    valid_until: date,
    counts: KeyCounts = ONE_EACH,
    *,
    one_file: bool = False,
    generate: Generate = Ed25519PrivateKey.generate,
) -> Keyset:
    """Write a new root, signing keys, data keys and the first key set.

    Parameters
    ----------
    folder : Path
        A new one.
    valid_until : date
        Last session on which the keys and the key set are accepted.
    counts : KeyCounts
        How many keys to make, and how many of them must sign.
    one_file : bool
        Every private key in one file that a pass phrase locks.
    generate : callable, optional
        Source of private keys; the operating system's randomness by default.

    Raises
    ------
    FixInput
        The folder exists, or the threshold cannot be met.
    """
    if _holds_keys(folder) and not (folder / KEYSET_NAME).exists():
        raise FixInput(
            "no key set names the keys of this folder: it was lost",
            where=str(folder / KEYSET_NAME),
            fix="Restore it from its backup or from the store; remove the folder only if nothing was published with it",
        )
    if _holds_keys(folder):
        raise FixInput(
            "this folder holds keys; they are never written over", where=str(folder), fix="Name a new folder, or use `trainer rotate-keys`"
        )
    for least, many, option in (
        (counts.threshold, counts.signers, "--threshold"),
        (counts.data_threshold, counts.data_signers, "--data-threshold"),
    ):
        if not 1 <= least <= many:
            raise FixInput(f"a threshold of {least} cannot be met by {many} keys", where=option)
    root = generate()
    signing, data = ([generate() for _ in range(many)] for many in (counts.signers, counts.data_signers))
    private = {ROOT_KEY: root, **{_name(role, key): key for role, keys in ((SIGNING, signing), (DATA, data)) for key in keys}}
    files = key_files.files(folder, private, locked=one_file)
    of_data = DataKeys(threshold=counts.data_threshold, keys=tuple(_named(key, valid_until) for key in data))
    named = tuple(_named(key, valid_until) for key in signing)
    keyset = Keyset(version=1, threshold=counts.threshold, valid_until=valid_until, keys=named, data=of_data)
    public = {ROOT_PUBLIC: public_half(root).text.encode() + b"\n", KEYSET_NAME: _sealed(keyset, root)}
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()  # somebody made it ready: the whole folder takes its place
    write_run(folder, {**files, **public}, private=frozenset(files))
    return keyset


def _holds_keys(folder: Path) -> bool:
    return folder.exists() and (any(folder.glob("*.key")) or key_files.is_locked(folder))


def load_keyset(folder: Path) -> Keyset:
    """Read the folder's key set, checked against its own root."""
    return read_keyset(_read(folder / KEYSET_NAME), [root_public(folder)])


def root_public(folder: Path) -> PublicKey:
    """Read the public half of the root key."""
    return PublicKey.from_text(_read(folder / ROOT_PUBLIC).decode(errors="replace"))


def keyset_bytes(folder: Path) -> bytes:
    """Return the stored bytes of the folder's key set."""
    return _read(folder / KEYSET_NAME)


def signing_keys(folder: Path, keyset: Keyset, today: date) -> tuple[Ed25519PrivateKey, ...]:
    """Private signing keys of the folder that the key set accepts on `today`, ordered by key id.

    Raises
    ------
    FixInput
        Fewer than the threshold.
    """
    return _usable_keys(folder, SIGNING, keyset, today)


def data_keys(folder: Path, keyset: Keyset, today: date) -> tuple[Ed25519PrivateKey, ...]:
    """Private data keys of the folder that the key set accepts on `today`; raise `FixInput` as `signing_keys`."""
    if keyset.data is None:
        raise FixInput(
            "this key set names no data keys", where=str(folder / KEYSET_NAME), fix="Run `trainer rotate-keys --add-data` with the root key"
        )
    return _usable_keys(folder, DATA, keyset.data, today)


def _usable_keys(folder: Path, role: str, of: DataKeys, today: date) -> tuple[Ed25519PrivateKey, ...]:
    keys = [(keyid, f"{role}-{keyid}.key") for keyid in sorted(of.usable(today))]
    found = tuple(key_files.read(folder, name, keyid) for keyid, name in keys if key_files.has(folder, name))
    if len(found) < of.threshold:
        raise FixInput(
            f"{len(found)} usable {role} keys here, {of.threshold} are needed",
            where=str(folder),
            fix="Bring the other keys, or run `trainer rotate-keys`",
        )
    return found


def add_key(folder: Path, valid_until: date, *, generate: Generate = Ed25519PrivateKey.generate) -> Keyset:
    """Add a signing key; manifests are signed with all usable keys from now on. Needs the root."""
    keyset, root = load_keyset(folder), _root(folder)
    key = _new_key(folder, SIGNING, valid_until, generate)
    later = max(keyset.valid_until, valid_until)
    return _change(folder, keyset, root, valid_until=later, keys=(*keyset.keys, key))


def add_data_key(folder: Path, valid_until: date, *, generate: Generate = Ed25519PrivateKey.generate) -> Keyset:
    """Add a data key; a key set of format 1 becomes one of format 2 with it. Needs the root."""
    keyset, root = load_keyset(folder), _root(folder)
    key = _new_key(folder, DATA, valid_until, generate)
    held = keyset.data or DataKeys.model_construct(threshold=1, keys=())
    data = DataKeys(threshold=held.threshold, keys=(*held.keys, key))
    later = max(keyset.valid_until, valid_until)
    return _change(folder, keyset, root, format="trademl-keyset/2", valid_until=later, data=data)


def retire_key(folder: Path, keyid: str, valid_until: date) -> Keyset:
    """Let a signing key end on `valid_until`: what only it signed is refused after that session. Needs the root."""
    return _replace_key(folder, keyid, valid_until=valid_until)


def revoke_key(folder: Path, keyid: str) -> Keyset:
    """Refuse a signing key at once, whatever it signed and whenever. Needs the root."""
    return _replace_key(folder, keyid, revoked=True)


def grant_rollback(folder: Path, grant: RollbackGrant) -> bytes:
    """Sign permission to return to an older bundle. Needs the root."""
    return seal_grant(grant, sign(GRANT_KIND, grant.to_bytes(), [_root(folder)]))


def grant_data(folder: Path, grant: DataGrant) -> bytes:
    """Sign permission to go on from an older version of a dataset. Needs the root."""
    return seal_grant(grant, sign(DATA_GRANT_KIND, grant.to_bytes(), [_root(folder)]))


def _replace_key(folder: Path, keyid: str, **changes: object) -> Keyset:
    keyset, root = load_keyset(folder), _root(folder)
    if keyid not in {key.keyid for key in keyset.all_keys}:
        known = ", ".join(key.keyid for key in keyset.all_keys)
        raise FixInput(f"no key {keyid}", where=str(folder), fix=f"Known keys: {known}")

    def changed(keys: tuple[SigningKey, ...]) -> tuple[SigningKey, ...]:
        return tuple(key.model_copy(update=changes) if key.keyid == keyid else key for key in keys)

    data = keyset.data and keyset.data.model_copy(update={"keys": changed(keyset.data.keys)})
    return _change(folder, keyset, root, keys=changed(keyset.keys), data=data)


def _change(folder: Path, keyset: Keyset, root: Ed25519PrivateKey, **changes: object) -> Keyset:
    changed = keyset.model_copy(update={"version": keyset.version + 1, **changes})
    write_atomic(folder / KEYSET_NAME, _sealed(changed, root))
    return changed


def _sealed(keyset: Keyset, root: Ed25519PrivateKey) -> bytes:
    return seal_keyset(keyset, sign(KEYSET_KIND, keyset.to_bytes(), [root]))


def _new_key(folder: Path, role: str, valid_until: date, generate: Generate) -> SigningKey:
    key = generate()
    key_files.add(folder, _name(role, key), key)
    return _named(key, valid_until)


def _name(role: str, key: Ed25519PrivateKey) -> str:
    return f"{role}-{public_half(key).keyid}.key"


def _named(key: Ed25519PrivateKey, valid_until: date) -> SigningKey:
    public = public_half(key)
    return SigningKey(keyid=public.keyid, public=public.text, valid_until=valid_until)


def _root(folder: Path) -> Ed25519PrivateKey:
    return key_files.read(folder, ROOT_KEY, root_public(folder).keyid)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FixInput(
            f"the key file cannot be read: {reason_of(error)}", where=str(path), fix="Name a folder made by `trainer keys`"
        ) from None


def check_store_keys(content: bytes, where: str, keyset: Keyset) -> None:
    """Raise `FixInput` where the store's key set, `content`, is newer than `keyset`, or is none."""
    document = parse_json(content, where)
    try:
        published = Keyset.model_validate_json(document["payload"])
    except (ValidationError, KeyError, TypeError):
        raise FixInput("the store's key set cannot be read", where=where, fix="Restore it from a backup") from None
    if published.version > keyset.version:
        raise FixInput(
            f"the store has key set version {published.version}, this folder {keyset.version}", where=where, fix="Use the newest key folder"
        )
