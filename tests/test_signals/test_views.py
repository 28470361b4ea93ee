"""Views: what one sample of a panel is, gathered lazily and by the same function on both hosts."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from signals.errors import InvariantBroken
from signals.features.panel import FeaturePanel
from signals.views import VIEWS, ImageView, SessionBarsView, SeveralWindowsView, TableView, View, WindowsView

ALL = (TableView(), WindowsView(4), SeveralWindowsView((3, 2), (1, 5)), SessionBarsView(2, 3), ImageView(2, 3, 4))


def panel(sessions: int = 12, symbols: int = 3, features: int = 6) -> FeaturePanel:
    """Panel whose value says where it is: 100 x session + 10 x symbol + feature."""
    t, n, f = np.ogrid[:sessions, :symbols, :features]
    days = np.datetime64("2026-01-05", "D") + np.arange(sessions)
    values = (100 * t + 10 * n + f).astype(np.float32)
    names = tuple(f"f{i}" for i in range(features))
    return FeaturePanel(days, tuple(f"S{i}" for i in range(symbols)), names, values, np.ones((sessions, symbols), dtype=np.bool_))


def cut(whole: FeaturePanel, first: int, last: int) -> FeaturePanel:
    """Return the sessions first <= t < last."""
    kept = slice(first, last)
    return FeaturePanel(whole.sessions[kept], whole.symbols, whole.names, whole.values[kept].copy(), whole.eligible[kept].copy())


def at(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def test_a_table_row_is_the_session_itself():
    assert TableView().rows(panel(), at(7), at(2)).tolist() == [[720, 721, 722, 723, 724, 725]]


def test_a_window_ends_at_its_session_with_the_oldest_first():
    rows = WindowsView(3).rows(panel(), at(7, 4), at(2, 0))
    assert rows[:, :, 0].tolist() == [[520, 620, 720], [200, 300, 400]]


def test_windows_of_several_timeframes_follow_one_another_and_each_ends_at_the_session():
    view = SeveralWindowsView((3, 2), (1, 5))
    rows = view.rows(panel(), at(7), at(1))
    assert rows[0, :, 0].tolist() == [510, 610, 710, 210, 710]
    assert [rows[0, part, 0].tolist() for part in view.parts] == [[510, 610, 710], [210, 710]]


def test_bars_of_the_day_are_what_a_session_s_features_are_one_after_another():
    rows = SessionBarsView(2, 3).rows(panel(), at(7), at(2))
    assert rows[0].tolist() == [[620, 621], [622, 623], [624, 625], [720, 721], [722, 723], [724, 725]]
    with pytest.raises(InvariantBroken, match="6 features are not 4 bars"):
        SessionBarsView(2, 4).shape(6)


def test_an_image_has_a_column_a_session_and_its_features_from_the_top_down():
    image = ImageView(2, 3, 4).rows(panel(), at(7), at(1))[0]
    assert image[0].tolist() == [[410, 510, 610, 710], [411, 511, 611, 711], [412, 512, 612, 712]]
    assert image[1, :, -1].tolist() == [713, 714, 715]


@pytest.mark.parametrize("view", ALL, ids=lambda view: view.kind)
def test_a_view_has_the_shape_that_it_says(view):
    rows = view.rows(panel(), at(0, 11, 5), at(0, 1, 2))
    assert rows.shape == (3, *view.shape(6)) and rows.dtype == np.float32
    assert view.rows(panel(), at(), at()).shape == (0, *view.shape(6))


@pytest.mark.parametrize("view", ALL, ids=lambda view: view.kind)
def test_before_the_panel_begins_there_is_nothing(view):
    """At the first session only the sample's own session has values."""
    rows = view.rows(panel(), at(0), at(1))
    assert set(rows[np.isfinite(rows)].tolist()) == {10, 11, 12, 13, 14, 15}
    complete = view.rows(panel(), at(view.sessions - 1), at(1))
    assert np.isfinite(complete).all()
    if view.sessions > 1:
        assert np.isnan(view.rows(panel(), at(view.sessions - 2), at(1))).any()


