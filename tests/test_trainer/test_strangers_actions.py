"""Actions and members as strangers write them, and what the prices themselves contradict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signals.market.dataset import load_actions, load_bars, read_manifest, read_table
from signals.market.manifest import FileRole, PriceBasis
from tests.test_trainer.test_strangers_files import DAYS, FIGURES, RAW, actions, bars_of, frame, run, text, written
from trainer.curation.config import CurationConfig
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping


def ingested(tmp_path: Path, told: str) -> tuple[int, str]:
    """Ingest the raw bars with these actions."""
    places = written(tmp_path, "raw.csv", RAW), written(tmp_path, "a.csv", told), tmp_path / "d"
    return run("ingest", "--bars", places[0], "--actions", places[1], "--basis", "raw", "--to", places[2])


def test_an_action_told_twice_is_one_action(tmp_path: Path) -> None:
    told = actions("split,AAA,2021-06-09,4,", "split,AAA,2021-06-09,4.0,", "dividend,AAA,2021-06-10,,0.5", "dividend,AAA,2021-06-10,,0.50")
    code, said = ingested(tmp_path, told)
    assert (code, "NOTE: actions given more than once, which count once: 2" in said) == (0, True)
    manifest = read_manifest(tmp_path / "d")
    panel = load_bars(tmp_path / "d", manifest, manifest.first, manifest.last)
    assert panel.total_return[2, 0] == pytest.approx(4 * 102 / 404 - 1)
    assert panel.total_return[3, 0] == pytest.approx((103 + 0.5) / 102 - 1)


def test_two_splits_of_a_day_that_differ_are_refused(tmp_path: Path) -> None:
    told = actions("split,AAA,2021-06-09,4,", "split,AAA,2021-06-09,2,")
    code, said = ingested(tmp_path, told)
    assert (code, said) == (2, "2 splits of AAA on 2021-06-09 that differ (a.csv). Keep the true one")
    assert not (tmp_path / "d").exists()


def test_actions_and_members_of_nobody_are_named(tmp_path: Path) -> None:
    universe = "symbol,start,end\nAAA,2021-01-01,\nBBB.US,2021-01-01,\n"
    code, said = run(
        "ingest",
        "--bars",
        written(tmp_path, "b.csv", text()),
        "--actions",
        written(tmp_path, "a.csv", actions("split,AAA.US,2021-06-09,4,")),
        "--universe",
        written(tmp_path, "u.csv", universe),
        "--basis",
        "raw",
        "--to",
        tmp_path / "d",
    )
    assert code == 0
    assert "NOTE: 1 action names no symbol of the bars: AAA.US" in said
    assert "NOTE: 1 member is no symbol of the bars: BBB.US" in said


def test_a_membership_that_ends_before_it_starts_is_refused(tmp_path: Path) -> None:
    universe = "symbol,start,end\nAAA,2021-01-01,\nBBB,2021-06-09,2021-06-08\n"
    code, said = run(
        "ingest", "--bars", written(tmp_path, "b.csv", text()), "--universe", written(tmp_path, "u.csv", universe), "--to", tmp_path / "d"
    )
    assert (code, "BBB: an interval that ends on 2021-06-08" in said, "u.csv, row 2" in said) == (2, True, True)


def test_a_file_of_no_actions_is_no_fault(tmp_path: Path) -> None:
    """`trainer fetch` writes one for a time without any."""
    empty = written(tmp_path, "actions.csv", "kind,symbol,effective,ratio,cash,new_symbol\n")
    code, said = run("ingest", "--bars", written(tmp_path, "b.csv", text()), "--actions", empty, "--basis", "raw", "--to", tmp_path / "d")
    assert (code, "10 bars" in said) == (0, True)
    assert load_actions(tmp_path / "d", read_manifest(tmp_path / "d")) == ()


def split_case(tmp_path: Path, bars: str, line: str) -> tuple[int, str]:
    return run(
        "ingest",
        "--bars",
        written(tmp_path, "b.csv", bars),
        "--actions",
        written(tmp_path, "a.csv", actions(line)),
        "--basis",
        "raw",
        "--to",
        tmp_path / "d",
    )


@pytest.mark.parametrize(
    ("bars", "line", "said"),
    [
        (text(), "split,AAA,2021-06-09,4,", "the recorded split 4:1 contradicts the prices (AAA 2021-06-09: open"),
        (RAW, "split,AAA,2021-06-09,0.25,", "the recorded split 1:4 contradicts the prices (AAA 2021-06-09"),
        (RAW, "split,AAA,2021-06-08,4,", "the recorded split 4:1 contradicts the prices (AAA 2021-06-08"),
        (RAW, "split,AAA,2021-06-10,4,", "the recorded split 4:1 contradicts the prices (AAA 2021-06-10"),
    ],
    ids=["adjusted prices", "inverted", "a day early", "a day late"],
)
def test_a_split_that_the_prices_did_not_follow_is_refused(tmp_path: Path, bars: str, line: str, said: str) -> None:
    code, told = split_case(tmp_path, bars, line)
    assert code == 2
    assert told.startswith(said)
    assert "--basis split_adjusted" in told
    assert not (tmp_path / "d").exists()


def test_the_true_split_is_accepted(tmp_path: Path) -> None:
    assert split_case(tmp_path, RAW, "split,AAA,2021-06-09,4,")[0] == 0


def red_of(table: pd.DataFrame, tmp_path: Path) -> dict[str, str]:
    """RED session -> its first reason."""
    path = written(tmp_path, "b.csv", table.to_csv(index=False))
    manifest = ingest(
        DeliveryFiles(path), tmp_path / "d", DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=CurationConfig())
    )
    return {str(a.session): a.reasons[0] for a in manifest.audits if a.status == "RED"}


def crowd() -> pd.DataFrame:
    """Twenty names of very different prices, each going its own way, over five sessions."""
    table = []
    for at, day in enumerate(DAYS):
        for n in range(20):
            close = round(5.0 * 1.5**n * (1 + (3 * n + 5 * at + n * at) % 7 / 100), 2)
            table.append((day, f"N{chr(65 + n)}", close, close, close, close, 1000 + 10 * n + at))
    return pd.DataFrame(table, columns=["date", "symbol", *FIGURES])


PRICES = ["open", "high", "low", "close"]


def changed(kind: str) -> pd.DataFrame:
    table = crowd()
    monday, tuesday = (table.index[table["date"] == day] for day in DAYS[:2])
    if kind == "repeated":
        table.loc[tuesday, [*FIGURES]] = table.loc[monday, [*FIGURES]].to_numpy()
    elif kind == "idle":
        table.loc[tuesday, "volume"] = 0
    elif kind == "factor":
        table.loc[tuesday, PRICES] = (table.loc[monday, PRICES] * 1.013).round(2).to_numpy()
    elif kind == "rolled":
        table.loc[tuesday, [*FIGURES]] = np.roll(table.loc[tuesday, [*FIGURES]].to_numpy(), 2, axis=0)
    return table


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("sane", {}),
        ("repeated", {"2021-06-08": "the bars of the session before, again"}),
        ("idle", {"2021-06-08": "no share traded in any name"}),
        ("factor", {"2021-06-08": "all closes moved by one factor"}),
        ("rolled", {"2021-06-08": "a quarter of the closes doubled or halved"}),
    ],
)
def test_a_session_that_is_no_day_of_trading_is_red_and_the_day_after_is_not(tmp_path: Path, kind: str, found: dict[str, str]) -> None:
    assert red_of(changed(kind), tmp_path) == found


def test_a_session_repeated_in_two_names_is_red(tmp_path: Path) -> None:
    table = frame().head(6)
    table.loc[2:3, list(FIGURES)] = table.loc[0:1, list(FIGURES)].to_numpy()
    assert red_of(table, tmp_path) == {"2021-06-08": "the bars of the session before, again"}


def test_a_row_that_moved_by_100_and_back_is_quarantined_alone(tmp_path: Path) -> None:
    table = frame()
    table.loc[4, PRICES] *= 100
    assert red_of(table, tmp_path) == {}
    found = bars_of(tmp_path / "d")
    assert ("2021-06-09", "AAA") not in found
    assert len(found) == 9
    manifest = read_manifest(tmp_path / "d")
    held = [row for r in manifest.of_role(FileRole.QUARANTINE) for row in read_table(tmp_path / "d", r).to_pylist()]
    assert [(row["symbol"], row["reasons"]) for row in held] == [("AAA", "shifted_level; extreme_return")]


def test_words_of_others_are_never_markup(tmp_path: Path) -> None:
    """A reason, a symbol and a folder with brackets are shown as they are written."""
    table = frame().replace({"symbol": {"BBB": "BAC[/PL]"}}).head(6)
    table.loc[2:3, list(FIGURES)] = table.loc[0:1, list(FIGURES)].to_numpy()
    days = pd.bdate_range("2021-06-10", periods=120).difference(pd.DatetimeIndex(["2021-07-05", "2021-09-06"]))
    more = [
        (str(day.date()), name, 99.0 + at % 7, 109.0, 98.0, 100.0 + at % 7, 900 + at)
        for at, day in enumerate(days)
        for name in ("AAA", "BAC[/PL]")
    ]
    table = pd.concat([table, pd.DataFrame(more, columns=table.columns)])
    table.loc[table.index[-1], "volume"] = 0
    data = tmp_path / "data[v2]"
    assert run("ingest", "--bars", written(tmp_path, "b.csv", table.to_csv(index=False)), "--to", data)[0] == 0
    reason = "[Stooq] lost it [/today]"
    code, said = run("accept-red", "--data", data, "--session", "2021-06-08", "--reason", reason)
    assert code == 0, said
    code, said = run("audit", "--data", data)
    assert code == 1
    for words in (reason, "BAC[/PL]", "data[v2]"):
        assert words in " ".join(said.split())
