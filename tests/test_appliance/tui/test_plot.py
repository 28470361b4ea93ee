"""Charts as characters: what a reader may trust them to say; the dots of a braille character are read bit by bit."""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from appliance.ledger.nav import NavRow
from appliance.tui import plot
from appliance.tui.app import ApplianceApp
from appliance.tui.charts import _between
from appliance.tui.columns import Tone
from appliance.tui.formatting import STYLES
from appliance.tui.ledger_source import LedgerSource, ScreenQuery
from appliance.tui.plot import MARKS, Chart, ChartLine, Stroke, rendered, stroked
from appliance.tui.screens import BY_NAME
from appliance.views.performance import Fan, fan_path
from tests.fakes.screens import StoppedClock

# The dots of a braille character by their bit: (column from the left, row from the top), Unicode chart U2800.
DOTS = {0x01: (0, 0), 0x02: (0, 1), 0x04: (0, 2), 0x40: (0, 3), 0x08: (1, 0), 0x10: (1, 1), 0x20: (1, 2), 0x80: (1, 3)}
MARGIN = 2  # characters of "0 "


def rows(chart: Chart, width: int, height: int) -> list[str]:
    return rendered(chart, width, height).plain.split("\n")


def one(*values: float | None, stroke: Stroke = Stroke.SOLID) -> Chart:
    return Chart("t", (ChartLine("", values, stroke=stroke),), "{:.0f}")


def dots(chart: Chart, width: int, height: int) -> set[tuple[int, int]]:
    """Where there are dots below the title and right of the margin: (column, row from the top)."""
    return {
        (2 * column + x, 4 * row + y)
        for row, line in enumerate(rows(chart, width, height)[1:])
        for column, cell in enumerate(line[MARGIN:])
        for bit, (x, y) in DOTS.items()
        if 0x2800 <= ord(cell) <= 0x28FF and (ord(cell) - 0x2800) & bit
    }


def test_a_rising_line_climbs_from_the_lowest_dot_to_the_highest() -> None:
    """0, 1, 2, 3 on two characters (four dots across) and one row (four dots down) is their diagonal."""
    title, line = rows(one(0.0, 1.0, 2.0, 3.0), MARGIN + 2, 2)
    assert title == "t" and line.endswith("⡠⠊")  # dots (0, 3), (1, 2) and (2, 1), (3, 0)
    assert dots(one(0.0, 1.0, 2.0, 3.0), MARGIN + 2, 2) == {(0, 3), (1, 2), (2, 1), (3, 0)}


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
def test_a_higher_value_is_never_drawn_below_a_lower_one(values: list[float]) -> None:
    """Alone in its column of dots, each value's height is its share of the range, to half a dot."""
    low, high = min(values), max(values)
    drawn_at = dots(Chart("t", (ChartLine("", tuple(values)),), "0"), MARGIN + len(values), 9)
    assert len({x for x, _ in drawn_at}) >= len(values)
    if high - low < 1e-6 * max(1.0, abs(high)):
        return
    assert min(y for _, y in drawn_at) <= 1 and max(y for _, y in drawn_at) >= 30
    for place, value in ((values.index(high), high), (values.index(low), low)):
        x = round(place / (len(values) - 1) * (2 * len(values) - 1))
        column = [y for at, y in drawn_at if abs(at - x) <= 1]
        assert (min(column) <= 1) if value == high else (max(column) >= 30)


def test_the_axis_says_the_highest_and_the_lowest_value_in_the_charts_unit() -> None:
    found = rows(Chart("NAV", (ChartLine("", (900.0, 1_250.0, 1_000.0)),)), 20, 5)
    assert len(found) == 5
    assert found[1].startswith("1,250 ") and found[4].startswith("  900 ")
    assert [line[:6].strip() for line in found[2:4]] == ["", ""]
    assert rows(Chart("IC", (ChartLine("", (-0.5, 0.25)),), "{:+.2f}"), 20, 4)[3].startswith("-0.50 ")


