"""Reading curated datasets: what was written comes back; nothing is believed that the manifest does not vouch for."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from signals.errors import BadDataset, InvariantBroken, NotASession
from signals.files import sha256_of
from signals.market.actions import Action, ActionKind
from signals.market.dataset import (
    FileRole,
    Manifest,
    PriceBasis,
    SessionAudit,
    SessionStatus,
    load_actions,
    load_bars,
    read_manifest,
    session_range,
)
from signals.market.eligibility_rule import EligibilityConfig
from signals.market.manifest import FileRecord
from signals.market.sessions import xnys
from trainer.curation.writer import BARS_SCHEMA, FINDINGS_SCHEMA, QUARANTINE_SCHEMA, DatasetContent, KeptDelivery, write_dataset

CALENDAR = xnys(date(2023, 12, 27), date(2027, 1, 31))
DAYS = CALENDAR.days[:8]  # three sessions of 2023, five of 2024
SPLIT = Action(ActionKind.SPLIT, "B", DAYS[4], DAYS[2], ratio=Decimal("1.5"))
DIVIDEND = Action(ActionKind.DIVIDEND, "A", DAYS[4], DAYS[4], cash=Decimal("0.1234"), inferred=True)


def bar(day: date, symbol: str, close: float, security: str = "", *, eligible: bool = True) -> dict[str, object]:
    return {
        "session": day,
        "symbol": symbol,
        "security": security or symbol,
        "open": close - 1,
        "high": close + 2,
        "low": close - 2,
        "close": close,
        "volume": 100.0,
        "total_return": None if day == DAYS[0] else close / 1000,
        "overnight_return": None if day == DAYS[0] else close / 2000,
        "eligible": eligible,
        "kind": "stock",
        "sector": "Energy" if symbol == "A" else "",
    }


ROWS = [bar(day, "A", 10.0 + i) for i, day in enumerate(DAYS)] + [bar(day, "B", 50.0 + i) for i, day in enumerate(DAYS) if i != 3]


def content(rows=ROWS, red: tuple[date, ...] = (), actions: tuple[Action, ...] = (SPLIT, DIVIDEND)) -> DatasetContent:
    table = pa.Table.from_pylist(sorted(rows, key=lambda r: (r["session"], r["symbol"])), schema=BARS_SCHEMA)
    audits = tuple(SessionAudit(day, SessionStatus.RED if day in red else SessionStatus.GREEN, (), 2, 2, 2, 0) for day in DAYS)
    return DatasetContent(
        name="t",
        vendor="v",
        basis=PriceBasis.RAW,
        calendar=CALENDAR,
        bars=table,
        actions=actions,
        quarantine=QUARANTINE_SCHEMA.empty_table(),
        findings=FINDINGS_SCHEMA.empty_table(),
        universe=None,
        audits=audits,
        non_sessions=(),
        survivorship="unknown",
        min_history=253,
    )


def test_a_manifest_says_what_an_eligible_name_must_have_and_an_older_one_asked_for_nothing(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, content())
    assert manifest.eligibility_rule == "no minimum price or dollar volume"
    assert b"eligibility" not in manifest.to_bytes()  # as it was written before there was a rule
    rule = EligibilityConfig(min_price=2, exit_price=1, min_dollar_volume=9, exit_dollar_volume=8)
    asking = replace(manifest, eligibility=rule, is_price_known=True)
    back = Manifest.from_bytes(asking.to_bytes(), where="m")
    assert (back.eligibility, back.is_price_known, back.to_bytes()) == (rule, True, asking.to_bytes())
    assert "at least 2 USD as traded (1 to stay)" in back.eligibility_rule


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    written = write_dataset(tmp_path, content())
    manifest = read_manifest(tmp_path)
    assert manifest == written
    assert (manifest.version, manifest.first, manifest.last) == (1, DAYS[0], DAYS[-1])
    assert manifest.calendar == CALENDAR
    bars = load_bars(tmp_path, manifest, DAYS[0], DAYS[-1])
    assert bars.symbols == ("A", "B")
    assert bars.sectors == ("Energy", "")
    assert bars.sessions.astype(object).tolist() == list(DAYS)
    assert bars.close[:, 0].tolist() == [10.0 + i for i in range(8)]
    assert np.isnan(bars.close[3, 1])
    assert not bars.eligible[3, 1]
    assert bars.total_return[5, 1] == 0.055
    assert np.isnan(bars.overnight_return[0, 0])
    assert load_actions(tmp_path, manifest) == (DIVIDEND, SPLIT)


def test_a_universe_that_is_claimed_without_saying_what_it_rests_on_is_unknown(tmp_path: Path) -> None:
    """Manifests of earlier versions called a table of intervals point-in-time; their bytes and identity stay."""
    old = write_dataset(tmp_path, replace(content(), survivorship="point-in-time"))
    assert b"universe_why" not in old.to_bytes() and old.universe_state == "unknown"
    read = Manifest.from_bytes(old.to_bytes(), where="m")
    assert (read.snapshot_id, read.universe_state) == (old.snapshot_id, "unknown")
    new = replace(old, universe_why="a membership table that says when each row became known")
    read = Manifest.from_bytes(new.to_bytes(), where="m")
    assert read == new and read.universe_state == "point-in-time"
    assert replace(old, survivorship="survivors only").universe_state == "survivors only"


def test_a_manifest_that_says_nothing_of_its_universe_is_unknown(tmp_path: Path) -> None:
    document = json.loads(write_dataset(tmp_path, content()).to_bytes())
    del document["survivorship"], document["checksum"]
    body = json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    document["checksum"] = sha256_of(body)
    read = Manifest.from_bytes(json.dumps(document).encode(), where="m")
    assert read.universe_state == "unknown"


def test_a_part_of_the_range_is_the_same_rows(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, content())
    whole, part = (load_bars(tmp_path, manifest, first, DAYS[5]) for first in (DAYS[0], DAYS[2]))
    for name in ("open", "close", "volume", "total_return", "eligible"):
        assert np.array_equal(getattr(whole, name)[2:], getattr(part, name), equal_nan=True)


def test_one_file_a_calendar_year_named_by_its_sessions_and_content(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, content())
    records = manifest.of_role(FileRole.BARS)
    assert [(record.first, record.last, record.rows) for record in records] == [(DAYS[0], DAYS[2], 6), (DAYS[3], DAYS[7], 9)]
    for record in records:
        assert record.path == f"bars/{record.first}_{record.last}_{record.sha256[:12]}.parquet"
        assert sha256_of((tmp_path / record.path).read_bytes()) == record.sha256


def test_red_sessions_stay_as_rows_without_bars(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, content(red=(DAYS[5],)))
    bars = load_bars(tmp_path, manifest, DAYS[0], DAYS[-1])
    assert len(bars.sessions) == 8
    assert np.isnan(bars.close[5]).all()
    assert not bars.eligible[5].any()
    assert not np.isnan(bars.close[6]).any()


def test_columns_bear_the_name_of_the_newest_row_in_the_range(tmp_path: Path) -> None:
    rows = [bar(day, "OLD" if i < 4 else "NEW", 10.0, "OLD") for i, day in enumerate(DAYS)]
    manifest = write_dataset(tmp_path, content(rows))
    assert load_bars(tmp_path, manifest, DAYS[0], DAYS[7]).symbols == ("NEW",)
    assert load_bars(tmp_path, manifest, DAYS[0], DAYS[3]).symbols == ("OLD",)


def test_a_symbol_used_again_belongs_to_its_newest_owner(tmp_path: Path) -> None:
    rows = [bar(day, "X", 10.0, "X") for day in DAYS[:2]] + [bar(day, "X", 90.0, "X@later") for day in DAYS[5:]]
    manifest = write_dataset(tmp_path, content(rows))
    bars = load_bars(tmp_path, manifest, DAYS[0], DAYS[7])
    assert bars.symbols == ("X", f"X@{DAYS[1]}")
    assert bars.close[7].tolist()[0] == 90.0
    assert bars.close[0].tolist()[1] == 10.0


def test_the_same_content_changes_nothing_and_other_content_makes_the_next_version(tmp_path: Path) -> None:
    first = write_dataset(tmp_path, content())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert write_dataset(tmp_path, content()) == first
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    revised = [bar(day, "A", 99.0) for day in DAYS]
    second = write_dataset(tmp_path, content(revised))
    assert (first.version, second.version) == (1, 2)
    assert all(path.read_bytes() == was for path, was in before.items() if path.name != "manifest.json")
    old = read_manifest(tmp_path, 1)
    assert old == first
    assert load_bars(tmp_path, old, DAYS[0], DAYS[0]).close[0, 0] == 10.0
    assert load_bars(tmp_path, read_manifest(tmp_path), DAYS[0], DAYS[0]).close[0, 0] == 99.0


def test_an_interrupted_ingest_leaves_the_version_before_in_force(tmp_path: Path, monkeypatch) -> None:
    first = write_dataset(tmp_path, content())
    writes = []

    def fail_on_the_second(path: Path, payload: bytes, **_: object) -> None:
        writes.append(path)
        if len(writes) == 2:
            raise OSError(28, "No space left on device")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)

    monkeypatch.setattr("trainer.curation.writer.write_atomic", fail_on_the_second)
    with pytest.raises(OSError, match="No space"):
        write_dataset(tmp_path, content([bar(day, "A", 99.0) for day in DAYS]))
    assert read_manifest(tmp_path) == first
    assert load_bars(tmp_path, first, DAYS[0], DAYS[-1]).symbols == ("A", "B")


@pytest.mark.parametrize("role", [FileRole.BARS, FileRole.ACTIONS])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_a_file_that_is_not_what_the_manifest_vouches_for_is_refused(tmp_path: Path, role: FileRole, harm: str) -> None:
    manifest = write_dataset(tmp_path, content())
    path = tmp_path / manifest.of_role(role)[0].path
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    {"flip": lambda: path.write_bytes(payload), "truncate": lambda: path.write_bytes(payload[:-9]), "remove": path.unlink}[harm]()
    with pytest.raises(BadDataset, match=path.name):
        load_bars(tmp_path, manifest, DAYS[0], DAYS[-1])
        load_actions(tmp_path, manifest)


def test_a_file_hidden_in_the_folder_is_not_read(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, content())
    (tmp_path / "bars" / "2024-01-02_2024-01-08_000000000000.parquet").write_bytes(b"not listed")
    assert load_bars(tmp_path, manifest, DAYS[0], DAYS[-1]).symbols == ("A", "B")


def edited(path: Path, old: bytes, new: bytes) -> None:
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new, 1))


def test_an_edited_manifest_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, content(red=(DAYS[5],)))
    edited(tmp_path / "manifest.json", b'"RED"', b'"GREEN"')
    with pytest.raises(BadDataset, match="checksum"):
        read_manifest(tmp_path)


def test_a_manifest_that_differs_from_its_kept_copy_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, content())
    second = write_dataset(tmp_path, content([bar(day, "A", 99.0) for day in DAYS]))
    other = Manifest.from_bytes((tmp_path / "manifests" / "1.json").read_bytes(), where="")
    forged = json.loads(other.to_bytes())
    assert forged["version"] == 1
    (tmp_path / "manifests" / f"{second.version}.json").write_bytes(other.to_bytes())
    with pytest.raises(BadDataset, match="differ"):
        read_manifest(tmp_path)
    with pytest.raises(BadDataset, match="version 1"):
        read_manifest(tmp_path, 2)


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b"nonsense", b'{"checksum": "x", "format": "other"}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: bytes) -> None:
    write_dataset(tmp_path, content())
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(BadDataset):
        read_manifest(tmp_path)


def test_a_folder_without_a_manifest_and_an_unknown_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="no manifest here"):
        read_manifest(tmp_path)
    write_dataset(tmp_path, content())
    with pytest.raises(BadDataset, match="no manifest here"):
        read_manifest(tmp_path, 7)


def test_a_manifest_cannot_name_a_file_outside_the_dataset() -> None:
    with pytest.raises(InvariantBroken, match="inside"):
        FileRecord("../secret", "0", 0, 0, None, None, FileRole.BARS)


def test_the_snapshot_id_is_the_hash_of_the_manifest_on_disk(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, content())
    assert manifest.snapshot_id == sha256_of((tmp_path / "manifest.json").read_bytes())


@pytest.mark.parametrize(
    ("start", "end"),
    [(date(2024, 1, 6), None), (None, date(2024, 1, 7)), (date(2022, 1, 3), None), (None, date(2026, 1, 5)), (DAYS[4], DAYS[2])],
)
def test_a_range_outside_the_data_or_off_the_calendar_is_one_clear_error(tmp_path: Path, start, end) -> None:
    manifest = write_dataset(tmp_path, content())
    with pytest.raises(NotASession):
        session_range(manifest, start, end)


def test_a_dataset_without_daily_bars_is_said_to_be_one(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, content())
    others = tuple(record for record in manifest.files if record.role is not FileRole.BARS)
    with pytest.raises(BadDataset, match="has no daily bars"):
        load_bars(tmp_path, replace(manifest, files=others), DAYS[0], DAYS[-1])


def test_an_open_range_is_the_whole_dataset(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, content())
    assert session_range(manifest, None, None) == (DAYS[0], DAYS[-1])


def test_the_status_of_a_session_without_data_is_an_error(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, content(red=(DAYS[1],)))
    assert manifest.status(DAYS[1]).status is SessionStatus.RED
    with pytest.raises(NotASession, match="no bars"):
        manifest.status(CALENDAR.days[8])
    with pytest.raises(NotASession):
        manifest.status(date(2024, 1, 6))


def test_deliveries_are_kept_untouched(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, content(), (KeptDelivery("a b.csv", b"raw bytes", 1),))
    record = manifest.of_role(FileRole.RAW)[0]
    assert record.path == f"raw/{sha256_of(b'raw bytes')[:12]}-a b.csv"
    assert (tmp_path / record.path).read_bytes() == b"raw bytes"


def test_reading_bars_imports_no_pandas(tmp_path: Path) -> None:
    write_dataset(tmp_path, content())
    program = (
        "import sys; from pathlib import Path; from signals.market.dataset import *; f = Path(sys.argv[1]);"
        "m = read_manifest(f); load_bars(f, m, m.first, m.last); load_actions(f, m);"
        "sys.exit(any(name.split('.')[0] in ('pandas', 'exchange_calendars') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == 0
