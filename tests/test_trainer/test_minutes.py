"""Minutes that are kept: labels, zones, sessions, quarantine, rolls, ticks, and the invented instrument."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from signals.errors import BadBars, DataNotUsable, FixInput, UnknownSymbol
from signals.indicators.catalogue import indicators, rows_of
from signals.market.dataset import FileRole, read_manifest, read_table
from signals.market.sessions import exchange
from signals.minutes.bars import MinuteBars
from signals.minutes.grid import Hours, grid_of
from signals.minutes.stretch import stretch
from signals.sleeves.bars import BARS
from trainer.__main__ import app
from trainer.curation.generated.minutes import GeneratedMinutes, generate_minutes
from trainer.curation.minutes.ingest import MinuteTerms, ingest_minutes
from trainer.curation.vendors.mapping import Label
from trainer.runs.evidence import read_evidence
from trainer.samples.intraday import load_minutes, minutes_of_file

DATA = Path("../shared/data")
END = date(2025, 12, 1)


@pytest.fixture(scope="module")
def invented() -> GeneratedMinutes:
    """Twelve sessions around Thanksgiving, with its half day."""
    return generate_minutes(3, 12, end=END)


def frame_of(invented: GeneratedMinutes) -> pd.DataFrame:
    return invented.table().to_pandas()


def ingested(tmp_path: Path, frame: pd.DataFrame, name: str = "m", calendar: str = "XNYS", **terms: object) -> Path:
    file = tmp_path / f"{name}.parquet"
    frame.to_parquet(file)
    ingest_minutes([file], tmp_path / name, MinuteTerms(calendar, **terms))  # type: ignore[arg-type]
    return tmp_path / name


def loaded(folder: Path, symbol: str = "GEN", hours: Hours = Hours.RTH) -> MinuteBars:
    return load_minutes(folder, read_manifest(folder), symbol, hours)


def sessions_table(folder: Path) -> pd.DataFrame:
    return read_table(folder, read_manifest(folder).of_role(FileRole.MINUTE_SESSIONS)[0]).to_pandas()


def test_what_was_invented_is_what_is_loaded_half_day_included(tmp_path: Path, invented: GeneratedMinutes) -> None:
    bars = loaded(ingested(tmp_path, frame_of(invented)))
    assert bars.sessions.tolist() == invented.grid.sessions.tolist()
    assert bars.minutes[bars.sessions == np.datetime64("2025-11-28")].tolist() == [210]
    np.testing.assert_array_equal(bars.close, invented.bars["close"])
    np.testing.assert_allclose(bars.overnight[1:], bars.first_open[1:] / bars.last_close[:-1] - 1.0, rtol=1e-15)
    manifest = read_manifest(tmp_path / "m")
    assert {str(audit.status) for audit in manifest.audits} == {"GREEN"}
    assert len(manifest.of_role(FileRole.MINUTES)) == 2  # a file a symbol and month


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("label", [Label.START, Label.END])
def test_label_and_zone_are_read_from_the_file(tmp_path: Path, invented: GeneratedMinutes, zone: str, label: Label) -> None:
    frame = frame_of(invented)
    start = pd.Timedelta(minutes=1 if label is Label.START else 0)
    frame["time"] = (frame["time"] - start).dt.tz_convert(zone).dt.tz_localize(None)
    np.testing.assert_array_equal(loaded(ingested(tmp_path, frame)).close, invented.bars["close"])


def test_a_file_that_does_not_show_its_label_is_refused(tmp_path: Path) -> None:
    times = pd.date_range("2024-01-02 00:00", "2024-01-04 00:00", freq="min", tz="UTC")
    frame = pd.DataFrame({"time": times, "symbol": "B", "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0})
    with pytest.raises(BadBars, match="does not show whether its times mark"):
        ingested(tmp_path, frame, calendar="24h")
    bars = loaded(ingested(tmp_path, frame[1:], calendar="24h", name="said"), "B", Hours.BOTH)
    assert bars.minutes.tolist() == [1440, 1440] and bars.close.shape == (2, 1440)


def test_ingesting_the_same_twice_changes_nothing_and_added_rows_revise(tmp_path: Path, invented: GeneratedMinutes) -> None:
    frame = frame_of(invented)
    folder = ingested(tmp_path, frame)
    assert read_manifest(ingested(tmp_path, frame)).version == 1
    changed = frame.tail(1).assign(close=frame["low"].iloc[-1])
    changed.to_parquet(tmp_path / "more.parquet")
    ingest_minutes([tmp_path / "more.parquet"], folder, MinuteTerms("XNYS", label=Label.END, is_added=True))
    assert read_manifest(folder).version == 2
    assert loaded(folder).close[-1, 389] == frame["low"].iloc[-1]


def test_rows_that_cannot_be_true_are_quarantined_with_their_reason(tmp_path: Path, invented: GeneratedMinutes) -> None:
    frame = frame_of(invented)
    frame.loc[10, "low"] = frame.loc[10, "close"] + 1.0
    frame.loc[20, "volume"] = -1.0
    frame.loc[30, ["open", "high", "low", "close"]] = 0.0
    twice = frame.iloc[[40]].assign(close=frame["low"].iloc[40])
    late = frame.iloc[[50]].assign(time=frame["time"].iloc[0].normalize() + pd.Timedelta(hours=3))
    folder = ingested(tmp_path, pd.concat([frame, twice, late]), label=Label.END)
    manifest = read_manifest(folder)
    held = read_table(folder, manifest.of_role(FileRole.QUARANTINE)[0]).to_pandas()
    assert sorted(held["reasons"]) == [
        "a price is not positive",
        "a volume is negative or not finite",
        "another bar of the same minute",
        "outside of the sessions",
        "the range does not hold open and close",
    ]
    assert str(manifest.audits[0].status) == "AMBER" and manifest.audits[0].quarantined == 5
    first = loaded(folder)
    assert not first.traded[0, [10, 20, 30]].any() and first.close[0, 10] == first.close[0, 9]  # no trade: the price stays


@pytest.mark.parametrize("year", [2025, 2099])
def test_a_minute_of_the_future_is_refused_and_nothing_is_written(tmp_path: Path, invented: GeneratedMinutes, year: int) -> None:
    frame = frame_of(invented)
    last = frame[frame["time"].dt.date == date(2025, 12, 1)]
    later = last.assign(time=last["time"] + (pd.Timestamp(year, 12, 2) - pd.Timestamp(2025, 12, 1)))
    for today, rows in ((date(2025, 12, 1), pd.concat([frame, later])), (date(2025, 11, 30), frame)):
        with pytest.raises(BadBars, match=r"a minute of the future: .*m\.parquet, row"):
            ingested(tmp_path, rows, today=today)
    assert not (tmp_path / "m").exists()
    ingested(tmp_path, frame, today=date(2025, 12, 1))


@pytest.mark.parametrize("factor", [1.0, 1.01, 100.0])
def test_a_session_that_repeats_the_one_before_is_quarantined(tmp_path: Path, invented: GeneratedMinutes, factor: float) -> None:
    frame = frame_of(invented)
    before, spoilt, after = (frame["time"].dt.date == date(2025, 11, day) for day in (20, 21, 24))
    prices = ["open", "high", "low", "close"]
    frame.loc[spoilt, prices] = (frame.loc[before, prices].to_numpy() * factor).round(4)
    folder = ingested(tmp_path, frame)
    status = {audit.session: (str(audit.status), audit.quarantined) for audit in read_manifest(folder).audits}
    assert status[date(2025, 11, 21)] == ("RED", 390) and status[date(2025, 11, 20)] == status[date(2025, 11, 24)] == ("GREEN", 0)
    bars = loaded(folder)
    assert np.datetime64("2025-11-21") not in bars.sessions and after.sum() == 390
    newest = frame[~after & (frame["time"].dt.date <= date(2025, 11, 21))]
    assert read_manifest(ingested(tmp_path, newest, "newest")).last == date(2025, 11, 21), (
        "a session without a sound row is told, not hidden"
    )


def test_a_minute_at_a_hundred_times_its_price_and_figures_without_end_are_not_believed(tmp_path: Path, invented: GeneratedMinutes) -> None:
    frame = frame_of(invented)
    frame = frame.assign(bid=frame["close"] - 0.01, ask=frame["close"] + 0.01)
    frame.loc[400, ["open", "high", "low", "close"]] *= 100.0
    frame.loc[410, "volume"] = np.inf
    frame.loc[420, "ask"] = np.inf
    folder = ingested(tmp_path, frame)
    held = read_table(folder, read_manifest(folder).of_role(FileRole.QUARANTINE)[0]).to_pandas()
    assert sorted(held["reasons"]) == ["a volume is negative or not finite", "moved by 100 or 1000 for a few bars"]
    bars = loaded(folder)
    assert bars.quotes is not None and np.isnan(bars.quotes["ask"][1, 30]) and bars.traded[1, 30]
    assert np.nanmax(bars.close) < 2 * np.nanmin(bars.close)


@pytest.mark.parametrize("name", ["high", "volume"])
def test_a_file_that_is_asked_about_holds_no_figure_without_end(tmp_path: Path, invented: GeneratedMinutes, name: str) -> None:
    frame, file = frame_of(invented), tmp_path / "asked.parquet"
    frame.to_parquet(file)
    assert len(minutes_of_file(file, "XNYS", Hours.RTH).sessions) == 12
    frame.loc[400, name] = np.inf
    frame.to_parquet(file)
    with pytest.raises(BadBars, match="1 minutes contradict themselves"):
        minutes_of_file(file, "XNYS", Hours.RTH)


def test_a_session_that_misses_more_than_two_percent_is_red_and_absent(tmp_path: Path, invented: GeneratedMinutes) -> None:
    frame = frame_of(invented)
    day = frame["time"].dt.date
    third, fourth = sorted(set(day))[2:4]
    hole = (day == third) & frame["time"].dt.strftime("%H:%M").between("15:00", "15:45")
    quiet = (day == fourth) & frame["time"].dt.strftime("%H:%M").between("15:00", "15:15")
    folder = ingested(tmp_path, frame[~(hole | quiet)])
    status = sessions_table(folder).set_index("session")["status"]
    assert status[third] == "RED" and status[fourth] == "GREEN"  # 46 minutes are a hole, 16 are quiet
    bars = loaded(folder)
    assert third not in bars.sessions.astype(object).tolist()
    at = bars.sessions.astype(object).tolist().index(fourth)
    assert bars.overnight[at] == bars.first_open[at] / bars.last_close[at - 1] - 1.0
    with pytest.raises(UnknownSymbol, match="Name one of: GEN"):
        loaded(folder, "OTHER")
    with pytest.raises(DataNotUsable, match="no session of GEN"):
        loaded(folder, hours=Hours.ETH)


def contracts(days: list[str]) -> pd.DataFrame:
    """Two contracts: the near one trades more until the second day, then the far one; the far one costs 10 % more."""
    rows = []
    for number, day in enumerate(days):
        for contract, price, volume in (("202403", 100.0, 50 if number < 2 else 5), ("202406", 110.0, 20)):
            times = pd.date_range(f"{day} 13:30", f"{day} 19:59", freq="min")
            rows.append(pd.DataFrame({"time": times, "root": "ES", "contract": contract, "close": price + number, "volume": volume}))
    frame = pd.concat(rows)
    return frame.assign(open=frame["close"], high=frame["close"], low=frame["close"])


def test_a_roll_moves_nothing_and_is_decided_by_the_session_before(tmp_path: Path) -> None:
    frame = contracts(["2024-03-12", "2024-03-13", "2024-03-14", "2024-03-15"])
    folder = ingested(tmp_path, frame, calendar="CME", zone="UTC", label=Label.START)
    bars = loaded(folder, "ES")  # 08:30 to 15:00 in Chicago
    known = sessions_table(folder)
    known = known[known["symbol"] == "ES"]
    assert known["rows_of"].tolist() == ["ES202403", "ES202403", "ES202406"]  # of the 13th, 14th, 15th: more volume on the 14th
    assert bars.first_open.tolist() == [101.0, 102.0, 113.0]
    np.testing.assert_allclose(bars.overnight[1:], [102 / 101 - 1, 113 / 112 - 1], rtol=1e-14)  # the far contract's own night


def test_hours_are_the_regular_ones_those_before_or_both() -> None:
    days = exchange("XNYS", date(2024, 7, 2), date(2024, 7, 5))
    assert grid_of(days, Hours.RTH).minutes.tolist() == [390, 210, 390]
    assert grid_of(days, Hours.ETH).minutes.tolist() == [330, 330, 330]
    assert grid_of(days, Hours.BOTH).minutes.tolist() == [960, 780, 960]
    futures = exchange("CMES", date(2013, 10, 7), date(2013, 10, 8))
    assert grid_of(futures, Hours.BOTH).minutes.tolist() == [1395, 1395]  # to 16:15 in Chicago, in those days
    futures = exchange("CMES", date(2024, 3, 8), date(2024, 3, 11))
    assert grid_of(futures, Hours.BOTH).minutes.tolist() == [1380, 1380]
    assert grid_of(futures, Hours.RTH).opens.astype(str).tolist() == ["2024-03-08T14:30", "2024-03-11T13:30"]  # the clocks change
    with pytest.raises(FixInput, match="has no eth hours"):
        grid_of(exchange("24/7", date(2024, 1, 1), date(2024, 1, 2)), Hours.ETH)


def test_ticks_become_minutes(tmp_path: Path) -> None:
    base = pd.Timestamp("2024-01-02 14:30", tz="UTC")
    seconds, prices, sizes = [0, 20, 59, 60, 200], [10.0, 12.0, 9.0, 11.0, 8.0], [1, 2, 3, 4, 5]
    more = pd.date_range(base + pd.Timedelta(minutes=4), base + pd.Timedelta(minutes=389), freq="min")
    times = [*(base + pd.Timedelta(seconds=s) for s in seconds), *more]
    frame = pd.DataFrame({"time": times, "symbol": "T", "price": [*prices, *[7.0] * len(more)], "size": [*sizes, *[1] * len(more)]})
    bars = loaded(ingested(tmp_path, frame), "T")
    figures = [getattr(bars, name)[0, :4].tolist() for name in ("open", "high", "low", "close", "volume")]
    quiet = [11.0, 11.0, 8.0]
    assert figures == [[10.0, *quiet], [12.0, *quiet], [9.0, *quiet], [9.0, *quiet], [6.0, 4.0, 0.0, 5.0]]
    assert bars.traded[0, :4].tolist() == [True, True, False, True]


def test_crossed_quotes_are_left_out_and_the_trade_stays(tmp_path: Path, invented: GeneratedMinutes) -> None:
    frame = frame_of(invented)
    frame["bid"], frame["ask"] = frame["close"] - 0.01, frame["close"] + 0.01
    frame.loc[5, "bid"] = frame.loc[5, "ask"] + 0.01
    bars = loaded(ingested(tmp_path, frame))
    assert np.isnan(bars.quotes["bid"][0, 5]) and np.isnan(bars.quotes["ask"][0, 5]) and bars.traded[0, 5]
    assert bars.quotes["ask"][0, 4] == frame.loc[4, "ask"]


def test_the_same_seed_invents_the_same_bytes_and_strength_alone_is_the_signal(tmp_path: Path, invented: GeneratedMinutes) -> None:
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    for to in (one, two):
        words = ["generate-minutes", "--seed", "3", "--sessions", "12", "--end", str(END), "--to", str(to)]
        assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    assert one.read_bytes() == two.read_bytes()
    assert (tmp_path / "one_truth.parquet").read_bytes() == (tmp_path / "two_truth.parquet").read_bytes()
    noise = generate_minutes(3, 12, end=END, strength=0.0)
    np.testing.assert_array_equal(noise.bars["volume"], invented.bars["volume"])
    assert np.nanmax(np.abs(noise.mu)) == 0.0 < np.nanmax(np.abs(invented.mu))
    growth = [np.log(m.bars["close"] / m.bars["open"]) for m in (invented, noise)]
    np.testing.assert_allclose(growth[0] - growth[1], invented.mu, atol=3e-6)  # but for the rounding of prices


REAL = [  # file, calendar, rows that are taken, symbol, hours, sessions, minutes, training bar, evenings that can be scored
    ("futures_minute_lean", "CME", ("ES", "2013-10-12"), "ES", Hours.BOTH, 4, 1395, 5, 2),
    ("futures_minute_lean", "CME", ("GC", "2013-10-12"), "GC", Hours.BOTH, 4, 1395, 5, 2),
    ("futures_1min_6eh4_202401", "CME", (), "6E", Hours.BOTH, 21, 1380, 5, 19),
    ("crypto_1min_btcperp_2022", "24h", (), "BTC-PERP", Hours.BOTH, 31, 1440, 5, 29),
    ("us_1min_2019w07", "XNYS", (), "SPY", Hours.RTH, 5, 390, 1, 3),
    pytest.param("us_minute_lean", "XNYS", (), "SPY", Hours.RTH, 7, 390, 1, 5, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "calendar", "part", "symbol", "hours", "sessions", "minutes", "timeframe", "scored"), REAL)
def test_real_minutes_come_in_and_have_features_without_a_hand(
    tmp_path: Path,
    name: str,
    calendar: str,
    part: tuple[str, ...],
    symbol: str,
    hours: Hours,
    sessions: int,
    minutes: int,
    timeframe: int,
    scored: int,
) -> None:
    """Ingest, audit, overnight returns across rolls, and the indicators of the sleeve; quotes give order flow."""
    file = DATA / f"{name}.parquet"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    if part:
        root, until = part
        wanted = [("root", "=", root), ("ts", "<", pd.Timestamp(until)), ("contract", "<", "201403")]
        pd.read_parquet(file, filters=wanted).to_parquet(tmp_path / "part.parquet")
        file = tmp_path / "part.parquet"
    folder = tmp_path / name
    manifest = ingest_minutes([file], folder, MinuteTerms(calendar))
    assert len(manifest.audits) >= sessions
    bars = loaded(folder, symbol, hours)
    assert (len(bars.sessions), int(bars.minutes.max())) == (sessions, minutes)
    sleeve = replace(BARS, timeframe=timeframe, hours=hours, session_minutes=minutes)
    moments, panel = sleeve.intraday(bars)
    rows = panel.eligible[:, 0]
    assert len(np.unique(moments.session[rows])) == scored
    assert np.isfinite(panel.values[rows]).mean() > 0.97 and not np.isinf(panel.values).any()
    if bars.quotes:
        flow = indicators(stretch(bars, timeframe, 20), rows_of(("order_flow_10", "quoted_spread")))
        assert np.isfinite(flow[20:]).mean() > 0.8
    near = np.diff(bars.sessions) < np.timedelta64(7, "D")
    assert np.nanmax(np.abs(bars.overnight[1:][near])) < 0.05


@pytest.mark.slow
def test_two_vendors_of_the_same_minutes_train_alike(tmp_path: Path) -> None:
    """One says END and UTC with every digit; the other START, New York, cents and the volume of fewer venues.

    Tolerances: features correlate at 0.99 in the median, scores out of fold at 0.8, their IC walking forward differs by at most 0.05.
    """
    made = frame_of(generate_minutes(5, 80, end=END, strength=5.0))
    rng, other = np.random.default_rng(1), made.copy()
    other["time"] = (made["time"] - pd.Timedelta(minutes=1)).dt.tz_convert("America/New_York").dt.tz_localize(None)
    prices = ["open", "high", "low", "close"]
    other[prices] = made[prices].round(2)
    other["volume"] = (made["volume"] * rng.uniform(0.85, 0.95, len(made))).round()
    recipe = "sleeve: bars\nlabel: {kind: barrier_classes, k: 6}\nlightgbm: {trees: 25, num_leaves: 15, min_data_in_leaf: 100}\n"
    (tmp_path / "bars.yml").write_text(recipe + "cpcv: {groups: 3, test_groups: 1}\n")
    values, scores, known = [], [], []
    for name, frame in (("one", made), ("two", other)):
        folder, run = ingested(tmp_path, frame, name), tmp_path / f"{name}.run"
        words = ["--sleeve", "bars", "--symbol", "GEN", "--data", str(folder), "--run", str(run), "--config", str(tmp_path / "bars.yml")]
        done = CliRunner().invoke(app, ["train", *words])
        assert done.exit_code == 0, done.output
        values.append(replace(BARS, hours=Hours.RTH).intraday(loaded(folder))[1].values[-1000:, 0])
        scores.append(pd.read_parquet(run / "oof.parquet")["score"])
        known.append(read_evidence(run))
    alike = [np.corrcoef(a[np.isfinite(a + b)], b[np.isfinite(a + b)])[0, 1] for a, b in zip(*(v.T for v in values), strict=True)]
    assert np.nanmedian(alike) > 0.99
    assert np.corrcoef(*scores)[0, 1] > 0.8
    assert abs(known[0].forward_ic.mean - known[1].forward_ic.mean) < 0.05
