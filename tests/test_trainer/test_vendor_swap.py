"""Another vendor, minutes instead of days: the same schema and, where they tell of one market, the same figures."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner

from signals.errors import BadBars, BadConfig, TrademlError
from signals.market.bars import Bars
from signals.market.dataset import load_actions, load_bars, read_file, read_manifest, read_table
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.market.sessions import SessionStatus, xnys
from signals.storage.arrow import read_parquet
from trainer.__main__ import app
from trainer.curation.audit.audit import audit
from trainer.curation.config import CurationConfig
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Label, Mapping, MinuteColumns, read_mapping
from trainer.curation.vendors.minutes import daily, read_minutes, regular_hours
from trainer.curation.writer import BARS_SCHEMA

ROOT = Path(__file__).resolve().parents[2]
MAPPINGS = ROOT / "configs" / "mappings"
SHARED = ROOT / ".." / "shared" / "data"


def shared(name: str) -> Path:
    path = SHARED / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path.name} absent")
    return path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, TrademlError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def schema_of(folder: Path) -> object:
    manifest = read_manifest(folder)
    return {read_parquet(read_file(folder, record)).schema for record in manifest.of_role(FileRole.BARS)}


# -- minutes --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quoted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Minutes with quotes, START labels, extended hours, raw."""
    folder = tmp_path_factory.mktemp("quoted") / "us"
    code, said = run(
        "ingest", "--bars", shared("us_minute_lean"), "--basis", "raw", "--to", folder, "--mapping", MAPPINGS / "minutes_start_quotes.yml"
    )
    assert code == 0, said
    return folder


def bars_of(folder: Path) -> pd.DataFrame:
    manifest = read_manifest(folder)
    return pd.concat([read_table(folder, record).to_pandas() for record in manifest.of_role(FileRole.BARS)])


def test_minutes_become_the_daily_bars_that_the_same_vendor_delivers(quoted: Path) -> None:
    """Lean's own daily file of the same names is the oracle; most volumes agree to the share."""
    days = pd.read_parquet(shared("us_daily_raw_lean"))
    days["session"] = pd.to_datetime(days["date"]).dt.date
    both = bars_of(quoted).merge(days, on=["session", "symbol"], suffixes=("", "_daily"))
    assert len(both) >= 20
    for name in ("open", "high", "low", "close"):
        # The daily file's extremes come from the consolidated tape, which knows odd prints that its minutes do not.
        slack = 1e-5 if name in ("open", "close") else 5e-4
        assert (both[name] / both[f"{name}_daily"] - 1).abs().max() <= slack, name
    apart = (both["volume"] / both["volume_daily"] - 1).abs()
    assert (apart == 0).mean() > 0.7
    assert apart.max() < 0.03
    apple = both[both["symbol"] == "AAPL"]
    assert apple["volume"].tolist() == apple["volume_daily"].tolist() == [10_445_282, 12_116_671, 72_875_948]


def test_a_wrong_label_moves_the_auctions_to_other_bars() -> None:
    """AAPL on 2014-06-05. Read as END, the bar of 09:30 falls out and that of 16:00, after the close, comes in."""
    raw = pd.read_parquet(shared("us_minute_lean"), filters=[("symbol", "=", "AAPL")])
    frame = raw.assign(time=raw["ts"].dt.tz_localize("America/New_York").dt.tz_convert("UTC"), kind="stock")
    calendar = xnys(date(2014, 6, 2), date(2014, 6, 13))
    right, wrong = (daily(regular_hours(frame, calendar, MinuteColumns(label=label))).iloc[0] for label in (Label.START, Label.END))
    assert (right["open"], right["close"], right["volume"]) == (646.25, 647.35, 10_445_282)
    assert (wrong["open"], wrong["close"], wrong["volume"]) == (646.26, 646.93, 10_445_282 - 220_173 + 47_381)


