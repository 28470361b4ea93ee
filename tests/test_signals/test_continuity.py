"""Continuity is judged against what the same statistics did in training."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from signals.errors import BundleRefused
from signals.monitoring import continuity
from signals.monitoring.continuity import (
    ContinuityLimits,
    CrossSection,
    RelationLimit,
    StepLimits,
    limits,
    read_limits,
    recomputed,
    relations,
    step,
)
from signals.text.documents import to_json

COLUMNS = ("slow", "sister", "log_size", "fast", "score")
TEN = np.arange(1, 11, dtype=np.float32)


def evening(values: np.ndarray, columns: tuple[str, ...] = COLUMNS) -> CrossSection:
    return CrossSection(tuple(f"S{i:02d}" for i in range(len(values))), columns, values.astype(np.float32))


def one(values: np.ndarray, name: str = "x") -> CrossSection:
    return evening(np.asarray(values)[:, None], (name,))


def only(word: str, limit: float, name: str = "x") -> ContinuityLimits:
    """A table that judges one statistic."""
    row = replace(StepLimits({}, {}, {}), **{word: limit if word == "repeated" else {name: limit}})
    return ContinuityLimits({"1": row}, {})


def history(sessions: int = 400, names: int = 60, seed: int = 3) -> np.ndarray:
    """Slow features of names that keep their places, a sister of the first, a fast one, and a score; (T, N, F)."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(names, 3))
    noise = rng.normal(size=(sessions, names, 3)).cumsum(axis=0) * 0.02
    slow = np.exp(0.5 * (own[:, 0] + noise[:, :, 0]))
    size = 17.0 + own[:, 1] + noise[:, :, 1]
    sister = slow * np.exp(0.05 * rng.normal(size=slow.shape))
    score = 0.01 * (own[:, 2] + noise[:, :, 2] + 0.1 * rng.normal(size=slow.shape))
    return np.stack([slow, sister, size, rng.normal(size=slow.shape), score], axis=2).astype(np.float32)


@pytest.fixture(scope="module")
def market() -> np.ndarray:
    return history()


@pytest.fixture(scope="module")
def table(market: np.ndarray) -> ContinuityLimits:
    """As a device reads it from a bundle."""
    made = limits(COLUMNS, market[:300])
    read = read_limits(json.loads(json.dumps(to_json(made), allow_nan=False)))
    assert read == made
    return read


@pytest.mark.parametrize(
    ("word", "before", "now", "value"),
    [
        # Two neighbours change places: 6 x 2 / (10 x 99) of Spearman's formula.
        ("order", TEN, TEN[[1, 0, *range(2, 10)]], 12 / 990),
        ("order", TEN, -TEN, 2.0),
        ("scale", TEN, 2 * TEN, math.log(2.0)),
        ("scale", TEN, -TEN, 0.0),
        ("lost", TEN, np.where(TEN > 3, TEN, np.nan), 0.3),
        ("repeated", TEN, np.where(TEN > 4, TEN, TEN + 0.5), 0.6),
    ],
)
def test_hand_worked_figures(word: str, before: np.ndarray, now: np.ndarray, value: float) -> None:
    assert step(only(word, 0.5), one(before), one(now), 1).ratio == pytest.approx(value / 0.5, abs=1e-6)


def test_a_feature_in_logarithms_is_scaled_by_what_is_added() -> None:
    """ln(1.45) = 0.3716: nineteen sessions of one dollar and one of ten in a mean of twenty."""
    table = only("scale", 0.2, "log_size")
    found = step(table, one(TEN, "log_size"), one(TEN + math.log(1.45), "log_size"), 1)
    assert found.ratio == pytest.approx(0.371564 / 0.2, rel=1e-4)
    assert found.name == "scale of log_size"


def test_names_that_only_one_evening_has_are_left_out() -> None:
    downwards = -np.arange(21, dtype=np.float32)[:, None]
    before, now = one(TEN), CrossSection(tuple(f"S{i:02d}" for i in range(20, -1, -1)), ("x",), downwards)
    assert step(only("order", 0.5), before, now, 1).ratio == pytest.approx(0.0, abs=1e-6)


def test_fewer_than_ten_names_or_a_constant_cannot_be_measured_and_are_beyond_every_limit() -> None:
    for now in (np.full(10, 3.0), np.where(TEN > 1, TEN, np.nan)):
        assert step(only("order", 0.5), one(TEN), one(now), 1).ratio == math.inf


def test_a_relation_turns_with_the_sign() -> None:
    table = ContinuityLimits({}, {"x": RelationLimit("y", -1.0, 0.5)})
    both = np.column_stack([TEN, -TEN])
    assert relations(table, evening(both, ("x", "y"))).ratio == pytest.approx(0.0, abs=1e-6)
    assert relations(table, evening(-both * [1, -1], ("x", "y"))).ratio == pytest.approx(4.0)
    assert relations(table, evening(both * [1, 0], ("x", "y"))).ratio == math.inf


