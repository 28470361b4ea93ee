"""Samples are an index over a panel: what a model sees is gathered, and windows of a history never stand in memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from signals.errors import InvariantBroken
from signals.features.panel import FeaturePanel
from signals.views import TableView, WindowsView
from trainer.samples.samples import Samples
from trainer.validation.splits.oof import scored

SESSIONS, SYMBOLS, FEATURES, WINDOW, BATCH = 2016, 220, 38, 60, 256
MEMORY = 1.3  # of the panel


def panel(sessions: int, symbols: int, features: int, eligible: float = 0.77) -> FeaturePanel:
    rng = np.random.default_rng(0)
    return FeaturePanel(
        np.busday_offset(np.datetime64("2018-01-02"), np.arange(sessions), roll="forward"),
        tuple(f"N{i:03d}" for i in range(symbols)),
        tuple(f"f{i}" for i in range(features)),
        rng.random((sessions, symbols, features), dtype=np.float32),
        rng.random((sessions, symbols)) < eligible,
    )


def index(of: FeaturePanel, view: TableView | WindowsView) -> Samples:
    t0, column = np.nonzero(of.eligible)
    number = np.arange(len(t0), dtype=np.float64)
    return Samples(of, t0, t0 + 6, column, number, number.copy(), number.copy(), view)


class MeanOfTheWindow:
    """A model that has seen nothing: it says the mean of what it is shown."""

    def predict(self, features: np.ndarray) -> np.ndarray:
        return features.reshape(len(features), -1).mean(axis=1).astype(np.float64)


def test_a_pass_over_340_000_windows_of_60_sessions_and_38_features_needs_less_than_a_third_of_the_panel_beside_it() -> None:
    """As one array they would be 3.1 GB. The panel is held before the measurement begins, so that it counts with its size."""
    of = panel(SESSIONS, SYMBOLS, FEATURES)
    tracemalloc.start()
    try:
        rows = index(of, WindowsView(WINDOW))
        assert len(rows) > 340_000 and rows.inputs().shape == (len(rows), WINDOW, FEATURES)
        for start in range(0, len(rows), len(rows) // 20 + 1):
            assert rows.inputs(np.arange(start, start + BATCH) % len(rows))[:].shape == (BATCH, WINDOW, FEATURES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= (MEMORY - 1.0) * of.values.nbytes


def test_what_is_gathered_is_the_panel_and_a_batch_of_it_is_the_batch_of_the_whole() -> None:
    of = panel(40, 6, 3)
    rows = index(of, WindowsView(5))
    whole, part = rows.inputs()[:], np.array([7, 3, 80])
    np.testing.assert_array_equal(rows.inputs(part)[:], whole[part])
    np.testing.assert_array_equal(rows.inputs()[part], whole[part])
    np.testing.assert_array_equal(whole[:, -1], rows.features)
    t0, column = int(rows.t0[80]), int(rows.column[80])
    seen = np.where(of.eligible[t0 - 4 : t0 + 1, column, None], of.values[t0 - 4 : t0 + 1, column], np.nan)
    np.testing.assert_array_equal(whole[80], seen)


def test_a_table_is_an_array_and_chosen_rows_keep_the_panel() -> None:
    of = panel(40, 6, 3)
    rows = index(of, TableView())
    np.testing.assert_array_equal(rows.inputs(), of.values[rows.t0, rows.column])
    some = rows.where(rows.t0 > 20)
    assert some.panel is of and len(some) < len(rows)
    np.testing.assert_array_equal(some.features, rows.features[rows.t0 > 20])
    with pytest.raises(InvariantBroken, match=r"samples\.label"):
        Samples(of, rows.t0, rows.t1, rows.column, rows.label[1:], rows.target, rows.weight)


def test_scores_of_gathered_rows_come_chunk_by_chunk_and_are_those_of_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.validation.splits.oof.CHUNK_ROWS", 7)
    rows, model = index(panel(40, 6, 3, 1.0), WindowsView(4)), MeanOfTheWindow()
    np.testing.assert_array_equal(scored(model, rows.inputs()), scored(model, rows.inputs()[:]))
    assert len(scored(model, rows.inputs(np.zeros(0, dtype=np.int64)))) == 0
