"""Deliveries: immutable, in the order in which they became known; the past stays what it was."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from signals.errors import BadBars, BadConfig, BadDataset, TrademlError
from signals.market.dataset import load_actions, load_bars, read_manifest, read_table
from signals.market.eligibility_rule import ANY
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.market.sessions import NEW_YORK, SessionStatus, xnys
from signals.models.inference import predict
from signals.sleeves import SLEEVES
from tests.fakes.onnx_models import stump_model
from trainer.__main__ import app
from trainer.clock import now
from trainer.curation.config import CurationConfig
from trainer.curation.deliveries.known import KnownRows, fold
from trainer.curation.deliveries.receipts import FILE, Scope, read_receipts
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, as_of, ingest, refresh
from trainer.curation.vendors.mapping import Mapping, read_mapping

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / ".." / "shared" / "data" / "us_daily_deliveries_pit_open.parquet"
DAYS = xnys(date(2024, 1, 1), date(2024, 12, 31)).days
SMALL = CurationConfig(min_history=3, eligibility=ANY)
COLUMNS = ["date", "symbol", "open", "high", "low", "close", "volume"]


def bars(closes: dict[str, list[float]], first: int = 0, adjusted: dict[str, list[float]] | None = None) -> pd.DataFrame:
    """Flat bars of consecutive sessions from number `first` on."""
    rows = [
        (DAYS[first + at], name, close, close, close, close, 1000.0, *((adjusted[name][at],) if adjusted else ()))
        for name, levels in closes.items()
        for at, close in enumerate(levels)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS + ["adj_close"] * bool(adjusted))
    frame["date"] = pd.to_datetime(frame["date"]).astype("datetime64[s]")
    return frame


def deliver(
    folder: Path, frame: pd.DataFrame, known_at: date | None, *, scope: Scope = Scope.ROWS, basis: PriceBasis = PriceBasis.RAW
) -> Manifest:
    path = folder.parent / "delivery.parquet"
    frame.to_parquet(path)
    return ingest(DeliveryFiles(path), folder, DeliveryTerms(mapping=Mapping(), basis=basis, config=SMALL, scope=scope, known_at=known_at))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def closes(folder: Path) -> dict[tuple[str, date], float]:
    manifest = read_manifest(folder)
    tables = [read_table(folder, record).to_pylist() for record in manifest.of_role(FileRole.BARS)]
    return {(row["symbol"], row["session"]): row["close"] for table in tables for row in table}


def revisions(folder: Path) -> list[tuple[object, ...]]:
    found = read_manifest(folder).of_role(FileRole.REVISIONS)
    return [tuple(row.values()) for record in found for row in read_table(folder, record).to_pylist()]


@pytest.fixture
def revised(tmp_path: Path) -> Path:
    """Five sessions of two names, known on the fifth; the close of A on the third corrected one session later."""
    folder = tmp_path / "us"
    deliver(folder, bars({"A": [10, 11, 12, 13, 14], "B": [20.0] * 5}), DAYS[4], scope=Scope.WHOLE)
    deliver(folder, bars({"A": [12.5]}, first=2), DAYS[5])
    return folder


def test_the_next_version_shows_the_revision_and_the_audit_names_it(revised: Path) -> None:
    manifest = read_manifest(revised)
    assert manifest.version == 2
    assert closes(revised)["A", DAYS[2]] == 12.5
    assert manifest.status(DAYS[2]).reasons == ("revised: 1",)
    assert manifest.status(DAYS[2]).status is SessionStatus.GREEN
    assert (DAYS[2], "A", "close", 12.0, 12.5, DAYS[4], DAYS[5]) in revisions(revised)
    assert {row[2] for row in revisions(revised)} == {"open", "high", "low", "close"}


def test_the_evening_before_the_revision_knows_nothing_of_it(revised: Path, tmp_path: Path) -> None:
    then = as_of(revised, DAYS[4], tmp_path / "then")
    assert then.known_at == DAYS[4]
    assert closes(tmp_path / "then")["A", DAYS[2]] == 12.0
    assert revisions(tmp_path / "then") == []
    as_of(revised, DAYS[5], tmp_path / "later")
    assert closes(tmp_path / "later") == closes(revised)


def test_nothing_was_known_before_the_first_delivery_and_the_past_is_another_folder(revised: Path) -> None:
    with pytest.raises(BadBars, match="nothing was known"):
        as_of(revised, DAYS[3], revised.parent / "then")
    with pytest.raises(BadConfig, match="another dataset"):
        as_of(revised, DAYS[4], revised)


def test_a_delivery_cannot_have_been_known_before_the_one_before_it(revised: Path) -> None:
    """Else the evening of the fifth session would know more today than it did yesterday."""
    before = contents(revised)
    with pytest.raises(BadBars, match="cannot follow"):
        deliver(revised, bars({"A": [99.0]}, first=1), DAYS[4])
    assert contents(revised) == before


def test_the_same_delivery_again_changes_nothing(revised: Path) -> None:
    before = contents(revised)
    deliver(revised, bars({"A": [12.5]}, first=2), DAYS[9])
    assert contents(revised) == before
    assert len(read_receipts(revised)) == 2


def test_raw_files_and_receipts_are_only_ever_added(revised: Path) -> None:
    before = contents(revised)
    deliver(revised, bars({"C": [5.0] * 6}), DAYS[6])
    after = contents(revised)
    kept = {path: content for path, content in before.items() if path not in ("manifest.json", FILE)}
    assert kept.items() <= after.items()
    assert after[FILE].startswith(before[FILE])


def test_a_changed_receipt_or_raw_file_is_noticed(revised: Path) -> None:
    ledger = revised / FILE
    whole = ledger.read_bytes()
    first = json.loads(whole.split(b"\n")[0])
    first["vendor"] = "another"
    edited = json.dumps(first, sort_keys=True, separators=(",", ":")).encode()
    ledger.write_bytes(edited + b"\n" + whole.split(b"\n", 1)[1])
    with pytest.raises(BadDataset, match="chain of deliveries"):
        refresh(revised)
    ledger.write_bytes(whole)
    raw = sorted((revised / "raw").iterdir())[0]
    raw.write_bytes(raw.read_bytes()[:-1] + b"?")
    with pytest.raises(BadDataset, match="not the one that came"):
        refresh(revised)


def test_a_crash_between_receipt_and_version_is_made_good_by_the_next_curation(revised: Path, tmp_path: Path) -> None:
    """The receipt is there, the manifest is still the one before it."""
    (revised / "manifest.json").write_bytes((revised / "manifests" / "1.json").read_bytes())
    (revised / "manifests" / "2.json").unlink()
    assert refresh(revised).version == 2
    assert closes(revised)["A", DAYS[2]] == 12.5


def test_a_whole_delivery_names_what_it_revises_and_what_it_withdraws(revised: Path) -> None:
    deliver(revised, bars({"A": [10, 11, 12.5, 13, 15]}), DAYS[6], scope=Scope.WHOLE)
    told = {(row[0], row[1], row[2]) for row in revisions(revised) if row[6] == DAYS[6]}
    assert {(DAYS[4], "A", "close"), (DAYS[0], "B", "withdrawn")} <= told
    assert (DAYS[2], "A", "close") not in told
    assert {symbol for symbol, _ in closes(revised)} == {"A"}


def test_rounding_is_no_revision(tmp_path: Path) -> None:
    folder = tmp_path / "us"
    deliver(folder, bars({"A": [10.1, 11.1]}), DAYS[1], scope=Scope.WHOLE)
    deliver(folder, bars({"A": [float(np.float32(11.1))]}, first=1), DAYS[2])
    assert revisions(folder) == []
    assert closes(folder)["A", DAYS[1]] == 11.1


def test_prices_of_another_basis_and_rows_without_a_history_cannot_be_added(revised: Path, tmp_path: Path) -> None:
    with pytest.raises(BadBars, match="cannot be added"):
        deliver(revised, bars({"A": [9.0]}), DAYS[6], basis=PriceBasis.SPLIT_ADJUSTED)
    with pytest.raises(BadBars, match="nothing to add to"):
        deliver(tmp_path / "new", bars({"A": [9.0]}), DAYS[6])
    assert not (tmp_path / "new").exists()


def told(frame: pd.DataFrame, known_at: date, basis: PriceBasis = PriceBasis.RAW, scope: Scope = Scope.ROWS) -> KnownRows:
    return KnownRows(known_at, scope, basis, frame.assign(kind="stock", sector=""))


def test_adjusted_closes_of_two_deliveries_are_spliced_at_the_session_that_both_have() -> None:
    """A pays 1 of 50 on the third session: the second delivery tells 49 for the close of 50 before it.

    f = 0.98 there, 1 in the first delivery, so what follows is scaled by 1 / 0.98: 51 / 49 is the return of the third
    session whichever level one stands on.
    """
    first = told(bars({"A": [48.0, 50.0]}, adjusted={"A": [48.0, 50.0]}), DAYS[1])
    second = told(bars({"A": [50.0, 51.0]}, first=1, adjusted={"A": [49.0, 51.0]}), DAYS[2])
    found = fold([first, second]).frame.sort_values("date")["adj_close"].tolist()
    assert found == pytest.approx([48.0, 50.0, 51.0 / 0.98])
    assert found[2] / found[1] == pytest.approx(51 / 49)
    assert found[1] / found[0] == pytest.approx(50 / 48)


def test_no_return_crosses_a_seam_that_no_session_spans() -> None:
    first = told(bars({"A": [48.0, 50.0]}, adjusted={"A": [48.0, 50.0]}), DAYS[1])
    second = told(bars({"A": [51.0, 52.0]}, first=2, adjusted={"A": [51.0, 52.0]}), DAYS[3])
    found = fold([first, second]).frame.sort_values("date")["adj_close"].tolist()
    assert found == pytest.approx([48.0, 50.0, float("nan"), 52.0], nan_ok=True)


def test_a_restatement_for_a_split_keeps_the_raw_row_and_is_no_revision() -> None:
    """4:1 on the third session: the vendor now tells 25 for the raw close of 100 before it."""
    first = told(bars({"A": [98.0, 100.0]}, adjusted={"A": [98.0, 100.0]}), DAYS[1])
    restated = bars({"A": [25.0, 26.0]}, first=1, adjusted={"A": [25.0, 26.0]}).assign(volume=4000.0)
    second = told(restated, DAYS[2])
    known = fold([first, second])
    assert known.frame.sort_values("date")["close"].tolist() == [98.0, 100.0, 26.0]
    assert known.revisions[["field", "was", "now"]].to_numpy().tolist() == [["restated", 100.0, 25.0]]
    adjusted = known.frame.sort_values("date")["adj_close"].to_numpy()
    assert adjusted[2] / adjusted[1] == pytest.approx(26 / 25)


def test_a_row_that_a_delivery_repeats_is_left_to_the_audit_even_where_one_copy_is_the_held_one() -> None:
    first = told(bars({"A": [10.0, 11.0]}), DAYS[1])
    twice = pd.concat([bars({"A": [11.0]}, first=1), bars({"A": [11.9]}, first=1)], ignore_index=True)
    frame = fold([first, told(twice, DAYS[2])]).frame
    assert sorted(frame.loc[frame["date"] == pd.Timestamp(DAYS[1]), "close"]) == [11.0, 11.9]


def test_a_whole_history_restated_for_a_split_is_told_once() -> None:
    whole, adjusted = Scope.WHOLE, PriceBasis.SPLIT_ADJUSTED
    first = told(bars({"A": [96.0, 98.0, 100.0]}), DAYS[2], adjusted, whole)
    second = told(bars({"A": [24.0, 24.5, 25.0, 26.0]}).assign(volume=4000.0), DAYS[3], adjusted, whole)
    known = fold([first, second])
    assert known.revisions[["date", "field"]].to_numpy().tolist() == [[pd.Timestamp(DAYS[2]), "restated"]]
    assert known.frame["close"].tolist() == [24.0, 24.5, 25.0, 26.0]
    assert not known.frame["revised"].any()


def test_total_return_prices_on_another_level_are_no_revision_in_a_whole_history_and_refused_in_rows() -> None:
    """A dividend of 1 % scales everything before it."""
    first = told(bars({"A": [98.0, 100.0]}), DAYS[1], PriceBasis.TOTAL_RETURN, Scope.WHOLE)
    second = bars({"A": [97.02, 99.0, 100.0]})
    known = fold([first, told(second, DAYS[2], PriceBasis.TOTAL_RETURN, Scope.WHOLE)])
    assert known.revisions.empty
    assert known.frame["close"].tolist() == [97.02, 99.0, 100.0]
    with pytest.raises(BadBars, match=r"A was restated by 0\.99"):
        fold([first, told(second, DAYS[2], PriceBasis.TOTAL_RETURN)])


def test_rows_that_restate_adjusted_prices_are_refused() -> None:
    first = told(bars({"A": [98.0, 100.0]}), DAYS[1], PriceBasis.SPLIT_ADJUSTED)
    second = told(bars({"A": [25.0, 26.0]}, first=1), DAYS[2], PriceBasis.SPLIT_ADJUSTED)
    with pytest.raises(BadBars, match=r"A was restated by 0\.25"):
        fold([first, second])


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, TrademlError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def test_the_commands_add_list_and_look_back(tmp_path: Path) -> None:
    """A history known on the fifth session, a correction on the sixth, dividends alone on the seventh."""
    data, (first, second) = tmp_path / "us", (tmp_path / "first.csv", tmp_path / "second.csv")
    bars({"A": [10, 11, 12, 13, 14]}).to_csv(first, index=False)
    bars({"A": [12.5]}, first=2).to_csv(second, index=False)
    (tmp_path / "paid.csv").write_text(f"kind,symbol,effective,known_at,cash\ndividend,A,{DAYS[3]},{DAYS[2]},0.13\n")
    assert run("ingest", "--bars", first, "--basis", "raw", "--to", data, "--known-at", DAYS[4])[0] == 0
    assert run("ingest", "--add", "--bars", second, "--to", data, "--known-at", DAYS[5])[0] == 0
    assert run("ingest", "--add", "--actions", tmp_path / "paid.csv", "--to", data, "--known-at", DAYS[6])[0] == 0
    told = json.loads(run("deliveries", "--data", data, "--json")[1])["deliveries"]
    assert [(row["scope"], row["known_until"], list(row["files"])) for row in told] == [
        ("whole", str(DAYS[4]), ["bars"]),
        ("rows", str(DAYS[5]), ["bars"]),
        ("rows", str(DAYS[6]), ["actions"]),
    ]
    assert [action.cash for action in load_actions(data, read_manifest(data))] == [Decimal("0.13")]
    code, text = run("audit", "--data", data)
    assert code == 0
    assert f"A {DAYS[2]} close 12 -> 12.5, known {DAYS[5]}" in text
    assert run("as-of", "--data", data, "--known-at", DAYS[4], "--to", tmp_path / "then")[0] == 0
    assert closes(tmp_path / "then")["A", DAYS[2]] == 12
    assert load_actions(tmp_path / "then", read_manifest(tmp_path / "then")) == ()
    assert run("as-of", "--data", tmp_path / "then", "--known-at", DAYS[4], "--to", data)[0] == 2


def test_bars_cannot_have_been_known_before_their_day(tmp_path: Path) -> None:
    bars({"A": [10, 11, 12]}).to_csv(tmp_path / "bars.csv", index=False)
    code, said = run("ingest", "--bars", tmp_path / "bars.csv", "--to", tmp_path / "us", "--known-at", DAYS[1])
    assert (code, "cannot have been known" in said) == (2, True)
    early = bars({"A": [10, 11, 12]}).assign(delivered=pd.Timestamp(DAYS[1]))
    early.to_parquet(tmp_path / "early.parquet")
    code, said = run(
        "ingest", "--bars", tmp_path / "early.parquet", "--to", tmp_path / "us", "--mapping", ROOT / "configs" / "mappings" / "archive.yml"
    )
    assert (code, f"a bar of {DAYS[2]} cannot have been known on {DAYS[1]}" in said) == (2, True)
    assert not (tmp_path / "us").exists()


def test_without_a_day_a_delivery_is_known_from_today(tmp_path: Path) -> None:
    bars({"A": [10, 11, 12]}).to_csv(tmp_path / "bars.csv", index=False)
    before = now().astimezone(NEW_YORK).date()
    assert run("ingest", "--bars", tmp_path / "bars.csv", "--to", tmp_path / "us")[0] == 0
    assert before <= read_receipts(tmp_path / "us")[0].known_from <= now().astimezone(NEW_YORK).date()


CELL = st.tuples(st.integers(0, 5), st.sampled_from("AB"), st.floats(1, 100), st.floats(0, 9).map(round))


@settings(max_examples=60)
@given(st.lists(st.lists(CELL, min_size=1, max_size=6, unique_by=lambda c: c[:2]), min_size=1, max_size=6))
def test_folding_is_the_newest_word_on_every_cell_and_cutting_the_later_deliveries_is_the_past(
    deliveries: list[list[tuple[int, str, float, int]]],
) -> None:
    """Against a dictionary that is simply overwritten, a row at a time."""
    frames, simple, states = [], {}, []
    for number, cells in enumerate(deliveries):
        rows = [(DAYS[at], name, close, close, close, close, float(volume)) for at, name, close, volume in cells]
        frame = pd.DataFrame(rows, columns=COLUMNS)
        frame["date"] = pd.to_datetime(frame["date"]).astype("datetime64[s]")
        frames.append(told(frame, DAYS[10 + number]))
        for day, name, *_, close, volume in rows:
            held = simple.get((day, name))
            ratio = close / held[0] if held else 1.0
            splits = (1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50)
            if any(abs(max(ratio, 1 / ratio) / split - 1) < 0.02 for split in splits):
                return  # a restatement: another rule's matter
            if held is None or abs(close / held[0] - 1) > 1e-6 or volume != held[1]:
                simple[day, name] = (close, volume)
        states.append(dict(simple))
    for count, expected in enumerate(states, start=1):
        frame = fold(frames[:count]).frame
        found = {(row.date.date(), row.symbol): (row.close, row.volume) for row in frame.itertuples()}
        assert found == expected


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a real vendor delivered day by day, 2015-03-23 to 2016-08-31: two bars a symbol and delivery."""
    if not ARCHIVE.exists():
        pytest.skip(f"{ARCHIVE.name} absent")
    folder = tmp_path_factory.mktemp("archive") / "us"
    ingest(
        DeliveryFiles(ARCHIVE),
        folder,
        DeliveryTerms(
            mapping=read_mapping(ROOT / "configs" / "mappings" / "archive.yml"), basis=PriceBasis.RAW, config=CurationConfig(min_history=60)
        ),
    )
    return folder