def test_a_recomputation_that_agrees_is_zero_and_a_scaled_or_turned_one_is_beyond_its_limit() -> None:
    values = np.column_stack([TEN, TEN**2, np.full(10, np.nan), np.zeros(10)])
    then = evening(values, ("a", "b", "undefined", "constant"))
    assert recomputed(then, then).ratio == 0.0
    doubled = recomputed(then, evening(values * [1, 2, 1, 1], then.columns))
    assert (doubled.name, doubled.ratio) == ("scale of b", pytest.approx(math.log(2.0) / 0.5))
    assert recomputed(then, evening(values * [-1, 1, 1, 1], then.columns)).ratio == pytest.approx(4.0)


def test_the_limit_is_three_times_the_99th_hundredth_but_at_least_half_a_fault(market: np.ndarray) -> None:
    """An independent oracle over every session of the history: scipy-free Spearman of the values' ranks."""
    found = limits(COLUMNS, market[:300])
    order = [1.0 - np.corrcoef(market[t, :, 4].argsort().argsort(), market[t - 1, :, 4].argsort().argsort())[0, 1] for t in range(1, 300)]
    assert found.steps["1"].order["score"] == pytest.approx(max(0.5, 3 * sorted(order)[296]))
    assert found.steps["1"].order["slow"] == 0.5
    assert found.steps["1"].scale["slow"] == pytest.approx(math.log(2.0) / 2)
    assert found.relations["slow"].partner == "sister"


def test_what_could_not_tell_a_shuffle_from_an_honest_session_is_left_out(table: ContinuityLimits) -> None:
    assert "fast" not in table.steps["1"].order and "fast" not in table.relations
    assert "score" not in table.steps["1"].scale, "the median size of a score about 0 says nothing"


def test_honest_sessions_after_training_are_within_their_limits(market: np.ndarray, table: ContinuityLimits) -> None:
    for t in range(300, 400):
        for lag in continuity.LAGS:
            assert step(table, evening(market[t - lag]), evening(market[t]), lag).ratio < 1
        assert relations(table, evening(market[t])).ratio < 1


def turned(values: np.ndarray, column: int) -> np.ndarray:
    return np.where(np.arange(5) == column, -values, values)


FAULTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "names shuffled": (lambda x: np.random.default_rng(1).permutation(x), "order"),
    "names one row off": (lambda x: np.roll(x, 1, axis=0), "order"),
    "a sign flipped": (lambda x: turned(x, 0), "order"),
    "the scores turned": (lambda x: turned(x, 4), "order"),
    "a feature doubled": (lambda x: x * np.array([2, 1, 1, 1, 1]), "scale"),
    "volume x 10 in one session of twenty": (lambda x: x + np.array([0, 0, math.log(1.45), 0, 0]), "scale"),
    "a feature lost": (lambda x: np.where(np.arange(5) == 3, np.nan, x), "lost"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_and_without_its_statistic_it_is_not(fault: str, market: np.ndarray, table: ContinuityLimits) -> None:
    plant, word = FAULTS[fault]
    before, now = evening(market[300]), evening(plant(market[301]).astype(np.float32))
    found = step(table, before, now, 1)
    assert (found.ratio > 1 and word in found.name) or found.ratio == math.inf
    off = {name: {} for name in ({word, "order"} if word == "lost" else {word})}
    assert step(replace(table, steps={"1": replace(table.steps["1"], **off)}), before, now, 1).ratio <= 1, "no other statistic sees it"


def test_an_evening_served_again_is_caught_by_repeated_values_alone(market: np.ndarray, table: ContinuityLimits) -> None:
    again = evening(market[300])
    assert step(table, again, again, 1).name == "repeated values"
    half = np.where(np.arange(60)[:, None] < 30, market[300], market[301])
    assert step(table, again, evening(half), 1).ratio > 1
    assert step(replace(table, steps={"1": replace(table.steps["1"], repeated=None)}), again, again, 1).ratio < 1


def test_features_that_no_longer_belong_together_are_seen_without_an_earlier_evening(market: np.ndarray, table: ContinuityLimits) -> None:
    flipped = evening(turned(market[301], 1))
    assert relations(table, flipped).ratio > 1
    assert relations(replace(table, relations={}), flipped).ratio == 0.0


def test_a_feature_that_the_accepted_evening_lacked_is_not_compared(market: np.ndarray, table: ContinuityLimits) -> None:
    without = np.where(np.arange(5) == 0, np.nan, market[300]).astype(np.float32)
    assert step(table, evening(without), evening(market[301]), 1).ratio < 1
    assert step(table, evening(market[301]), evening(without), 1).ratio > 1


def test_scores_of_another_bundle_are_not_compared(market: np.ndarray, table: ContinuityLimits) -> None:
    before = evening(market[300][:, :4], COLUMNS[:4])
    assert step(table, before, evening(turned(market[301], 4)), 1).ratio < 1


def test_a_table_that_cannot_be_read_is_refused(market: np.ndarray, table: ContinuityLimits) -> None:
    now = evening(market[300])
    for broken in (ContinuityLimits({}, {}), only("order", math.nan, "slow"), only("order", 0.0, "slow")):
        with pytest.raises(BundleRefused, match="continuity"):
            step(broken, now, now, 1)
    half = {"slow": {"partner": "sister"}}
    for document in (None, {}, {"steps": [], "relations": {}}, {"steps": {"1": {}}, "relations": {}}, {"steps": {}, "relations": half}):
        with pytest.raises(BundleRefused, match="continuity"):
            relations(read_limits(document), now)
