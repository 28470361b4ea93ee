"""Outcomes of events by hand: fills, ties, gaps, ends, excursions, and what is known when."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from signals.errors import InvariantBroken
from signals.events import outcomes as module
from signals.events.detectors import detect
from signals.events.outcomes import Exit, Outcomes, outcomes
from signals.events.panel import EventBars, EventTable
from signals.events.recorded import OutcomeRules
from signals.market.bars import EXIT_SESSIONS, Payout
from tests.test_signals.test_events import cut, wild

Row = tuple[float, float, float, float]
GONE: Row = (np.nan,) * 4
EVENT: Row = (99.0, 100.5, 98.0, 100.0)
RULES = OutcomeRules(stop_atr=1.0, target_r=2.0, patience=3)  # ATR 2: entry 100, stop 98, target 104


def bars_of(rows: list[Row], last_row: list[int] | None = None, mirror: bool = False) -> EventBars:
    x = np.array(rows)
    if mirror:
        x = 200.0 - x[:, [0, 2, 1, 3]]
    o, h, lo, c = (x[:, [i]] for i in range(4))
    return EventBars(o, h, lo, c, np.ones_like(c), np.zeros(c.shape, bool), None if last_row is None else np.array(last_row))


def event(side: int = 1) -> EventTable:
    one = np.array([0])
    return EventTable(np.array([1], np.int8), np.array([side], np.int8), np.float32([3.0]), np.float32([1.0]), np.array([2.0]), one, one)


def row_of(found: Outcomes) -> dict[str, Any]:
    return {item.name: getattr(found, item.name)[0].item() for item in fields(Outcomes)}


NAN = float("nan")
FLAT: Row = (100.0, 101.0, 99.0, 100.0)
# rows after the event -> exit, realised, run-up, drawdown, MFE and MAE in ATR, bars to target and stop, tie, t1, seen_to
CASES: dict[str, tuple[list[Row], tuple[Any, ...]]] = {
    "target": ([FLAT, (101, 104.5, 98.5, 103), (103, 106, 102, 105)], (Exit.TARGET, 2.0, 2.0, 0.75, 3.0, 0.75, 2, 0, False, 2, 3)),
    "stop": ([FLAT, (99, 103, 97.5, 102), (102, 105, 101, 104)], (Exit.STOP, -1.0, 0.5, 1.0, 2.5, 1.25, 3, 2, False, 2, 3)),
    "tie": ([FLAT, (100, 104, 98, 100), FLAT], (Exit.STOP, -1.0, 0.5, 1.0, 2.0, 1.0, 2, 2, True, 2, 3)),
    "tie at the entry": ([(100, 104, 98, 100), FLAT, FLAT], (Exit.STOP, -1.0, 0.0, 1.0, 2.0, 1.0, 1, 1, True, 1, 3)),
    "gap down": ([FLAT, (96, 104, 95, 96), FLAT], (Exit.GAP, -2.0, 0.5, 2.0, 2.0, 2.5, 2, 2, False, 2, 3)),
    "gap up": ([FLAT, (105, 106, 97, 98), FLAT], (Exit.GAP, 2.5, 2.5, 0.5, 3.0, 1.5, 2, 2, False, 2, 3)),
    "time": ([FLAT, FLAT, (100, 103, 99, 101)], (Exit.TIME, 0.5, 1.5, 0.5, 1.5, 0.5, 0, 0, False, 3, 3)),
    "a bar is missing": ([FLAT, GONE, (100, 103, 99, 101)], (Exit.TIME, 0.5, 1.5, 0.5, 1.5, 0.5, 0, 0, False, 3, 3)),
    "no bar at the end": ([FLAT, FLAT, GONE, GONE, (97, 99, 96, 98)], (Exit.TIME, -1.5, 0.5, 1.5, 0.5, 0.5, 0, 0, False, 5, 5)),
    "still waiting": ([FLAT, FLAT, GONE, GONE], (Exit.UNKNOWN, NAN, NAN, NAN, 0.5, 0.5, 0, 0, False, -1, -1)),
    "bars end": ([FLAT, FLAT], (Exit.UNKNOWN, NAN, NAN, NAN, NAN, NAN, -1, -1, False, -1, -1)),
    "bars end after the exit": ([FLAT, (100, 105, 99, 104)], (Exit.TARGET, 2.0, 2.0, 0.5, NAN, NAN, 2, -1, False, 2, -1)),
    "no entry": ([GONE, FLAT, FLAT], (Exit.NOT_ENTERED, NAN, NAN, NAN, NAN, NAN, -1, -1, False, -1, -1)),
    "no next bar yet": ([], (Exit.UNKNOWN, NAN, NAN, NAN, NAN, NAN, -1, -1, False, -1, -1)),
}
NAMES = ("exit", "realised_r", "runup_r", "drawdown_r", "mfe_atr", "mae_atr", "bars_to_target", "bars_to_stop", "is_tie", "t1", "seen_to")


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("name", CASES)
def test_a_trade_worked_by_hand_has_these_outcomes_long_and_upside_down_short(name: str, side: int) -> None:
    rows, expected = CASES[name]
    found = row_of(outcomes(bars_of([EVENT, *rows], mirror=side < 0), event(side), RULES))
    for key, value in zip(NAMES, expected, strict=True):
        assert found[key] == pytest.approx(value, nan_ok=True), (key, found)
    assert found["mfe_r"] == pytest.approx(found["mfe_atr"], nan_ok=True)  # one R is one ATR here


def test_r_is_the_distance_of_the_stop() -> None:
    rows = [EVENT, FLAT, (101.0, 104.5, 98.5, 103.0), FLAT]
    found = row_of(outcomes(bars_of(rows), event(), OutcomeRules(stop_atr=2.0, target_r=1.0, patience=3)))
    assert (found["exit"], found["realised_r"], found["mfe_atr"], found["mfe_r"]) == (Exit.TARGET, 1.0, 2.25, 1.125)


def test_after_the_longest_wait_a_trade_counts_at_its_last_price() -> None:
    waiting = [EVENT, FLAT, (100.0, 101.0, 99.0, 100.5)] + [GONE] * (1 + EXIT_SESSIONS)
    found = row_of(outcomes(bars_of(waiting), event(), RULES))
    assert (found["exit"], found["realised_r"], found["t1"]) == (Exit.TIME, 0.25, 3 + EXIT_SESSIONS)
    assert row_of(outcomes(bars_of(waiting[:-1]), event(), RULES))["exit"] == Exit.UNKNOWN


def test_a_delisting_ends_the_trade_at_its_payout_once_it_is_effective() -> None:
    rows = [EVENT, FLAT, (100.0, 101.0, 99.0, 100.0), GONE, GONE]
    payout = Payout(column=0, last=2, effective=4, payout=0.5)
    found = row_of(outcomes(bars_of(rows), event(), RULES, [payout]))
    assert (found["exit"], found["realised_r"], found["t1"], found["drawdown_r"]) == (Exit.DELISTED, -25.0, 4, 25.0)
    assert row_of(outcomes(bars_of(rows[:4]), event(), RULES, [payout]))["exit"] == Exit.UNKNOWN
    assert row_of(outcomes(bars_of([*rows[:3], FLAT]), event(), RULES))["exit"] == Exit.TIME  # without it


def test_a_trade_within_the_day_ends_with_its_session() -> None:
    rows = [EVENT, FLAT, (100.0, 101.0, 99.0, 100.5), (90.0, 91.0, 89.0, 90.0)]
    found = row_of(outcomes(bars_of(rows, [2, 2, 2, 3]), event(), RULES))
    assert (found["exit"], found["realised_r"], found["mae_atr"], found["t1"], found["seen_to"]) == (Exit.TIME, 0.25, 0.5, 2, 2)
    assert row_of(outcomes(bars_of(rows, [0, 3, 3, 3]), event(), RULES))["exit"] == Exit.NOT_ENTERED


def test_no_outcome_reaches_across_a_bar_that_cannot_be_compared() -> None:
    bars = bars_of([EVENT, *CASES["target"][0]])
    bars.is_broken[3] = True
    found = row_of(outcomes(bars, event(), RULES))
    assert (found["exit"], found["t1"], found["seen_to"]) == (Exit.TARGET, 2, -1)
    bars.is_broken[2] = True
    assert row_of(outcomes(bars, event(), RULES))["exit"] == Exit.UNKNOWN


def is_known_in_time(at: int = 700) -> bool:
    """Whether what is known by row `at` is the same without what follows, and nothing else is known then."""
    bars = wild()
    before = cut(bars, slice(0, at))
    rules = OutcomeRules(patience=10)
    whole, early = outcomes(bars, detect(bars).table(), rules), outcomes(before, detect(before).table(), rules)
    n = len(early.t1)
    trade, row = (whole.t1[:n] >= 0) & (whole.t1[:n] < at), (whole.seen_to[:n] >= 0) & (whole.seen_to[:n] < at)
    assert (~trade).any()
    assert trade.sum() > 100
    of_trade, of_row = ("realised_r", "runup_r", "drawdown_r", "is_tie"), ("mfe_atr", "mae_r", "bars_to_target", "bars_to_stop")
    return (
        np.array_equal(trade, early.t1 >= 0)
        and np.array_equal(row, early.seen_to >= 0)
        and all(np.array_equal(getattr(whole, k)[:n][trade], getattr(early, k)[trade]) for k in of_trade)
        and all(np.array_equal(getattr(whole, k)[:n][row], getattr(early, k)[row]) for k in of_row)
    )


def test_a_row_is_known_at_the_bar_that_it_names_and_no_later_bar_changes_it() -> None:
    assert is_known_in_time()


def test_a_back_labeler_that_names_its_end_too_early_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = module._played

    def early(*args: Any) -> Outcomes:
        found = right(*args)
        found.t1[found.t1 > 0] -= 1
        return found

    monkeypatch.setattr(module, "_played", early)
    assert not is_known_in_time()


def test_a_tie_that_is_given_to_the_target_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = module.first_touch

    def kind(opens: Any, highs: Any, lows: Any, upper: Any, lower: Any, is_entry: Any) -> Any:
        return right(opens, highs, np.where(highs >= upper, upper, lows), upper, lower, is_entry)

    monkeypatch.setattr(module, "first_touch", kind)
    assert row_of(outcomes(bars_of([EVENT, *CASES["tie"][0]]), event(), RULES))["realised_r"] != CASES["tie"][1][1]


def test_ties_are_counted() -> None:
    bars = bars_of([EVENT, *CASES["tie"][0]])
    assert outcomes(bars, event(), RULES).is_tie.tolist() == [True]


def test_rules_and_no_events() -> None:
    """Distances are above zero; no events have no outcomes."""
    with pytest.raises(InvariantBroken):
        OutcomeRules(stop_atr=0.0)
    assert len(outcomes(wild(), detect(wild()).table(np.zeros((900, 4), bool)), RULES).t1) == 0