def test_the_first_and_the_last_session_stand_under_the_first_and_the_last_value() -> None:
    chart = Chart("t", (ChartLine("", (1.0, 2.0, 3.0)),), "{:.0f}", span=("2026-01-02", "2026-03-12"))
    assert rows(chart, 40, 6)[-1] == f"  2026-01-02{'':18}2026-03-12"
    assert rows(chart, 16, 6)[-1].split() == ["2026-01-02"]  # there is no room for both
    assert "2026" not in "".join(rows(chart, 40, 4))  # nor for a line of them


def test_a_gap_in_the_values_is_a_gap_in_the_line() -> None:
    """Known, unknown for three, known: half of the width stays empty, in every stroke."""
    for stroke in set(Stroke) - set(MARKS):
        found = {x for x, _ in dots(one(1.0, 1.0, None, None, None, 1.0, 1.0, stroke=stroke), MARGIN + 20, 3)}
        assert found and not found & set(range(9, 31)), stroke


def test_a_value_between_two_gaps_is_a_dot() -> None:
    with_it = dots(one(1.0, 2.0, None, 1.5, None, 2.0, 1.0), MARGIN + 30, 5)
    without = dots(one(1.0, 2.0, None, None, None, 2.0, 1.0), MARGIN + 30, 5)
    assert without < with_it and len(with_it - without) == 1


@pytest.mark.parametrize("values", [(), (1.0,), (None, None)])
def test_fewer_than_two_values_are_words_and_no_line(values: tuple[float | None, ...]) -> None:
    assert rows(Chart("t", (ChartLine("", values),), empty="soon"), 20, 5) == ["t", "soon"]


def test_a_level_line_is_drawn_in_the_middle_beside_its_value() -> None:
    found = rows(one(*(5.0,) * 9), 12, 6)
    assert [bool(line[2:].strip()) for line in found[1:]] == [False, False, True, False, False]
    assert found[3].startswith("5 ")


def test_strokes_are_told_apart_without_colour() -> None:
    """Of 40 columns of dots a solid line fills 40; the others fill their pattern's, each in runs of its own lengths."""

    def runs(stroke: Stroke) -> set[int]:
        filled = {x for x, _ in dots(one(*(1.0,) * 21, stroke=stroke), MARGIN + 20, 2)}
        bits = "".join("#" if x in filled else " " for x in range(36))
        return {len(run) for run in bits.split()}

    assert {stroke: runs(stroke) for stroke in Stroke if stroke not in MARKS} == {
        Stroke.SOLID: {36},
        Stroke.DASHED: {4, 1},
        Stroke.DOTTED: {1},
        Stroke.DASH_DOT: {5, 1},
    }
    for stroke, mark in MARKS.items():
        assert "".join(rows(one(*(1.0,) * 5, stroke=Stroke(stroke)), MARGIN + 20, 2)).count(mark) == 5
    assert len({stroke.sample for stroke in Stroke}) == len(Stroke)


def test_no_two_named_lines_of_a_chart_share_their_stroke(devices: Path) -> None:
    """Every chart of every screen, drawn from the invented device."""
    source = LedgerSource(devices / "normal" / "device", StoppedClock())
    shown = [draw(source.read(ScreenQuery(screen.query))) for screen in BY_NAME.values() for draw in screen.charts]
    source.close()
    assert len(shown) == 10
    for chart in shown:
        named = [line.stroke for line in chart.lines if line.name]
        assert len(set(named)) == len(named), chart.title
        assert all(chart.span), chart.title


def test_a_shared_character_keeps_the_dots_of_both_lines() -> None:
    """A rising and a falling line cross; every dot of either is drawn."""
    up, down = ChartLine("", (0.0, 3.0), Tone.GOOD), ChartLine("", (3.0, 0.0), Tone.BAD)
    both = dots(Chart("t", (up, down), "{:.0f}"), MARGIN + 10, 4)
    assert both == dots(Chart("t", (up,), "{:.0f}"), MARGIN + 10, 4) | dots(Chart("t", (down,), "{:.0f}"), MARGIN + 10, 4)


