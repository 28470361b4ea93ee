"""Analogs: every neighbour that brute force finds, none that was not known then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signals.errors import InvariantBroken
from signals.events.analogs import APART, AnalogBank, nearest


def bank_of(n: int = 10_000, d: int = 64, seed: int = 2) -> AnalogBank:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    row = rng.integers(0, 1000, n)
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)
    return AnalogBank(unit, rng.uniform(0.5, 1.0, n), rng.normal(size=n), row, rng.integers(0, 20, n), row + rng.integers(1, 30, n))


def test_the_nearest_are_those_of_brute_force_in_float64() -> None:
    bank, rng = bank_of(), np.random.default_rng(4)
    for k in (1, 3, 50, 50, 5000):
        asked = rng.normal(size=64).astype(np.float32)
        cosine = bank.vectors.astype(np.float64) @ (asked / np.linalg.norm(asked.astype(np.float64)))
        may = (bank.known_at < 700) & ((bank.column != 3) | (np.abs(bank.row - 700) > APART))
        expected = [i for i in np.argsort(-cosine).tolist() if may[i]][:k]
        found = nearest(bank, asked, row=700, column=3, k=k)
        assert set(found.place.tolist()) == set(expected)
        assert found.cosine == pytest.approx(cosine[found.place], abs=1e-6)
        assert found.sim_conf == pytest.approx(bank.quality[expected].mean() * cosine[expected].mean())
        assert found.hist_rr_pct == pytest.approx(np.quantile(bank.realised_r[expected], 0.65))


@pytest.mark.parametrize("d", [8, 64])
def test_what_is_found_does_not_depend_on_how_many_rows_there_are_or_on_their_order(d: int) -> None:
    """A device's bank is the trainer's in other company: the same neighbours, to the bit of each cosine."""
    bank, rng = bank_of(3_001, d), np.random.default_rng(5)
    known = np.flatnonzero(bank.known_at < 700)
    for places in (known, rng.permutation(known), np.concatenate([known[7:], known[:7]])):
        few = AnalogBank(*(getattr(bank, name)[places] for name in ("vectors", "quality", "realised_r", "row", "column", "known_at")))
        for asked in rng.normal(size=(20, d)).astype(np.float32):
            one, other = (nearest(which, asked, row=700, column=3) for which in (bank, few))
            assert one.place.tolist() == places[other.place].tolist() and one.cosine.tobytes() == other.cosine.tobytes()
            assert (one.sim_conf, one.hist_rr_pct) == (other.sim_conf, other.hist_rr_pct)


def small() -> AnalogBank:
    """Four rows of one symbol and one of another, along two axes."""
    vectors = np.array([[1, 0], [1, 0], [0.6, 0.8], [0, 1], [1, 0]], np.float16)
    return AnalogBank(
        vectors, np.full(5, 0.5), np.arange(5.0), np.array([10, 90, 20, 30, 95]), np.array([0, 0, 0, 0, 1]), np.array([15, 99, 100, 40, 99])
    )


def test_a_row_is_used_after_its_outcome_was_known_and_not_beside_its_own_symbol() -> None:
    asked = np.array([2.0, 0.0], np.float32)
    assert nearest(small(), asked, row=100, column=0, k=5).place.tolist() == [0, 4, 3]  # 1 is near, 2 known at 100
    assert nearest(small(), asked, row=101, column=0, k=5).place.tolist() == [0, 4, 2, 3]
    assert nearest(small(), asked, row=101, column=7, k=2).place.tolist() == [0, 1]  # ties by their place
    none = nearest(small(), asked, row=10, column=0)
    assert len(none.place) == 0
    assert np.isnan([none.sim_conf, none.hist_rr_pct]).all()


def test_impossible_banks_and_questions_are_refused() -> None:
    bank = small()
    for fault in ({"vectors": 2 * bank.vectors}, {"known_at": bank.row}, {"realised_r": bank.quality * np.nan}, {"row": bank.row[1:]}):
        with pytest.raises(InvariantBroken, match="a bank of analogs"):
            replace(bank, **fault)
    for asked in (np.zeros(2, np.float32), np.ones(3, np.float32), np.array([np.nan, 1.0], np.float32)):
        with pytest.raises(InvariantBroken, match="an analog is asked"):
            nearest(bank, asked, row=100, column=0)
