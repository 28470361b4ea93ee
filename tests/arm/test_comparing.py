"""What the comparison of two machines sees, and what it lets pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.arm.comparing import MAX_SHARE, Difference, compared, ulps, unlike
from tests.arm.graphs import bound, distances

SESSIONS, NAMES, FEATURES = 5, 40, 8


def witness(path: Path, machine: str = "aarch64", **changed: Any) -> Path:
    """A file as `witness.py` writes it, with some of it replaced."""
    chance = np.random.default_rng(3)
    cells = SESSIONS * NAMES
    said = {
        "names": np.array([f"f{i}" for i in range(FEATURES)]),
        "sessions": np.arange(SESSIONS),
        "eligible": np.ones((SESSIONS, NAMES), dtype=bool),
        "counts": np.full(SESSIONS, NAMES),
        "features": chance.standard_normal((cells, FEATURES)).astype(np.float32),
        "scores": chance.standard_normal(cells),
        "chart": np.array("__/"),
        "events": np.arange(12).reshape(6, 2),
        "pictures": np.zeros((1, 3, 64, 64), np.uint8),
        "machine": np.array(machine),
    }
    np.savez(path, **{**said, **changed})
    return path


def features(path: Path) -> Any:
    with np.load(path) as said:
        return said["features"].copy()


def test_steps_of_float32_are_counted_through_zero_and_nan_is_far_from_every_number() -> None:
    one = np.float32(1.0)
    above = np.nextafter(one, np.float32(2))
    tiny = np.float32(1e-45)
    left = np.array([one, one, tiny, 0.0, np.nan, np.nan], dtype=np.float32)
    right = np.array([one, above, -tiny, -0.0, np.nan, one], dtype=np.float32)
    assert ulps(left, right).tolist() == [0, 1, 2, 0, 0, np.iinfo(np.int64).max]


def test_equal_machines_are_no_distance_apart(tmp_path: Path) -> None:
    found = compared(witness(tmp_path / "a.npz", "x86_64"), witness(tmp_path / "b.npz"))
    assert (found.cells, found.differing, found.ulps, found.score_sd) == (SESSIONS * NAMES * FEATURES, 0, 0, 0.0)
    assert found.faults() == []


def test_a_feature_two_steps_away_is_a_fault(tmp_path: Path) -> None:
    ours = witness(tmp_path / "a.npz", "x86_64")
    moved = features(ours)
    moved[7, 3] = np.nextafter(np.nextafter(moved[7, 3], np.float32(9)), np.float32(9))
    found = compared(ours, witness(tmp_path / "b.npz", features=moved))
    assert (found.differing, found.ulps) == (1, 2)
    assert any("2 steps" in words for words in found.faults())


def test_one_cell_in_a_million_may_be_one_step_away_and_no_more() -> None:
    assert Difference(10_000_000, 10, 1, 1, 0.0).faults() == []
    assert len(Difference(10_000_000, 11, 1, 1, 0.0).faults()) == 1
    assert pytest.approx(1e-6) == MAX_SHARE


def test_a_score_is_measured_in_the_standard_deviations_of_its_session(tmp_path: Path) -> None:
    scores = np.tile(np.concatenate([np.zeros(NAMES // 2), np.ones(NAMES // 2)]), SESSIONS)
    apart = scores.copy()
    apart[3] += 1e-4
    found = compared(witness(tmp_path / "a.npz", "x86_64", scores=scores), witness(tmp_path / "b.npz", scores=apart))
    assert found.score_sd == pytest.approx(1e-4 / np.std(scores[:NAMES], ddof=1))
    assert len(found.faults()) == 1
    lost = np.where(np.arange(len(scores)) == NAMES + 3, np.nan, scores)
    assert compared(tmp_path / "a.npz", witness(tmp_path / "c.npz", scores=lost)).faults() != []


def test_two_files_that_do_not_speak_of_the_same_are_not_compared(tmp_path: Path) -> None:
    ours = witness(tmp_path / "a.npz", "x86_64")
    with pytest.raises(ValueError, match="eligible"):
        compared(ours, witness(tmp_path / "b.npz", eligible=np.zeros((SESSIONS, NAMES), dtype=bool)))
    with pytest.raises(ValueError, match="x86_64"):
        compared(ours, witness(tmp_path / "c.npz", "x86_64"))


def test_an_order_of_another_quantity_and_one_too_many_are_seen() -> None:
    ours = [{"symbol": "A", "quantity": "3", "id": "x"}, {"symbol": "B", "quantity": "1", "id": "y"}]
    theirs = [{"symbol": "A", "quantity": "3", "id": "z"}, {"symbol": "B", "quantity": "2", "id": "y"}, ours[0]]
    assert unlike(ours, ours, ("symbol", "quantity")) == []
    assert len(unlike(ours, theirs, ("symbol", "quantity"))) == 2


def test_a_graph_that_is_missing_or_says_no_number_is_infinitely_far(tmp_path: Path) -> None:
    """And one that says another number is that far: a tree's outputs may differ by 5e-6, a network's by 2e-6."""
    said = {name: np.zeros((3, 1)) for name in ("lightgbm", "gru", "logistic")}
    np.savez(tmp_path / "theirs.npz", lightgbm=np.full((3, 1), 3e-6), gru=np.full((3, 1), np.nan))
    apart = distances(said, tmp_path / "theirs.npz")
    assert apart == {"lightgbm": 3e-6, "gru": np.inf, "logistic": np.inf}
    assert apart["lightgbm"] <= bound("lightgbm") and not apart["lightgbm"] <= bound("gru")