def test_a_file_of_regular_hours_contradicts_a_wrong_label(tmp_path: Path) -> None:
    """Labels from 09:31 to 16:00 can only mark ends; shifted by a minute they can only mark starts."""
    source = shared("us_1min_2019w07")
    with pytest.raises(BadBars, match=r"mark the start.*at the close.*label: end"):
        read_minutes(source.read_bytes(), MinuteColumns(label=Label.START, columns={"time": "ts"}), where=source.name)
    shifted = pd.read_parquet(source)
    shifted["ts"] -= pd.Timedelta(minutes=1)
    shifted.to_parquet(tmp_path / "start.parquet")
    content = (tmp_path / "start.parquet").read_bytes()
    with pytest.raises(BadBars, match=r"mark the end.*at the open.*label: start"):
        read_minutes(content, MinuteColumns(label=Label.END, columns={"time": "ts"}), where="start.parquet")
    starts, _ = read_minutes(content, MinuteColumns(label=Label.START, columns={"time": "ts"}), where="start.parquet")
    ends, _ = read_minutes(source.read_bytes(), MinuteColumns(label=Label.END, columns={"time": "ts"}), where=source.name)
    pd.testing.assert_frame_equal(starts, ends)


def test_minutes_with_end_labels_agree_with_sql(tmp_path: Path) -> None:
    source = shared("us_1min_2019w07")
    code, said = run(
        "ingest", "--bars", source, "--to", tmp_path / "us", "--basis", "raw", "--mapping", MAPPINGS / "minutes_end.yml", "--json"
    )
    assert code == 0, said
    expected = duckdb.sql(
        f"""select cast(ts as date) as session, symbol, first(open order by ts) as open, max(high) as high,
            min(low) as low, last(close order by ts) as close, sum(volume)::double as volume from '{source}'
            where cast(ts as time) > '09:30' and cast(ts as time) <= '16:00' group by all order by 1, 2"""
    ).df()
    found = bars_of(tmp_path / "us").sort_values(["session", "symbol"], ignore_index=True)
    expected["session"] = pd.to_datetime(expected["session"]).dt.date
    assert len(found) == len(expected) == 120
    for name in ("session", "symbol", "open", "high", "low", "close", "volume"):
        assert found[name].tolist() == expected[name].tolist(), name
    assert read_manifest(tmp_path / "us").of_role(FileRole.SPREADS) == ()


def test_minutes_and_days_have_one_schema(quoted: Path, tmp_path: Path) -> None:
    days = pd.read_parquet(shared("us_daily_raw_lean"), filters=[("date", ">=", date(2020, 1, 2))])
    days.to_parquet(tmp_path / "days.parquet")
    ingest(
        DeliveryFiles(tmp_path / "days.parquet"),
        tmp_path / "days",
        DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig()),
    )
    assert schema_of(quoted) == schema_of(tmp_path / "days")
    assert next(iter(schema_of(quoted))).equals(BARS_SCHEMA, check_metadata=False)


def test_spreads_come_from_quotes_inside_the_regular_hours_and_crossed_ones_do_not_count(quoted: Path) -> None:
    """DuckDB's median over the minutes of 09:30 to 15:59 with a sane two-sided quote."""
    record = read_manifest(quoted).of_role(FileRole.SPREADS)[0]
    found = {(row["symbol"], row["session"]): row["spread_bps"] for row in read_table(quoted, record).to_pylist()}
    expected = duckdb.sql(
        f"""select symbol, cast(ts as date), median(10000 * (ask_close - bid_close) / ((ask_close + bid_close) / 2))
            from '{shared("us_minute_lean")}' where cast(ts as time) >= '09:30' and cast(ts as time) <
            (case when cast(ts as date) in (DATE '2015-12-24') then TIME '13:00' else TIME '16:00' end)
            and bid_close > 0 and ask_close >= bid_close group by all"""
    ).fetchall()
    assert len(found) == len(expected) > 30
    for symbol, day, spread in expected:
        assert found[symbol, day] == pytest.approx(spread, rel=1e-9), (symbol, day)
    assert 0.5 < found["SPY", date(2013, 10, 8)] < 0.7


def test_early_closes_end_the_day_and_zones_and_lengths_are_read(tmp_path: Path) -> None:
    """On 2021-11-26 trading ends at 13:00, 18:00 UTC: of four five-minute bars around it, two belong to the session."""
    times = pd.to_datetime(["2021-11-26T14:30Z", "2021-11-26T17:55Z", "2021-11-26T17:56Z", "2021-11-26T18:00Z"])
    frame = pd.DataFrame(
        {
            "time": times.strftime("%Y-%m-%d %H:%M"),
            "symbol": "A",
            "open": [10, 11, 50, 60],
            "high": [12, 13, 50, 60],
            "low": [9, 10, 50, 60],
            "close": [11, 12, 50, 60],
            "volume": [100, 200, 300, 400],
        }
    )
    frame.to_csv(tmp_path / "utc.csv", index=False)
    mapping = MinuteColumns(label=Label.START, minutes=5, zone="UTC")
    bar = read_minutes((tmp_path / "utc.csv").read_bytes(), mapping, where="utc.csv")[0].iloc[0]
    assert bar.tolist() == [pd.Timestamp("2021-11-26"), "A", 10, 13, 9, 12, 300, "stock", ""]


