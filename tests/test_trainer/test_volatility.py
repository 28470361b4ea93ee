"""The task `volatility`: what its labels are, what its figures say, and what its training writes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from signals.errors import FixInput
from signals.market.bars import Bars
from signals.models.inference import GraphMember, infer
from signals.sleeves.risk import RISK
from tests.fakes.bars import synthetic_bars
from tests.fakes.curated import curate
from trainer.__main__ import app
from trainer.labels.risk import drawdown_labels, volatility_labels
from trainer.learners.base import FitDevice
from trainer.learners.har import ExpectedVariance, smearing
from trainer.learners.lgbm import LightGbm
from trainer.learners.linear import Ridge
from trainer.learners.parameters import LightGbmConfig, RidgeConfig
from trainer.learners.table import har
from trainer.recipes.base import CpcvConfig
from trainer.runs.artefacts import form_of
from trainer.samples.samples import samples
from trainer.tasks.recipes import RECIPES, config_of
from trainer.tasks.volatility.config import VolatilityLabel, VolatilityRecipe
from trainer.tasks.volatility.proof import (
    DrawdownFigures,
    Forecasting,
    VolatilityProof,
    calibration_curve,
    ewma_volatility,
    prove_drawdown,
    prove_volatility,
    volatility_figures,
)
from trainer.tasks.volatility.task import warnings
from trainer.training.train import TrainingRequest, steps, train
from trainer.validation.forecasts import advantage, coverage, mean_loss, pinball, qlike
from trainer.validation.ic import Mean

ROOT = Path(__file__).resolve().parents[2]
CONFIG = VolatilityRecipe(
    label=VolatilityLabel(horizons=(5, 10), drawdown_sessions=10),
    lightgbm=LightGbmConfig(trees=15, num_leaves=7, min_data_in_leaf=50, learning_rate=0.2),
    cpcv=CpcvConfig(groups=4, test_groups=2, embargo_sessions=5, holdout_sessions=40),
)
FILES = {
    "model.onnx",
    "model.txt",
    "model.pkl",
    "feature_list.json",
    "training_cfg.json",
    "model_before_holdout.txt",
    "model.json",
    "oof.parquet",
    "walk_forward.parquet",
    "evidence.json",
    "golden.npz",
    "drift_reference.json",
    "report.html",
    "report.md",
    "plots/qlike.png",
    "plots/calibration.png",
    "plots/coverage.png",
    "plots/through_time.png",
    "volatility_5_low.onnx",
    "volatility_5_high.onnx",
    "volatility_10.onnx",
    "volatility_10_low.onnx",
    "volatility_10_high.onnx",
    "drawdown_10.onnx",
}


def one_name(returns: list[float]) -> Bars:
    total = np.array(returns)[:, None]
    price = np.full_like(total, 10.0)
    return Bars(
        sessions=np.busday_offset(np.datetime64("2024-01-02"), np.arange(len(total))),
        symbols=("A",),
        open=price,
        high=price,
        low=price,
        close=price,
        volume=price,
        total_return=total,
        overnight_return=total,
        eligible=np.ones(total.shape, bool),
    )


def test_realised_volatility_worked_by_hand() -> None:
    """k = 2 from session 0: returns 3 % and -4 %; sqrt(252 (0.0009 + 0.0016) / 2) = sqrt(0.315) = 56.12 %."""
    labels = volatility_labels(one_name([0.5, 0.03, -0.04, 0.0, 0.0]), 2)
    assert np.exp(labels.values[0, 0]) == pytest.approx(0.561249, abs=1e-6)
    assert labels.ends[:, 0].tolist() == [2, 3, -1, -1, -1]
    assert np.isnan(labels.values[2, 0]), "two sessions without a move have no log volatility"


def test_drawdown_worked_by_hand() -> None:
    """From session 0: 1, 1.10, 0.99, 1.188: the largest fall from a peak is 10 %; from session 1: 1, 0.9, 1.08."""
    labels = drawdown_labels(one_name([0.0, 0.10, -0.10, 0.20, 0.05]), 3)
    assert labels.values[:2, 0] == pytest.approx([0.10, 0.10])
    assert drawdown_labels(one_name([0.0, 0.1, 0.1, 0.1]), 3).values[0, 0] == 0.0
    assert labels.ends[:, 0].tolist() == [3, 4, -1, -1, -1]


def test_a_return_that_is_not_known_ends_both_labels() -> None:
    bars = one_name([0.0, 0.01, float("nan"), 0.01, 0.01, 0.01])
    for labels in (volatility_labels(bars, 2), drawdown_labels(bars, 2)):
        assert labels.ends[:, 0].tolist() == [-1, -1, 4, 5, -1, -1]


def test_a_fall_across_a_halt_is_in_both_labels_and_a_window_that_ends_in_it_has_none() -> None:
    """Session 2 has no bar, and 3 is 40 % below 1. k = 2 from 1: sqrt(252 x 0.16 / 2) a year, and a fall of 40 %."""
    bars = one_name([0.0, 0.01, float("nan"), float("nan"), 0.0, 0.0])
    panels = {name: np.array(getattr(bars, name)) for name in ("open", "high", "low", "close", "volume")}
    for panel in panels.values():
        panel[2] = np.nan
    gap = np.full((6, 1), np.nan)
    gap[3] = -0.40
    halted = replace(bars, **panels, eligible=np.isfinite(panels["close"]), gap_return=gap, gap_overnight=gap)
    volatility, fall = volatility_labels(halted, 2), drawdown_labels(halted, 2)
    assert np.exp(volatility.values[1, 0]) == pytest.approx(np.sqrt(252 * 0.16 / 2))
    assert fall.values[1, 0] == pytest.approx(0.40) and fall.ends[:, 0].tolist() == [-1, 3, -1, 5, -1, -1]


def test_the_future_of_a_label_is_its_own_window_and_no_feature_reads_it() -> None:
    """Changing returns after t + k changes no label of t; changing those up to t changes none either."""
    bars = synthetic_bars(3, sessions=60, symbols=5)
    changed = bars.total_return.copy()
    changed[:21], changed[27:] = 0.123, 0.321
    other = Bars(**{**vars(bars), "total_return": changed})
    for make in (volatility_labels, drawdown_labels):
        np.testing.assert_array_equal(make(bars, 6).values[20], make(other, 6).values[20])


@settings(max_examples=50)
@given(st.floats(0.05, 2.0), st.floats(0.3, 3.0))
def test_qlike_is_zero_at_the_truth_alone_and_dearer_below_it(volatility: float, factor: float) -> None:
    truth = np.array([volatility])
    assert qlike(truth, truth)[0] == pytest.approx(0.0, abs=1e-12)
    if abs(factor - 1) > 0.01:
        assert qlike(truth, truth * factor)[0] > 0
        assert (qlike(truth, truth / max(factor, 1 / factor)) > qlike(truth, truth * max(factor, 1 / factor))).all()


def test_the_expected_variance_minimises_qlike_over_noisy_outcomes() -> None:
    """Whatever the noise, no constant beats the root of the mean square: that is why HAR is restated to it."""
    realised = np.exp(np.random.default_rng(0).normal(-1.5, 0.6, 20_000))
    best = np.sqrt(np.square(realised).mean())
    losses = {factor: qlike(realised, np.full_like(realised, factor * best)).mean() for factor in (0.9, 1.0, 1.1)}
    assert losses[1.0] == min(losses.values())
    median = qlike(realised, np.full_like(realised, np.exp(-1.5))).mean()
    assert median > losses[1.0] + 0.1


class _Stubborn:
    """Learns its first targets and never again."""

    device = FitDevice.CPU
    fitted: Any = None

    def fit(self, features: Any, target: Any, weight: Any, names: Any, sessions: Any = None) -> Any:
        self.fitted = self.fitted or Ridge(RidgeConfig()).fit(features, target, weight, names, sessions)
        return self.fitted


def test_a_learner_that_does_not_move_with_its_targets_expects_no_variance() -> None:
    """Least squares and trees meet the promise, mean of exp(2 e) = 1 to 2 %; one that stays where it was is refused."""
    rng = np.random.default_rng(4)
    features = rng.normal(size=(4_000, 2)).astype(np.float32)
    target, weight = features[:, 0] + rng.normal(0.0, 0.5, 4_000), np.ones(4_000)
    for learner in (Ridge(RidgeConfig()), LightGbm(VolatilityRecipe().quantile(0.5), 1)):
        model = ExpectedVariance(learner).fit(features, target, weight, ("a", "b"))
        assert np.exp(2.0 * (target - model.predict(features))).mean() == pytest.approx(1.0, abs=0.02)
    with pytest.raises(FixInput, match=r"1\.\d\d times too small"):
        ExpectedVariance(_Stubborn()).fit(features, target, weight, ("a", "b"))


def test_pinball_loss_is_least_at_the_quantile() -> None:
    outcomes = np.random.default_rng(1).normal(size=50_000)
    at = {q: pinball(outcomes, np.full_like(outcomes, q), 0.9).mean() for q in (1.0, 1.2816, 1.5)}
    assert at[1.2816] == min(at.values())


def test_coverage_and_advantage_by_hand() -> None:
    """Two sessions of two names: 1 of 2 and 2 of 2 inside, 75 % on average; losses 1 against 3 is an advantage of 2."""
    outcome = np.array([[1.0, 5.0], [1.0, 2.0]])
    share = coverage(outcome, np.zeros((2, 2)), np.full((2, 2), 3.0), 1)
    assert share.mean == 0.75
    assert coverage(np.array([[1.0, np.nan]]), np.zeros((1, 2)), np.ones((1, 2)), 1).mean == 1.0
    assert advantage(np.ones((3, 2)), np.full((3, 2), 3.0), 1).mean == 2.0
    assert mean_loss(np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, 5.0]]), 1).mean == 2.5


def test_riskmetrics_by_hand_and_a_gap_changes_nothing() -> None:
    """1 % then 2 %: variance 0.94 x 0.0001 + 0.06 x 0.0004 = 0.000118, 17.24 % a year."""
    series = ewma_volatility(np.array([[0.01], [0.02], [np.nan], [0.02]]))
    assert series[1, 0] == pytest.approx(np.sqrt(252 * 0.000118))
    assert np.isnan(series[2, 0])
    assert series[3, 0] == pytest.approx(np.sqrt(252 * (0.94 * 0.000118 + 0.06 * 0.0004)))


def test_the_smearing_term_makes_har_unbiased_in_variance() -> None:
    """Residuals of a log model say what the expected variance is; without the term it is far too low."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(20_000, 2)).astype(np.float32)
    target = 0.5 * features[:, 0] - 1.0 + rng.normal(0, 0.5, 20_000)
    weight = np.ones(20_000)
    model = har(CONFIG.ridge).fit(features, target, weight, ("a", "b"))
    ratio = np.exp(2 * target).mean() / np.exp(2 * model.predict(features)).mean()
    assert ratio == pytest.approx(1.0, abs=0.03)
    assert smearing(rng.normal(0, 0.5, 400_000), np.ones(400_000)) == pytest.approx(0.5**2, rel=0.02)


