"""Dates as strangers write them: labels, instants, other calendars, shifts, and nothing from the future."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from signals.errors import BadBars, TrademlError
from signals.market.dataset import load_actions, load_bars, read_manifest
from signals.market.manifest import PriceBasis
from signals.market.sessions import xnys
from tests.test_trainer.test_strangers_files import HEADER, bars_of, frame, of_rows, run, text, written
from trainer.curation.config import CurationConfig
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.bars import read_bars
from trainer.curation.vendors.mapping import BarColumns, DateShift, Mapping


def test_a_date_label_of_tomorrow_in_utc_is_tomorrow_and_revises_nothing(tmp_path: Path) -> None:
    base = written(tmp_path, "base.csv", HEADER + frame().head(6).to_csv(index=False, header=False))
    thursday = written(
        tmp_path,
        "thursday.csv",
        of_rows(
            "2021-06-10T00:00:00.000Z,AAA,102.80,103.50,102.50,103.00,1030", "2021-06-10T00:00:00.000Z,BBB,50.80,51.50,50.50,51.00,1030"
        ),
    )
    data = tmp_path / "data"
    assert run("ingest", "--bars", base, "--to", data, "--known-at", "2021-06-09")[0] == 0
    assert run("ingest", "--add", "--bars", thursday, "--to", data, "--known-at", "2021-06-10")[0] == 0
    found = bars_of(data)
    assert {key: close for key, close in found.items() if key[0] >= "2021-06-09"} == {
        ("2021-06-09", "AAA"): 102.0,
        ("2021-06-09", "BBB"): 49.5,
        ("2021-06-10", "AAA"): 103.0,
        ("2021-06-10", "BBB"): 51.0,
    }
    assert "REVISED" not in run("audit", "--data", data)[1]


def test_actions_and_members_have_date_labels_too(tmp_path: Path) -> None:
    bars = written(
        tmp_path, "bars.csv", of_rows("2021-06-08,AAA,403.8,404.5,403.5,404,50000", "2021-06-09,AAA,101.8,102.5,101.5,102,50000")
    )
    actions = written(tmp_path, "a.csv", "kind,symbol,effective,ratio\nsplit,AAA,2021-06-09T00:00:00Z,4\n")
    universe = written(tmp_path, "u.csv", "symbol,start,end\nAAA,2021-06-09T00:00:00Z,9999-12-31\n")
    data = tmp_path / "data"
    assert run("ingest", "--bars", bars, "--actions", actions, "--universe", universe, "--basis", "raw", "--to", data)[0] == 0
    manifest = read_manifest(data)
    assert [a.effective for a in load_actions(data, manifest)] == [date(2021, 6, 9)]
    panel = load_bars(data, manifest, manifest.first, manifest.last)
    assert panel.eligible[:, 0].tolist() == [False, True]
    assert panel.total_return[1, 0] == pytest.approx(4 * 102 / 404 - 1)


def test_dates_over_the_change_of_the_clocks_are_one_file(tmp_path: Path) -> None:
    content = of_rows("2021-03-12 00:00:00-05:00,AAA,99.8,100.5,99.5,100,1000", "2021-03-15 00:00:00-04:00,AAA,100.8,101.5,100.5,101,1000")
    found = read_bars(content.encode(), BarColumns(), where="h.csv")
    assert [str(day.date()) for day in found["date"]] == ["2021-03-12", "2021-03-15"]


def test_labels_and_instants_in_one_column_are_refused() -> None:
    content = of_rows("2021-06-08T00:00:00Z,AAA,1,1,1,1,1", "2021-06-08T20:00:00Z,BBB,1,1,1,1,1")
    with pytest.raises(BadBars, match=r"dates and instants in one column.*b\.csv, row 1"):
        read_bars(content.encode(), BarColumns(), where="b.csv")


@pytest.mark.parametrize("cell", ["2021-06", "44354", "1.6230384E+18", "07.06.2021", "1623038400", "0"])
def test_a_cell_that_may_be_another_date_is_refused(cell: str) -> None:
    content = of_rows("20210607,AAA,1,1,1,1,1", f"{cell},AAA,1,1,1,1,1")
    with pytest.raises(BadBars, match=r"unreadable date.*row 2"):
        read_bars(content.encode(), BarColumns(), where="b.csv")


@pytest.mark.parametrize("day", ["2026-11-30", "2099-12-31", "2300-01-03", "9999-12-31"])
def test_a_bar_of_the_future_is_refused_by_its_row(day: str, tmp_path: Path) -> None:
    path = written(tmp_path, "tomorrow.csv", text() + f"{day},AAA,103.80,104.50,103.50,104.00,1000\n")
    with pytest.raises(BadBars, match=rf"a bar of the future: {day} \(tomorrow\.csv, row 11\)\. Today is 2026-11-29"):
        ingest(
            DeliveryFiles(path),
            tmp_path / "data",
            DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=CurationConfig(), today=date(2026, 11, 29)),
        )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("day", "said"), [("1970-01-01", "row 11"), ("0001-01-01", "row 11"), ("2300-01-03", "row 9")])
def test_a_placeholder_far_from_every_other_date_is_refused(day: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, "b.csv", text() + f"{day},AAA,103.80,104.50,103.50,104.00,1000\n")
    with pytest.raises(BadBars, match=rf"no symbol has a row between.*{said}"):
        ingest(
            DeliveryFiles(path),
            tmp_path / "data",
            DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=CurationConfig()),
        )


@pytest.mark.parametrize("year", ["0001", "1884", "2300", "9999"])
def test_a_year_without_a_calendar_is_one_clear_error(year: str, tmp_path: Path) -> None:
    path = written(tmp_path, "b.csv", of_rows(f"{year}-06-07,AAA,1,1,1,1,1"))
    with pytest.raises(TrademlError, match="no calendar of the exchange reaches"):
        ingest(
            DeliveryFiles(path),
            tmp_path / "data",
            DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=CurationConfig()),
        )


SHIFTS = {
    "day_early": lambda day: np.datetime64(day) - 1,
    "day_late": lambda day: np.datetime64(day) + 1,
    "weekday_early": lambda day: np.busday_offset(day, -1),
    "weekday_late": lambda day: np.busday_offset(day, 1),
    "20:00 in New York": lambda day: f"{np.datetime64(day) - 1}T20:00:00-04:00",
}


def quarter(shift: Callable[[str], object], of: str = "AAA BBB") -> str:
    """Two names over April to June 2021, whose Good Friday and Memorial Day were no sessions; `of` them shifted."""
    days = [str(day) for day in xnys(date(2021, 3, 29), date(2021, 6, 30)).days]
    return of_rows(
        *(
            f"{shift(day) if name in of else day},{name},{price},{price},{price},{price},1000"
            for at, day in enumerate(days)
            for name, price in (("AAA", 100 + at), ("BBB", 50 + at / 2))
        )
    )


@pytest.mark.parametrize("kind", SHIFTS)
def test_a_shift_of_all_dates_is_named_and_the_mapping_that_it_names_mends_it(kind: str, tmp_path: Path) -> None:
    """No Monday is lost without a word: midnight in UTC that was read in New York is Sunday."""
    path = written(tmp_path, "shifted.csv", quarter(SHIFTS[kind]))
    named = kind if kind in set(DateShift) else "day_early"
    code, said = run("ingest", "--bars", path, "--to", tmp_path / "data")
    assert (code, f"Write `dates: {named}` in the section `bars`" in said) == (2, True)
    assert "no sessions of the exchange" in said
    assert not (tmp_path / "data").exists()
    mapping = written(tmp_path, "mapping.yml", f"bars: {{dates: {named}}}\n")
    assert run("ingest", "--bars", path, "--mapping", mapping, "--to", tmp_path / "data")[0] == 0
    right = written(tmp_path, "right.csv", quarter(str))
    assert run("ingest", "--bars", right, "--to", tmp_path / "right")[0] == 0
    assert bars_of(tmp_path / "data") == bars_of(tmp_path / "right")


def test_a_shift_of_one_name_and_of_one_evening_are_named_too(tmp_path: Path) -> None:
    path = written(tmp_path, "half.csv", quarter(SHIFTS["day_early"], of="BBB"))
    code, said = run("ingest", "--bars", path, "--to", tmp_path / "data")
    assert (code, "all dates of BBB are a day early" in said) == (2, True)
    assert run("ingest", "--bars", written(tmp_path, "right.csv", quarter(str)), "--to", tmp_path / "data")[0] == 0
    before = read_manifest(tmp_path / "data")
    for day, meant in (("2021-07-11", "a day early"), ("2021-07-10", "a day late"), ("2021-07-05", "no row is on")):
        evening = written(tmp_path, "evening.csv", of_rows(f"{day},AAA,150,150,150,150,1000"))
        code, said = run("ingest", "--add", "--bars", evening, "--to", tmp_path / "data")
        assert (code, meant in said) == (2, True)
    assert read_manifest(tmp_path / "data") == before


def test_few_dates_without_trading_are_no_shift(tmp_path: Path) -> None:
    content = quarter(str) + "2021-06-05,AAA,1,1,1,1,1\n2021-06-06,BBB,1,1,1,1,1\n"
    assert run("ingest", "--bars", written(tmp_path, "b.csv", content), "--to", tmp_path / "data")[0] == 0
    assert len(read_manifest(tmp_path / "data").non_sessions) == 2


def test_dates_of_actions_are_shifted_or_of_no_calendar_in_words(tmp_path: Path) -> None:
    bars = written(tmp_path, "b.csv", quarter(str))
    days = [str(day) for day in xnys(date(2021, 4, 1), date(2021, 6, 1)).days][:12]
    head = "kind,symbol,effective,cash,known_at\n"
    early = head + "".join(f"dividend,AAA,{np.datetime64(day) - 1},0.1,\n" for day in days)
    for name, content, meant in (
        ("early", early, "Write `dates: day_early` in the section `actions`"),
        ("old", head + "dividend,AAA,1066-10-14,0.1,\n", "an action of 1066-10-14 is in no calendar"),
        ("far", head + "dividend,AAA,2999-06-07,0.1,\n", "row 1; years 1885 to 2199"),
        ("known", head + "dividend,AAA,2021-05-04,0.1,2999-06-07\n", "known in the future: 2999-06-07"),
    ):
        path = written(tmp_path, f"{name}.csv", content)
        code, said = run("ingest", "--bars", bars, "--actions", path, "--to", tmp_path / "data")
        assert (code, meant in said) == (2, True), said
    mapping = written(tmp_path, "mapping.yml", "actions: {dates: day_early}\n")
    assert run("ingest", "--bars", bars, "--actions", tmp_path / "early.csv", "--mapping", mapping, "--to", tmp_path / "data")[0] == 0
    found = load_actions(tmp_path / "data", read_manifest(tmp_path / "data"))
    assert [str(action.effective) for action in found] == days


def test_nothing_is_known_or_asked_for_after_today(tmp_path: Path) -> None:
    bars, data = written(tmp_path, "b.csv", text()), tmp_path / "data"
    members = written(tmp_path, "u.csv", "symbol,start,end,known_at\nAAA,2021-06-07,,2999-01-04\n")
    assert run("ingest", "--bars", bars, "--to", data)[0] == 0
    for arguments, meant in (
        (("ingest", "--bars", bars, "--to", data, "--known-at", "2999-01-04"), "a delivery of 2999-01-04 was not had"),
        (("ingest", "--add", "--universe", members, "--to", data), "known in the future: 2999-01-04"),
        (("backfill", "--data", data, "--end", "2999-01-04"), "2999-01-04 has not come"),
        (("as-of", "--data", data, "--known-at", "2999-01-04", "--to", tmp_path / "v"), "2999-01-04 has not come"),
    ):
        code, said = run(*arguments)
        assert (code, meant in said) == (2, True), said
