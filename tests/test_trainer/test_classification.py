"""A classification table: what a name was known to be on each evening, from the delivery to the features of both hosts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appliance.bundles.pull import pull_data
from appliance.bundles.slots import Slot, slot_policy
from appliance.config import ApplianceConfig, StoresConfig
from appliance.market.store import MarketStore
from appliance.market.vendor_curation import StoredBars, curated
from appliance.storage.published_sources import unverified_manifest
from appliance.storage.published_store import PublishedFolder
from execution.brokers.reported import ReportedBar
from signals.audit.delivered_rows import STOCK
from signals.bundle import verify
from signals.errors import BadBars, BundleRefused, DataNotUsable
from signals.features.classified import CLASSIFIED_FEATURES
from signals.features.history import sector_return
from signals.features.panel import FeatureSpec
from signals.market.actions import Action, ActionKind
from signals.market.bars import CLASSIFIED, Bars
from signals.market.dataset import Manifest, load_bars, read_manifest
from signals.market.manifest import PriceBasis
from signals.market.sessions import xnys
from signals.models.inference import infer
from signals.scoring.scoring import newest_features
from signals.sleeves import specs
from signals.sleeves.equities_xs import EQUITIES_XS
from tests.fakes.bars import synthetic_bars
from tests.fakes.bundles import SPEC, Recipe, keyset, policy
from tests.fakes.curated import END, YOUNG
from tests.fakes.store import sign_data
from trainer.curation.audit.audit import audit, render
from trainer.curation.deliveries.receipts import Scope
from trainer.curation.generated import generate
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, as_of, ingest
from trainer.curation.vendors.mapping import Mapping
from trainer.recipes.base import RecipeConfig
from trainer.samples.samples import Range, prepare
from trainer.tasks.recipes import recipe_named

TERMS = DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=YOUNG, today=date(2026, 1, 5))
RESTATED = date(2024, 9, 3)
WIDE = EQUITIES_XS.given(CLASSIFIED)


def statements(table: pa.Table) -> list[dict[str, Any]]:
    """Every name in one of two sectors from long ago; the first changes sector, which is known ten days after it happened."""
    names = sorted(set(table["symbol"].to_pylist()))
    rows = [_row(name, date(2020, 1, 1), sector="energy" if at % 2 else "health", shares=1e6 * (at + 1)) for at, name in enumerate(names)]
    return [*rows, _row(names[0], date(2024, 8, 24), RESTATED, sector="energy", shares=7e6)]


def _row(
    symbol: str, start: date, known_at: date | None = date(2020, 1, 1), *, sector: str = "", shares: float | None = None
) -> dict[str, Any]:
    return {"symbol": symbol, "start": start, "end": None, "known_at": known_at, "sector": sector, "shares": shares}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    days = [(name, pa.date32()) for name in ("start", "end", "known_at")]
    schema = pa.schema([("symbol", pa.string()), *days, ("sector", pa.string()), ("shares", pa.float64())])
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return path


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classified")
    bars, _ = generate(5, 24, 120, END).write(folder)
    write(folder / "classification.parquet", statements(pq.read_table(bars)))
    return folder


def delivered(vendor: Path, classification: Path | None, to: Path, notes: list[str] | None = None) -> Manifest:
    files = DeliveryFiles(vendor / "bars.parquet", vendor / "actions.parquet", None, classification)
    return ingest(files, to, TERMS, note=(notes if notes is not None else []).append)


@pytest.fixture(scope="module")
def data(vendor: Path) -> Path:
    delivered(vendor, vendor / "classification.parquet", vendor / "curated")
    return vendor / "curated"


def bars_of(folder: Path) -> Bars:
    manifest = read_manifest(folder)
    return load_bars(folder, manifest, manifest.first, manifest.last)


def test_a_statement_counts_from_the_evening_on_which_it_became_known(data: Path, vendor: Path) -> None:
    bars, first = bars_of(data), statements(pq.read_table(vendor / "bars.parquet"))[0]["symbol"]
    column, until = bars.column(first), bars.index(RESTATED)
    code = bars.joined["sector_code"][:, column]
    known = np.isfinite(code)
    assert known.any() and len(set(code[known])) == 2, "the change of sector is in the range"
    assert len(set(code[:until][known[:until]])) == 1 and len(set(code[until:][known[until:]])) == 1
    assert code[known][0] != code[known][-1]
    np.testing.assert_array_equal(known, np.isfinite(bars.close[:, column]))


def test_what_becomes_known_later_changes_nothing_before(data: Path, vendor: Path, tmp_path: Path) -> None:
    """The look-ahead is planted: the table of that evening and the later one differ, and so do the features from then on alone."""
    early = [row for row in statements(pq.read_table(vendor / "bars.parquet")) if row["known_at"] < RESTATED]
    delivered(vendor, write(tmp_path / "early.parquet", early), tmp_path / "early")
    ours, theirs = bars_of(data), bars_of(tmp_path / "early")
    until = ours.index(RESTATED)
    one, other = WIDE.panel(ours).values, WIDE.panel(theirs).values
    np.testing.assert_array_equal(one[:until], other[:until])
    assert not np.array_equal(one[until:], other[until:], equal_nan=True)


def test_a_table_of_the_future_and_one_that_says_nothing_are_refused(vendor: Path, tmp_path: Path) -> None:
    for row, words in (
        (_row("A", date(2020, 1, 1), date(2026, 1, 6), sector="energy"), "known in the future"),
        (_row("A", date(2020, 1, 1)), "needs a sector, or shares"),
        (_row("A", date(2020, 1, 1), sector="energy", shares=0.0), "needs a sector, or shares above zero"),
        (_row("A", date(2020, 1, 1), sector="energy") | {"end": date(2019, 1, 1)}, "cannot start"),
        (_row("", date(2020, 1, 1), sector="energy"), "no symbol"),
    ):
        with pytest.raises(BadBars, match=words):
            delivered(vendor, write(tmp_path / "wrong.parquet", [row]), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_table_that_does_not_say_when_counts_from_its_delivery_on_and_says_so(vendor: Path, tmp_path: Path) -> None:
    rows = [row | {"known_at": None} for row in statements(pq.read_table(vendor / "bars.parquet"))]
    notes: list[str] = []
    delivered(vendor, write(tmp_path / "unsaid.parquet", rows), tmp_path / "unsaid", notes)
    assert any("do not say when they became known" in note for note in notes)
    assert not bars_of(tmp_path / "unsaid").joined, "nothing of the history was known then"
    assert EQUITIES_XS.given(bars_of(tmp_path / "unsaid").joined) is EQUITIES_XS


def test_the_audit_says_what_the_table_covers(data: Path, vendor: Path, tmp_path: Path) -> None:
    assert "CLASSIFIED known of the eligible rows by what was known then: sector of 100.0%, shares outstanding of 100.0%" in render(
        audit(data, None, None)
    )
    notes: list[str] = []
    stranger = write(tmp_path / "stranger.parquet", [_row("ZZZZ", date(2020, 1, 1), sector="energy")])
    delivered(vendor, stranger, tmp_path / "stranger", notes)
    assert "1 classified is no symbol of the bars: ZZZZ" in notes
    assert audit(tmp_path / "stranger", None, None).classified == ""


def test_a_view_of_the_past_holds_what_was_known_and_a_later_delivery_adds(vendor: Path, tmp_path: Path) -> None:
    files = DeliveryFiles(vendor / "bars.parquet", vendor / "actions.parquet")
    ingest(files, tmp_path / "plain", replace(TERMS, known_at=date(2025, 1, 2)))
    more = DeliveryFiles(None, classification=vendor / "classification.parquet")
    ingest(more, tmp_path / "plain", replace(TERMS, scope=Scope.ROWS, known_at=date(2025, 3, 3)))
    assert set(bars_of(tmp_path / "plain").joined) == set(CLASSIFIED)
    as_of(tmp_path / "plain", date(2025, 1, 2), tmp_path / "then")
    assert not bars_of(tmp_path / "then").joined


def test_features_are_there_where_the_dataset_is_classified_and_part_of_the_specification(data: Path, vendor: Path, tmp_path: Path) -> None:
    delivered(vendor, None, tmp_path / "plain")
    recipe = recipe_named("equities_xs")
    config = RecipeConfig.model_validate({"cpcv": {"groups": 3, "test_groups": 1, "holdout_sessions": 0}})
    own, plain = (prepare(recipe, config, Range(folder)) for folder in (data, tmp_path / "plain"))
    assert plain.sleeve is EQUITIES_XS and own.sleeve.spec == WIDE.spec
    assert set(own.rows.names) - set(plain.rows.names) == {
        name for feature in CLASSIFIED_FEATURES for name in (feature.name, f"rank_{feature.name}")
    }
    assert len({shape.spec_hash for shape in (EQUITIES_XS, *EQUITIES_XS.variants)}) == 8
    assert specs(WIDE.spec)["equities_xs"] == WIDE.spec and specs(())["equities_xs"] == EQUITIES_XS.spec


@pytest.mark.parametrize("declared", [{}, {"winsorise_sd": 2.0, "half_life_sessions": 2}], ids=["as it is", "treated"])
def test_the_device_computes_the_classified_row_that_the_trainer_learned_from(
    data: Path, tmp_path: Path, declared: dict[str, float]
) -> None:
    """From the store that it pulled, to the bit; bars that lost their classification are refused, not filled."""
    sign_data(data)
    manifest, trained = unverified_manifest(PublishedFolder(data)), bars_of(data)
    store = MarketStore(tmp_path / "market.duckdb", manifest.calendar)
    at = datetime.fromisoformat(f"{END}T23:00:00+00:00")
    pull_data(PublishedFolder(data), store, manifest, manifest.last, tmp_path / "incoming", at)
    config = RecipeConfig.model_validate({"features": declared or None, "cpcv": {"groups": 3, "test_groups": 1, "holdout_sessions": 0}})
    material = prepare(recipe_named("equities_xs"), config, Range(data))
    shape, panel = material.sleeve, material.panel
    assert shape.spec == (WIDE.treated(config.features) if declared else WIDE).spec and panel.symbols == trained.symbols
    for row in (60, 80, len(trained.sessions) - 1):
        asof = trained.sessions[row].astype(object)
        served = newest_features(_bundle(shape.spec), store.bars, asof)
        columns = [trained.column(symbol) for symbol in served.symbols]
        np.testing.assert_array_equal(served.values[0], panel.values[row, columns])
    with pytest.raises(DataNotUsable, match="reads sector_code, shares"):
        shape.features(replace(trained, joined={}), manifest.last)


def _bundle(spec: FeatureSpec) -> Any:
    """As far as the choice of features reads one: it learned from the classified ones."""
    manifest = SimpleNamespace(sleeve="equities_xs", feature_spec=spec, view=SimpleNamespace(sessions=1))
    return SimpleNamespace(manifest=manifest, parameters={})


def test_a_bundle_of_optional_features_is_accepted_where_they_can_be_computed(tmp_path: Path) -> None:
    Recipe().write(tmp_path / "b")
    known, more = {"equities_xs": SPEC[:2]}, {"equities_xs": lambda listed: SPEC}
    assert verify(tmp_path / "b", keyset(), policy(sleeves=known, shapes=more), reproduce=infer).manifest.feature_spec == SPEC
    with pytest.raises(BundleRefused, match="in the bundle alone"):
        verify(tmp_path / "b", keyset(), policy(sleeves=known, shapes={"equities_xs": lambda listed: SPEC[:1]}), reproduce=infer)


def test_a_device_accepts_the_sleeve_in_every_shape_that_it_computes(tmp_path: Path) -> None:
    config = ApplianceConfig(stores=StoresConfig(data=tmp_path, bundles=tmp_path))
    policy = slot_policy(Slot("equities_xs"), END, config, xnys(END, END.replace(year=2026)))
    assert all(policy.shapes["equities_xs"](one.spec) == one.spec for one in EQUITIES_XS.variants) and len(EQUITIES_XS.variants) == 7
    assert all(EQUITIES_XS.shaped_as(one.spec) is one for one in EQUITIES_XS.variants)


@pytest.mark.parametrize("row", [25, 60, 119])
def test_the_newest_row_of_classified_bars_is_the_panels_row_whatever_comes_after(row: int) -> None:
    bars = synthetic_bars(3, sessions=120, symbols=30, missing=0.05)
    rng = np.random.default_rng(1)
    code = np.where(rng.random(bars.close.shape) < 0.1, np.nan, rng.integers(0, 4, bars.close.shape))
    full = replace(bars, joined={"sector_code": code, "shares": np.exp(rng.normal(14, 1, code.shape))})
    asof, panel = bars.sessions[row].astype(object), WIDE.panel(full)
    own = [WIDE.names.index(f"{rank}{feature.name}") for feature in CLASSIFIED_FEATURES for rank in ("", "rank_")]
    for source in (full, full.rows(0, row + 1), full.until(asof, 21)):
        np.testing.assert_array_equal(WIDE.features(source, asof).values[0][:, own], panel.values[row][:, own])
    assert np.isfinite(panel.values[row]).any(axis=0)[WIDE.names.index("momentum_20_in_sector")]


def test_a_sectors_return_is_the_mean_of_its_eligible_names_by_hand() -> None:
    """Sector 1: +1 % and +3 % are 2 % for both; sector 2: its one eligible name fell 4 %; the fifth has no sector."""
    returns = np.array([[0.01, 0.03, -0.04, 0.5, 0.2]])
    code = np.array([[1.0, 1.0, 2.0, 2.0, np.nan]])
    found = sector_return(returns, np.array([[True, True, True, False, True]]), code)
    np.testing.assert_allclose(found, [[0.02, 0.02, -0.04, -0.04, np.nan]])


def test_shares_follow_every_split_so_that_price_times_shares_is_what_they_were_worth(vendor: Path, tmp_path: Path) -> None:
    """2:1 after the statement: a raw close halves and the shares double; a statement after the split stands as it is said."""
    table = pq.read_table(vendor / "bars.parquet")
    name, day = table["symbol"][0].as_py(), sorted(set(table["date"].to_pylist()))[70]
    after = np.array(table["symbol"].to_pylist()) == name
    after &= table["date"].to_numpy().astype("datetime64[D]") >= np.datetime64(day)
    rows = table.to_pydict()
    for field in ("open", "high", "low", "close"):
        rows[field] = [price / 2 if halved else price for price, halved in zip(rows[field], after, strict=True)]
    pq.write_table(pa.table(rows, table.schema), tmp_path / "bars.parquet")
    (tmp_path / "actions.csv").write_text(f"kind,symbol,effective,ratio\nsplit,{name},{day},2\n")
    said = write(tmp_path / "said.parquet", [_row(name, date(2020, 1, 1), shares=1e6)])
    ingest(DeliveryFiles(tmp_path / "bars.parquet", tmp_path / "actions.csv", None, said), tmp_path / "curated", TERMS)
    bars = bars_of(tmp_path / "curated")
    at, column = bars.index(day), bars.column(name)
    np.testing.assert_allclose(bars.joined["shares"][[at - 1, at], column], [1e6, 2e6])
    assert set(bars.joined) == {"shares"}


def test_a_session_that_a_device_completes_keeps_sector_and_shares_and_applies_its_split() -> None:
    calendar = xnys(date(2024, 11, 1), date(2025, 1, 31))
    days = calendar.days[:21]
    size = len(days) - 1
    held = {
        "session": np.array(days[:-1], dtype="datetime64[D]"),
        **{name: np.full(size, "A", dtype=object) for name in ("symbol", "security")},
        **{name: np.full(size, 100.0) for name in ("open", "high", "low", "close")},
        "volume": np.full(size, 1e6),
        **{name: np.full(size, fill_value=name == "eligible") for name in ("eligible", "undecided")},
        **{name: np.full(size, word, dtype=object) for name, word in (("kind", STOCK), ("sector", "Energy"))},
        "sector_code": np.full(size, 3.0),
        "shares": np.full(size, 5e6),
    }
    stored = StoredBars(held, frozenset(), {"A": size}, {"A": days[0]}, ())
    bar = ReportedBar(symbol="A", day=days[-1], open=50.0, high=51.0, low=49.0, close=50.0, volume=2e6)
    split = Action(ActionKind.SPLIT, "A", days[-1], days[-2], ratio=2)  # type: ignore[arg-type]  # a whole number is a Decimal enough
    manifest = type("Any", (), {"of_role": lambda *_: ("table",), "eligibility": YOUNG.eligibility, "min_history": 0})()
    found = curated(stored, [bar], [split], days[-1:], np.array(days, dtype="datetime64[D]"), manifest)
    assert [column[0] for column in found.columns[-2:]] == [3.0, pytest.approx(1e7)]
