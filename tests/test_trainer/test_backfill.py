"""What the audit misses is named, fetched, delivered and curated; a hole stops training until it is filled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from signals.errors import BadBars, BrokerUnreachable, TrademlError
from signals.market.actions import Action, ActionKind
from signals.market.dataset import load_bars, read_manifest
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.market.sessions import SessionStatus, xnys
from tests.fakes.curated import END
from trainer.__main__ import app
from trainer.curation.audit.findings import Missing, missing
from trainer.curation.backfill import SPOOL, backfill, off_level, requests
from trainer.curation.config import CurationConfig
from trainer.curation.deliveries.receipts import read_receipts
from trainer.curation.generated import generate
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, FileVendor, ingest
from trainer.curation.vendors.mapping import Mapping, read_mapping

ROOT = Path(__file__).resolve().parents[2]
SMALL = CurationConfig(min_history=30)
RECIPE = """
lightgbm: {trees: 15, num_leaves: 7, min_data_in_leaf: 100}
cpcv: {groups: 4, test_groups: 2, embargo_sessions: 5, holdout_sessions: 40, long_embargo_sessions: 0}
"""


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and output of a command; a known error gives its own exit code and its text."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, TrademlError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated market of 60 names over 300 sessions, as a vendor delivers it."""
    folder = tmp_path_factory.mktemp("vendor")
    generate(5, 60, 300, END).write(folder)
    return folder


