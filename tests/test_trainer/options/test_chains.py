"""Option chains as delivered: joined, restated, audited by underlying and day, and stored under hashes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from signals.errors import BadBars, BadDataset
from signals.market.actions import Action, ActionKind
from signals.market.sessions import SessionStatus
from tests.fakes.option_market import Quoting, quoted
from trainer.__main__ import app
from trainer.curation.vendors.mapping import ChainColumns
from trainer.options.chains import ARRAYS, OptionChain
from trainer.options.curation import (
    ChainDelivery,
    ChainManifest,
    audit_chain,
    ingest_chains,
    read_chains,
    read_chains_of,
    read_manifest_of_chains,
)

DAY, TODAY = date(2020, 3, 2), date(2021, 1, 1)
DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def chain(day: date = DAY, root: str = "X", days: tuple[int, ...] = (18, 46)) -> OptionChain:
    expirations = [np.datetime64(DAY) + np.timedelta64(count, "D") for count in days]
    return quoted(root, day, 100.0, 0.04, expirations, Quoting(strikes=25))


def frame(given: OptionChain) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Quote Date": str(given.day),
            "underlying_symbol": given.root,
            "Expiry": given.expiration,
            "strike_price": given.strike,
            "type": np.where(given.is_call, "call", "put"),
            "bid": given.bid,
            "ask": given.ask,
            "spot": given.spot,
            "OI": given.open_interest,
            "volume": given.volume,
        }
    )


def csv(table: pd.DataFrame) -> dict[str, bytes]:
    return {"quotes.csv": table.to_csv(index=False).encode()}


def ingest(table: pd.DataFrame, folder: Path, **how: bool) -> ChainManifest:
    return ingest_chains(ChainDelivery(csv(table), ChainColumns()), folder, today=TODAY, **how)


def test_a_delivery_comes_back_as_the_chain_it_was(tmp_path: Path) -> None:
    """Columns of other names, recognised; a second expiry makes the day GREEN."""
    known = ingest(frame(chain()), tmp_path)
    assert [(audit.status, audit.reasons) for audit in known.audits] == [(SessionStatus.GREEN, ())]
    (found,) = read_chains_of(tmp_path, read_manifest_of_chains(tmp_path), "X")
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(chain(), name))
    assert (found.root, found.day, found.spot, found.restated) == ("X", DAY, 100.0, 1.0)


def test_quotes_and_a_list_of_contracts_are_joined_in_any_order(tmp_path: Path) -> None:
    whole = frame(chain())
    quotes = whole.drop(columns=["OI", "volume", "spot"])
    contracts = whole.drop(columns=["bid", "ask"]).sample(frac=1.0, random_state=1)
    one, two = ({"a.csv": a, "b.csv": b} for a, b in ([quotes, contracts], [contracts, quotes]))
    found = [
        read_chains({name: t.to_csv(index=False).encode() for name, t in tables.items()}, ChainColumns(), today=TODAY)[0]
        for tables in (one, two)
    ]
    pd.testing.assert_frame_equal(found[0], found[1])
    assert len(found[0]) == len(whole) and found[0].notna().drop(columns="known_at").all(axis=None)


def test_rows_that_are_no_quotes_are_quarantined_with_their_reason(tmp_path: Path) -> None:
    """One of each fault; a contract that is quoted twice in two ways counts for neither."""
    table = frame(chain())
    faults = {"type": "straddle", "strike_price": -1.0, "Expiry": "2020-01-01", "ask": -0.1}
    for row, (column, value) in enumerate(faults.items()):
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
    table.loc[4, "bid"] = table.loc[4, "ask"] + 1.0
    table.loc[5, "Quote Date"] = "2020-03-01"  # a Sunday
    table = pd.concat([table, table.iloc[[6]].assign(ask=table["ask"].iloc[6] + 1.0)])
    known = ingest(table, tmp_path)
    reasons = {"no right": 1, "no strike": 1, "expired": 1, "negative price": 1, "crossed": 1, "no session": 1, "quoted twice": 2}
    assert known.quarantined == reasons
    assert sum(one.rows for one in known.files) == len(chain()) - 7
    assert len(pd.read_parquet(tmp_path / "quarantine.parquet")) == 8


def test_two_words_of_the_same_day_on_a_contract_count_for_neither_whatever_is_said_of_others(tmp_path: Path) -> None:
    """Once without a day, once both known on one; a word of a later day is a correction. The order of the rows decides nothing."""
    table = frame(chain()).assign(known_at="")
    table.loc[[1, 2], "known_at"] = "2020-03-02"
    again = table.iloc[[0, 1, 2]].assign(ask=table["ask"].iloc[:3] + 1.0, known_at=["", "2020-03-02", "2020-03-04"])
    for rows in (pd.concat([table, again]), pd.concat([again, table])):
        found, out = read_chains(csv(rows), ChainColumns(), today=TODAY)
        assert out["reason"].tolist() == ["quoted twice"] * 4
        corrected = found.loc[found["known_at"] == pd.Timestamp("2020-03-04"), "ask"].tolist()
        assert len(found) == len(table) - 2 and corrected == [again["ask"].iloc[2]]


def test_a_quote_of_the_future_and_an_empty_delivery_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadBars, match="quotes of the future"):
        ingest(frame(chain()).assign(**{"Quote Date": "2022-01-03", "Expiry": "2022-03-01"}), tmp_path)
    with pytest.raises(BadBars, match="no row is an option quote"):
        ingest(frame(chain()).assign(type="x"), tmp_path)
    with pytest.raises(BadBars, match=r"missing column.*right"):
        ingest(frame(chain()).drop(columns="type"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_figures_without_end_are_quarantined_and_an_underlying_is_a_symbol(tmp_path: Path) -> None:
    sound = frame(chain())
    endless = sound.assign(ask=np.where(np.arange(len(sound)) < 3, np.inf, sound["ask"]))
    manifest = ingest(endless, tmp_path)
    assert manifest.quarantined == {"not a finite figure": 3}
    for name in ("X" * 21, "X\0", "a b"):
        with pytest.raises(BadBars, match="no underlying is called"):
            ingest(sound.assign(underlying_symbol=name), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_day_that_repeats_the_day_before_is_red_also_where_it_is_added_later(tmp_path: Path) -> None:
    first = frame(chain())
    again = first.assign(**{"Quote Date": "2020-03-03"})
    moved = again.assign(bid=first["bid"] + 0.01, ask=first["ask"] + 0.01)
    assert [audit.status for audit in ingest(pd.concat([first, moved]), tmp_path / "sound").audits] == [SessionStatus.GREEN] * 2
    whole = ingest(pd.concat([first, again]), tmp_path / "whole")
    assert [(audit.day.day, audit.status) for audit in whole.audits] == [(2, SessionStatus.GREEN), (3, SessionStatus.RED)]
    assert whole.audits[1].reasons[0] == "every quote is that of 2020-03-02"
    ingest(first, tmp_path / "added")
    assert ingest(again, tmp_path / "added", add=True).audits == whole.audits


def test_a_later_word_replaces_a_row_and_an_added_delivery_replaces_its_days(tmp_path: Path) -> None:
    table = frame(chain()).assign(known_at="2020-03-02")
    again = table.iloc[[0]].assign(known_at="2020-03-05", bid=0.0, ask=0.5)
    ingest(pd.concat([again, table]), tmp_path)
    (found,) = read_chains_of(tmp_path, read_manifest_of_chains(tmp_path), "X")
    assert (found.bid[0], found.ask[0]) == (0.0, 0.5)
    known = read_manifest_of_chains(tmp_path)
    assert found.is_late and known.audits[0].status is SessionStatus.AMBER and "known on 2020-03-05" in known.audits[0].reasons[0]
    known = ingest(pd.concat([frame(chain(date(2020, 3, 3))), frame(chain(root="Y"))]), tmp_path, add=True)
    assert [(audit.root, audit.day.day) for audit in known.audits] == [("X", 2), ("X", 3), ("Y", 2)]


def test_an_underlying_after_its_split_is_restated_only_by_a_recorded_split() -> None:
    """The close reads 100/7, the strikes are of before: 7 for 1 a week later explains it, 2 for 1 does not."""
    split = replace(chain(), spot=100.0 / 7.0)
    restated, audit = audit_chain(split, ((date(2020, 3, 9), 7.0),))
    assert restated.spot == pytest.approx(100.0) and restated.restated == 7.0
    assert audit.status is SessionStatus.GREEN and audit.reasons == ("the underlying was multiplied by 7 for splits",)
    for splits in ((), ((date(2020, 3, 9), 2.0),), ((date(2020, 2, 3), 7.0),)):
        kept, audit = audit_chain(split, splits)
        assert kept.restated == 1.0 and audit.status is SessionStatus.RED and "split without a record" in audit.reasons[0]


def test_an_option_of_a_saturday_expires_at_the_last_close_before_it() -> None:
    """Contracts of before 2015 are listed so; both names are the same contract."""
    friday = frame(chain())
    assert set(friday["Expiry"].dt.day_of_week) == {4}
    saturday = friday.assign(Expiry=friday["Expiry"] + pd.Timedelta(days=1))
    found, again = (read_chains(csv(table), ChainColumns(), today=TODAY)[0] for table in (friday, saturday))
    pd.testing.assert_frame_equal(found, again)


def test_a_split_to_come_is_kept_with_the_days_before_it_also_where_it_is_delivered_later(tmp_path: Path) -> None:
    days = [date(2020, 3, 2), date(2020, 3, 3), date(2020, 3, 4)]
    split = Action(ActionKind.SPLIT, "X", days[2], days[1], ratio=Decimal(2))

    def known(given: list[date], actions: tuple[Action, ...], *, add: bool) -> list[date | None]:
        table = pd.concat([frame(chain(day)).assign(bid=lambda t, n=day.day: t["bid"] + 0.01 * n) for day in given])
        ingest_chains(ChainDelivery(csv(table.assign(ask=table["bid"] + 0.1)), ChainColumns(), actions), tmp_path, today=TODAY, add=add)
        return [one.next_split for one in read_chains_of(tmp_path, read_manifest_of_chains(tmp_path), "X")]

    assert known(days[:1], (), add=False) == [None]
    assert known(days[1:], (split,), add=True) == [days[2], days[2], None]
    assert known([date(2020, 3, 5)], (), add=True) == [days[2], days[2], None, None]


def test_a_close_that_no_recorded_split_explains_is_named(tmp_path: Path) -> None:
    """100 one day and 25 the next: said once, not where 4 for 1 is recorded, and not of a close that nobody knows."""
    after = quoted("X", date(2020, 3, 3), 25.0, 0.04, list(chain().expirations), Quoting(strikes=25))
    split = Action(ActionKind.SPLIT, "X", date(2020, 3, 3), date(2020, 3, 2), ratio=Decimal(4))

    def said(table: pd.DataFrame, *actions: Action) -> list[str]:
        notes: list[str] = []
        ingest_chains(ChainDelivery(csv(table), ChainColumns(), actions), tmp_path, today=TODAY, note=notes.append)
        return [note for note in notes if "a split that --actions lacks" in note]

    table = pd.concat([frame(chain()), frame(after)])
    assert said(table) == ["X 2020-03-03: its close is 0.25 times the last: a split that --actions lacks?"]
    assert said(table, split) == said(table.assign(spot=np.nan)) == said(table.assign(spot=0.0)) == said(frame(chain())) == []


def test_a_day_on_which_the_last_options_expire_is_read_for_its_close(tmp_path: Path) -> None:
    """It is RED, for nothing can be fitted; what was held is settled at its close and not at a later one."""
    first = frame(chain(date(2020, 3, 12), days=(18,)))
    manifest = ingest(pd.concat([first, first.assign(**{"Quote Date": "2020-03-20"})]), tmp_path)
    assert [(audit.status, audit.reasons[0]) for audit in manifest.audits[1:]] == [(SessionStatus.RED, "nothing expires later")]
    assert [one.day.day for one in read_chains_of(tmp_path, manifest, "X")] == [12, 20]


def test_what_a_day_lacks_is_its_status_and_reason() -> None:
    whole = chain()
    first = whole.where(whole.expiration == whole.expirations[0])
    nothing = np.full(len(whole), np.nan)
    cases = {
        SessionStatus.RED: [(replace(whole, bid=nothing), "no quotes"), (whole.where(whole.is_call), "no forward")],
        SessionStatus.AMBER: [(first, "one usable expiry"), (replace(whole, spot=np.nan), "no close of the underlying")],
    }
    for status, rows in cases.items():
        for given, reason in rows:
            audit = audit_chain(given)[1]
            assert audit.status is status and any(reason in why for why in audit.reasons), audit
    off = whole.bid + np.where(whole.is_call & (whole.strike > 100.0) & (whole.expiration == whole.expirations[1]), 4.0, 0.0)
    audit = audit_chain(replace(whole, bid=off, ask=np.maximum(whole.ask, off + 0.1)))[1]
    assert audit.status is SessionStatus.AMBER and "parity off" in "; ".join(audit.reasons)


def test_a_file_that_was_changed_is_not_read(tmp_path: Path) -> None:
    known = ingest(frame(chain()), tmp_path)
    path = tmp_path / known.files[0].path
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BadDataset, match="SHA-256 differs"):
        read_chains_of(tmp_path, known, "X")
    with pytest.raises(BadDataset, match="no chains of Z"):
        read_chains_of(tmp_path, known, "Z")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(BadDataset, match="no option chains can be read"):
        read_manifest_of_chains(tmp_path)


def test_the_command_takes_an_index_as_it_is(tmp_path: Path) -> None:
    """SPXW of 2018: one expiry a day that is not the day's own, hence AMBER; two days have none and are not read."""
    if not (path := DATA / "options_eod_spxw_2018.parquet").exists():
        pytest.skip(f"needs {path}")
    done = CliRunner().invoke(app, ["options", "ingest", "--quotes", str(path), "--to", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["days"] == {"AMBER": 38, "RED": 2}
    read = read_chains_of(tmp_path, read_manifest_of_chains(tmp_path), "SPXW")
    assert len(read) == 40 and sum(map(len, read)) > 3_339, "of the two only the close, at which options expire"


@pytest.mark.slow
def test_the_command_takes_the_real_files_as_they_are(tmp_path: Path) -> None:
    """A list of contracts and a file of quotes, with AAPL's split among the actions; red days are not read."""
    names = ("options_daily_quotes_lean", "options_universe_lean", "us_corporate_actions_factors_lean")
    if not all((DATA / f"{name}.parquet").exists() for name in names):
        pytest.skip(f"needs {DATA}")
    mapping = Path(__file__).resolve().parents[3] / "configs" / "mappings" / "factors.yml"
    given = [word for name in names[:2] for word in ("--quotes", str(DATA / f"{name}.parquet"))]
    terms = ["--actions", str(DATA / f"{names[2]}.parquet"), "--mapping", str(mapping), "--to", str(tmp_path), "--json"]
    done = CliRunner().invoke(app, ["options", "ingest", *given, *terms])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    status = {(row["root"], row["day"]): (row["status"], row["reasons"]) for row in found["audits"]}
    assert status["AAPL", "2014-06-06"] == ("GREEN", ["the underlying was multiplied by 7 for splits"])
    assert status["GOOG", "2015-12-24"] == ("GREEN", [])
    assert status["NWSA", "2013-06-28"][0] == "RED", "its spin-off is no split"
    read = read_chains_of(tmp_path, read_manifest_of_chains(tmp_path), "AAPL")
    assert [str(one.day) for one in read] == ["2014-06-06", "2014-06-09"]
    assert read[0].spot == pytest.approx(7 * 92.72, abs=0.01) and read[1].spot == pytest.approx(92.72, abs=0.01)
