"""A device that is replayed over a week says each session where the result came from."""

from __future__ import annotations

import json
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from appliance.views.attribution import PARTS
from signals.quality import SessionStatus
from tests.fakes.device import Workbench
from tests.fakes.store import Published, republish

SESSIONS = 6


@pytest.fixture(scope="module")
def replayed(published: Published, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workbench, list[date]]:
    """Six sessions of which the fourth is skipped: the data of the evening before it are RED."""
    root = tmp_path_factory.mktemp("watching")
    shutil.copytree(published.root, root / "store")
    store = Published(root / "store", root / "store" / "root.pub", published.manifest, published.last_training)
    days = store.sessions(SESSIONS)
    republish(store, days[2], SessionStatus.RED)
    like = Workbench(root / "like")
    done = like("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust),
                "--fixed-ic", "0.05")  # fmt: skip
    assert done.code == 0, done.err
    bench = Workbench(root / "replayed")
    done = bench("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    assert len(done.json["skipped"]) == 1
    return bench, days


def test_every_session_is_attributed_to_the_cent_of_its_change_in_real_value(
    replayed: tuple[Workbench, list[date]],
) -> None:
    """All but the last, whose bars come in its evening. The oracle is the column of values and nothing else."""
    bench, days = replayed
    shown = bench("attribution", "--json").json["rows"]
    assert [row["session"] for row in shown] == [str(day) for day in days[-2::-1]]
    values = {day: Decimal(usd) for day, usd in bench.rows("SELECT session, real_nav FROM nav ORDER BY session")}
    before = Decimal(1_000_000)
    for row in shown[::-1]:
        parts = [Decimal(row[part]) for part in PARTS]
        assert sum(parts) == Decimal(row["total"]) == values[row["session"]] - before
        assert sum(Decimal(usd) for usd in row["of costs"].values()) == Decimal(row["costs"])
        before = values[row["session"]]


def test_costs_are_those_of_the_real_value_and_only_the_skipped_session_has_a_skip(
    replayed: tuple[Workbench, list[date]],
) -> None:
    bench, days = replayed
    shown = {row["session"]: row for row in bench("attribution", "--json").json["rows"]}
    charged = bench.rows("SELECT session, borrow, fees, impact FROM nav")
    for session, borrow, fees, impact in charged:
        if session in shown:
            costs = shown[session]["of costs"]
            assert [costs["borrow"], costs["fees"], costs["spread and impact"]] == [
                str(Decimal(usd).quantize(Decimal("0.01"))) for usd in (borrow, fees, impact)
            ]
    skips = {session: Decimal(row["skips"]) for session, row in shown.items()}
    skipped, after = str(days[3]), str(days[4])
    assert skips.pop(skipped) != 0
    skips.pop(after)  # what the skip left undone was still missing over the night
    assert set(skips.values()) == {Decimal(0)}
    assert all(Decimal(row["refused orders"]) == 0 for row in shown.values())


def test_a_session_whose_bars_are_red_is_attributed_all_the_same(replayed: tuple[Workbench, list[date]]) -> None:
    bench, days = replayed
    row = next(row for row in bench("attribution", "--json").json["rows"] if row["session"] == str(days[2]))
    assert row["data"] == "RED"
    assert Decimal(row["market"]) == Decimal(row["sector"]) == 0


def test_the_report_of_a_session_tells_of_the_session_before_it(replayed: tuple[Workbench, list[date]]) -> None:
    bench, days = replayed
    folder = bench.state / "reports"
    told = json.loads((folder / f"report_{days[2]}.json").read_text())
    assert [row["session"] for row in told["attribution"]] == [str(days[1])]
    text = (folder / f"report_{days[2]}.md").read_text()
    assert f"## Where the result of {days[1]} came from" in text
    first = json.loads((folder / f"report_{days[0]}.json").read_text())
    assert first["attribution"] == []
    assert Path(folder / f"report_{days[-1]}.md").exists()
