"""Extreme returns in curation: undecided until their level holds, explained, confirmed, or another security."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from signals.market.actions import Action, ActionKind
from tests.test_trainer.test_curation import DAYS, column, curated, frame_of
from trainer.curation.writer import DatasetContent


def moving(symbol: str, closes: list[float], first: int = 0) -> list[tuple[object, ...]]:
    return [(DAYS[first + at], symbol, c, c, c, c, 1000.0 + at) for at, c in enumerate(closes)]


CROWD_CLOSES = 50.0 * np.cumprod(1.0 + np.random.default_rng(1).normal(0.0, 0.01, (20, 60)), axis=0)


CROWD = [(day, f"X{name:02}", *[CROWD_CLOSES[at, name]] * 4, 1000.0 + at) for name in range(60) for at, day in enumerate(DAYS[:20])]


def eligible(content: DatasetContent, security: str) -> list[object]:
    return column(content, security, "eligible")


def test_an_extreme_return_waits_until_its_level_has_held_five_sessions() -> None:
    """From 10 to 25 in session 4 and 22 to 24 from then on: undecided, and nothing to trade until session 9."""
    content = curated(frame_of([*CROWD, *moving("A", [10.0] * 4 + [25.0, 24.0, 23.0, 22.0, 23.0, 24.0, 24.0, 24.0])]))
    assert column(content, "A", "undecided") == [at == 4 for at in range(12)]
    assert column(content, "A", "total_return")[4] == pytest.approx(1.5)
    assert eligible(content, "A") == [False, False, True, True, *[False] * 5, True, True, True]
    found = content.findings.to_pandas()
    assert found[found.reason == "undecided_return"][["date", "symbol"]].values.tolist() == [[DAYS[4], "A"]]


def test_a_level_that_does_not_hold_waits_until_a_person_confirms_it() -> None:
    """Back below the middle within five sessions, by no extreme move: only a word ends it, and no dataset stores it."""
    rows = frame_of([*CROWD, *moving("A", [10.0] * 4 + [25.0, 20.0, 14.0, 12.0, 11.0, 11.0, 11.0, 11.0])])
    assert eligible(curated(rows), "A")[4:] == [False] * 8
    word = Action(ActionKind.CONFIRMED, "A", DAYS[4], DAYS[5])
    content = curated(rows, (word,))
    assert all(eligible(content, "A")[4:]) and not any(column(content, "A", "undecided")) and content.actions == ()
    assert column(content, "A", "total_return")[4] == pytest.approx(1.5)


def test_an_action_recorded_for_the_session_explains_an_extreme_return() -> None:
    paid = Action(ActionKind.DIVIDEND, "A", DAYS[4], DAYS[3], cash=Decimal("0.01"))
    rows = frame_of([*CROWD, *moving("A", [10.0] * 4 + [4.0] * 4)])
    assert column(curated(rows), "A", "undecided")[4] and not any(column(curated(rows, (paid,)), "A", "undecided"))


def test_a_bankrupt_that_comes_back_at_27_dollars_is_another_security() -> None:
    """0.12, then 27: 225 times from under 1 USD. A holder is left with the last price, and the new name is young."""
    rows = frame_of([*CROWD, *moving("A", [0.12] * 6 + [27.0] * 6)])
    content = curated(rows)
    again = f"A@{DAYS[6]}"
    assert column(content, "A", "close") == [0.12] * 6 and column(content, again, "close") == [27.0] * 6
    assert np.isnan(column(content, again, "total_return")[0]) and not any(column(content, again, "undecided"))
    assert eligible(content, again) == [False, False, True, True, True, True]
    end = Action(ActionKind.DELISTING, "A", DAYS[6], DAYS[6], cash=Decimal("0.12"), inferred=True)
    assert content.actions == (end,)
    found = content.findings.to_pandas()
    assert found[found.reason == "stitched"][["date", "symbol"]].values.tolist() == [[DAYS[6], "A"]]
    confirmed = curated(rows, (Action(ActionKind.CONFIRMED, "A", DAYS[6], DAYS[6]),))
    assert column(confirmed, "A", "total_return")[6] == pytest.approx(224.0) and confirmed.actions == ()


@pytest.mark.parametrize(("before", "after"), [(1.0, 27.0), (0.9, 4.4)])
def test_from_a_dollar_or_up_to_five_times_a_move_is_undecided_and_no_stitch(before: float, after: float) -> None:
    content = curated(frame_of([*CROWD, *moving("A", [before] * 6 + [after] * 6)]))
    assert column(content, "A", "undecided")[6] and content.actions == ()


def test_cutting_the_future_changes_no_wait_and_no_stitch() -> None:
    rows = [*CROWD, *moving("A", [10.0] * 4 + [25.0] * 12), *moving("B", [0.12] * 6 + [27.0] * 10)]
    whole = curated(frame_of(rows)).bars.to_pandas()
    for last in (5, 7, 9, 12):
        cut = curated(frame_of([row for row in rows if row[0] <= DAYS[last]])).bars.to_pandas()
        kept = whole[whole.session <= DAYS[last]].reset_index(drop=True)
        pd.testing.assert_frame_equal(cut, kept)
