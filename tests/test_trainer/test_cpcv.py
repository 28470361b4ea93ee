"""Cross-validation cannot leak: counts, conventions, and leaks that were planted."""

from __future__ import annotations

import doctest
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.errors import InvariantBroken, TooLittleHistory
from trainer.validation.splits import cpcv
from trainer.validation.splits.cpcv import Split, group_bounds, leaks, path_table, splits

HUNDRED = np.arange(100)


def test_the_ten_row_example_is_true() -> None:
    result = doctest.testmod(cpcv)
    assert result.attempted > 0 and result.failed == 0


@pytest.mark.parametrize(("groups", "tested", "count", "paths"), [(6, 2, 15, 5), (8, 2, 28, 7), (10, 2, 45, 9), (10, 5, 252, 126)])
def test_splits_and_paths_are_as_many_as_the_book_says(groups: int, tested: int, count: int, paths: int) -> None:
    assert sum(1 for _ in splits(HUNDRED, HUNDRED, groups=groups, test_groups=tested, embargo=0)) == count
    assert path_table(groups, tested).shape == (paths, groups)


def test_one_hundred_observations_end_their_first_five_tests_where_the_book_says() -> None:
    """Advances in Financial Machine Learning, p. 164."""
    first_five = [split for split in splits(HUNDRED, HUNDRED, groups=6, test_groups=2, embargo=0)][:5]
    assert [int(split.test.max()) for split in first_five] == [33, 50, 67, 83, 99]


def test_paths_of_six_groups_are_those_of_the_book() -> None:
    """AFML fig. 12.2, splits counted from 1: path 1 takes S1 S1 S2 S3 S4 S5, path 5 takes S5 S9 S12 S14 S15 S15."""
    table = path_table(6, 2) + 1
    assert table[0].tolist() == [1, 1, 2, 3, 4, 5]
    assert table[1].tolist() == [2, 6, 6, 7, 8, 9]
    assert table[4].tolist() == [5, 9, 12, 14, 15, 15]


@pytest.mark.parametrize(("groups", "tested"), [(6, 2), (8, 2), (6, 3)])
def test_every_path_uses_every_group_once_and_every_test_is_used_once(groups: int, tested: int) -> None:
    table = path_table(groups, tested)
    serving = list(combinations(range(groups), tested))
    for path in table:
        assert all(group in serving[split] for group, split in enumerate(path))
    used = {(int(split), group) for path in table for group, split in enumerate(path)}
    assert len(used) == comb(groups, tested) * tested == table.size


def test_groups_cut_sessions_not_rows() -> None:
    """Session 0 has 91 rows and nine others one each: row-wise thirds would cut through session 0."""
    t0 = np.concatenate([np.zeros(91, dtype=int), np.arange(1, 10)])
    for split in splits(t0, t0, groups=3, test_groups=1, embargo=0):
        assert not set(t0[split.train].tolist()) & set(t0[split.test].tolist())
    first = next(splits(t0, t0, groups=3, test_groups=1, embargo=0))
    assert sorted(set(t0[first.test].tolist())) == [0, 1, 2, 3]


def test_the_purge_is_of_closed_intervals_and_the_embargo_counts_sessions_after_the_last_label() -> None:
    """Twelve sessions, labels three long, tests 4 to 7, embargo 2.

    The test lives on [4, 10]. Row 1 ends at 4 and touches it; row 0 ends at 3 and does not. 8, 9 and 10 start inside;
    11 is embargo (and 12, which does not exist).
    """
    t0 = np.arange(12)
    split = list(splits(t0, t0 + 3, groups=3, test_groups=1, embargo=2))[1]
    assert split.test.tolist() == [4, 5, 6, 7]
    assert split.train.tolist() == [0]
    without = list(splits(t0, t0 + 3, groups=3, test_groups=1, embargo=0))[1]
    assert without.train.tolist() == [0, 11]


def test_each_segment_is_purged_by_itself() -> None:
    """Groups 0 and 2 of three tested: the sessions between stay for training, but for purge and embargo."""
    t0 = np.arange(30)
    split = list(splits(t0, t0 + 1, groups=3, test_groups=2, embargo=2))[1]
    assert split.groups == (0, 2)
    assert [(segment.first, segment.last) for segment in split.segments] == [(0, 10), (20, 30)]
    assert split.train.tolist() == [13, 14, 15, 16, 17, 18]


def test_adjacent_test_groups_form_one_segment() -> None:
    split = next(splits(np.arange(30), np.arange(30) + 1, groups=3, test_groups=2, embargo=0))
    assert [(segment.first, segment.last) for segment in split.segments] == [(0, 20)]


