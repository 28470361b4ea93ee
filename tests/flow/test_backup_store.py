"""D13 at a real object store: put, read back, listed, let go, restored; and a store that is gone costs nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.backup.copies import fetch, listed, retire, take
from appliance.backup.vault import vault_at
from appliance.config import BackupConfig
from appliance.ledger import Ledger
from signals.errors import BadConfig, StoreUnreachable
from signals.storage.s3 import S3Config
from tests.fakes.seaweed import BUCKET, READER, WEED, WRITER, Server

pytestmark = pytest.mark.skipif(not WEED.exists(), reason="the SeaweedFS binary is absent")
AT = datetime(2026, 3, 4, 21, 50, tzinfo=UTC)


def place(server: Server, prefix: str) -> BackupConfig:
    s3 = S3Config(endpoint=server.endpoint, attempts=1, connect_seconds=1.0)
    return BackupConfig(to=f"s3://{BUCKET}/{prefix}", s3=s3, daily=1, monthly=0)


def keys(folder: Path, pair: tuple[str, str], name: str) -> Path:
    folder.mkdir(exist_ok=True)
    for part, content in zip(("key-id", "secret-key"), pair, strict=True):
        (folder / f"{name}-{part}").write_text(content + "\n")
    return folder


def test_a_ledger_goes_to_a_bucket_is_read_back_and_comes_home(server: Server, tmp_path: Path) -> None:
    config, found = place(server, "device"), keys(tmp_path / "keys", WRITER, "backup")
    keys(found, READER, "s3")  # the stores' own pair may only read, and is not asked
    vault = vault_at(config, tmp_path, found)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.write_meta("said", "first")
        one = take(ledger, vault, tmp_path / "copies", at=AT, code_version="test")
        ledger.write_meta("said", "second")
        two = take(ledger, vault, tmp_path / "copies", at=AT + timedelta(days=1), code_version="test")
    assert listed(vault) == (one, two)
    assert retire(vault, two, config) == (one.name,) and listed(vault) == (two,)
    assert len(vault.names("ledger")) == 2
    with fetch(vault, two, tmp_path / "copies") as plain, Ledger(plain) as copy:
        assert copy.read_meta("said") == "second"


def test_a_key_that_may_only_read_a_store_that_is_gone_and_no_key(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="key pair"):
        vault_at(place(server, "device"), tmp_path, tmp_path)
    reader = vault_at(place(server, "other"), tmp_path, keys(tmp_path / "keys", READER, "s3"))
    gone = place(Server("http://127.0.0.1:9"), "device")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for vault in (reader, vault_at(gone, tmp_path, tmp_path / "keys")):
            with pytest.raises(StoreUnreachable) as told:
                take(ledger, vault, tmp_path / "copies", at=AT, code_version="test")
            assert READER[1] not in str(told.value) + repr(told.value.args)
    assert not (tmp_path / "copies").exists() or not any((tmp_path / "copies").iterdir())