def test_groups_of_the_calibration_curve_hold_every_forecast_once() -> None:
    forecast = np.linspace(0.1, 1.0, 100)[None, :]
    points = calibration_curve(forecast, 2.0 * forecast)
    assert len(points) == 20
    np.testing.assert_allclose([came / expected for expected, came in points], 2.0)


def proven(bars: Bars, first: int, config: VolatilityRecipe = CONFIG) -> VolatilityProof:
    return prove_volatility(Forecasting(bars, RISK.panel(bars), config, first, seed=1, workers=1, step=lambda _: None), 5)


def test_no_forecast_is_judged_on_sessions_that_the_run_seals() -> None:
    """Labels of 5 and of 2 sessions last longer into the panel than those of 10: seals of their own would begin 5 and 8 sessions later."""
    label = VolatilityLabel(k=10, horizons=(5, 10), drawdown_sessions=2)
    config, bars = CONFIG.model_copy(update={"label": label}), synthetic_bars(8, sessions=420, symbols=20)
    given = Forecasting(bars, RISK.panel(bars), config, 253, seed=1, workers=1, step=lambda _: None)
    own = prove_volatility(given, 10).proof
    assert own.seal is not None
    given = replace(given, seal=own.seal)
    for realised, k in ((prove_volatility(given, 5).realised, 5), (prove_drawdown(given).realised, 2)):
        last = int(np.flatnonzero(np.isfinite(realised).any(axis=1))[-1])
        assert last + k + CONFIG.cpcv.embargo_sessions == own.seal.first - 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curate(tmp_path_factory.mktemp("market"))