def test_days_cut_short_and_minutes_on_a_saturday_are_quarantined_and_named(tmp_path: Path) -> None:
    """Real files: one whose days end three hours early, one with bars of NVDA on Saturdays."""
    source = pd.read_parquet(shared("us_5min_defective"))
    (tmp_path / "five.yml").write_text("minutes: {label: start, minutes: 5, columns: {time: ts}}")
    mapping = read_mapping(tmp_path / "five.yml")
    for version in ("fixed", "original"):
        path = tmp_path / f"{version}.parquet"
        source[source["version"] == version].to_parquet(path)
    words = {"mapping": mapping, "basis": PriceBasis.TOTAL_RETURN, "config": CurationConfig()}
    with pytest.raises(BadBars, match=r"none of the \d+ rows can be kept \(null_price"):
        ingest(DeliveryFiles(tmp_path / "fixed.parquet"), tmp_path / "fixed", DeliveryTerms(**words))
    assert not (tmp_path / "fixed").exists()
    ingest(DeliveryFiles(tmp_path / "original.parquet"), tmp_path / "original", DeliveryTerms(**words))
    found = audit(tmp_path / "original", None, None)
    closed = {a.session for a in found.audits if a.reasons and a.reasons[0].startswith("non_session")}
    assert {date(2025, 11, 8), date(2025, 11, 27)} <= closed  # a Saturday, and Thanksgiving
    assert not closed & set(xnys(date(2025, 10, 1), date(2026, 4, 1)).days)


def test_five_minute_bars_of_a_year_make_a_green_dataset(tmp_path: Path) -> None:
    """78 bars a day, 18 names, 2025-02-03 to 2026-03-18."""
    source = shared("us_5min_2025_2026_open")
    (tmp_path / "five.yml").write_text("minutes: {label: start, minutes: 5, columns: {time: ts}}")
    ingest(
        DeliveryFiles(source),
        tmp_path / "us",
        DeliveryTerms(mapping=read_mapping(tmp_path / "five.yml"), basis=PriceBasis.TOTAL_RETURN, config=CurationConfig(min_history=60)),
    )
    manifest = read_manifest(tmp_path / "us")
    assert (manifest.first, manifest.last) == (date(2025, 2, 3), date(2026, 3, 18))
    assert sum(a.status is SessionStatus.GREEN for a in manifest.audits) > 0.95 * len(manifest.audits)


def test_a_mapping_of_minutes_must_say_what_their_times_mark(tmp_path: Path) -> None:
    (tmp_path / "mute.yml").write_text("minutes: {columns: {time: ts}}")
    with pytest.raises(BadConfig, match=r"minutes\.label"):
        read_mapping(tmp_path / "mute.yml")
    (tmp_path / "moon.yml").write_text("minutes: {label: end, zone: Moon/Tycho}")
    with pytest.raises(BadConfig, match="no time zone"):
        read_mapping(tmp_path / "moon.yml")


# -- two vendors of one market -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """90 names that two vendors both have, 2013 and 2014: split-adjusted with adj_close, and fully adjusted."""
    folder = tmp_path_factory.mktemp("vendors")
    frames = {}
    for name in ("us_daily_2013_2023_yf_open", "us_daily_2007_2014_cc0_open"):
        span = [("date", ">=", date(2013, 1, 2)), ("date", "<=", date(2014, 12, 31)), ("kind", "=", "stock")]
        frames[name.split("_")[4]] = pd.read_parquet(shared(name), filters=span)
    names = sorted(set.intersection(*(set(frame["symbol"]) for frame in frames.values())))[:90]
    assert len(names) == 90
    for vendor, basis in (("yf", PriceBasis.SPLIT_ADJUSTED), ("cc0", PriceBasis.TOTAL_RETURN)):
        path = folder / f"{vendor}.parquet"
        frames[vendor][frames[vendor]["symbol"].isin(names)].to_parquet(path)
        ingest(DeliveryFiles(path), folder / vendor, DeliveryTerms(mapping=Mapping(), basis=basis, config=CurationConfig(min_history=60)))
    return {vendor: folder / vendor for vendor in ("yf", "cc0")}