def test_a_line_has_its_tone_and_its_axis_is_dim() -> None:
    content = rendered(Chart("t", (ChartLine("x", (0.0, 3.0), Tone.BAD),), "{:.0f}"), 20, 4).content
    styles = {content.plain[span.start : span.end].strip(): span.style for span in content.spans}
    assert {styles["0"], styles["3"], styles["t"]} == {STYLES[Tone.DIM]}
    drawing = [style for text, style in styles.items() if any("\u2801" <= cell <= "\u28ff" for cell in text)]
    assert set(drawing) == {STYLES[Tone.BAD]}


@given(
    st.integers(0, 40),
    st.integers(0, 12),
    st.lists(st.none() | st.floats(-1e9, 1e9) | st.sampled_from((math.nan, math.inf, -math.inf)), max_size=80),
    st.sampled_from(Stroke),
)
def test_any_room_is_filled_and_never_left(width: int, height: int, values: list[float | None], stroke: Stroke) -> None:
    """However small the room, a drawing has its height and no line is wider than it."""
    chart = Chart("title", (ChartLine("name", tuple(values), stroke=stroke),), span=("2026-01-02", "2026-03-12"))
    found = rows(chart, width, height)
    known = sum(value is not None and math.isfinite(value) for value in values)
    if known < 2 or height < 2 or width < 1:
        assert found == ["title", "nothing to draw yet"]
    else:
        assert len(found) == height
        assert all(len(line) <= width for line in found)


def test_the_legend_gives_way_to_the_width() -> None:
    chart = Chart("mean rank IC", (ChartLine("promised", (1.0, 2.0)), ChartLine("lived", (2.0, 1.0))))
    assert rows(chart, 60, 3)[0] == "mean rank IC  ── promised  ── lived"
    assert rows(chart, 24, 3)[0] == "mean rank IC  ── lived"


def test_walking_along_a_line_stays_on_it() -> None:
    """Between the values 0 and 8 at places 0 and 1 every drawn step lies on the straight piece."""
    walked = list(stroked(ChartLine("", (0.0, 8.0, None), stroke=Stroke.DOTTED), 17))
    assert [y for _, y in walked if y is not None] == [0.0, 4.0]
    assert all(y == 8 * x for x, y in walked if y is not None)


@pytest.mark.anyio
async def test_the_library_is_loaded_where_the_ledger_is_read(
    screens: Callable[..., ApplianceApp], settled: Callable[[Pilot[None]], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """H3: loading it takes longer than the thread that draws may stand still; a screen without charts does without."""
    loaders: list[str] = []
    monkeypatch.setattr(plot, "load", lambda: loaders.append(threading.current_thread().name))
    app = screens()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert loaders == []
        await pilot.press("p")
        await settled(pilot)
    assert loaders and all(name.startswith("ledger") for name in loaders)


def test_a_promise_is_read_between_its_stated_points_by_the_logarithm_of_sessions() -> None:
    """Half way from 2 to 8 by logarithm is 4; nothing is promised before the first point or after the last."""
    assert _between((2, 8), (1.0, 3.0), 4) == pytest.approx(2.0)
    assert _between((2, 8), (1.0, 3.0), 2) == 1.0 and _between((2, 8), (1.0, 3.0), 8) == pytest.approx(3.0)
    assert _between((2, 8), (1.0, 3.0), 1) is None and _between((2, 8), (1.0, 3.0), 9) is None


def test_the_expected_range_opens_with_the_root_of_time_and_ends_where_the_fan_says() -> None:
    """After 4 of 16 sessions a quarter of the mean and half of the width: 1 % -+ 2 %, of 1,000,000 USD."""
    history = [NavRow(date(2026, 3, day), *[Decimal(1_000_000)] * 5, datetime(2026, 3, day, tzinfo=UTC)) for day in range(1, 17)]
    found = fan_path(Fan(16, 0.0, 0.04 - 0.04, 0.04 + 0.04), history, Decimal(1_000_000))
    assert len(found) == 16
    assert (found[3]["lower"], found[3]["upper"]) == (990_000.0, 1_030_000.0)
    assert (found[15]["lower"], found[15]["upper"]) == (1_000_000.0, 1_080_000.0)
    assert math.isclose(found[0]["upper"], 1e6 * (1 + 0.0025 + 0.01))
