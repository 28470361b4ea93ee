"""Filter, sort, jump and column fitting: pure functions, worked by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.tui.columns import GAP, GUTTER, Column, Tone, aligned, fit
from appliance.tui.formatting import bar, duration, tone_of_sign, used, z
from appliance.tui.row_filter import Arrangement, arrange, find_symbol

COLUMNS = (Column("symbol", "symbol", 6), Column("side", "side", 5), Column("weight", "weight", 7, right=True))
ROWS = (
    {"symbol": "AAA", "side": "LONG", "weight": "+10.00%"},
    {"symbol": "BBB", "side": "SHORT", "weight": "-2.50%"},
    {"symbol": "CCC", "side": "LONG", "weight": "+9.00%"},
    {"symbol": "DDD", "side": "FLAT", "weight": None},
)


def symbols(how: Arrangement) -> list[str]:
    return [str(row["symbol"]) for row in arrange(ROWS, COLUMNS, how)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ["AAA", "BBB", "CCC", "DDD"]),
        ("long", ["AAA", "CCC"]),
        ("long -aaa", ["CCC"]),
        ("LONG 9.0", ["CCC"]),
        ("zzz", []),
        ("-", ["BBB", "DDD"]),
    ],
)
def test_every_word_must_hold_and_a_minus_must_not(words: str, expected: list[str]) -> None:
    """A lone minus is a word like any other: it finds the negative weight and the dash of a missing one."""
    assert symbols(Arrangement(words)) == expected


def test_percentages_sort_as_numbers_and_missing_ones_come_last_either_way() -> None:
    """10 % is more than 9 %, though "9" is more than "1"."""
    assert symbols(Arrangement(sort="weight")) == ["BBB", "CCC", "AAA", "DDD"]
    assert symbols(Arrangement(sort="weight", descending=True)) == ["AAA", "CCC", "BBB", "DDD"]


def test_a_symbol_is_preferred_to_one_that_only_begins_like_it() -> None:
    rows = [{"symbol": "BRKB"}, {"symbol": "BRK"}, {"symbol": "AB"}]
    assert find_symbol(rows, "brk") == 1
    assert find_symbol(rows, "a") == 2
    assert find_symbol(rows, "zz") is None
    assert find_symbol(rows, "  ") is None


def test_columns_of_the_highest_rank_give_way_first_and_one_takes_what_is_left() -> None:
    columns = (Column("a", "a", 10), Column("b", "b", 10, rank=2), Column("c", "c", 10, rank=1), Column("d", "d", 5, fills=True))
    whole = GUTTER + 35 + 3 * GAP
    assert [(c.key, w) for c, w in fit(columns, whole + 4)] == [("a", 10), ("b", 10), ("c", 10), ("d", 9)]
    assert [c.key for c, _ in fit(columns, whole - 1)] == ["a", "c", "d"]
    assert [c.key for c, _ in fit(columns, 20)] == ["a", "d"]
    assert [c.key for c, _ in fit(columns, 3)] == ["a", "d"]


def test_a_cell_is_exactly_as_wide_as_its_column() -> None:
    left, right = Column("a", "a", 4), Column("b", "b", 4, right=True)
    assert aligned("ab", left, 4) == "ab  "
    assert aligned("ab", right, 4) == "  ab"
    assert aligned("abcdef", left, 4) == "abc…"


def test_a_bar_is_full_at_the_limit_and_a_quarter_at_a_quarter() -> None:
    assert bar(1.0, 4) == bar(7.0, 4) == "████"
    assert bar(0.25, 4) == "█   "
    assert bar(0.0, 4) == bar(None, 4) == "    "
    assert used(0.5).endswith(" 50%") and len(used(0.5)) == len(used(None)) == 15


@pytest.mark.parametrize(
    ("seconds", "said"), [(9, "9 s"), (61, "1 min 01 s"), (7_500, "2 h 05 min"), (266_400, "3 d 2 h"), (-61, "1 min 01 s")]
)
def test_a_time_to_come_is_said_in_its_two_largest_units(seconds: int, said: str) -> None:
    assert duration(timedelta(seconds=seconds)) == said


def test_zero_is_neither_good_nor_bad() -> None:
    assert [tone_of_sign(text) for text in ("+0.00%", "-0.00%", "+0.01%", "-3.00", None)] == [
        Tone.DIM,
        Tone.DIM,
        Tone.GOOD,
        Tone.BAD,
        Tone.DIM,
    ]


def test_deviations_stand_under_each_other_with_their_sign() -> None:
    assert [z(value) for value in (1.2, -0.5, 0.0, None)] == ["+1.200", "-0.500", "+0.000", "-"]
