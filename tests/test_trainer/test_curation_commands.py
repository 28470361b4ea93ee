"""`trainer ingest | audit | publish-data | generate`: exit codes, one clear error each, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from signals.bundle.keyset import signature_name
from signals.errors import BadDataset, StoreUnreachable, TrademlError
from signals.market.dataset import FileRole, load_actions, load_bars, read_manifest
from tests.fakes.store import SIGNER
from trainer.commands import data as data_commands
from trainer.curation.config import CurationConfig, read_config
from trainer.curation.store import FolderObjectStore
from trainer.publishing.dataset import publish_data
from trainer.publishing.keys import create_keys

RUNNER = CliRunner()


def application() -> typer.Typer:
    app = typer.Typer()
    data_commands.register(app)
    return app


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and standard output; a known error gives its own exit code and its text."""
    result = RUNNER.invoke(application(), [str(a) for a in arguments])
    if isinstance(result.exception, TrademlError):
        return result.exception.exit_code, f"{type(result.exception).__name__}: {result.exception}"
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("delivery")
    code, out = run("generate", "--seed", 9, "--symbols", 60, "--sessions", 320, "--end", "2024-06-28", "--to", folder)
    assert code == 0
    assert "GENERATED" in out
    return folder


def ingested(delivery: Path, to: Path) -> Path:
    code, out = run("ingest", "--bars", delivery / "bars.parquet", "--actions", delivery / "actions.parquet", "--basis", "raw", "--to", to)
    assert (code, "version 1" in out) == (0, True)
    return to


@pytest.fixture(scope="module")
def dataset(delivery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ingested(delivery, tmp_path_factory.mktemp("dataset") / "us")


def test_the_shipped_configuration_is_the_defaults() -> None:
    shipped = Path(__file__).resolve().parents[2] / "configs" / "trainer.yml"
    assert read_config(shipped) == CurationConfig()
    assert read_config(None) == CurationConfig()


def test_ingest_keeps_the_deliveries_and_a_second_time_changes_nothing(dataset: Path, delivery: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*") if path.is_file()}
    code, out = run(
        "ingest",
        "--bars",
        delivery / "bars.parquet",
        "--actions",
        delivery / "actions.parquet",
        "--basis",
        "raw",
        "--to",
        dataset,
        "--json",
    )
    assert (code, json.loads(out)["version"]) == (0, 1)
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*") if path.is_file()} == before
    kept = read_manifest(dataset).of_role(FileRole.RAW)
    assert sorted(r.path.split("-", 1)[1] for r in kept) == ["actions.parquet", "bars.parquet"]
    bars = next(r for r in kept if r.path.endswith("bars.parquet"))
    assert (dataset / bars.path).read_bytes() == (delivery / "bars.parquet").read_bytes()


def test_the_order_of_the_delivered_rows_changes_no_curated_file(dataset: Path, delivery: Path, tmp_path: Path) -> None:
    table = pq.read_table(delivery / "bars.parquet")
    pq.write_table(table.take(pa.array(range(table.num_rows - 1, -1, -1))), tmp_path / "bars.parquet")
    run(
        "ingest",
        "--bars",
        tmp_path / "bars.parquet",
        "--actions",
        delivery / "actions.parquet",
        "--basis",
        "raw",
        "--name",
        "us",
        "--to",
        tmp_path / "other",
    )
    curated = [
        sorted((r.path, r.sha256) for r in read_manifest(folder).files if r.role is not FileRole.RAW)
        for folder in (dataset, tmp_path / "other")
    ]
    assert curated[0] == curated[1]


def test_a_revision_makes_the_next_version_and_the_old_one_stays_readable(delivery: Path, tmp_path: Path) -> None:
    folder = ingested(delivery, tmp_path / "us")
    first = read_manifest(folder)
    old = load_bars(folder, first, first.first, first.last)
    table = pq.read_table(delivery / "bars.parquet").to_pandas()
    table.loc[0, "volume"] += 100
    table.to_parquet(tmp_path / "revised.parquet")
    run("ingest", "--bars", tmp_path / "revised.parquet", "--actions", delivery / "actions.parquet", "--basis", "raw", "--to", folder)
    second = read_manifest(folder)
    assert second.version == 2
    new = load_bars(folder, second, second.first, second.last)
    assert (new.volume != old.volume)[~np.isnan(old.volume)].sum() == 1
    again = load_bars(folder, read_manifest(folder, 1), first.first, first.last)
    assert np.array_equal(again.volume, old.volume, equal_nan=True)


def test_audit_shows_the_defects_and_exits_0_without_red(dataset: Path) -> None:
    code, text = run("audit", "--data", dataset)
    assert "Eligible names have at least 5 USD as traded (3 to stay) and 1,000,000 USD a session" in text
    assert code == 0
    assert "GREEN" in text
    assert "zero_volume" in text
    code, out = run("audit", "--data", dataset, "--json")
    document = json.loads(out)
    assert (code, document["statuses"]["RED"]) == (0, 0)
    assert document["statuses"]["AMBER"] == len(document["sessions"]) > 0
    assert all(session["reasons"] for session in document["sessions"])


def test_audit_exits_1_on_red_in_the_asked_range_only(delivery: Path, tmp_path: Path) -> None:
    table = pq.read_table(delivery / "bars.parquet").to_pandas()
    day = sorted(set(table["date"]))[-10]
    table[~((table["date"] == day) & (table.index % 2 == 0))].to_parquet(tmp_path / "bars.parquet")
    run("ingest", "--bars", tmp_path / "bars.parquet", "--actions", delivery / "actions.parquet", "--basis", "raw", "--to", tmp_path / "us")
    code, out = run("audit", "--data", tmp_path / "us", "--json")
    red = [session["session"] for session in json.loads(out)["sessions"] if session["status"] == "RED"]
    assert (code, red) == (1, [str(day)])
    code, text = run("audit", "--data", tmp_path / "us")
    assert (code, f"{day}  RED" in text) == (1, True)
    assert run("audit", "--data", tmp_path / "us", "--end", sorted(set(table["date"]))[-11])[0] == 0


def test_a_damaged_file_turns_its_sessions_red(delivery: Path, tmp_path: Path) -> None:
    folder = ingested(delivery, tmp_path / "us")
    manifest = read_manifest(folder)
    record = manifest.of_role(FileRole.BARS)[0]
    (folder / record.path).write_bytes(b"broken")
    code, out = run("audit", "--data", folder, "--json")
    document = json.loads(out)
    assert (code, document["damaged"]) == (1, [record.path])
    red = [s for s in document["sessions"] if s["status"] == "RED"]
    assert len(red) == len([a for a in manifest.audits if record.first <= a.session <= record.last])
    assert red[0]["reasons"][0] == f"manifest mismatch: {record.path}"
    assert "DAMAGED" in run("audit", "--data", folder)[1]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--start", "2024-06-22", "2024-06-22 is not a session"),
        ("--end", "2030-01-02", "no bars of 2030-01-02"),
        ("--start", "2001-01-02", "no bars of 2001-01-02"),
        ("--start", "yesterday", "'yesterday' is not a date"),
    ],
)
def test_a_date_that_is_no_session_of_the_data_is_one_clear_error(dataset: Path, option: str, value: str, said: str) -> None:
    code, text = run("audit", "--data", dataset, option, value)
    assert code == 2
    assert text.startswith("NotASession")
    assert said in text