def test_one_symbol_s_longer_label_purges_that_symbol_and_widens_the_segment_for_all() -> None:
    """Two symbols over nine sessions. Symbol 1's label from session 1 lasts until 4: it goes, symbol 0's stays."""
    t0 = np.repeat(np.arange(9), 2)
    t1 = t0.copy()
    t1[2 * 1 + 1] = 4
    t1[2 * 5 + 1] = 7  # a test label of symbol 1 reaches to session 7: rows of 6 and 7 go for both symbols
    split = list(splits(t0, t1, groups=3, test_groups=1, embargo=0))[1]
    assert (split.segments[0].first, split.segments[0].last) == (3, 7)
    assert split.train.tolist() == [0, 1, 2, 4, 5, 16, 17]


label_sets = st.tuples(
    st.integers(12, 60), st.integers(1, 4), st.integers(0, 8), st.integers(0, 12), st.integers(3, 6), st.integers(0, 2**32 - 1)
)


@settings(max_examples=60)
@given(label_sets)
def test_the_certificate_is_zero_whatever_the_labels(case: tuple[int, int, int, int, int, int]) -> None:
    """Random label lengths per row and missing sessions: no training row touches a test interval or its embargo."""
    sessions, symbols, longest, embargo, groups, seed = case
    rng = np.random.default_rng(seed)
    t0 = np.repeat(np.sort(rng.choice(2 * sessions, sessions, replace=False)), symbols)
    t1 = t0 + rng.integers(0, longest + 1, len(t0))
    try:
        for split in splits(t0, t1, groups=groups, test_groups=2, embargo=embargo):
            assert leaks(t0, t1, split, embargo=embargo) == 0
            for train in split.train:  # and by brute force over pairs of rows
                meets = (t0[split.test] <= t1[train]) & (t1[split.test] + embargo >= t0[train])
                assert not meets.any()
    except TooLittleHistory:
        assert sessions < groups * (2 + longest + embargo)


def _unpurged(split: Split, t0: np.ndarray) -> Split:
    rest = np.setdiff1d(np.arange(len(t0)), split.test)
    return Split(split.number, split.groups, split.segments, rest, split.test, split.group_of_row)


def test_the_certificate_catches_a_split_that_forgot_to_purge() -> None:
    """Tests 4 to 7 with labels three long live on [4, 10]: rows 1, 2, 3 and 8, 9, 10 leak, and 11 with an embargo."""
    t0 = np.arange(12)
    split = _unpurged(list(splits(t0, t0 + 3, groups=3, test_groups=1, embargo=0))[1], t0)
    assert leaks(t0, t0 + 3, split, embargo=0) == 6
    assert leaks(t0, t0 + 3, split, embargo=2) == 7


def test_the_certificate_catches_an_embargo_counted_in_rows() -> None:
    """Five symbols: an embargo of ten rows is two sessions, not ten."""
    t0 = np.repeat(np.arange(60), 5)
    split = list(splits(t0, t0 + 2, groups=6, test_groups=1, embargo=2))[2]
    assert leaks(t0, t0 + 2, split, embargo=2) == 0
    assert leaks(t0, t0 + 2, split, embargo=10) == 8 * 5


def test_the_certificate_catches_a_test_row_in_training() -> None:
    t0 = np.arange(12)
    split = next(iter(splits(t0, t0, groups=3, test_groups=1, embargo=0)))
    leaky = Split(split.number, split.groups, split.segments, np.append(split.train, 0), split.test, split.group_of_row)
    assert leaks(t0, t0, leaky, embargo=0) == 1


def test_groups_differ_by_one_session_at_most() -> None:
    assert [last - first + 1 for first, last in group_bounds(100, 6)] == [17, 17, 17, 17, 16, 16]


def test_too_few_sessions_and_impossible_shapes_are_refused() -> None:
    with pytest.raises(TooLittleHistory, match="cannot be cut"):
        list(splits(np.arange(5), np.arange(5), groups=6, test_groups=2, embargo=0))
    with pytest.raises(TooLittleHistory, match="no training rows"):
        list(splits(np.arange(12), np.arange(12), groups=3, test_groups=2, embargo=30))
    with pytest.raises(InvariantBroken, match="make no cross-validation"):
        list(splits(np.arange(12), np.arange(12), groups=3, test_groups=3, embargo=0))
    with pytest.raises(InvariantBroken, match="label interval"):
        list(splits(np.arange(12), np.arange(12) - 1, groups=3, test_groups=1, embargo=0))