def request(data: Path, run: Path) -> TrainingRequest:
    return TrainingRequest(data=data, run=run, start=None, end=None, symbols=(), seed=1, workers=2, code_version="0.1.0+test")


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    folder, told = data.parent / "run", []
    train(RECIPES["risk"], CONFIG, request(data, folder), told.append)
    assert len(told) == steps(CONFIG)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_holds_every_file_and_the_same_bytes_twice(data: Path, run: Path) -> None:
    assert set(contents(run)) == FILES
    again = data.parent / "again"
    train(RECIPES["risk"], CONFIG, request(data, again), lambda _: None)
    assert contents(again) == contents(run)


def test_the_evidence_says_what_a_bundle_needs_and_no_row_leaks(run: Path) -> None:
    known = json.loads((run / "evidence.json").read_bytes())
    assert known["sleeve"] == "risk"
    assert known["horizon"] == RISK.horizon_sessions
    assert known["spec_hash"] == RISK.spec_hash
    assert known["leak_certificate"]["total"] == 0
    assert date.fromisoformat(known["last_training_session"]) < date.fromisoformat(known["last_label_session"])
    assert [row["horizon"] for row in known["volatility"]] == [5, 10]
    assert known["ic"]["mean"] > 0.2, "volatility persists: a forecast that does not rank it is broken"
    assert known["holdout"]["opened"] == 0