def test_a_session_at_which_the_name_could_not_be_scored_is_missing_from_its_window():
    whole = panel()
    eligible = whole.eligible.copy()
    eligible[5, 1] = False
    holed = FeaturePanel(whole.sessions, whole.symbols, whole.names, whole.values.copy(), eligible)
    rows = WindowsView(3).rows(holed, at(7, 7), at(1, 2))
    assert np.isnan(rows[0, 0]).all() and np.isfinite(rows[0, 1:]).all() and np.isfinite(rows[1]).all()


@pytest.mark.parametrize("view", ALL, ids=lambda view: view.kind)
@given(last=st.integers(1, 12))
def test_what_comes_later_changes_no_row(view, last):
    t, column = np.repeat(np.arange(last), 3), np.tile(np.arange(3), last)
    early = view.rows(cut(panel(), 0, last), t, column)
    np.testing.assert_array_equal(early, view.rows(panel(), t, column))


@pytest.mark.parametrize("view", ALL, ids=lambda view: view.kind)
def test_the_newest_sessions_alone_give_the_row_of_the_whole_panel(view):
    newest = cut(panel(), 12 - view.sessions, 12)
    row = view.rows(newest, np.full(3, view.sessions - 1), at(0, 1, 2))
    np.testing.assert_array_equal(row, view.rows(panel(), np.full(3, 11), at(0, 1, 2)))


@pytest.mark.parametrize("view", [WindowsView(60), ImageView(1, 8, 60)], ids=lambda view: view.kind)
def test_no_array_larger_than_the_one_asked_for_is_made(view):
    """2,000 windows of 60 sessions take 3.8 MB; all windows of the panel would take 58 MB."""
    large = panel(sessions=1_000, symbols=30, features=8)
    t, column = np.random.default_rng(5).integers(0, [[1_000], [30]], (2, 2_000))
    tracemalloc.start()
    try:
        asked = view.rows(large, t, column).nbytes
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert asked == 2_000 * 60 * 8 * 4
    assert peak < 1.1 * asked


@pytest.mark.parametrize(("t", "column"), [(at(12), at(0)), (at(-1), at(0)), (at(0), at(3)), (at(0), at(-1)), (at(0, 1), at(0))])
def test_a_sample_outside_of_the_panel_is_refused(t, column):
    for view in ALL:
        with pytest.raises(InvariantBroken, match="sample"):
            view.rows(panel(), t, column)


def test_features_that_do_not_fill_the_image_are_refused():
    with pytest.raises(InvariantBroken, match="7 features do not fill 2 channels of 3 pixels"):
        ImageView(2, 3, 4).shape(7)


@pytest.mark.parametrize("view", ALL, ids=lambda view: view.kind)
def test_a_view_comes_back_from_its_document(view):
    adapter = TypeAdapter(View)
    assert adapter.validate_json(adapter.dump_json(view)) == view
    assert VIEWS[view.kind] is type(view)


@pytest.mark.parametrize(
    "document",
    [
        '{"kind": "windows"}',
        '{"kind": "windows", "length": 0}',
        '{"kind": "windows", "length": 4097}',
        '{"kind": "windows", "length": "60"}',
        '{"kind": "windows", "length": 60, "more": 1}',
        '{"kind": "several_windows", "lengths": [3, 2], "every": [1]}',
        '{"kind": "session_bars", "length": 64, "bars": 78}',
        '{"kind": "several_windows", "lengths": [3, 4000], "every": [1, 5]}',
        '{"kind": "image", "channels": 1, "height": 0, "width": 5}',
        '{"kind": "image", "channels": 1, "height": 513, "width": 5}',
        '{"kind": "cube"}',
        "{}",
    ],
)
def test_a_document_that_is_no_view_is_refused(document):
    with pytest.raises(ValidationError):
        TypeAdapter(View).validate_json(document)
