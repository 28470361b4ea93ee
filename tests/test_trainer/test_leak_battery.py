"""The leak battery: each check on an honest case, and with its fault planted and shown to have happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from signals.features.history import joined
from signals.features.panel import Feature, FeaturePanel
from signals.market.bars import Bars, Floats
from signals.market.dataset import load_bars, read_manifest
from signals.sleeves import SLEEVES
from signals.sleeves.base import Sleeve
from tests.campaigns.leaks import HIDDEN, KINDS, Delivery, as_it_is, delivered, market_of, other_vendor, reversal
from tests.fakes.bars import synthetic_bars
from tests.fakes.labelled import market, with_features
from trainer.curation.audit.audit import audit, render
from trainer.curation.audit.early import early_moves
from trainer.leaks.checks import (
    Fitting,
    LeakCheck,
    LeakSubject,
    entry_profile,
    lagged_features,
    replaced_session,
    second_vendor,
    shifted_labels,
)
from trainer.learners.lgbm import LightGbm
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import LeakConfig
from trainer.samples.samples import Samples
from trainer.validation.splits.oof import walk_forward

CONFIG = LeakConfig(baselines=("a",))
LEARNER = LightGbm(LightGbmConfig(trees=20, num_leaves=4, min_data_in_leaf=100, max_bin=31), seed=1)
FITTING = Fitting(LEARNER, 1, lambda name: None)
K = 5
VOLUMES = "volumes know the next session"


@pytest.fixture(scope="module")
def honest() -> Delivery:
    return market_of(3, symbols=40, sessions=420, strength=0.3, seasoning=60)


def panel(delivery: Delivery) -> Bars:
    """The delivery as bars, its returns those of split-adjusted closes."""
    wide = {name: delivery.bars.pivot(index="date", columns="security", values=name) for name in ("open", "high", "low", "close", "volume")}
    figures = {name: table.to_numpy(dtype=np.float64) for name, table in wide.items()}
    before = np.vstack([np.full((1, figures["close"].shape[1]), np.nan), figures["close"][:-1]])
    return Bars(
        sessions=wide["close"].index.to_numpy().astype("datetime64[D]"),
        symbols=tuple(wide["close"].columns),
        **figures,
        total_return=figures["close"] / before - 1,
        overnight_return=figures["open"] / before - 1,
        eligible=np.isfinite(figures["close"]),
    )


# -- the data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plant", [as_it_is, reversal, other_vendor])
def test_nothing_moves_early_in_an_honest_market(honest: Delivery, plant: Callable[[Delivery], Delivery]) -> None:
    assert early_moves(panel(plant(honest))).sentences() == []


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("closes_early", "closes are ahead of the opens"),
        ("closes_blended", "move a session before the market"),
        ("half_symbols_early", "move a session before the market"),
        ("volumes_early", VOLUMES),
        ("volume_of_next_return", VOLUMES),
        ("volume_of_label", VOLUMES),
        ("one_session_early", "the closes of 1 sessions are those of the session after"),
    ],
)
def test_what_moves_early_is_named(honest: Delivery, kind: str, told: str) -> None:
    planted = KINDS[kind](honest)
    assert not planted.bars[["open", "high", "low", "close", "volume"]].equals(honest.bars[planted.bars.columns[2:7]])
    assert any(told in sentence for sentence in early_moves(panel(planted)).sentences())


def test_the_symbols_and_the_session_that_are_early_are_the_planted_ones(honest: Delivery) -> None:
    clean = panel(honest)
    half = panel(KINDS["half_symbols_early"](replace(honest, rng=np.random.default_rng(5))))
    moved = {name for c, name in enumerate(clean.symbols) if not np.array_equal(half.close[:, c], clean.close[:, c], equal_nan=True)}
    named = {name for name, _, _ in early_moves(half).names}
    stocks = {name for name in moved if np.isfinite(clean.close[:, clean.symbols.index(name)]).sum() > 200}
    assert len(stocks) >= 15 and named == moved & named and len(stocks - named) <= 1
    one = panel(KINDS["one_session_early"](replace(honest, rng=np.random.default_rng(6))))
    changed = np.flatnonzero((np.nan_to_num(one.close) != np.nan_to_num(clean.close)).any(axis=1))
    assert len(changed) == 1
    assert early_moves(one).sessions == (one.sessions[changed[0]].astype(object),)


def test_the_audit_names_what_moves_early_and_why_the_universe_has_its_state(honest: Delivery, tmp_path: Path) -> None:
    folder = delivered(KINDS["half_symbols_early"](honest), tmp_path, min_history=60)
    report = audit(folder, None, None)
    assert report.early is not None and len(report.early.names) > 10
    text = render(report)
    assert f"EARLY {len(report.early.names)} names move a session before the market" in text
    assert "UNIVERSE point-in-time: a membership table that says when each row became known" in text
    assert report.document()["early"]["names"][0]["lag_1"] > 0.25


def test_a_file_that_is_dated_early_as_a_whole_shows_nothing_but_beside_a_second_vendor(honest: Delivery, tmp_path: Path) -> None:
    assert {"file_early"} == HIDDEN
    early = panel(KINDS["file_early"](honest))
    assert early_moves(early).sentences() == []
    fair, figures = second_vendor(panel(honest), panel(other_vendor(honest)), LeakConfig(), seed=1)
    assert fair.passed and figures.closes[1] > 0.97 and figures.closes[2] < 0.2
    check, figures = second_vendor(early, panel(other_vendor(honest)), LeakConfig(), seed=1)
    assert not check.passed and figures.closes[2] > 0.97 and figures.closes[1] < 0.2


@pytest.mark.parametrize("kind", ["closes_blended", "volume_of_next_return", "volume_of_label", "volumes_early"])
def test_a_second_vendor_denies_what_was_touched(honest: Delivery, kind: str) -> None:
    check, _ = second_vendor(panel(KINDS[kind](honest)), panel(other_vendor(honest)), LeakConfig(), seed=1)
    assert not check.passed and "name-sessions agree" in check.why


def test_a_second_vendor_of_other_names_or_sessions_is_no_evidence(honest: Delivery) -> None:
    bars = panel(honest)
    for other in (bars.rows(0, 2), bars.select(bars.symbols[:1]).rows(100, 160)):
        check, _ = second_vendor(bars, other, LeakConfig(), seed=1)
        assert not check.passed and check.value is None and "too few" in check.why


# -- the scores ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Labelled rows of a synthetic market, its bars, and the next session's return of each row."""

    rows: Samples
    bars: Bars

    def subject(self, scores: Floats, rows: Samples | None = None) -> LeakSubject:
        rows = self.rows if rows is None else rows
        values = np.full((*self.bars.close.shape, len(rows.names)), np.nan, dtype=np.float32)
        values[rows.t0, rows.column] = rows.features
        features = FeaturePanel(self.bars.sessions, self.bars.symbols, rows.names, values, self.bars.eligible)
        return LeakSubject(rows, scores, scores, features, self.bars, K, 4)

    def ahead(self, values: Floats, lag: int = 1) -> Floats:
        moved = np.full_like(values, np.nan)
        moved[:-lag] = values[lag:]
        return np.nan_to_num(moved)[self.rows.t0, self.rows.column]

    def noise(self, seed: int) -> Floats:
        return np.random.default_rng(seed).normal(size=len(self.rows))


