"""A published dataset, from the store through a pull: forged, unsigned, poisoned, and the ways back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from appliance.system.state_folder import StateFolder, exclusive
from signals.bundle import DataGrant
from signals.bundle.keyset import seal_grant, signature_name
from signals.bundle.seal import DATA_GRANT_KIND, sign
from signals.files import sha256_of
from signals.market.dataset import read_manifest
from signals.market.manifest import FileRole, Manifest
from tests.fakes.bundles import DATA, FAR, FIRST, ROOT, STRANGER, keyset, keyset_file
from tests.fakes.device import Workbench
from tests.fakes.store import Published, sign_data
from trainer.__main__ import app
from trainer.publishing.keys import create_keys

Make = Callable[..., Workbench]


def put(store: Published, manifest: Manifest) -> None:
    for name in ("manifest.json", f"manifests/{manifest.version}.json"):
        (store.root / "data" / name).write_bytes(manifest.to_bytes())


def forged(store: Published) -> Manifest:
    """Every price at a tenth, every hash and the checksum made to fit: all that a writer to the store can do."""
    data, old = store.root / "data", read_manifest(store.root / "data")
    files = []
    for record in old.files:
        if record.role is FileRole.BARS:
            table = pq.read_table(data / record.path)
            for field in ("open", "high", "low", "close"):
                at = table.schema.get_field_index(field)
                table = table.set_column(at, field, pc.divide(table.column(field), 10.0))
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink)
            content = sink.getvalue().to_pybytes()
            (data / record.path).write_bytes(content)
            record = replace(record, sha256=sha256_of(content), size=len(content))
        files.append(record)
    manifest = replace(old, files=tuple(files), version=old.version + 1)
    put(store, manifest)
    return manifest


@pytest.mark.parametrize("signer", [None, STRANGER, FIRST])
def test_a_forged_evening_is_refused_and_the_bars_stay(make: Make, own_store: Published, signer: object) -> None:
    """Without a key, with a stranger's, with one that may sign bundles alone."""
    bench = make(own_store)
    first, second = own_store.sessions(2)
    assert bench("pull", "--session", str(first)).code == 0
    manifest = forged(own_store)
    if signer is not None:
        sign_data(own_store.root / "data", signer)  # type: ignore[arg-type]
    kept = (bench.state / "dataset.json").read_bytes()
    done = bench("pull", "--session", str(second))
    assert done.code == 2 and "published dataset" in done.err and len(done.err.splitlines()) == 1
    assert (bench.state / "dataset.json").read_bytes() == kept
    sign_data(own_store.root / "data")  # the forgery is what the refusal was about: by the right key it would pass
    assert bench("pull", "--session", str(second)).code == 0
    assert sha256_of((bench.state / "dataset.json").read_bytes()) == manifest.snapshot_id


def test_an_unsigned_store_is_refused_with_the_one_command_that_signs_it(make: Make, own_store: Published, tmp_path: Path) -> None:
    """The command is taken from the refusal, as it is told, but for the folder of keys."""
    bench, session = make(own_store), str(own_store.sessions(1)[0])
    data = own_store.root / "data"
    (data / signature_name((data / "manifest.json").read_bytes())).unlink()
    done = bench("pull", "--session", session)
    assert done.code == 2 and "the published dataset is unsigned" in done.err
    words = done.err.partition("Run `trainer ")[2].partition("`")[0].split()
    seeds = iter([ROOT, FIRST, DATA])
    create_keys(tmp_path / "keys", FAR, generate=lambda: next(seeds))
    told = [str(tmp_path / "keys") if word == "DIR" else word for word in words]
    assert CliRunner().invoke(app, told).exit_code == 0
    assert bench("pull", "--session", session).code == 0


def test_what_is_damaged_is_not_signed_in_place(own_store: Published, tmp_path: Path) -> None:
    data = own_store.root / "data"
    signature = data / signature_name((data / "manifest.json").read_bytes())
    signature.unlink()
    (data / read_manifest(data).of_role(FileRole.BARS)[0].path).write_bytes(b"other prices")
    create_keys(tmp_path / "keys", FAR)
    done = CliRunner().invoke(app, ["sign-data", "--at", str(data), "--keys", str(tmp_path / "keys")])
    assert done.exit_code != 0 and not signature.exists()


def test_a_poisoned_version_is_left_by_a_grant_of_the_root(
    make: Make, own_store: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stolen data key signs version 2,000,000,000; the honest store is version 2 and taken again after the grant."""
    bench = make(own_store)
    first, second, third = own_store.sessions(3)
    put(own_store, replace(own_store.manifest, version=2_000_000_000))
    sign_data(own_store.root / "data")
    assert bench("pull", "--session", str(first)).code == 0
    put(own_store, replace(own_store.manifest, version=2))
    sign_data(own_store.root / "data")
    locked = bench("pull", "--session", str(second))
    assert locked.code == 5 and "version 2 after it gave out version 2000000000" in locked.err
    named = DataGrant(name="tests", version=2, high_water=2_000_000_000, valid_until=FAR, reason="a stolen key")
    file = tmp_path / "grant.json"
    file.write_bytes(seal_grant(named, sign(DATA_GRANT_KIND, named.to_bytes(), [DATA])))
    assert bench("rollback-data", "--grant", str(file), "--yes").code == 6
    file.write_bytes(seal_grant(named, sign(DATA_GRANT_KIND, named.to_bytes(), [ROOT])))

    def typed(*_: object, **__: object) -> str:
        with exclusive(StateFolder(bench.state)):  # nobody holds it at the prompt
            return "ROLLBACK"

    monkeypatch.setattr("typer.prompt", typed)
    assert bench("rollback-data", "--grant", str(file)).code == 0
    assert bench("pull", "--session", str(second)).code == 0
    assert ("an older dataset is accepted",) in bench.rows("SELECT title FROM alerts")
    put(own_store, replace(own_store.manifest, version=2_000_000_000))
    sign_data(own_store.root / "data")
    again = bench("pull", "--session", str(third))
    assert again.code == 2 and "withdrawn" in again.err


def test_a_replayed_older_version_is_not_taken_even_when_the_market_store_is_lost(make: Make, own_store: Published) -> None:
    bench = make(own_store)
    first, second = own_store.sessions(2)
    put(own_store, replace(own_store.manifest, version=5))
    sign_data(own_store.root / "data")
    assert bench("pull", "--session", str(first)).code == 0
    put(own_store, own_store.manifest)
    (bench.state / "market.duckdb").unlink()
    done = bench("pull", "--session", str(second))
    assert done.code == 5 and "version 1 after it gave out version 5" in done.err


def test_the_keys_of_the_tests_are_those_of_the_commands(tmp_path: Path) -> None:
    seeds = iter([ROOT, FIRST, DATA])
    made = create_keys(tmp_path / "keys", FAR, generate=lambda: next(seeds))
    assert (made, (tmp_path / "keys" / "keyset.json").read_bytes()) == (keyset(), keyset_file(keyset()))
