"""What the values between the stages refuse to hold, whoever makes them: each rule broken only, in one place."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest

from portfolio.weights import TargetWeights
from signals.errors import InvariantBroken, NotASession, ScoresInvalid
from signals.features.panel import FeaturePanel
from signals.market.bars import Bars, days_array
from signals.market.sessions import Calendar, Session
from signals.scoring.scores import Scores

MON, TUE, WED = date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)
NAMES = ("AAA", "BBB")
PRICES = np.array([[10.0, 20.0], [11.0, np.nan]])  # BBB has no bar on Tuesday
ELIGIBLE = np.array([[True, True], [True, False]])


def bars(**changes: object) -> Bars:
    fields: dict[str, object] = {
        name: PRICES.copy() for name in ("open", "high", "low", "close", "volume", "total_return", "overnight_return")
    }
    fields |= {"sessions": days_array((MON, TUE)), "symbols": NAMES, "eligible": ELIGIBLE.copy(), "sectors": ("x", "y")}
    return Bars(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"close": PRICES[:1].copy()}, "bars.close has shape"),
        ({"eligible": ELIGIBLE[:, :1].copy()}, "bars.eligible has shape"),
        ({"symbols": ("BBB", "AAA")}, "sorted and distinct"),
        ({"symbols": ("AAA", "AAA")}, "sorted and distinct"),
        ({"sessions": days_array((TUE, MON))}, "sessions must increase"),
        ({"sessions": days_array((MON, MON))}, "sessions must increase"),
        ({"open": np.array([[10.0, 20.0], [np.nan, np.nan]])}, "bars.open is NaN where close is not"),
        ({"volume": np.array([[1.0, 1.0], [1.0, 1.0]])}, "bars.volume is NaN where close is not, or the reverse"),
        ({"eligible": np.array([[True, True], [True, True]])}, "an eligible name has no bar"),
        ({"sectors": ("x",)}, "sectors and symbols differ in length"),
    ],
)
def test_bars_of_no_market_are_refused(changes: dict[str, object], reason: str) -> None:
    assert bars().asof == TUE
    with pytest.raises(InvariantBroken, match=reason):
        bars(**changes)


def test_a_panel_cannot_be_written_to_and_knows_its_own_sessions_alone() -> None:
    panel = bars()
    with pytest.raises(ValueError, match="read-only"):
        panel.close[0, 0] = 1.0
    with pytest.raises(NotASession, match="2024-03-06 is not a session of these bars"):
        panel.index(WED)


def session(day: date, zone: timezone = UTC, hours: int = 6) -> Session:
    opens = datetime(day.year, day.month, day.day, 14, tzinfo=zone)
    return Session(day, opens, opens + timedelta(hours=hours))


@pytest.mark.parametrize(
    ("sessions", "reason"),
    [
        ((), "at least one session"),
        ((session(TUE), session(MON)), "must increase"),
        ((session(MON), session(MON)), "must increase"),
        ((session(MON, hours=0),), "opens before it closes"),
        ((session(MON, timezone(timedelta(hours=1))),), "in UTC"),
    ],
)
def test_a_calendar_that_goes_back_or_stands_still_is_refused(sessions: tuple[Session, ...], reason: str) -> None:
    with pytest.raises(InvariantBroken, match=reason):
        Calendar("test", sessions)


def test_a_calendar_is_never_extrapolated() -> None:
    """Before its first close there is no asof; four days after its last one it has ended, and says so."""
    calendar = Calendar("test", (session(MON), session(TUE)))
    close = calendar.session(TUE).close
    assert calendar.last_closed(close) == TUE and calendar.last_closed(close - timedelta(seconds=1)) == MON
    assert calendar.last_closed(close + timedelta(days=4)) == TUE
    for question in (
        lambda: calendar.last_closed(calendar.session(MON).close - timedelta(seconds=1)),
        lambda: calendar.last_closed(close + timedelta(days=4, seconds=1)),
        lambda: calendar.next(TUE),
        lambda: calendar.previous(MON),
        lambda: calendar.index(WED),
    ):
        with pytest.raises(NotASession):
            question()


WEIGHTS = TargetWeights(TUE, MON, NAMES, np.array([0.1, -0.1]))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": np.array([0.1])}, "2 symbols but weights of shape"),
        ({"symbols": ("BBB", "AAA")}, "sorted and distinct"),
        ({"weights": np.array([0.1, np.nan])}, "not finite"),
        ({"weights": np.array([np.inf, 0.0])}, "not finite"),
        ({"asof": TUE}, "asof precedes the trade session"),
    ],
)
def test_targets_that_cannot_be_traded_are_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(InvariantBroken, match=reason):
        replace(WEIGHTS, **changes)  # type: ignore[arg-type]


def test_scores_belong_to_distinct_names_and_a_score_that_is_none_is_named() -> None:
    good = Scores(MON, "test", NAMES, np.array([1.0, 2.0]), "source")
    with pytest.raises(InvariantBroken, match="2 symbols but scores of shape"):
        replace(good, values=np.array([1.0]))
    with pytest.raises(InvariantBroken, match="sorted and distinct"):
        replace(good, symbols=("AAA", "AAA"))
    with pytest.raises(ScoresInvalid, match="1 of 2 scores are not finite") as caught:
        replace(good, values=np.array([1.0, np.nan]))
    assert caught.value.where == "first BBB"


def test_features_are_float32_of_one_shape_and_of_known_sessions() -> None:
    good = FeaturePanel(days_array((MON,)), NAMES, ("f",), np.ones((1, 2, 1), np.float32), np.array([[True, False]]))
    assert good.at(MON)[0] == ("AAA",)
    with pytest.raises(InvariantBroken, match="not float32"):
        replace(good, values=np.ones((1, 2, 1)))
    with pytest.raises(InvariantBroken, match="feature values are"):
        replace(good, values=np.ones((1, 2, 2), np.float32))
    with pytest.raises(InvariantBroken, match="eligible has shape"):
        replace(good, eligible=np.array([[True]]))
    with pytest.raises(NotASession, match="no features for 2024-03-05"):
        good.at(TUE)
