"""The record of a completed session: every row counts in the snapshot's id, and it is read back to the bit or refused."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from appliance.market.snapshot import CompletedSession, DataSnapshot
from appliance.market.vendor_record import VendorRecord, read_record, store_record
from appliance.system.state_folder import DurableFs
from execution.brokers.reported import ReportedBar
from signals.errors import FixInput
from signals.market.actions import Action, ActionKind
from signals.market.manifest import PriceBasis

BAR = ReportedBar(date(2025, 6, 2), "AAA", 10.0, 11.0, 9.0, 10.5, 1e6)
DIVIDEND = Action(ActionKind.DIVIDEND, "AAA", date(2025, 6, 3), date(2025, 6, 2), cash=Decimal("0.25"))
TOLD = VendorRecord(BAR.day, (BAR, BAR._replace(symbol="BBB")), (DIVIDEND,))
BASE = DataSnapshot("a" * 64, "market", 1, PriceBasis.RAW, "unknown", date(2025, 5, 30))


@pytest.mark.parametrize(
    "other",
    [
        replace(TOLD, bars=(BAR._replace(volume=1e6 + 1), TOLD.bars[1])),
        replace(TOLD, bars=(BAR._replace(close=math.nextafter(10.5, 11)), TOLD.bars[1])),
        replace(TOLD, bars=(BAR._replace(open=math.nan), TOLD.bars[1])),
        replace(TOLD, bars=TOLD.bars[1:]),
        replace(TOLD, bars=(*TOLD.bars, BAR)),
        replace(TOLD, actions=()),
        replace(TOLD, actions=(replace(DIVIDEND, effective=date(2025, 6, 2)),)),
    ],
)
def test_one_changed_row_is_another_snapshot(other: VendorRecord, tmp_path: Path) -> None:
    one, two = (replace(BASE, completed=(store_record(DurableFs(), tmp_path, told),)) for told in (TOLD, other))
    assert one.id != two.id
    assert one.id != replace(one, manifest_id="b" * 64).id != BASE.id


def test_the_order_in_which_rows_came_is_no_part_of_the_id() -> None:
    assert replace(TOLD, bars=TOLD.bars[::-1]).to_bytes() == TOLD.to_bytes()


def test_what_was_told_is_read_back_to_the_bit_and_nothing_else_is_believed(tmp_path: Path) -> None:
    odd = replace(TOLD, bars=(BAR._replace(open=math.nan, close=0.1 + 0.2), TOLD.bars[1]))
    part = store_record(DurableFs(), tmp_path, odd)
    found = read_record(tmp_path, part)
    assert math.isnan(found.bars[0].open) and found.bars[0][3:] == odd.bars[0][3:] and found.actions == odd.actions
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b"AAA", b"AAB"))
    with pytest.raises(FixInput, match="not what was written"):
        read_record(tmp_path, part)
    path.unlink()
    with pytest.raises(FixInput, match="no longer kept"):
        read_record(tmp_path, part)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 2}', b'{"format": 1, "session": "2025-06-02"}'])
def test_a_file_of_another_shape_is_refused_in_words(content: bytes, tmp_path: Path) -> None:
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / f"2025-06-02_told_{digest[:12]}.json").write_bytes(content)
    with pytest.raises(FixInput, match="record of a session"):
        read_record(tmp_path, CompletedSession(BAR.day, digest))
