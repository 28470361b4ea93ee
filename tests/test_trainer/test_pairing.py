"""Pairing a device by a fingerprint, and every private key in one locked file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
import typer
from click.testing import Result
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key
from typer.testing import CliRunner

from appliance.commands import setup
from appliance.runtime.commissioning import trusted_by
from appliance.storage.published_store import PublishedFolder
from signals.bundle import PublicKey, read_keyset
from signals.bundle.seal import MANIFEST_KIND, public_half, valid_signers
from signals.bundle.seal import sign as sealed
from signals.errors import FixInput
from tests.fakes.bundles import private_key
from trainer import __main__ as program
from trainer.__main__ import app
from trainer.publishing import key_files
from trainer.publishing import keys as sign

UNTIL, PHRASE = date(2030, 1, 2), b"correct horse battery"


@pytest.fixture
def phrase() -> Iterator[None]:
    before = key_files.PASSPHRASE.set(lambda folder: PHRASE)
    yield
    key_files.PASSPHRASE.reset(before)


def made(folder: Path, first: int = 10, **options: bool) -> Path:
    seeds = iter(range(first, first + 20))
    sign.create_keys(folder, UNTIL, generate=lambda: private_key(next(seeds)), **options)
    return folder


def test_keys_in_one_file_sign_as_separate_files_do(tmp_path: Path, phrase: None) -> None:
    locked, apart = made(tmp_path / "locked", one_file=True), made(tmp_path / "apart")
    assert not list(locked.glob("*.key")) and (locked / "keys.pem").stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" in (locked / "keys.pem").read_bytes() and b"BEGIN PRIVATE" not in (locked / "keys.pem").read_bytes()
    keyset = read_keyset((locked / "keyset.json").read_bytes(), [sign.root_public(locked)])
    [signing], [data] = sign.signing_keys(locked, keyset, UNTIL), sign.data_keys(locked, keyset, UNTIL)
    signatures = sealed(MANIFEST_KIND, b"body", [signing])
    assert valid_signers(MANIFEST_KIND, b"body", signatures, keyset.public_keys(), "here") == {keyset.keys[0].keyid}
    assert data.public_key() != signing.public_key()
    assert len(sign.load_keyset(apart).keys) == len(keyset.keys)
    assert len(sign.add_key(locked, UNTIL).keys) == 2 and not list(locked.glob("*.key"))


def test_a_wrong_or_absent_pass_phrase_opens_nothing(tmp_path: Path, phrase: None) -> None:
    locked = made(tmp_path / "locked", one_file=True)
    key_files.PASSPHRASE.set(lambda folder: b"another pass phrase")
    with pytest.raises(FixInput, match="does not open these keys"):
        sign.signing_keys(locked, sign.load_keyset(locked), UNTIL)
    before = (locked / "keys.pem").read_bytes()
    with pytest.raises(FixInput, match="does not open these keys"):
        sign.add_key(locked, UNTIL)
    assert (locked / "keys.pem").read_bytes() == before
    key_files.PASSPHRASE.set(key_files.nobody)
    with pytest.raises(FixInput, match="nobody is here to type"):
        sign.signing_keys(locked, sign.load_keyset(locked), UNTIL)


def test_the_file_of_a_pass_phrase_is_its_owner_s_alone_and_long_enough(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(PHRASE + b"\n")
    file.chmod(0o644)
    with pytest.raises(FixInput, match="others may read"):
        key_files.read_passphrase(file)
    file.chmod(0o600)
    assert key_files.read_passphrase(file) == PHRASE
    file.write_bytes(b"short\n")
    with pytest.raises(FixInput, match="less than 12 characters"):
        key_files.read_passphrase(file)


def trusted(fingerprint: str, store: Path, state: Path) -> Result:
    device = typer.Typer()
    device.command()(lambda: None)
    setup.register(device)
    return CliRunner().invoke(device, ["trust", fingerprint, "--store", str(store), "--state", str(state)])


def paired(keys: Path, store: Path) -> str:
    done = CliRunner().invoke(app, ["pair", "--keys", str(keys), "--to", str(store), "--json"])
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["fingerprint"])


def test_a_fingerprint_carried_by_a_person_is_all_that_a_device_needs(tmp_path: Path) -> None:
    keys, store = made(tmp_path / "keys"), tmp_path / "store"
    fingerprint = paired(keys, store)
    assert len(fingerprint.replace("-", "")) == 32 and (store / "keyset.json").exists()
    assert trusted_by(fingerprint.upper(), str(store), PublishedFolder(store)) == sign.root_public(keys)
    state = tmp_path / "device"
    done = trusted(fingerprint, store, state)
    assert done.exit_code == 0, done.output
    kept = json.loads((state / "setup.json").read_bytes())
    assert (kept["store"], kept["trust"]) == (str(store), fingerprint)


def test_a_store_whose_root_key_was_changed_is_found_out_on_the_device(tmp_path: Path) -> None:
    store = tmp_path / "store"
    fingerprint = paired(made(tmp_path / "keys"), store)
    other = made(tmp_path / "other", 40)
    (store / "root.pub").write_bytes((other / "root.pub").read_bytes())
    (store / "keyset.json").write_bytes((other / "keyset.json").read_bytes())
    done = trusted(fingerprint, store, tmp_path / "device")
    assert isinstance(done.exception, FixInput) and "not the one that was given" in done.exception.what
    assert not (tmp_path / "device").exists()


def test_a_store_of_other_keys_is_not_taken_over(tmp_path: Path) -> None:
    store = tmp_path / "store"
    paired(made(tmp_path / "keys"), store)
    before = (store / "root.pub").read_bytes()
    done = CliRunner().invoke(app, ["pair", "--keys", str(made(tmp_path / "other", 40)), "--to", str(store)])
    assert isinstance(done.exception, FixInput) and "other keys" in done.exception.what
    assert (store / "root.pub").read_bytes() == before
    assert PublicKey.from_text(before.decode()) == sign.root_public(tmp_path / "keys")


@pytest.mark.parametrize("spoil", [lambda b: b.replace(b"\n", b"\r\n"), lambda b: b + b"# mine\n", lambda b: b[b.index(b"\n") + 1 :]])
def test_a_locked_file_that_is_not_as_it_was_written_is_left_alone(tmp_path: Path, phrase: None, spoil: Callable[[bytes], bytes]) -> None:
    """Whatever was not understood would be lost where a key is added."""
    file = made(tmp_path / "locked", one_file=True) / "keys.pem"
    spoiled = spoil(file.read_bytes())
    file.write_bytes(spoiled)
    with pytest.raises(FixInput, match="not as it was written"):
        key_files.add(file.parent, "signing-new.key", private_key(30))
    assert file.read_bytes() == spoiled


def test_a_pass_phrase_is_stretched_and_a_block_of_an_earlier_version_is_read(tmp_path: Path, phrase: None) -> None:
    key = private_key(30)
    first = key_files.files(tmp_path, {"one.key": key}, locked=True)["keys.pem"]
    (tmp_path / "keys.pem").touch(0o600)
    (tmp_path / "keys.pem").write_bytes(first)
    pem = (tmp_path / "keys.pem").read_bytes().split(b"\n", 1)[1]
    with pytest.raises(ValueError, match="password"):
        load_pem_private_key(pem, PHRASE)
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PHRASE))
    (tmp_path / "keys.pem").write_bytes(b"# one.key\n" + plain)
    key_files.add(tmp_path, "two.key", private_key(31))
    for name, made_of in (("one.key", key), ("two.key", private_key(31))):
        public = public_half(made_of)
        assert public_half(key_files.read(tmp_path, name, public.keyid)) == public


def test_a_prefix_of_a_fingerprint_pairs_nothing(tmp_path: Path) -> None:
    store, state = tmp_path / "store", tmp_path / "device"
    fingerprint = paired(made(tmp_path / "keys"), store)
    for word in (fingerprint[:-5], fingerprint[:4], ""):
        found = trusted(word, store, state).exception
        assert isinstance(found, FixInput) and not state.exists()
        assert not word or found.what.startswith("a fingerprint has 32 digits")


def test_a_person_types_the_pass_phrase_once_a_command(tmp_path: Path, phrase: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for each key, a slip at the second would leave a folder with the root key alone."""
    typed = iter([PHRASE.decode(), "a slip of the hand"])
    monkeypatch.setattr(program, "is_a_person_there", lambda: True)
    monkeypatch.setattr(program.typer, "prompt", lambda *_, **__: next(typed))
    done = CliRunner().invoke(app, ["keys", "--one-file", "--to", str(tmp_path / "keys"), "--valid-until", str(UNTIL)])
    assert done.exit_code == 0, done.output
    assert next(typed) == "a slip of the hand" and (tmp_path / "keys" / "keyset.json").exists()
