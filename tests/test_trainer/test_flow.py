"""Order flow: books by hand, a law that is found, a net that must beat the regression, and inputs without a source."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from signals.bundle.graph import check_model
from signals.bundle.profiles import ProfileName
from signals.errors import BadDataset, FixInput, InvariantBroken, TooLittleHistory
from trainer.__main__ import app
from trainer.flow.confirmation import AGGREGATED, IMBALANCE, NET, Candidate, FlowFigures, config_of, judged, next_moves
from trainer.flow.top_of_book import (
    AGGREGATES,
    INPUTS,
    LEARNED,
    SECONDS,
    OrderBook,
    TopOfBook,
    aggregates_panel,
    generate_book,
    inputs_panel,
    read_events,
    reconstruct,
    table,
)
from trainer.validation.clustered import auc
from trainer.validation.ic import Mean

START = np.datetime64("2024-01-02T14:30:00", "s")
REAL = Path(__file__).parents[2].parent / "shared/data/lob_es_mbo_20231224_25.parquet"
Event = tuple[float, str, str, float, int, int]


def events(*rows: Event) -> pa.Table:
    """Events of (second, action, side, price, size, order)."""
    second, action, side, price, size, order = zip(*rows, strict=True)
    when = START.astype("datetime64[ns]") + (1e9 * np.array(second)).astype("timedelta64[ns]")
    return pa.table({"ts_event": when, "action": action, "side": side, "price": price, "size": size, "order_id": order})


def test_a_book_is_what_its_orders_leave_by_hand() -> None:
    """A repeated snapshot replaces, a fill changes nothing until its cancel, a modification moves, and a second without events stays."""
    found = reconstruct(
        events(
            (0.1, "A", "B", 10.00, 5, 1),
            (0.2, "A", "A", 10.50, 4, 2),
            (0.3, "A", "B", 10.00, 5, 1),
            (0.4, "A", "B", 10.00, 2, 3),
            (1.1, "T", "A", 10.00, 3, 0),
            (1.1, "F", "B", 10.00, 3, 1),
            (1.1, "C", "B", 10.00, 3, 1),
            (3.0, "M", "B", 10.25, 2, 3),
            (3.5, "A", "A", 10.25, 9, 4),
            (4.0, "C", "A", 10.25, 9, 4),
            (4.1, "C", "A", 10.50, 4, 2),
        ),
        0.25,
    )
    np.testing.assert_array_equal(found.bid, [40, 40, 40, np.nan, np.nan])  # crossed at 3, without an ask at 4
    np.testing.assert_array_equal(found.bid_size, [7, 4, 4, np.nan, np.nan])
    np.testing.assert_array_equal(found.ask, [42, 42, 42, np.nan, np.nan])
    assert found.sold.tolist() == [0, 3, 0, 0, 0] and found.bought.sum() == 0 and found.trades.sum() == 1
    cleared = OrderBook()
    cleared.take("A", "B", 40, 5, 1)
    cleared.take("R", "N", 0, 0, 0)
    assert not cleared.orders and np.isnan(cleared.top()).all()


def test_events_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    with pytest.raises(FixInput, match="cannot be read"):
        read_events(path)
    pq.write_table(events((1.0, "A", "B", 10.0, 1, 1), (0.0, "A", "B", 10.0, 1, 2)), path)
    with pytest.raises(BadDataset, match="out of order"):
        read_events(path)
    with pytest.raises(FixInput, match="multiple of the tick"):
        reconstruct(events((0.0, "A", "B", 10.1, 1, 1)), 0.25)
    book = generate_book(1, 70)[0]
    with pytest.raises(InvariantBroken, match="every second"):
        replace(book, second=book.second[::-1])
    with pytest.raises(InvariantBroken, match="under its ask"):
        replace(book, ask=book.bid)


def test_inputs_and_aggregates_by_hand() -> None:
    """Sizes of 300 and 100 under an ask two ticks up; then the bid gives way by a tick and 60 are left at the ask."""
    seconds = SECONDS + 1
    still = {name: np.full(seconds, value) for name, value in (("bid", 40.0), ("ask", 42.0), ("bid_size", 300.0), ("ask_size", 100.0))}
    still["bid"][-1], still["ask_size"][-1] = 39.0, 60.0
    traded = np.zeros((3, seconds))
    traded[:, -1] = 1.0, 4.0, 2.0
    book = TopOfBook(START + np.arange(seconds), **still, **dict(zip(("bought", "sold", "trades"), traded, strict=True)))
    row = dict(zip((one.name for one in INPUTS), table(book)[-1], strict=True))
    assert (row["middle_move"], row["bid_move"], row["ask_move"], row["spread"]) == (-0.5, -1.0, 0.0, 3.0)
    assert row["imbalance"] == pytest.approx(240 / 360) and row["microprice"] == pytest.approx(1.0)
    assert row["order_flow"] == pytest.approx((-300.0 - (60.0 - 100.0)) / 360)  # the old bid went, the ask lost 40
    assert (row["signed_volume"], row["volume"], row["trades"]) == (-np.log(4.0), np.log(6.0), np.log(3.0))
    found = dict(zip(AGGREGATES, aggregates_panel(book).values[-1, 0], strict=True))
    assert found["move"] == -0.5 and found["share_beyond"] == 0.0 and found["imbalance_mean"] == pytest.approx((59 * 0.5 + 2 / 3) / 60)
    assert found["spread_mean"] == pytest.approx((59 * 2.0 + 3.0) / 60) and found["signed_volume_slope"] < 0.0


def test_inputs_without_a_source_stay_in_the_schema_and_are_never_zero_nor_learned_from() -> None:
    book = generate_book(2, 200)[0]
    nowhere = [i for i, one in enumerate(INPUTS) if one.source == "none"]
    assert {INPUTS[i].name for i in nowhere} >= {"funding", "open_interest_change", "on_chain_flow", "depth_imbalance"}
    assert np.isnan(table(book)[:, nowhere]).all() and np.isfinite(table(book)[1:, : len(LEARNED)]).all()
    assert inputs_panel(book).names == LEARNED and not {INPUTS[i].name for i in nowhere} & set(LEARNED) and len(LEARNED) == 12


def test_a_second_is_labelled_by_the_next_move_within_its_patience_and_not_across_a_hole() -> None:
    book = generate_book(1, 8)[0]
    middle = np.array([10.0, 10.0, 11.0, 11.0, np.nan, 11.0, 11.0, 10.0])
    held = replace(book, bid=middle - 0.5, ask=middle + 0.5)
    one, two = next_moves(held, 1), next_moves(held, 2)
    assert one.ends[:, 0].tolist() == [-1, 2, -1, -1, -1, -1, 7, -1]
    assert two.ends[:, 0].tolist() == [2, 2, -1, -1, -1, 7, 7, -1]
    assert two.values[[0, 1, 5, 6], 0].tolist() == [1.0, 1.0, 0.0, 0.0]


def test_the_law_of_an_invented_book_is_found_by_the_regression_as_far_as_it_can_be() -> None:
    book, log_odds = generate_book(3, 9_000)
    found, exported = judged(book, config_of(), patience=1, groups=3, seed=1, with_net=False, step=lambda _: None)
    labels = next_moves(book, 1)
    known = np.flatnonzero(labels.ends[:, 0] >= 0)
    best = auc(log_odds[known], labels.values[known, 0] > 0, known // 600, known // 600).mean
    assert best > 0.7 and found.candidates[0].auc.mean - 0.5 > 0.98 * (best - 0.5) and found.chosen == IMBALANCE
    assert check_model(exported.onnx, "model.onnx", ProfileName.TABLE_1, outputs=("score",)).outputs == {"score": (None, 2)}
    with pytest.raises(TooLittleHistory, match="missing"):
        judged(generate_book(3, 300)[0], config_of(), patience=1, groups=3, seed=1, with_net=False, step=lambda _: None)


def test_a_candidate_is_chosen_by_the_lower_bound_of_what_it_saves() -> None:
    def chosen(*saved: float) -> str:
        later = (Candidate(name, Mean(), Mean(mean, 0.01, mean / 0.01, 50)) for name, mean in zip((AGGREGATED, NET), saved, strict=False))
        return FlowFigures(100, (Candidate(IMBALANCE, Mean()), *later)).chosen

    assert [chosen(), chosen(0.015), chosen(0.03)] == [IMBALANCE, IMBALANCE, AGGREGATED]
    assert [chosen(0.03, 0.01), chosen(0.01, 0.03)] == [AGGREGATED, NET]


@pytest.mark.slow
@pytest.mark.deep
def test_the_net_takes_over_where_the_law_turns_and_is_exported_under_its_profile() -> None:
    """Beyond an imbalance of a half the next move goes against it: a line in it cannot say so."""
    pytest.importorskip("torch", reason="torch is installed by `make test-deep`")
    book, _ = generate_book(4, 6_000, slope=9.0, turn=0.5, moves=0.7)
    small: dict[str, Any] = {"size": 16, "heads": 2, "layers": 1, "epochs": 6, "batch_rows": 64, "learning_rate": 5e-3, "dropout": 0.0}
    config = config_of(conv_attention=small)
    found, exported = judged(book, config, patience=1, groups=2, seed=1, with_net=True, step=lambda _: None)
    auc_of = {one.name: one.auc.mean for one in found.candidates}
    assert auc_of[NET] > max(auc_of[IMBALANCE], auc_of[AGGREGATED]) + 0.05 and found.chosen == NET
    graph = check_model(exported.onnx, "model.onnx", ProfileName.SEQUENCE_1, outputs=("score",))
    assert graph.outputs == {"score": (None, 2)}


def test_the_command_prints_the_figures_and_keeps_the_model_and_the_schema(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["flow", "--seconds", "5000", "--patience", "1", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert (
        "500,000 are wanted" in done.output and "chosen: imbalance" in done.output and "no source: depth_imbalance, funding" in done.output
    )
    kept = json.loads((tmp_path / "out" / "flow.json").read_text())
    assert [one["name"] for one in kept["inputs"] if one["source"] != "none"] == kept["learned_from"]
    assert kept["figures"]["candidates"][0]["auc"]["mean"] > 0.6
    check_model((tmp_path / "out" / "model.onnx").read_bytes(), "model.onnx", ProfileName.TABLE_1)


@pytest.mark.skipif(not REAL.exists(), reason="../shared/data is not here")
def test_real_events_leave_a_book_that_is_not_crossed_after_the_open() -> None:
    """The first hour of a future's session after Christmas: every second after the opening match has a top, a tick or a few apart."""
    book = reconstruct(read_events(REAL), 0.25)
    after = book.second > np.datetime64("2023-12-25T23:00:01")
    assert after.sum() > 3_000 and np.isfinite(book.bid[after]).all()
    assert 1.0 <= np.median((book.ask - book.bid)[after]) <= 3.0 and book.trades[after].sum() > 100
