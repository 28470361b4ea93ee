"""The volume curve: the share of a session's volume that each step meets, from the sessions before, and the cap that follows it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from execution.planning.config import EntryConfig, EntryStyle
from execution.planning.plan import step_cap
from execution.planning.sending import renewal, room
from execution.planning.volume_curve import SessionVolume, shares_of, step_shares, usual
from signals.market.sessions import xnys
from tests.test_execution.test_planned_steps import DEEP, planned

LONG, SHORT = np.arange(5, 391, 5), np.arange(5, 211, 5)
REAL = Path(__file__).parents[3] / "shared" / "data" / "us_5min_2025_2026_open.parquet"
EVEN = EntryConfig(kind=EntryStyle.TWAP, steps=4)


def day(volumes: np.ndarray, ends: np.ndarray = LONG) -> SessionVolume:
    return ends, np.asarray(volumes, dtype=np.float64), int(ends[-1])


def test_a_step_has_what_trades_until_the_next_one_and_the_last_one_until_the_close() -> None:
    """Steps at 15, 128.33, 241.67 and 355 minutes of 390; an early close moves them to 15, 68.33, 121.67 and 175 of 210."""
    assert shares_of(day(np.ones(78)), EVEN) == pytest.approx([113.333 / 390] * 3 + [35 / 390], abs=1e-5)
    assert shares_of(day(np.ones(42), SHORT), EVEN) == pytest.approx([53.333 / 210] * 3 + [35 / 210], abs=1e-5)
    late = np.where(LONG > 355, 10.0, 0.0)
    assert shares_of(day(late), EVEN) == pytest.approx([0, 0, 0, 1])


def test_the_curve_is_the_middle_half_of_the_sessions_that_traded_and_none_where_they_are_few() -> None:
    """Of the first step's shares 0 (four times) and 0.85 (four times) the middle half is 0, 0, 0.85 and 0.85."""
    early, late = np.where(LONG <= 100, 1.0, 0.0), np.where(LONG > 355, 7.0, 0.0)
    curve = step_shares([day(early), day(early), day(late), day(0 * late), day(late)] * 2, EVEN)
    assert curve == (Decimal("0.425"), 0, 0, Decimal("0.5"))
    assert step_shares([day(early)] * 4 + [day(0 * late)] * 9, EVEN) is None
    assert usual(np.array([[0.9], [0.1], [0.2], [0.3], [0.6]])) == pytest.approx([(0.2 + 0.3 + 0.6) / 3]), "one of five on either side"


def test_the_cap_of_a_step_follows_the_curve_and_a_plan_without_one_is_spread_evenly() -> None:
    """A twentieth of 1,000,000 USD at 100 is 500 shares: 125 a step, or 300, 100, 50 and 50."""
    curve = tuple(map(Decimal, ("0.6", "0.2", "0.1", "0.1")))
    adv, price = Decimal(1_000_000), Decimal(100)
    assert [step_cap(adv, price, EVEN, share) for share in curve] == [300, 100, 50, 50]
    assert step_cap(adv, price, EVEN) == 125
    even = planned({"A": 0.6}, {}, EVEN, adv)
    curved = planned({"A": 0.6}, {}, EVEN, adv, curves={"A": curve, "B": curve})
    assert [int(intent.quantity) for intent in even.intents] == [125] * 4
    assert [int(intent.quantity) for intent in curved.intents] == [150, 100, 50, 50]
    assert (dict(curved.step_shares), even.step_shares) == ({"A": curve}, {})
    assert curved.refusals[0][2].startswith("250 of 600 shares are left")
    first = curved.intents[0]
    assert [room(curved, EVEN, first, step) for step in (1, 2, 3)] == [150, 0, 0]
    assert room(replace(curved, intents=(first,)), EVEN, first, 2) == 100
    assert room(replace(curved, intents=(first,)), EVEN, first, 5) == 0, "a step that the plan does not have"
    flipped = planned({"A": -0.3}, {"A": 300}, EVEN, adv, curves={"A": curve})
    assert [(intent.step, int(intent.quantity)) for intent in flipped.intents] == [(1, 150), (2, 100)], "the closing half is cut short"


@pytest.mark.parametrize(("rest", "room_left", "leaves"), [(10, 4, 4), (3, 9, 3), (10, 0, 0), (10, Decimal("0.2"), 0), (0, 9, None)])
def test_a_rest_leaves_again_as_far_as_there_is_room_and_it_is_worth_an_order(rest: int, room_left: int, leaves: int | None) -> None:
    first = planned({"A": 0.6}, {}, EVEN, DEEP).intents[0]
    assert renewal(first, Decimal(rest), Decimal(room_left), Decimal(50)) == leaves


@pytest.fixture(scope="module")
def real_days() -> list[list[SessionVolume]]:
    """18 stocks, five-minute bars of 281 sessions; the file's bars after an early close are of no session."""
    if not REAL.is_file():
        pytest.skip(f"{REAL} is absent: the curve on real bars is not measured")
    rows = pd.read_parquet(REAL)
    ends, days = rows["ts"].dt.hour * 60 + rows["ts"].dt.minute - 570 + 5, rows["ts"].dt.date
    calendar = xnys(days.min(), days.max())
    lengths = {one: int((calendar.session(one).close - calendar.session(one).open).total_seconds() // 60) for one in days.unique()}
    inside = ends <= days.map(lengths)
    found: dict[str, list[SessionVolume]] = {}
    for (symbol, one), part in rows[inside].groupby(["symbol", days[inside]]):
        if len(part) == lengths[one] // 5:
            found.setdefault(symbol, []).append((ends[part.index].to_numpy(), part["volume"].to_numpy(np.float64), lengths[one]))
    return list(found.values())


def half_hours(volume: SessionVolume) -> np.ndarray:
    shares: np.ndarray = volume[1].reshape(13, 6).sum(axis=1) / volume[1].sum()
    return shares


@pytest.mark.slow  # `make real-minutes`
@pytest.mark.parametrize(("steps", "most"), [(None, 0.5), (4, 0.46), (6, 0.55), (12, 0.49)])
def test_on_real_bars_the_trailing_curve_halves_the_error_of_a_steps_share(
    real_days: list[list[SessionVolume]], steps: int | None, most: float
) -> None:
    """The share of the day in each half hour of a whole session, and in each step of any, foretold from the 20 sessions before.

    Six even steps are nearer to the truth by chance: there even a curve that has seen every session halves nothing.
    """
    entry, errors = EntryConfig(kind=EntryStyle.TWAP, steps=steps or 6), []
    for days in real_days:
        true = np.array([shares_of(one, entry) if steps else half_hours(one) for one in days if steps or one[2] == LONG[-1]])
        in_hindsight = np.median(true, axis=0)
        for number in range(20, len(true)):
            foretold = (usual(true[number - 20 : number]), 1 / true.shape[1], in_hindsight)
            errors.append([np.abs(one - true[number]).mean() for one in foretold])
    curved, even, least = np.mean(errors, axis=0)
    said = f"{steps or 'half hours'}, {len(errors):,} sessions: {curved:.4f} against {even:.4f} spread evenly"
    print(f"{said}, {curved / even:.3f}; a fixed curve in hindsight {least / even:.3f}")
    assert curved < most * even and curved < 1.03 * least
