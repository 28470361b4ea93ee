"""A second vendor's word on extreme returns: it is asked for, written down, and changes nothing by itself."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signals.market.actions import ActionKind
from signals.market.dataset import load_actions, read_manifest
from tests.test_trainer.test_curation import DAYS
from tests.test_trainer.test_strangers_files import run

SESSIONS = DAYS[:12]
UP, RUSH = [10.0] * 4 + [25.0, 20.0, 14.0, *[11.0] * 5], [20.0] * 6 + [55.0, 30.0, *[29.0] * 4]


def delivery(path: Path, closes: dict[str, list[float]], without: tuple[str, int] | None = None) -> Path:
    """Bars of one price a session; `without` leaves out one name's session."""
    rows = [
        (day, name, price, price, price, price, 1000 + at)
        for name, prices in closes.items()
        for at, (day, price) in enumerate(zip(SESSIONS, prices, strict=True))
        if (name, at) != without
    ]
    pd.DataFrame(rows, columns=["date", "symbol", "open", "high", "low", "close", "volume"]).to_csv(path, index=False)
    return path


def market(seed: int) -> dict[str, list[float]]:
    walks = 50.0 * np.cumprod(1.0 + np.random.default_rng(seed).normal(0.0, 0.01, (20, len(SESSIONS))), axis=1)
    return {f"X{at:02}": walks[at].round(4).tolist() for at in range(20)}


@pytest.fixture
def vendors(tmp_path: Path) -> tuple[Path, Path]:
    """A doubles in both; B doubles here and moves by 2 % there, at another price; C doubles here and has no bar there."""
    ours = delivery(tmp_path / "ours.csv", {**market(1), "A": UP, "B": RUSH, "C": UP})
    there = {**market(1), "A": [3 * price for price in UP], "B": [60.0] * 6 + [61.2] * 6, "C": UP}
    theirs = delivery(tmp_path / "theirs.csv", there, without=("C", 4))
    for name, file in (("us", ours), ("other", theirs)):
        assert run("ingest", "--bars", file, "--to", tmp_path / name)[0] == 0
    return tmp_path / "us", tmp_path / "other"


def undecided(folder: Path) -> list[str]:
    found = [d for d in json.loads(run("audit", "--data", folder, "--json")[1])["defects"] if d["reason"] == "undecided_return"]
    return [place for d in found for place in d["examples"]]


def test_a_second_vendor_decides_what_it_has_and_says_nothing_of_the_rest(vendors: tuple[Path, Path], tmp_path: Path) -> None:
    folder, other = vendors
    assert undecided(folder) == [f"A {SESSIONS[4]}", f"C {SESSIONS[4]}", f"B {SESSIONS[6]}"]
    words = tmp_path / "words.csv"
    _, said = run("audit", "--data", folder, "--second-vendor", other, "--propose", words)
    assert f"A {SESSIONS[4]} confirmed: +150% here, +150% there" in said
    assert f"B {SESSIONS[6]} denied: +175% here, +2% there" in said and f"C {SESSIONS[4]}" not in said.split("SECOND VENDOR")[1]
    assert len(undecided(folder)) == 3, "nothing is applied before a person ingests the file"
    code, told = run("ingest", "--add", "--actions", words, "--to", folder)
    assert code == 0, told
    assert undecided(folder) == [f"C {SESSIONS[4]}"]
    [end] = load_actions(folder, read_manifest(folder))
    assert (end.kind, end.symbol, end.effective, end.cash) == (ActionKind.DELISTING, "B", SESSIONS[6], Decimal("20.0"))


def test_an_extreme_return_of_another_size_decides_nothing(vendors: tuple[Path, Path], tmp_path: Path) -> None:
    """+150 % here and +110 % there: one of the two is wrong, and nobody knows which."""
    more = delivery(tmp_path / "more.csv", {**market(2), "A": [10.0] * 4 + [21.0] * 8})
    assert run("ingest", "--bars", more, "--to", tmp_path / "third")[0] == 0
    document = json.loads(run("audit", "--data", vendors[0], "--second-vendor", tmp_path / "third", "--json")[1])
    assert document["second_vendor"] == []


def test_the_same_bars_are_no_second_word(vendors: tuple[Path, Path]) -> None:
    code, said = run("audit", "--data", vendors[0], "--second-vendor", vendors[0])
    assert code == 2 and "this dataset's own" in said
