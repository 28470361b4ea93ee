"""The generated market: reproducible, plainly generated, complete in its troubles, and never RED."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from signals.audit.defects import Reason
from signals.errors import FixInput, NotASession
from signals.market.actions import ActionKind
from signals.market.dataset import load_bars
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import SessionStatus
from trainer.curation.config import CurationConfig
from trainer.curation.generated import GeneratedMarket, generate
from trainer.curation.generated.market import STRENGTH, UNIVERSE_FILE, Planted
from trainer.curation.generated.prices import Returns, ar1, draw_prices
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping

END = date(2024, 6, 28)


@pytest.fixture(scope="module")
def market() -> GeneratedMarket:
    return generate(11, 120, 800, END)


@pytest.fixture(scope="module")
def dataset(market: GeneratedMarket, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("generated")
    bars, actions = market.write(folder)
    manifest = ingest(
        DeliveryFiles(bars, actions), folder / "data", DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig())
    )
    return folder / "data", manifest


def test_the_same_seed_makes_the_same_bytes_and_another_seed_another_market(tmp_path: Path) -> None:
    one, again, other = (generate(seed, 20, 60, END) for seed in (3, 3, 4))
    paths = [market.write(tmp_path / name) for market, name in ((one, "a"), (again, "b"))]
    assert [path.read_bytes() for path in paths[0]] == [path.read_bytes() for path in paths[1]]
    assert not one.bars.equals(other.bars)


def test_it_says_that_it_is_generated(market: GeneratedMarket, dataset: tuple[Path, Manifest], tmp_path: Path) -> None:
    bars, _ = market.write(tmp_path)
    assert "GENERATED" in (tmp_path / "NOTICE.txt").read_text()
    assert pq.read_schema(bars).metadata[b"trademl.vendor"] == b"generated"
    assert dataset[1].vendor == "generated"
    assert all(symbol.startswith("G") for symbol in pc.unique(market.bars.column("symbol")).to_pylist())


def test_it_has_every_kind_of_trouble(market: GeneratedMarket) -> None:
    assert {action.kind for action in market.actions} == set(ActionKind) - {ActionKind.CONFIRMED}
    whole = generate(11).truth.defects
    assert {kind for _, _, kind in whole} == set(Planted)
    assert (np.diff(market.truth.alive.astype(int), axis=0) == 1).any(), "no late listing"
    assert pc.sum(pc.equal(market.bars.column("volume"), 0.0)).as_py() > 0


def test_its_sessions_are_green_or_amber_never_red(dataset: tuple[Path, Manifest]) -> None:
    found = Counter(audit.status for audit in dataset[1].audits)
    assert found[SessionStatus.RED] == 0
    assert found[SessionStatus.AMBER] > 10
    assert found[SessionStatus.GREEN] > 0.8 * len(dataset[1].audits)


def test_a_small_market_has_no_red_session_either(tmp_path: Path) -> None:
    for seed in range(4):
        bars, actions = generate(seed, 30, 400, END).write(tmp_path / str(seed))
        manifest = ingest(
            DeliveryFiles(bars, actions),
            tmp_path / str(seed) / "data",
            DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig()),
        )
        assert SessionStatus.RED not in {audit.status for audit in manifest.audits}


def test_the_audit_finds_every_planted_defect(market: GeneratedMarket, dataset: tuple[Path, Manifest]) -> None:
    names = {
        Planted.MISSING: Reason.MISSING_SESSION,
        Planted.NULL_PRICE: Reason.NULL_PRICE,
        Planted.NULL_VOLUME: Reason.NULL_VOLUME,
        Planted.HIGH_BELOW_BODY: Reason.HIGH_BELOW_BODY,
        Planted.NON_POSITIVE_PRICE: Reason.NON_POSITIVE_PRICE,
        Planted.COPY: Reason.DUPLICATE,
        Planted.CONFLICT: Reason.DUPLICATE_CONFLICT,
    }
    folder, manifest = dataset
    table = pq.read_table(folder / next(r.path for r in manifest.files if r.role == "findings")).to_pylist()
    found = {(row["date"], row["symbol"], row["reason"]) for row in table}
    # A row missing at either end of a life is not between two rows, so no reader can know of it.
    lives = _lives(market)
    expected = {
        (day, symbol, str(names[kind]))
        for day, symbol, kind in market.truth.defects
        if kind is not Planted.MISSING or lives[symbol][0] < day < lives[symbol][1]
    }
    assert expected <= found
    assert {row for row in found if row[2] in {str(n) for n in names.values()}} - expected == set()


def _lives(market: GeneratedMarket) -> dict[str, tuple[date, date]]:
    table = market.bars.group_by("symbol").aggregate([("date", "min"), ("date", "max")]).to_pylist()
    return {row["symbol"]: (row["date_min"], row["date_max"]) for row in table}


def test_curated_returns_are_the_market_s_own(market: GeneratedMarket, dataset: tuple[Path, Manifest]) -> None:
    """Splits, dividends and renamings undone: an independent check of curation on the whole market."""
    folder, manifest = dataset
    bars = load_bars(folder, manifest, manifest.first, manifest.last)
    last_names = dict(zip(market.truth.first_symbols, market.truth.first_symbols, strict=True))
    last_names |= {a.symbol: str(a.new_symbol) for a in market.actions if a.kind is ActionKind.SYMBOL_CHANGE}
    columns = [bars.column(last_names[symbol]) for symbol in market.truth.first_symbols]
    curated, truth = bars.total_return[:, columns], market.truth.total_return
    known = ~np.isnan(curated)
    assert known.sum() > 0.99 * (~np.isnan(truth)).sum()
    assert np.abs(curated[known] - truth[known]).max() < 1e-12


def test_prices_are_whole_cents_and_bars_are_bars(market: GeneratedMarket) -> None:
    clean = generate(11, 40, 300, END, with_defects=False).bars
    o, h, low, c = (clean.column(name).to_numpy() for name in ("open", "high", "low", "close"))
    assert np.abs(c * 100 - np.round(c * 100)).max() < 1e-6
    assert (low > 0).all()
    assert (h >= np.maximum(o, c)).all()
    assert (low <= np.minimum(o, c)).all()
    assert market.bars.num_rows > 85_000


def test_the_planted_state_predicts_the_next_session_and_can_be_switched_off() -> None:
    def correlation(signal: bool) -> float:
        truth = generate(5, 150, 700, END, strength=STRENGTH * signal, with_defects=False).truth
        state, later = truth.state[:-1], truth.total_return[1:]
        per_session = [
            np.corrcoef(state[t][known], later[t][known])[0, 1] for t in range(len(later)) if (known := ~np.isnan(later[t])).sum() > 50
        ]
        return float(np.mean(per_session))

    # 700 sessions of about 140 names: standard error about 0.0035.
    assert correlation(True) > 0.03
    assert abs(correlation(False)) < 0.014


def test_the_signal_is_the_only_thing_that_the_switch_changes() -> None:
    on, off = (generate(5, 30, 50, END, strength=STRENGTH * signal, with_defects=False) for signal in (True, False))
    assert on.bars.column("symbol").equals(off.bars.column("symbol"))
    assert np.array_equal(on.truth.state, off.truth.state)
    assert off.truth.kappa == 0.0


def test_a_hand_worked_split_and_dividend_leave_the_return_whole() -> None:
    """r (close + D) / previous close - 1 equals the intended return to the cent's rounding."""
    rng = np.random.default_rng(2)
    total = np.full((600, 40), 0.004)
    prices = draw_prices(rng, Returns(total, total / 2, total, total), np.zeros(total.shape, dtype=bool))
    assert (prices.ratio != 1).any()
    assert (prices.cash > 0).any()
    realised = prices.ratio[1:] * (prices.close[1:] + prices.cash[1:]) / prices.close[:-1] - 1
    # Half a cent on close and dividend against the previous close.
    assert (np.abs(realised - 0.004) * prices.close[:-1] <= prices.ratio[1:] * 0.0051).all()