def bad_missing_column(folder: Path) -> tuple[object, ...]:
    (folder / "b.csv").write_text("date,symbol,open,high,low,close\n2024-01-02,A,1,1,1,1\n")
    return ("--bars", folder / "b.csv")


def bad_absent(folder: Path) -> tuple[object, ...]:
    return ("--bars", folder / "none.parquet")


def bad_config(folder: Path) -> tuple[object, ...]:
    (folder / "c.yml").write_text("curation: {min_histroy: 3}\n")
    (folder / "b.csv").write_text("date,symbol,open,high,low,close,volume\n2024-01-02,A,1,1,1,1,1\n")
    return ("--bars", folder / "b.csv", "--config", folder / "c.yml")


def bad_breadth(folder: Path) -> tuple[object, ...]:
    (folder / "b.csv").write_text("date,symbol,open,high,low,close,volume\n2024-01-02,A,1,1,1,1,1\n")
    return ("--bars", folder / "b.csv", "--min-symbols", 30)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (bad_missing_column, "missing column: volume"),
        (bad_absent, "no such file"),
        (bad_config, "min_histroy"),
        (bad_breadth, "1 symbols are too few"),
    ],
)
def test_bad_input_is_one_clear_error_and_writes_nothing(make: Callable[[Path], tuple[object, ...]], said: str, tmp_path: Path) -> None:
    code, text = run("ingest", *make(tmp_path), "--to", tmp_path / "data")
    assert code == 2
    assert said in text
    assert not (tmp_path / "data").exists()


def test_the_real_command_tells_an_error_in_one_line_and_as_json(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainer", "audit", "--data", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"] == "BadDataset"
    assert done.stderr.count("\n") == 1


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    create_keys(tmp_path / "keys", date(2099, 1, 2))
    return tmp_path / "keys"


def test_publishing_copies_what_readers_need_and_the_copy_reads_the_same(dataset: Path, keys: Path, tmp_path: Path) -> None:
    code, out = run("publish-data", "--data", dataset, "--keys", keys, "--to", tmp_path / "store", "--json")
    ours, theirs = read_manifest(dataset), read_manifest(tmp_path / "store")
    assert (code, theirs.snapshot_id) == (0, ours.snapshot_id)
    assert json.loads(out)["copied"] == len(ours.files) - len(ours.of_role(FileRole.RAW))
    one, other = (load_bars(folder, ours, ours.first, ours.last) for folder in (dataset, tmp_path / "store"))
    assert one.close.tobytes() == other.close.tobytes()
    assert load_actions(tmp_path / "store", theirs) == load_actions(dataset, ours)
    assert not (tmp_path / "store" / "raw").exists()
    assert run("audit", "--data", tmp_path / "store")[0] == 0
    assert json.loads(run("publish-data", "--data", dataset, "--keys", keys, "--to", tmp_path / "store", "--json")[1])["copied"] == 0