def panel_of(folder: Path) -> tuple[Manifest, Bars]:
    manifest = read_manifest(folder)
    return manifest, load_bars(folder, manifest, date(2013, 1, 2), date(2014, 12, 31))


def test_two_daily_vendors_give_one_schema_the_same_names_and_nearly_the_same_returns(vendors: dict[str, Path]) -> None:
    """Rounding and late corrections remain: the median difference is under a basis point."""
    (first, yf), (second, cc0) = (panel_of(vendors[name]) for name in ("yf", "cc0"))
    assert schema_of(vendors["yf"]) == schema_of(vendors["cc0"])
    assert yf.symbols == cc0.symbols
    assert (first.first, first.last) == (second.first, second.last)
    both = np.isfinite(yf.total_return) & np.isfinite(cc0.total_return)
    assert both.mean() > 0.95
    a, b = yf.total_return[both], cc0.total_return[both]
    assert np.corrcoef(a, b)[0, 1] > 0.98
    assert np.median(np.abs(a - b)) < 1e-4


def test_the_metrics_of_a_plain_signal_are_comparable_over_two_vendors(vendors: dict[str, Path]) -> None:
    """Rank IC of the five-session reversal against the next five sessions: the two agree within 0.005."""
    found = {}
    for vendor, folder in vendors.items():
        _, panel = panel_of(folder)
        growth = np.log1p(np.where(np.isfinite(panel.total_return), panel.total_return, 0.0)).cumsum(axis=0)
        past, future = growth[5:-5] - growth[:-10], growth[10:] - growth[5:-5]
        series = [spearmanr(-past[t], future[t]).statistic for t in range(0, len(past), 5)]
        found[vendor] = float(np.mean(series))
    assert abs(found["yf"] - found["cc0"]) < 0.005
    assert max(map(abs, found.values())) < 0.05


# -- splits ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def apple(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AAPL and three neighbours, raw, nothing recorded."""
    folder = tmp_path_factory.mktemp("apple")
    names = ["AAPL", "IBM", "BAC", "SPY"]
    pd.read_parquet(shared("us_daily_raw_lean"), filters=[("symbol", "in", names)]).to_parquet(folder / "raw.parquet")
    ingest(
        DeliveryFiles(folder / "raw.parquet"),
        folder / "us",
        DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig()),
    )
    return folder


def test_the_four_splits_of_apple_are_proposed_the_fall_of_2000_09_29_is_not_and_nothing_is_applied(apple: Path) -> None:
    folder = apple / "us"
    code, said = run("audit", "--data", folder, "--propose", apple / "splits.csv", "--json")
    assert code in (0, 1)
    proposed = [(p["effective"], p["ratio"]) for p in json.loads(said)["suggested_splits"] if p["symbol"] == "AAPL"]
    assert proposed == [("2000-06-21", 2.0), ("2005-02-28", 2.0), ("2014-06-09", 7.0), ("2020-08-31", 4.0)]
    manifest = read_manifest(folder)
    assert load_actions(folder, manifest) == ()
    bars = bars_of(folder).set_index(["symbol", "session"])
    assert bars.loc["AAPL", date(2014, 6, 9)]["total_return"] == pytest.approx(93.70 / 645.57 - 1, abs=1e-5)
    assert bars.loc["AAPL", date(2000, 9, 29)]["total_return"] == pytest.approx(-0.516, abs=0.002)


def test_a_confirmed_proposal_is_an_action_like_any_other(apple: Path, tmp_path: Path) -> None:
    run("audit", "--data", apple / "us", "--propose", tmp_path / "all.csv")
    table = pd.read_csv(tmp_path / "all.csv")
    table[table["symbol"] == "AAPL"].to_csv(tmp_path / "checked.csv", index=False)
    code, said = run(
        "ingest", "--bars", apple / "raw.parquet", "--actions", tmp_path / "checked.csv", "--basis", "raw", "--to", tmp_path / "us"
    )
    assert code == 0, said
    report = audit(tmp_path / "us", None, None)
    assert [p for p in report.proposals if p.symbol == "AAPL"] == []
    bars = bars_of(tmp_path / "us").set_index(["symbol", "session"])
    assert bars.loc["AAPL", date(2014, 6, 9)]["total_return"] == pytest.approx(7 * 93.70 / 645.57 - 1, abs=1e-5)
    assert bars.loc["AAPL", date(2020, 8, 31)]["total_return"] == pytest.approx(0.0339, abs=0.001)
