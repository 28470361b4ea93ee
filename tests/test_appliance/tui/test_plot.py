"""Lines in braille, worked by hand: each character holds 2 x 4 dots, from the top left."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from appliance.ledger.nav import NavRow
from appliance.tui.charts import _between
from appliance.tui.plot import Chart, Line, Stroke, drawn
from appliance.views.performance import Fan, path


def rows(chart: Chart, width: int, height: int) -> list[str]:
    return drawn(chart, width, height).plain.split("\n")


def test_a_rising_line_climbs_from_the_lowest_dot_to_the_highest() -> None:
    """0, 1, 2, 3 on two characters (four dots across) and one row (four dots down): the diagonal of 2 x 4 dots.

    Dots (0,3) and (1,2) make the left character: bits 0x40 + 0x20; (2,1) and (3,0) the right: 0x02 + 0x08.
    """
    title, line = rows(Chart("t", (Line("", (0.0, 1.0, 2.0, 3.0)),), "{:.0f}"), 4, 2)
    assert title == "t"
    assert line == f"0 {chr(0x2800 + 0x60)}{chr(0x2800 + 0x0A)}"


def test_the_axis_says_the_highest_and_the_lowest_value() -> None:
    found = rows(Chart("NAV", (Line("", (900.0, 1_250.0, 1_000.0)),)), 20, 5)
    assert len(found) == 5
    assert found[1].startswith("1,250 ") and found[4].startswith("  900 ")
    assert [line[:6].strip() for line in found[2:4]] == ["", ""]


def test_a_gap_in_the_values_is_a_gap_in_the_line() -> None:
    """Known, unknown, known: the middle stays empty."""
    (_, line) = rows(Chart("t", (Line("", (1.0, None, None, None, 1.0)),), "{:.0f}"), 12, 2)
    assert line[2] != " " and line[-1] != " " and line[4:-2].strip() == ""


@pytest.mark.parametrize("values", [(), (1.0,), (None, None)])
def test_fewer_than_two_values_are_words_and_no_line(values: tuple[float | None, ...]) -> None:
    assert rows(Chart("t", (Line("", values),), empty="soon"), 20, 5) == ["t", "soon"]


def test_a_level_line_is_drawn_in_the_middle() -> None:
    found = rows(Chart("t", (Line("", (5.0,) * 9),), "{:.0f}"), 12, 6)
    assert [bool(line[2:].strip()) for line in found[1:]] == [False, False, True, False, False]


def test_strokes_are_told_apart_without_colour() -> None:
    """Of 40 dots a solid line draws 40, a dashed one four of seven, a dotted one one of four."""

    def dots(stroke: Stroke) -> int:
        line = rows(Chart("t", (Line("", (1.0,) * 20 + (1.0,), stroke=stroke),), "{:.0f}"), 22, 2)[1]
        return sum((ord(cell) - 0x2800).bit_count() for cell in line[2:] if cell != " ")

    assert dots(Stroke.SOLID) > dots(Stroke.DASHED) > dots(Stroke.DOTTED) > 0


def test_the_legend_gives_way_to_the_width() -> None:
    chart = Chart("mean rank IC", (Line("promised", (1.0, 2.0)), Line("lived", (2.0, 1.0))))
    assert rows(chart, 60, 3)[0] == "mean rank IC  ── promised  ── lived"
    assert rows(chart, 24, 3)[0] == "mean rank IC  ── lived"


def test_a_promise_is_read_between_its_stated_points_by_the_logarithm_of_sessions() -> None:
    """Half way from 2 to 8 by logarithm is 4; nothing is promised before the first point or after the last."""
    assert _between((2, 8), (1.0, 3.0), 4) == pytest.approx(2.0)
    assert _between((2, 8), (1.0, 3.0), 2) == 1.0 and _between((2, 8), (1.0, 3.0), 8) == pytest.approx(3.0)
    assert _between((2, 8), (1.0, 3.0), 1) is None and _between((2, 8), (1.0, 3.0), 9) is None


def test_the_expected_range_opens_with_the_root_of_time_and_ends_where_the_fan_says() -> None:
    """After 4 of 16 sessions a quarter of the mean and half of the width: 1 % -+ 2 %, of 1,000,000 USD."""
    history = [
        NavRow(date(2026, 3, day), *[Decimal(1_000_000)] * 5, datetime(2026, 3, day, tzinfo=UTC))
        for day in range(1, 17)
    ]  # fmt: skip
    found = path(Fan(16, 0.0, 0.04 - 0.04, 0.04 + 0.04), history, Decimal(1_000_000))
    assert len(found) == 16
    assert (found[3]["lower"], found[3]["upper"]) == (990_000.0, 1_030_000.0)
    assert (found[15]["lower"], found[15]["upper"]) == (1_000_000.0, 1_080_000.0)
    assert math.isclose(found[0]["upper"], 1e6 * (1 + 0.0025 + 0.01))