def test_a_damaged_dataset_is_not_published(delivery: Path, keys: Path, tmp_path: Path) -> None:
    folder = ingested(delivery, tmp_path / "us")
    (folder / read_manifest(folder).of_role(FileRole.BARS)[-1].path).write_bytes(b"broken")
    code, text = run("publish-data", "--data", folder, "--keys", keys, "--to", tmp_path / "store")
    assert (code, text.split(":")[0]) == (2, "BadDataset")
    assert not (tmp_path / "store" / "manifest.json").exists()


class Forgetful(FolderObjectStore):
    """A store that loses bytes of one kind of object."""

    def put(self, name: str, content: bytes) -> None:
        super().put(name, content[:-1] if name.startswith("bars/") else content)


def test_a_store_that_loses_bytes_is_noticed_before_the_manifest_is_there(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match="gave back something else"):
        publish_data(dataset, Forgetful(tmp_path), SIGNER)
    assert FolderObjectStore(tmp_path).get("manifest.json") is None


class Recorder(FolderObjectStore):
    """A store that remembers the order of writes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.written: list[str] = []

    def put(self, name: str, content: bytes) -> None:
        self.written.append(name)
        super().put(name, content)


def test_the_manifest_is_the_last_write(dataset: Path, tmp_path: Path) -> None:
    store = Recorder(tmp_path)
    publish_data(dataset, store, SIGNER)
    content = (dataset / "manifest.json").read_bytes()
    assert store.written[-3:] == ["manifests/1.json", signature_name(content), "manifest.json"]
    assert set(store.written) == set(store.names(""))


def test_a_store_never_goes_back_and_never_changes_hands(delivery: Path, tmp_path: Path) -> None:
    folder, store = ingested(delivery, tmp_path / "us"), FolderObjectStore(tmp_path / "store")
    (tmp_path / "old").mkdir()
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        target = tmp_path / "old" / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    table = pq.read_table(delivery / "bars.parquet").slice(5)
    pq.write_table(table, tmp_path / "bars.parquet")
    run("ingest", "--bars", tmp_path / "bars.parquet", "--basis", "raw", "--to", folder)
    publish_data(folder, store, SIGNER)
    with pytest.raises(BadDataset, match="holds version 2"):
        publish_data(tmp_path / "old", store, SIGNER)
    run("ingest", "--bars", tmp_path / "bars.parquet", "--basis", "raw", "--to", tmp_path / "another")
    with pytest.raises(BadDataset, match="holds the dataset 'us'"):
        publish_data(tmp_path / "another", store, SIGNER)


def test_a_store_that_cannot_be_written_is_unreachable(dataset: Path, keys: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    code, text = run("publish-data", "--data", dataset, "--keys", keys, "--to", tmp_path / "file")
    assert (code, text.split(":")[0]) == (5, "StoreUnreachable")


def test_generate_tells_what_it_made(tmp_path: Path) -> None:
    arguments: list[Any] = ["generate", "--seed", 1, "--symbols", 20, "--sessions", 60, "--end", "2024-06-28"]
    code, out = run(*arguments, "--no-signal", "--to", tmp_path, "--json")
    document = json.loads(out)
    assert (code, document["generated"], document["signal"]) == (0, True, False)
    assert document["last"] == "2024-06-28"
    assert run(*arguments[:-1], "2024-06-29", "--to", tmp_path)[0] == 2


def test_what_a_file_says_can_neither_end_a_line_of_the_notes_nor_steer_a_terminal(tmp_path: Path) -> None:
    """Column names and symbols are of whoever wrote the file: a note stays one line, and shows what cannot be seen."""
    nasty = "=1+1\x1b[2J\u202e[/x]<script>`x`|y\nNOTE: nothing is wrong"
    days = pd.bdate_range("2024-01-02", periods=80)
    rows = [
        (day.date(), symbol, 10.0, 11.0, 9.0, 10.0 + place % 3, 1000, "x")
        for symbol in ("AAA", "BBB", "\x1b[31mCCC\u202e")
        for place, day in enumerate(days)
    ]
    names = ["date", "symbol", "open", "high", "low", "close", "volume", nasty]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "bars.csv", index=False)
    asked = ("ingest", "--bars", tmp_path / "bars.csv", "--basis", "raw", "--min-symbols", 1, "--to", tmp_path / "us")
    code, out = run(*asked)
    assert code == 0, out
    notes = [line for line in out.splitlines() if line.startswith("NOTE: ")]
    assert "NOTE: nothing is wrong" not in notes and "\x1b" not in out and "\u202e" not in out
    shown = r"=1+1\x1b[2J\u202e[/x]<script>`x`|y NOTE: nothing is wrong"
    assert any(shown in note for note in notes) and any(r"\x1b[31mCCC\u202e" in note for note in notes)