@pytest.fixture(scope="module")
def whole(delivery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ingested(delivery / "bars.parquet", delivery, tmp_path_factory.mktemp("whole") / "us")


@pytest.fixture(scope="module")
def week(whole: Path) -> tuple[date, ...]:
    calendar = read_manifest(whole).calendar
    return tuple(calendar.offset(END, -100 + i) for i in range(5))


@pytest.fixture(scope="module")
def hole(delivery: Path, week: tuple[date, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same delivery without one week of every third symbol that was there before it."""
    frame = pq.read_table(delivery / "bars.parquet").to_pandas()
    day = frame["date"].astype("datetime64[s]").dt.date
    lost = sorted(frame.loc[day < week[0], "symbol"].unique())[::3]
    inside = day.isin(week)
    path = tmp_path_factory.mktemp("hole") / "bars.parquet"
    frame[~(inside & frame["symbol"].isin(lost))].to_parquet(path)
    return path


def ingested(bars: Path, delivery: Path, to: Path, basis: PriceBasis = PriceBasis.RAW) -> Path:
    ingest(DeliveryFiles(bars, delivery / "actions.parquet"), to, DeliveryTerms(mapping=Mapping(), basis=basis, config=SMALL))
    return to


def statuses(manifest: Manifest, days: Sequence[date]) -> list[SessionStatus]:
    return [manifest.status(day).status for day in days]


def bars_files(folder: Path) -> list[str]:
    return [record.path for record in read_manifest(folder).of_role(FileRole.BARS)]


def test_a_week_of_symbols_deleted_stops_training_until_backfill_brings_it_back(
    delivery: Path, whole: Path, week: tuple[date, ...], hole: Path, tmp_path: Path
) -> None:
    """Delete -> audit RED -> training refuses and names what is missing -> backfill -> GREEN -> training runs."""
    data, recipe = tmp_path / "us", tmp_path / "recipe.yml"
    recipe.write_text(RECIPE)
    (tmp_path / "curation.yml").write_text("curation: {min_history: 30}")
    training = ("train", "--sleeve", "equities_xs", "--data", data, "--run", tmp_path / "run", "--config", recipe, "--json")
    code, _ = run(
        "ingest",
        "--bars",
        hole,
        "--actions",
        delivery / "actions.parquet",
        "--basis",
        "raw",
        "--to",
        data,
        "--config",
        tmp_path / "curation.yml",
    )
    assert code == 0
    code, text = run("audit", "--data", data, "--start", week[0], "--end", week[-1])
    assert (code, statuses(read_manifest(data), week)) == (1, [SessionStatus.RED] * 5)
    lost = sorted({run_.symbol for run_ in missing(data, read_manifest(data), week[0], week[-1])})
    assert "MISSING" in text
    assert f"{lost[0]} {week[0]} to {week[-1]}" in text

    code, said = run(*training)
    assert code == 3
    assert "5 RED sessions" in said
    assert f"{lost[0]} {week[0]} to {week[-1]}" in said
    assert "trainer backfill" in said
    assert not (tmp_path / "run").exists()

    code, said = run("backfill", "--data", data, "--start", week[0], "--end", week[-1])
    assert code == 1
    assert said.startswith(f"missing: {5 * len(lost)} bars of {len(lost)} symbols")
    code, said = run("backfill", "--data", data, "--bars", delivery / "bars.parquet", "--start", week[0], "--end", week[-1], "--json")
    assert (code, json.loads(said)["filled"], json.loads(said)["missing"]) == (0, 5 * len(lost), [])
    assert statuses(read_manifest(data), week) == statuses(read_manifest(whole), week) == [SessionStatus.GREEN] * 5
    assert bars_files(data) == bars_files(whole)
    code, said = run(*training)
    assert code == 0
    assert json.loads(said)["ic"]["sessions"] > 0


def test_a_session_that_nobody_delivered_comes_back_whole(delivery: Path, whole: Path, tmp_path: Path) -> None:
    frame = pq.read_table(delivery / "bars.parquet").to_pandas()
    day = read_manifest(whole).calendar.offset(END, -50)
    frame[frame["date"].astype("datetime64[s]").dt.date != day].to_parquet(tmp_path / "hole.parquet")
    data = ingested(tmp_path / "hole.parquet", delivery, tmp_path / "us")
    assert read_manifest(data).status(day).reasons[0] == "no usable bar"
    done = backfill(data, FileVendor(delivery / "bars.parquet", Mapping(), PriceBasis.RAW), day, day)
    assert done.manifest.status(day) == read_manifest(whole).status(day)
    assert bars_files(data) == bars_files(whole)


class Dying:
    """A vendor that answers `good` requests and then is away."""

    def __init__(self, inner: FileVendor, good: int) -> None:
        self._inner, self._good = inner, good
        self.name, self.basis = inner.name, inner.basis
        self.asked: list[tuple[tuple[str, ...], date, date]] = []

    def bars(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        if len(self.asked) == self._good:
            raise BrokerUnreachable("away")
        self.asked.append((tuple(symbols), first, last))
        return self._inner.bars(symbols, first, last)

    def actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        return pd.DataFrame()


def test_an_interrupted_backfill_asks_for_the_rest_only_and_a_finished_one_for_nothing(
    delivery: Path, whole: Path, hole: Path, tmp_path: Path
) -> None:
    data = ingested(hole, delivery, tmp_path / "us")
    file = FileVendor(delivery / "bars.parquet", Mapping(), PriceBasis.RAW)
    before = read_manifest(data)
    span = (before.first, before.last)
    needed = requests(missing(data, before, *span), before.calendar)
    assert len(needed) > 1
    first = Dying(file, 1)
    with pytest.raises(BrokerUnreachable):
        backfill(data, first, None, None)
    assert (read_manifest(data), len(read_receipts(data))) == (before, 1)
    second = Dying(file, 99)
    done = backfill(data, second, None, None)
    assert [*first.asked, *second.asked] == [(r.symbols, r.first, r.last) for r in needed]
    assert not list((data / SPOOL).glob("*"))
    assert bars_files(data) == bars_files(whole)
    third = Dying(file, 99)
    again = backfill(data, third, None, None)
    assert (again.rows, again.manifest.version, len(read_receipts(data))) == (0, done.manifest.version, 2)
    assert {cell for asked in third.asked for cell in asked[0]} == {run_.symbol for run_ in done.after}


def test_what_no_vendor_has_stays_missing_and_is_said(delivery: Path, hole: Path, tmp_path: Path) -> None:
    data = ingested(hole, delivery, tmp_path / "us")
    code, said = run("backfill", "--data", data, "--bars", hole)
    assert code == 1
    assert "0 of" in said
    assert "still missing" in said


def test_a_vendor_on_another_level_or_basis_is_refused(delivery: Path, week: tuple[date, ...], hole: Path, tmp_path: Path) -> None:
    """Half the price on the sessions next to the hole: another split basis, whatever the file is called."""
    data = ingested(hole, delivery, tmp_path / "us")
    frame = pq.read_table(delivery / "bars.parquet").to_pandas()
    for name in ("open", "high", "low", "close"):
        frame[name] /= 2
    frame.to_parquet(tmp_path / "half.parquet")
    done = backfill(data, FileVendor(tmp_path / "half.parquet", Mapping(), PriceBasis.RAW), week[0], week[-1])
    lost = sorted({run_.symbol for run_ in done.before})
    assert sorted(line.split(" ")[0] for line in done.refused) == lost
    assert (done.rows, done.after, len(read_receipts(data))) == (0, done.before, 1)
    with pytest.raises(BadBars, match="split_adjusted prices"):
        backfill(data, FileVendor(tmp_path / "half.parquet", Mapping(), PriceBasis.SPLIT_ADJUSTED), None, None)


@pytest.mark.parametrize("factor", [1.5, 1.03])
def test_exactly_the_missing_rows_at_another_level_are_refused_and_the_right_ones_then_accepted(
    delivery: Path, whole: Path, week: tuple[date, ...], hole: Path, tmp_path: Path, factor: float
) -> None:
    """No session of both shows the level, so the bars next to the gap do: there by a factor, and back again."""
    data = ingested(hole, delivery, tmp_path / "us")
    frame = pq.read_table(delivery / "bars.parquet").to_pandas()
    day = frame["date"].astype("datetime64[s]").dt.date
    lost = {gap.symbol for gap in missing(data, read_manifest(data), week[0], week[-1])}
    only = frame[day.isin(week) & frame["symbol"].isin(lost)]
    off = only.assign(**{name: only[name] * factor for name in ("open", "high", "low", "close")})
    off.to_parquet(tmp_path / "off.parquet")
    only.to_parquet(tmp_path / "right.parquet")
    done = backfill(data, FileVendor(tmp_path / "off.parquet", Mapping(), PriceBasis.RAW), week[0], week[-1])
    assert len(off) == 5 * len(lost)
    assert (done.rows, len(done.refused), len(read_receipts(data))) == (0, len(lost), 1)
    assert "deliver the session before or after the gap too" in done.refused[0]
    done = backfill(data, FileVendor(tmp_path / "right.parquet", Mapping(), PriceBasis.RAW), week[0], week[-1])
    assert (done.refused, done.after) == ((), ())
    assert bars_files(data) == bars_files(whole)


def steps_beside(closes: dict[str, tuple[float, float | None]], **options: object) -> dict[str, str]:
    """Refusals of a gap on 2021-06-09, filled at (open 150, close 150), between bars held on the 8th and the 10th."""
    days = [date(2021, 6, 8), date(2021, 6, 9), date(2021, 6, 10)]
    manifest = SimpleNamespace(calendar=xnys(days[0], days[-1]), basis=options.get("basis", PriceBasis.RAW))
    stamps = [pd.Timestamp(day) for day in days]
    held = pd.DataFrame(
        [(name, stamps[0], before, before) for name, (before, _) in closes.items()]
        + [(name, stamps[2], after, after) for name, (_, after) in closes.items() if after is not None],
        columns=["symbol", "date", "open", "close"],
    )
    filling = pd.DataFrame([(name, stamps[1], 150.0, 150.0) for name in closes], columns=["symbol", "date", "open", "close"])
    agreed = pd.DataFrame({"symbol": options.get("agreed", []), "date": stamps[:1] * len(options.get("agreed", []))})  # type: ignore[arg-type]
    agreed["date"] = pd.to_datetime(agreed["date"])
    runs = [Missing(name, days[1], days[1], 1) for name in closes]
    return off_level(filling, agreed, held, options.get("actions", ()), runs, manifest)  # type: ignore[arg-type]


def test_a_level_is_wrong_where_prices_go_there_and_back_and_a_move_that_stays_is_none() -> None:
    """150 after 100 and before 101 is a level; after 100 and before 152 a move; after 100 at the end is asked about."""
    found = steps_beside({"LEVEL": (100.0, 101.0), "MOVE": (100.0, 152.0), "LAST": (100.0, None), "NEAR": (130.0, None)})
    assert sorted(found) == ["LAST", "LEVEL"]
    assert found["LEVEL"].startswith("LEVEL 2021-06-09: 150 delivered, 100 held on 2021-06-08, 101 on 2021-06-10")
    assert not steps_beside({"LEVEL": (100.0, 101.0)}, agreed=["LEVEL"])
    split = [Action(ActionKind.SPLIT, "S", day, day, ratio=Decimal(r)) for day, r in ((date(2021, 6, 9), "0.5"), (date(2021, 6, 10), "2"))]
    assert not steps_beside({"S": (75.0, 75.0)}, actions=split)
    assert sorted(steps_beside({"S": (75.0, 75.0)}, actions=split[:1])) == []
    assert sorted(steps_beside({"S": (75.0, 75.0)})) == ["S"]
    assert sorted(steps_beside({"T": (150.0, 150.0)}, basis=PriceBasis.TOTAL_RETURN)) == ["T"]


def test_an_end_past_the_last_session_extends_every_living_name(delivery: Path, whole: Path, tmp_path: Path) -> None:
    frame = pq.read_table(delivery / "bars.parquet").to_pandas()
    calendar = read_manifest(whole).calendar
    cut = calendar.offset(END, -3)
    day = frame["date"].astype("datetime64[s]").dt.date
    frame[day <= cut].to_parquet(tmp_path / "early.parquet")
    data = ingested(tmp_path / "early.parquet", delivery, tmp_path / "us")
    done = backfill(data, FileVendor(delivery / "bars.parquet", Mapping(), PriceBasis.RAW), calendar.next(cut), END)
    assert done.manifest.last == END
    held, expected = (load_bars(f, read_manifest(f), cut, END) for f in (data, whole))
    alive = [name for name in expected.symbols if np.isfinite(expected.close[0, expected.symbols.index(name)])]
    assert set(alive) <= set(held.symbols)
    for name in alive:
        mine, theirs = (panel.close[:, panel.symbols.index(name)] for panel in (held, expected))
        assert np.array_equal(mine, theirs, equal_nan=True)


def test_returns_over_a_filled_hole_are_those_of_the_vendor_at_any_level_of_its_adjusted_closes(tmp_path: Path) -> None:
    """Real bars with adjusted closes; the second vendor's stand 7 % lower, and the returns come out the same."""
    source = ROOT / ".." / "shared" / "data" / "us_daily_2013_2023_yf_open.parquet"
    if not source.exists():
        pytest.skip(f"{source.name} absent")
    names = ["AAPL", "AMD", "MSFT", "NVDA", "JPM", "KO"]
    frame = pd.read_parquet(source, filters=[("symbol", "in", names), ("date", ">=", date(2019, 1, 2))])
    day = pd.to_datetime(frame["date"]).dt.date
    lost = (frame["symbol"] == "AAPL") & (day >= date(2020, 8, 3)) & (day <= date(2020, 8, 14))  # a dividend inside
    frame["date"] = pd.to_datetime(frame["date"])
    frame.to_parquet(tmp_path / "all.parquet")
    frame[~lost].to_parquet(tmp_path / "hole.parquet")
    frame.assign(adj_close=(frame["adj_close"] * 0.93)).to_parquet(tmp_path / "other.parquet")
    totals = []
    for name in ("all", "hole"):
        ingest(
            DeliveryFiles(tmp_path / f"{name}.parquet"),
            tmp_path / name,
            DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=SMALL),
        )
    vendor = FileVendor(tmp_path / "other.parquet", Mapping(), PriceBasis.SPLIT_ADJUSTED)
    assert backfill(tmp_path / "hole", vendor, None, None).after == ()
    for name in ("all", "hole"):
        panel = load_bars(tmp_path / name, read_manifest(tmp_path / name), date(2019, 1, 2), date(2021, 12, 31))
        totals.append(panel.total_return)
    assert np.array_equal(np.isnan(totals[0]), np.isnan(totals[1]))
    assert np.nanmax(np.abs(totals[0] - totals[1])) < 1e-6


def test_a_second_vendor_needs_a_mapping_and_no_code(delivery: Path, whole: Path, tmp_path: Path) -> None:
    """The same market under another vendor's names, dates as text and one row less: the hole filled from the first."""
    frame = pq.read_table(delivery / "bars.parquet").to_pandas()
    other = frame.rename(
        columns={
            "date": "Trade Date",
            "symbol": "Sym",
            "open": "Px Open",
            "high": "Px High",
            "low": "Px Low",
            "close": "Px Last",
            "volume": "Shares",
            "kind": "Type",
        }
    )
    other["Trade Date"] = pd.to_datetime(other["Trade Date"]).dt.strftime("%d/%m/%Y")
    other.to_csv(tmp_path / "other.csv", index=False)
    (tmp_path / "other.yml").write_text(
        "bars:\n  date_format: '%d/%m/%Y'\n  columns: {date: Trade Date, symbol: Sym, open: Px Open, high: Px High, "
        "low: Px Low, close: Px Last, volume: Shares, kind: Type}\n"
    )
    data = tmp_path / "us"
    ingest(
        DeliveryFiles(tmp_path / "other.csv", delivery / "actions.parquet"),
        data,
        DeliveryTerms(mapping=read_mapping(tmp_path / "other.yml"), basis=PriceBasis.RAW, config=SMALL),
    )
    assert bars_files(data) == bars_files(whole)


def test_missing_runs_are_of_sessions_and_not_of_calendar_days(whole: Path) -> None:
    calendar = read_manifest(whole).calendar
    friday, monday = date(2024, 6, 14), date(2024, 6, 17)
    asked = requests([Missing("A", friday, monday, 2)], calendar)
    assert [(r.symbols, r.first, r.last) for r in asked] == [(("A",), date(2024, 6, 13), date(2024, 6, 18))]