@pytest.fixture(scope="module")
def case() -> Case:
    rows, bars = market(21, sessions=600, symbols=40)
    return Case(rows, bars)


def standard(values: Floats) -> Floats:
    result: Floats = values / values.std()
    return result


def failed(checks: tuple[LeakCheck, ...]) -> list[str]:
    return [check.check for check in checks if not check.passed]


def test_a_score_that_knows_the_next_session_loses_its_ic_when_it_enters_one_later(case: Case) -> None:
    leak = 0.2 * standard(case.ahead(case.bars.total_return)) + case.noise(1)
    assert failed(entry_profile(case.subject(leak), CONFIG)) == ["entry 1 later", "entry 5 later"]


def test_a_score_that_knows_the_label_loses_its_ic_with_the_overlap(case: Case) -> None:
    leak = 0.1 * standard(case.rows.label) + case.noise(2)
    checks = entry_profile(case.subject(leak), CONFIG)
    assert "entry 5 later" in failed(checks) and (checks[1].value or 0) > 2 * (checks[0].value or 0)


def test_a_score_whose_skill_lasts_loses_nothing(case: Case) -> None:
    """The mean label of each name over its whole life: a signal of infinite persistence."""
    mean = np.array([case.rows.label[case.rows.column == c].mean() for c in range(len(case.rows.symbols))])
    lasting = standard(mean[case.rows.column]) + 0.5 * case.noise(3)
    assert failed(entry_profile(case.subject(lasting), CONFIG)) == []
    assert failed(entry_profile(case.subject(case.noise(4)), CONFIG)) == []