@pytest.mark.slow
def test_every_revision_of_the_real_archive_is_named(archive: Path) -> None:
    """DuckDB finds the pairs of deliveries whose figures differ; volumes of 8,566 bars were revised."""
    expected = duckdb.sql(
        f"""with pairs as (select symbol, date, first(volume order by delivered) a, last(volume order by delivered) b
            from '{ARCHIVE}' group by all) select count(*) from pairs where a <> b"""
    ).fetchall()[0]
    found = revisions(archive)
    assert sum(row[2] == "volume" for row in found) == expected[0] == 8566
    assert any(row[:3] == (date(2015, 8, 26), "UNP", "close") for row in found)


@pytest.mark.slow
def test_returns_of_the_real_archive_are_those_of_the_delivery_that_spans_both_sessions(archive: Path) -> None:
    """Oracle: adj_close over adj_close inside one delivery, by SQL. Real splits and dividends come out of the seams."""
    first_told = duckdb.sql(
        f"""select b.symbol, b.date, b.adj_close / a.adj_close - 1 as r from '{ARCHIVE}' a join '{ARCHIVE}' b
            on a.symbol = b.symbol and a.delivered = b.delivered and a.date < b.date and b.date = b.delivered
            where a.close > 1 and b.close > 1"""
    ).df()
    manifest = read_manifest(archive)
    held = pd.concat([read_table(archive, r).to_pandas() for r in manifest.of_role(FileRole.BARS)])
    held["date"] = pd.to_datetime(held["session"])
    first_told["date"] = pd.to_datetime(first_told["date"])
    both = held.merge(first_told, on=["symbol", "date"]).dropna(subset=["total_return", "r"])
    touched = {(row[0], row[1]) for row in revisions(archive) if row[2] == "close"}
    # A correction of the close moves the return that ends at it; all others agree to the vendor's float32.
    near = np.abs(both["total_return"] - both["r"]) < 1e-5 * (1 + np.abs(both["r"]))
    odd = both[~near]
    assert len(both) > 100_000
    assert all((day.date(), name) in touched for day, name in zip(odd["date"], odd["symbol"], strict=True))
    splits = {(a.symbol, a.effective): a.ratio for a in load_actions(archive, manifest) if a.kind == "split"}
    assert splits["NFLX", date(2015, 7, 15)] == 7
    assert splits["NKE", date(2015, 12, 24)] == 2
    apple = [str(a.cash) for a in load_actions(archive, manifest) if a.symbol == "AAPL" and a.kind == "dividend"]
    assert apple == ["0.5200"] * 4 + ["0.5700"] * 2


