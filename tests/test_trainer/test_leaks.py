"""Leaks planted on purpose, each of which some test or figure of ours must see."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from signals.errors import InvariantBroken
from signals.sleeves import SLEEVES
from tests.fakes.bars import synthetic_bars
from tests.fakes.labelled import market, with_features
from trainer.learners.base import FitDevice
from trainer.learners.lgbm import LightGbm
from trainer.learners.linear import Ridge
from trainer.learners.parameters import LightGbmConfig, RidgeConfig
from trainer.recipes.base import CpcvConfig, RecipeConfig
from trainer.tasks.rank_return import LEAK_IC, warnings
from trainer.validation.ic import overlapping_mean, rank_ic
from trainer.validation.proof import figures, prove
from trainer.validation.splits.cpcv import leaks, splits
from trainer.validation.splits.oof import cross_validate, fit, folds, scored, walk_forward

LEARNER = LightGbm(LightGbmConfig(trees=20, num_leaves=4, min_data_in_leaf=100, max_bin=31), seed=1)
CPCV = CpcvConfig(groups=5, test_groups=2, embargo_sessions=5, holdout_sessions=40)


def no_step(_: str) -> None:
    """Nobody watches."""


def shifted(panel_of, bars):  # type: ignore[no-untyped-def]
    """A feature family computed one session ahead: what an off-by-one in an index does."""
    values = panel_of(bars)
    moved = np.full_like(values, np.nan)
    moved[:-1] = values[1:]
    return moved


def momentum(bars):  # type: ignore[no-untyped-def]
    """The newest session's return: harmless at its own session, a look ahead one session early."""
    return bars.total_return[..., None].astype(np.float32)


def is_prefix_invariant(panel_of, bars, cut: int) -> bool:  # type: ignore[no-untyped-def]
    """Whether the last kept session's features are the same with and without the future behind it."""
    whole, prefix = panel_of(bars)[cut - 1], panel_of(bars.until(bars.sessions[cut - 1].astype(object), cut))[-1]
    return bool(np.array_equal(whole, prefix, equal_nan=True))


def test_a_feature_shifted_by_one_session_fails_prefix_invariance() -> None:
    bars = synthetic_bars(1, sessions=60, symbols=12)
    assert is_prefix_invariant(momentum, bars, 40)
    assert not is_prefix_invariant(lambda part: shifted(momentum, part), bars, 40)


def test_our_own_sleeve_passes_the_check_that_catches_the_shift() -> None:
    bars = synthetic_bars(1, sessions=300, symbols=12)
    panel_of = lambda part: SLEEVES["equities_xs"].panel(part).values  # noqa: E731
    assert is_prefix_invariant(panel_of, bars, 290)


def test_a_feature_shifted_into_its_label_raises_the_alarm() -> None:
    """The return of session t + 1, seen at t, holds the gain from the open of D that the label starts with."""
    rows, bars = market(1)
    ahead = np.full_like(bars.total_return, np.nan)
    ahead[:-1] = bars.total_return[1:]
    features = rows.features.copy()
    features[:, 1] = ahead[rows.t0, rows.column]
    leaked = with_features(rows, features)
    config = RecipeConfig(cpcv=CPCV)
    for case, is_alarm in ((rows, False), (leaked, True)):
        proof = prove(case, LEARNER, CPCV, workers=1, step=no_step)
        found = figures(proof, bars, 5)
        told = warnings(found, proof, config, "point-in-time")
        assert any("LEAK SUSPECTED" in warning for warning in told) is is_alarm
        assert (abs(found.ic_walk_forward.mean) > LEAK_IC) is is_alarm


@dataclass(frozen=True)
class ScaledOnEverything:
    """Ridge behind a scaler that was fitted on all rows, test rows and future included."""

    everything: np.ndarray
    device: FitDevice = FitDevice.CPU

    def fit(self, features, target, weight, names, sessions=None):  # type: ignore[no-untyped-def]
        mean, scale = np.nanmean(self.everything, axis=0), np.nanstd(self.everything, axis=0)
        model = Ridge(RidgeConfig()).fit(((features - mean) / scale).astype(np.float32), target, weight, names)

        class Scaled:
            def predict(self, asked: np.ndarray) -> np.ndarray:
                return model.predict(((asked - mean) / scale).astype(np.float32))

        return Scaled()


def depends_on_test_rows(make, rows) -> bool:  # type: ignore[no-untyped-def]
    """Whether a model fitted on the past changes when the rows it has not seen do."""
    train, test = folds(rows.t0, rows.t1, 4)[0]
    changed = rows.features.copy()
    changed[test] = changed[test] * 3.0 + 1.0
    other = with_features(rows, changed)
    asked = rows.features[train[:200]]
    one, two = (scored(fit(case, make(case), train), asked) for case in (rows, other))
    return not np.array_equal(one, two)


def test_a_scaler_fitted_on_all_rows_is_seen_by_changing_the_rows_it_should_not_see() -> None:
    rows, _ = market(2, strength=0.1)
    assert depends_on_test_rows(lambda case: ScaledOnEverything(case.features), rows)


@pytest.mark.parametrize("make", [lambda _: LEARNER, lambda _: Ridge(RidgeConfig())], ids=["lightgbm", "ridge"])
def test_our_learners_scale_on_training_rows_alone(make) -> None:  # type: ignore[no-untyped-def]
    assert not depends_on_test_rows(make, market(2, strength=0.1)[0])


@pytest.mark.parametrize("broken", ["purge", "embargo", "fold"])
def test_a_label_that_overlaps_the_fold_is_counted_by_the_certificate(broken: str) -> None:
    """A split whose purge, embargo or membership is broken on purpose has leaks; as it was, none."""
    rows, _ = market(3, sessions=150)
    split = next(iter(splits(rows.t0, rows.t1, groups=5, test_groups=1, embargo=10)))
    assert leaks(rows.t0, rows.t1, split, embargo=10) == 0
    last = split.segments[0].last
    intruders = {
        "purge": np.flatnonzero((rows.t0 <= last) & (rows.t1 > last) & ~np.isin(np.arange(len(rows)), split.test)),
        "embargo": np.flatnonzero((rows.t0 > last) & (rows.t0 <= last + 10)),
        "fold": split.test[:30],
    }[broken]
    assert len(intruders)
    tampered = replace(split, train=np.union1d(split.train, intruders))
    assert leaks(rows.t0, rows.t1, tampered, embargo=10) == len(intruders)


def test_a_run_whose_certificate_is_not_zero_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = market(3, sessions=150)

    def careless(t0, t1, *, groups, test_groups, embargo):  # type: ignore[no-untyped-def]
        for split in splits(t0, t1, groups=groups, test_groups=test_groups, embargo=embargo):
            yield replace(split, train=np.setdiff1d(np.arange(len(t0)), split.test))

    monkeypatch.setattr("trainer.validation.splits.oof.splits", careless)
    with pytest.raises(InvariantBroken, match="leak into the test"):
        cross_validate(rows, LEARNER, groups=5, test_groups=2, embargo=5, workers=1, step=no_step)


def test_labels_that_end_inside_the_next_fold_are_what_walking_forward_drops() -> None:
    """A learner that remembers its rows' sessions is worth nothing where no training label reaches the test."""
    rows, _ = market(4, sessions=150)
    for train, test in folds(rows.t0, rows.t1, 5):
        assert rows.t1[train].max() < rows.t0[test].min()
    ic = overlapping_mean(rank_ic(rows.dense(walk_forward(rows, LEARNER, groups=5, workers=1, step=no_step)), rows.dense(rows.label)), 5)
    assert abs(ic.t) < 3.0