def test_an_honest_reversal_may_lose_what_a_rule_of_prices_loses(case: Case) -> None:
    """The same fall of the IC, once with a baseline that falls alike, once with one that knows nothing."""
    short = 0.2 * standard(case.ahead(case.bars.total_return)) + case.noise(5)
    features = case.rows.features.copy()
    features[:, 0] = -(0.2 * standard(case.ahead(case.bars.total_return)) + case.noise(6))
    known = with_features(case.rows, features)
    assert failed(entry_profile(case.subject(short, known), CONFIG)) == []
    assert failed(entry_profile(case.subject(short), CONFIG)) != []


@pytest.mark.parametrize(("column", "is_honest"), [(0, True), (1, False)])
def test_features_one_session_old_lose_what_only_the_next_session_held(case: Case, column: int, *, is_honest: bool) -> None:
    """It is a leak, unless a rule of prices, here the first feature, loses as much: then it is an honest reversal."""
    features = case.rows.features.copy()
    features[:, column] = 0.5 * standard(case.ahead(case.bars.total_return)) + case.noise(7)
    leaked = with_features(case.rows, features)
    forward = walk_forward(leaked, LEARNER, groups=4, workers=1, step=lambda name: None)
    found = lagged_features(case.subject(forward, leaked), FITTING, CONFIG)
    lost = float(found.why.split("lose, ")[1].split(",")[0])
    assert found.passed is is_honest and lost > 4 * CONFIG.max_lagged_drop
    forward = walk_forward(case.rows, LEARNER, groups=4, workers=1, step=lambda name: None)
    assert lagged_features(case.subject(forward), FITTING, CONFIG).passed