@pytest.mark.slow
def test_what_was_scored_on_an_evening_is_the_same_to_the_byte_after_the_revisions_arrive(archive: Path, tmp_path: Path) -> None:
    """2015-08-26: on the next evening the close of UNP of that day was corrected from 84.10 to 83.55."""
    asof = date(2015, 8, 26)
    table = duckdb.sql(f"select * from '{ARCHIVE}' where delivered <= DATE '{asof}'").df()
    table["delivered"] = pd.to_datetime(table["delivered"])
    table.to_parquet(tmp_path / "then.parquet")
    arrived, later = tmp_path / "arrived" / "us", tmp_path / "later" / "us"
    mapping = read_mapping(ROOT / "configs" / "mappings" / "archive.yml")
    ingest(
        DeliveryFiles(tmp_path / "then.parquet"),
        arrived,
        DeliveryTerms(mapping=mapping, basis=PriceBasis.RAW, config=CurationConfig(min_history=60)),
    )
    as_of(archive, asof, later)
    sleeve = SLEEVES["equities_xs"]

    def scored(folder: Path) -> tuple[tuple[str, ...], bytes, bytes]:
        """Names, features and scores of the evening, to the byte."""
        manifest = read_manifest(folder)
        panel = sleeve.features(load_bars(folder, manifest, manifest.first, asof), asof)
        symbols, rows = panel.at(asof)
        assert len(symbols) > 250
        assert np.isfinite(rows).sum() > 5000
        return symbols, rows.tobytes(), predict((stump_model(rows.shape[1], trees=60),), rows).tobytes()

    assert scored(arrived) == scored(later)
    assert scored(archive)[1:] != scored(later)[1:]  # the newest version shows what was corrected since
    names = [r.path for r in read_manifest(arrived).of_role(FileRole.BARS)]
    assert names == [r.path for r in read_manifest(later).of_role(FileRole.BARS)]
    now = closes(archive)["UNP", asof]
    assert (closes(later)["UNP", asof], now) == pytest.approx((84.10, 83.55), abs=1e-4)
