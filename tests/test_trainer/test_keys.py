"""Keys are made once, read only when private, and changed only by the root."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from contextvars import ContextVar
from datetime import date
from itertools import count
from pathlib import Path

import pytest
from typer.testing import CliRunner

from signals.bundle import PublicKey, RollbackGrant, read_grant, read_keyset
from signals.bundle.seal import KEYSET_KIND
from signals.bundle.seal import sign as bundle_sign
from signals.errors import BundleRefused, FixInput
from signals.files import write_atomic
from tests.fakes.bundles import private_key
from trainer.__main__ import app
from trainer.publishing import key_files
from trainer.publishing import keys as sign
from trainer.runs import run_folder

UNTIL = date(2030, 1, 2)


def made(folder: Path, **counts: int) -> Path:
    seeds = iter(range(10, 30))
    sign.create_keys(folder, UNTIL, sign.KeyCounts(**counts), generate=lambda: private_key(next(seeds)))
    return folder


def test_private_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    keys = made(tmp_path / "keys", signers=2)
    modes = {path.name: path.stat().st_mode & 0o777 for path in keys.glob("*.key")}
    assert len(modes) == 4 and set(modes.values()) == {0o600}


def test_keys_are_never_written_over(tmp_path: Path) -> None:
    keys = made(tmp_path / "keys")
    before = {path: path.read_bytes() for path in keys.iterdir()}
    with pytest.raises(FixInput, match="never written over"):
        made(keys)
    assert {path: path.read_bytes() for path in keys.iterdir()} == before


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("one_file", [False, True])
def test_keys_are_made_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, at: int, one_file: bool
) -> None:
    """The write numbered `at` of the files fails, or a person leaves there: no folder, nothing next to it, and the next try is whole."""
    writes = count(0)

    def write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
        if next(writes) == at:
            raise fault
        write_atomic(path, content, mode=mode)

    monkeypatch.setattr(run_folder, "write_atomic", write)
    monkeypatch.setattr(key_files, "PASSPHRASE", ContextVar("passphrase", default=lambda _: b"a pass phrase that is long"))
    keys, seeds = tmp_path / "keys", iter(range(1, 10))
    if at >= (3 if one_file else 5):
        sign.create_keys(keys, UNTIL, one_file=one_file, generate=lambda: private_key(next(seeds)))
    else:
        with pytest.raises(type(fault)):
            sign.create_keys(keys, UNTIL, one_file=one_file, generate=lambda: private_key(next(seeds)))
        assert list(tmp_path.iterdir()) == []
        sign.create_keys(keys, UNTIL, one_file=one_file, generate=lambda: private_key(next(seeds)))
    keyset = sign.load_keyset(keys)
    assert len(sign.signing_keys(keys, keyset, date(2024, 1, 2))) == len(sign.data_keys(keys, keyset, date(2024, 1, 2))) == 1


def test_an_empty_folder_that_somebody_made_ready_takes_keys(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    sign.create_keys(keys, UNTIL)
    assert (keys / "root.key").is_file()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "note").write_text("mine")
    with pytest.raises(FixInput, match="the folder exists"):
        sign.create_keys(tmp_path / "used", UNTIL)
    assert [one.name for one in (tmp_path / "used").iterdir()] == ["note"]


def test_a_power_cut_while_keys_are_made_leaves_nothing_that_counts(tmp_path: Path) -> None:
    """A process that is killed at each file in turn; what it leaves is no key folder, and is gone with the next try."""
    script = """if True:
        import os, sys
        from datetime import date
        from pathlib import Path
        from trainer.publishing import keys
        from trainer.runs import run_folder

        real, left = run_folder.write_atomic, [int(sys.argv[2])]

        def write(path, content, *, mode=0o644):
            if not left[0]:
                os.kill(os.getpid(), 9)
            left[0] -= 1
            real(path, content, mode=mode)

        run_folder.write_atomic = write
        keys.create_keys(Path(sys.argv[1]), date(2030, 1, 2))
    """
    folder = tmp_path / "keys"
    for at in range(5):
        done = subprocess.run([sys.executable, "-c", script, str(folder), str(at)], check=False)
        assert done.returncode == -signal.SIGKILL and not folder.exists()
    made(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["keys"] and sign.load_keyset(folder).version == 1


def test_a_folder_whose_key_set_was_lost_says_where_it_may_be_had(tmp_path: Path) -> None:
    keys = made(tmp_path / "keys")
    (keys / "keyset.json").unlink()
    before = {path: path.read_bytes() for path in keys.iterdir()}
    with pytest.raises(FixInput, match=r"it was lost.*only if nothing was published"):
        made(keys)
    assert {path: path.read_bytes() for path in keys.iterdir()} == before


def test_a_key_set_that_could_never_sign_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FixInput, match="threshold of 2 cannot be met by 1 keys"):
        made(tmp_path / "keys", threshold=2)
    assert not (tmp_path / "keys").exists()


def test_a_device_with_the_root_key_can_read_the_key_set(tmp_path: Path) -> None:
    keys = made(tmp_path / "keys", signers=2, threshold=2)
    root = PublicKey.from_text((keys / "root.pub").read_text())
    keyset = read_keyset((keys / "keyset.json").read_bytes(), [root])
    assert (keyset.version, keyset.threshold, len(keyset.keys), keyset.valid_until) == (1, 2, 2, UNTIL)
    with pytest.raises(BundleRefused, match="not signed by a root"):
        read_keyset((keys / "keyset.json").read_bytes(), [keyset.public_keys()[0]])


def test_a_private_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    keys = made(tmp_path / "keys")
    next(keys.glob("signing-*.key")).chmod(0o640)
    with pytest.raises(FixInput, match="others may read"):
        sign.signing_keys(keys, sign.load_keyset(keys), date(2024, 1, 2))


def test_a_key_file_with_another_key_in_it_is_not_used(tmp_path: Path) -> None:
    keys = made(tmp_path / "keys")
    path = next(keys.glob("signing-*.key"))
    path.write_bytes((keys / "root.key").read_bytes())
    with pytest.raises(FixInput, match="not the private half"):
        sign.signing_keys(keys, sign.load_keyset(keys), date(2024, 1, 2))
    path.write_bytes(b"nonsense")
    with pytest.raises(FixInput, match=r"PKCS#8 PEM"):
        sign.signing_keys(keys, sign.load_keyset(keys), date(2024, 1, 2))


def test_adding_retiring_and_revoking_each_raise_the_version_and_decide_who_signs(tmp_path: Path) -> None:
    keys = made(tmp_path / "keys")
    (first,) = sign.load_keyset(keys).keys
    added = sign.add_key(keys, date(2031, 1, 2), generate=lambda: private_key(40))
    second = next(key for key in added.keys if key.keyid != first.keyid)
    assert (added.version, added.valid_until) == (2, date(2031, 1, 2))
    assert len(sign.signing_keys(keys, added, date(2024, 1, 2))) == 2
    retired = sign.retire_key(keys, first.keyid, date(2024, 6, 28))
    assert (retired.version, retired.usable(date(2024, 6, 28))) == (3, frozenset({first.keyid, second.keyid}))
    assert retired.usable(date(2024, 6, 29)) == {second.keyid}
    revoked = sign.revoke_key(keys, second.keyid)
    assert (revoked.version, revoked.usable(date(2024, 6, 29))) == (4, frozenset())
    assert sign.load_keyset(keys) == revoked
    with pytest.raises(FixInput, match="0 usable signing keys here"):
        sign.signing_keys(keys, revoked, date(2024, 6, 29))
    with pytest.raises(FixInput, match="no key nobody"):
        sign.revoke_key(keys, "nobody")


def test_an_older_key_set_is_read_and_gets_its_data_key_from_the_root(tmp_path: Path) -> None:
    """What format 1 looked like, to the byte; nothing of it is written again but by a change."""
    keys = made(tmp_path / "keys")
    next(keys.glob("data-*.key")).unlink()
    now = sign.load_keyset(keys)
    old = {
        "format": "trademl-keyset/1",
        "version": 1,
        "threshold": 1,
        "valid_until": "2030-01-02",
        "keys": [key.model_dump(mode="json") for key in now.keys],
    }
    payload = json.dumps(old, sort_keys=True, separators=(",", ":")).encode()
    (keys / "keyset.json").write_bytes(
        json.dumps({"payload": payload.decode(), **json.loads(bundle_sign(KEYSET_KIND, payload, [private_key(10)]))}).encode()
    )
    held = sign.load_keyset(keys)
    assert (held.data, held.to_bytes()) == (None, payload)
    with pytest.raises(FixInput, match=r"names no data keys.*rotate-keys --add-data"):
        sign.data_keys(keys, held, date(2024, 1, 2))
    made_now = sign.add_data_key(keys, UNTIL, generate=lambda: private_key(41))
    assert sign.load_keyset(keys) == made_now and (made_now.format, made_now.version) == ("trademl-keyset/2", 2)
    assert len(sign.data_keys(keys, made_now, date(2024, 1, 2))) == 1
    assert made_now.keys == held.keys and sign.signing_keys(keys, made_now, date(2024, 1, 2))
    second = sign.add_data_key(keys, UNTIL, generate=lambda: private_key(42))
    assert second.data is not None and len(second.data.keys) == 2
    revoked = sign.revoke_key(keys, second.data.keys[0].keyid)
    assert revoked.data is not None and revoked.data.usable(date(2024, 1, 2)) == {second.data.keys[1].keyid}


def test_without_the_offline_root_the_key_set_cannot_change(tmp_path: Path) -> None:
    keys = made(tmp_path / "keys")
    (keys / "root.key").unlink()
    before = (keys / "keyset.json").read_bytes()
    with pytest.raises(FixInput, match="cannot be read"):
        sign.add_key(keys, UNTIL)
    assert (keys / "keyset.json").read_bytes() == before
    assert len(list(keys.glob("signing-*.key"))) == 1
    assert len(sign.signing_keys(keys, sign.load_keyset(keys), date(2024, 1, 2))) == 1


def test_the_root_signs_a_rollback_grant_that_devices_read(tmp_path: Path) -> None:
    keys = made(tmp_path / "keys")
    grant = RollbackGrant(bundle_id="0" * 16, seq=2, high_water_seq=3, valid_until=UNTIL, reason="drift")
    root = PublicKey.from_text((keys / "root.pub").read_text())
    assert read_grant(sign.grant_rollback(keys, grant), [root]) == grant


def test_no_command_prints_a_private_key(tmp_path: Path) -> None:
    run = CliRunner().invoke
    keys = tmp_path / "keys"
    shown = run(app, ["keys", "--to", str(keys), "--json"]).output
    shown += run(app, ["rotate-keys", "--keys", str(keys), "--add", "--to", str(tmp_path / "store")]).output
    assert (tmp_path / "store" / "keyset.json").read_bytes() == (keys / "keyset.json").read_bytes()
    secrets = [line for path in keys.glob("*.key") for line in path.read_text().splitlines() if "-" not in line]
    assert len(secrets) == 4 and not any(secret in shown for secret in secrets)