def test_a_model_of_other_names_labels_knows_nothing_unless_a_feature_holds_them(case: Case) -> None:
    assert shifted_labels(case.subject(case.noise(8)), FITTING, CONFIG).passed
    dense = np.roll(case.rows.dense(case.rows.label), len(case.rows.symbols) // 2, axis=1)
    features = case.rows.features.copy()
    features[:, 1] = np.nan_to_num(dense)[case.rows.t0, case.rows.column]
    found = shifted_labels(case.subject(case.noise(8), with_features(case.rows, features)), FITTING, CONFIG)
    assert not found.passed and (found.value or 0) > 10


@dataclass(frozen=True)
class Ahead:
    """A sleeve whose features are those of the session `lag` later; with `lag` None of no session at all."""

    lag: int | None
    lookback_sessions: int = 20

    def panel(self, bars: Bars) -> FeaturePanel:
        values = bars.total_return[..., None].astype(np.float32)
        if self.lag is None:
            values = np.zeros_like(values)
        elif self.lag:
            values = np.concatenate([values[self.lag :], np.full_like(values[: self.lag], np.nan)])
        return FeaturePanel(bars.sessions, bars.symbols, ("r",), values, bars.eligible)


def test_replacing_a_session_s_bars_changes_no_earlier_feature(case: Case) -> None:
    subject = case.subject(case.noise(9))
    assert replaced_session(subject, Ahead(0), CONFIG, 1).passed  # type: ignore[arg-type]
    peeks = replaced_session(subject, Ahead(1), CONFIG, 1)  # type: ignore[arg-type]
    assert not peeks.passed and (peeks.value or 0) > 0
    blind = replaced_session(subject, Ahead(None), CONFIG, 1)  # type: ignore[arg-type]
    assert not blind.passed and "changed nothing at all" in blind.why


def test_our_own_sleeve_reads_no_later_session() -> None:
    bars = synthetic_bars(4, sessions=300, symbols=12)
    rows, _ = market(4, sessions=150)
    sleeve = SLEEVES["equities_xs"]
    subject = LeakSubject(rows, np.zeros(len(rows)), np.zeros(len(rows)), sleeve.panel(bars), bars, K, 4)
    assert replaced_session(subject, sleeve, LeakConfig(replaced_sessions=1), 1).passed


def momentum_z(bars: Bars, *, whole: bool) -> dict[str, Floats]:
    """Each name's return over 20 sessions, standardised by mean and deviation until the session, or of the whole file."""
    sums = np.cumsum(np.nan_to_num(bars.total_return), axis=0)
    moved = sums[20:] - sums[:-20]
    count = np.arange(1.0, len(moved) + 1.0)[:, None]
    mean, square = (np.cumsum(moved**power, axis=0) / count for power in (1, 2))
    deviation = np.sqrt(np.maximum(square - mean**2, 1e-12))
    if whole:
        mean, deviation = mean[-1:], deviation[-1:]
    return {"z": np.vstack([np.full((20, moved.shape[1]), np.nan), (moved - mean) / deviation])}


def of_tomorrow(bars: Bars) -> dict[str, Floats]:
    return {"z": np.vstack([bars.total_return[1:], np.full((1, len(bars.symbols)), np.nan)])}


def of_the_file(bars: Bars) -> dict[str, Floats]:
    """A table without dates: each name's mean return until today."""
    return {"z": np.repeat(np.nanmean(bars.total_return, axis=0)[None], len(bars.sessions), axis=0)}


@pytest.mark.parametrize(
    ("figures", "is_honest"),
    [(partial(momentum_z, whole=False), True), (partial(momentum_z, whole=True), False), (of_tomorrow, False), (of_the_file, False)],
)
def test_an_input_that_knows_a_later_session_is_refused(figures: Callable[[Bars], dict[str, Floats]], is_honest: bool) -> None:
    """The honest one reads back to the first bar, further than its feature says, and passes."""
    bars = synthetic_bars(4, sessions=300, symbols=12, missing=0.0)

    def join(part: Bars) -> Bars:
        return replace(part, joined=figures(part))

    sleeve = Sleeve("own", ("daily_bars", "own"), (Feature("z", "z", 21, partial(joined, name="z")),), 5, ("z",))
    bars, rows = join(bars), market(4, sessions=150)[0]
    subject = LeakSubject(rows, np.zeros(len(rows)), np.zeros(len(rows)), sleeve.panel(bars), bars, K, 4, join)
    found = replaced_session(subject, sleeve, LeakConfig(), 1)
    assert found.passed == is_honest
    assert ("the input own of the sleeve own gives other figures of" in found.why) != is_honest
    assert replaced_session(replace(subject, join=None), sleeve, LeakConfig(), 1).passed, "its panel alone shows nothing"


def test_a_dataset_of_a_membership_that_ends_before_the_falls_is_of_unknown_universe(honest: Delivery, tmp_path: Path) -> None:
    planted = KINDS["membership_before_falls"](honest)
    assert planted.universe.num_rows > honest.universe.num_rows
    manifest = read_manifest(delivered(planted, tmp_path, min_history=60))
    assert manifest.universe_state == "unknown" and "ends before the losses" in manifest.universe_why
    assert np.isfinite(load_bars(tmp_path / "data", manifest, manifest.first, manifest.last).close).any()
