"""What limits would have done to a history, worked by hand."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from appliance.config import ApplianceConfig, StoresConfig
from appliance.controls.limits_backtest import RowHistory, SessionFigures, backtest, offending
from appliance.controls.tripwires import NOT_YET, TRIPWIRES, Figure, TripwireAction

LIMITS = ApplianceConfig(stores=StoresConfig(data=Path("d"), bundles=Path("b"))).limits()
FIRST = date(2024, 1, 1)


def history(measure: str, figures: list[Figure], results: list[float]) -> list[SessionFigures]:
    return [
        SessionFigures(FIRST + timedelta(days=n), {measure: figure}, result)
        for n, (figure, result) in enumerate(zip(figures, results, strict=True))
    ]


def of(name: str, past: list[SessionFigures], attended: int = 2) -> RowHistory:
    return next(row for row in backtest(past, LIMITS, attended) if row.name == name)


def test_only_rows_that_stop_are_judged() -> None:
    judged = {row.name for row in backtest([], LIMITS)}
    assert judged == {r.name for r in TRIPWIRES if r.action in (TripwireAction.SKIP, TripwireAction.REDUCE, TripwireAction.HALT)}


def test_a_stop_that_clears_itself_lasts_while_the_figure_is_past_the_limit() -> None:
    """0.4 of 0.35 on days 1 and 2: the book lost 1 % and made 3 %: a false stop that cost 2 %."""
    found = of("TURNOVER", history("turnover", [0.3, 0.4, 0.4, 0.35], [0.0, -0.01, 0.03, 0.0]))
    (stop,) = found.stops
    assert (stop.first, stop.last) == (FIRST + timedelta(days=1), FIRST + timedelta(days=2))
    assert stop.saved == pytest.approx(-0.02) and stop.is_false
    assert (found.looked, found.highest, found.false_a_year) == (4, 0.4, 1.0)


def test_a_stop_that_waits_for_a_person_lasts_until_one_came() -> None:
    """Tripped once; attended after two sessions; the book lost 4 % and 1 %: 5 % saved."""
    found = of("DAILY_LOSS_HALT", history("daily_loss", [0.06, 0.0, 0.0], [-0.04, -0.01, -0.5]))
    assert [round(stop.saved, 9) for stop in found.stops] == [0.05]
    assert found.false_a_year == 0 and found.saved == pytest.approx(0.05)


def test_a_missing_figure_stops_and_one_that_is_declared_does_not() -> None:
    found = of("TURNOVER", history("turnover", [None, NOT_YET, 0.1], [0.01, 0.01, 0.01]))
    assert len(found.stops) == 1 and found.stops[0].first == FIRST


def test_a_figure_that_was_not_looked_at_stops_nothing() -> None:
    found = of("TURNOVER", [SessionFigures(FIRST, {}, 0.0)])
    assert (found.looked, found.highest, found.stops) == (0, None, ())


def test_a_real_fault_is_never_a_false_stop() -> None:
    found = of("DATA_NOT_USABLE", history("red_datasets", [1.0, 0.0], [0.02, 0.0]))
    assert len(found.stops) == 1 and not found.stops[0].is_false


def test_false_stops_are_counted_a_year_and_a_short_history_counts_as_one() -> None:
    past = history("turnover", [0.4, 0.1] * 252, [0.01, 0.0] * 252)
    assert of("TURNOVER", past).false_a_year == pytest.approx(126)
    assert of("TURNOVER", past[:4]).false_a_year == pytest.approx(2)


def test_more_than_one_a_year_offends() -> None:
    rows = backtest(history("turnover", [0.4, 0.1, 0.4], [0.01, 0.0, 0.01]), LIMITS)
    assert [row.name for row in offending(rows, 1.0)] == ["TURNOVER"]
    assert offending(rows, 2.0) == ()


def test_a_row_that_trips_below_shows_its_lowest_figure() -> None:
    assert of("COVERAGE", history("coverage", [1.0, 0.96], [0.0, 0.0])).highest == 0.96