def test_every_forecast_is_a_head_of_the_bundle_with_golden_vectors_of_its_own(run: Path) -> None:
    form = form_of(run)
    bands = [f"volatility_{k}_{edge}" for k in (5, 10) for edge in ("low", "high")]
    assert {line.name for line in form.heads} == {"score", "volatility_10", "drawdown_10", *bands}
    assert form.heads[0].name == "score" and {line.head.kind for line in form.heads if line.name in bands} == {"quantiles"}
    with np.load(run / "golden.npz") as golden:
        for member in form.members:
            [head] = member.heads
            again = infer([GraphMember((run / member.path).read_bytes(), {head: 1})], {"features": golden["features"]})
            np.testing.assert_array_equal(again[head], golden[head])
        assert (golden["volatility_5_low"] < golden["volatility_5_high"]).mean() > 0.9


def test_walking_forward_har_beats_what_needs_no_learning_on_a_market_whose_volatility_reverts() -> None:
    """A hand-made market of persistent, reverting volatilities: the trailing year is too slow, the month too noisy."""
    rng = np.random.default_rng(5)
    sessions, names = 900, 30
    state = np.zeros((sessions, names))
    for t in range(1, sessions):
        state[t] = 0.95 * state[t - 1] + 0.15 * rng.normal(size=names)
    returns = 0.015 * np.exp(state) * rng.normal(size=state.shape)
    bars = synthetic_bars(1, sessions=sessions, symbols=names)
    bars = Bars(**{**vars(bars), "total_return": returns, "eligible": np.isfinite(bars.close)})
    proof = proven(bars, 260)
    figures = volatility_figures(proof)
    assert all(gain.mean > 0 and gain.t > 2 for gain in figures.advantage.values())
    assert figures.bias == pytest.approx(1.0, abs=0.15)
    assert figures.coverage.mean == pytest.approx(0.9, abs=0.08)
    assert figures.below.mean + figures.coverage.mean + figures.above.mean == pytest.approx(1.0, abs=1e-9)