def test_ar1_keeps_unit_variance_and_its_persistence() -> None:
    path = ar1(np.random.default_rng(1).standard_normal((4000, 20)), 0.9)
    assert path.var() == pytest.approx(1.0, abs=0.05)
    assert np.mean(path[1:] * path[:-1]) == pytest.approx(0.9, abs=0.05)


def test_an_end_that_is_no_session_and_a_market_too_small_are_refused() -> None:
    with pytest.raises(NotASession, match="2024-06-29"):
        generate(1, 20, 60, date(2024, 6, 29))
    with pytest.raises(FixInput, match="too small"):
        generate(1, 3, 60, END)


def test_the_universe_table_has_every_stock_from_its_first_year_on_until_its_death(market: GeneratedMarket, tmp_path: Path) -> None:
    """What is told names no future: an end is told at most 10 sessions before it, never at the start."""
    bars, actions = market.write(tmp_path)
    table = pq.read_table(tmp_path / UNIVERSE_FILE).to_pylist()
    dead = {a.symbol: a.effective for a in market.actions if a.kind is ActionKind.DELISTING}
    ended = {row["symbol"]: row for row in table if row["end"] is not None}
    days = market.truth.sessions
    old = {name for name, day in dead.items() if days.index(day) > 300}
    assert old and all(ended[name]["end"] == dead[name] for name in old)
    assert all(days.index(row["end"]) - days.index(row["known_at"]) <= 10 for row in ended.values())
    held = {(row["symbol"], row["start"]) for row in table}
    assert all(sum(r["end"] is None for r in table if (r["symbol"], r["start"]) == key) <= 1 for key in held)
    manifest = ingest(
        DeliveryFiles(bars, actions, tmp_path / UNIVERSE_FILE),
        tmp_path / "data",
        DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig()),
    )
    assert manifest.universe_state == "point-in-time" and manifest.universe_why
    assert not [audit for audit in manifest.audits if audit.status is SessionStatus.RED]