def test_the_band_of_pure_noise_holds_its_share() -> None:
    """Trees that cannot learn anything still hold 90 % of outcomes out of sample."""
    rng = np.random.default_rng(6)
    features, target = rng.normal(size=(6000, 3)).astype(np.float32), rng.normal(size=6000)
    names, half = ("a", "b", "c"), 3000
    models = [LightGbm(CONFIG.quantile(q), 1).fit(features[:half], target[:half], np.ones(half), names) for q in CONFIG.label.band]
    edges = [model.predict(features[half:]) for model in models]
    inside = (target[half:] >= edges[0]) & (target[half:] <= edges[1])
    assert inside.mean() == pytest.approx(0.9, abs=0.05)


def test_a_forecast_no_better_than_a_trailing_window_is_a_warning() -> None:
    """Equal forecasts: no advantage, t undefined, and the report must say so for each baseline."""
    bars = synthetic_bars(8, sessions=420, symbols=20)
    proof = proven(bars, 253)
    proof.forecasts["har"] = proof.forecasts["trailing_22"]
    figures = volatility_figures(proof)
    said = warnings(CONFIG, (figures,), _certain_drawdown(), "point-in-time")
    assert any("trailing_22" in line for line in said)


def _certain_drawdown() -> DrawdownFigures:
    return DrawdownFigures(Mean(0.95, 0.01, 95.0, 10), Mean(0, 1, 0, 10), Mean(1, 1, 1, 10), Mean(1.0, 0.1, 10.0, 10))


def test_targets_are_sizes_not_ranks() -> None:
    bars = synthetic_bars(4, sessions=320, symbols=15)
    rows = samples(RISK.panel(bars), volatility_labels(bars, 5), first=253)
    np.testing.assert_array_equal(rows.target, rows.label)


def test_the_configuration_file_is_the_default() -> None:
    document = yaml.safe_load((ROOT / "configs" / "sleeves" / "risk.yml").read_text())
    assert config_of(document, where="the file").identity() == RECIPES["risk"].config.identity() == VolatilityRecipe().identity()


def test_a_file_of_the_form_before_is_read_as_the_same_recipe() -> None:
    """Horizons, band and drawdown at the top, and the penalty of HAR under its own name."""
    before = {"horizons": [5, 10], "drawdown_sessions": 10, "interval": 0.8, "har": {"alpha": 0.5}, "label": {"kind": "volatility"}}
    now = {"label": {"kind": "volatility", "horizons": [5, 10], "drawdown_sessions": 10, "interval": 0.8}, "ridge": {"alpha": 0.5}}
    assert config_of(before, where="the file") == config_of(now, where="the file")


def test_another_learner_is_judged_against_har_too(data: Path) -> None:
    bars = synthetic_bars(8, sessions=420, symbols=20)
    found = proven(bars, 253, CONFIG.model_copy(update={"learner": "lightgbm"}))
    figures = volatility_figures(found)
    assert figures.own == "lightgbm" and set(figures.advantage) == {"har", "trailing_22", "trailing_252", "ewma"}
    np.testing.assert_array_equal(found.forecasts["har"], proven(bars, 253).forecasts["har"])


@pytest.mark.parametrize("horizons", [(10, 21), (5, 5), (5, 0)])
def test_horizons_that_devices_cannot_use_are_refused(horizons: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="horizon"):
        VolatilityLabel(horizons=horizons)


def test_what_only_a_ranking_of_returns_has_is_refused_by_name(data: Path, tmp_path: Path) -> None:
    answer = CliRunner().invoke(
        app, ["train", "--sleeve", "risk", "--data", str(data), "--run", str(tmp_path / "r"), "--importance", "--second-vendor", str(data)]
    )
    assert isinstance(answer.exception, FixInput)
    assert "--importance, --second-vendor" in str(answer.exception)
    assert not (tmp_path / "r").exists()
