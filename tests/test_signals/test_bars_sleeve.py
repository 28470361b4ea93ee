"""The sleeve of one instrument's bars: nothing of the future, one session as all, and a specification that says everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("lightgbm", reason="minutes are invented by the trainer")

from signals.errors import DataNotUsable, FixInput
from signals.minutes.bars import PRICES, MinuteBars
from signals.minutes.grid import Hours
from signals.sleeves import specs
from signals.sleeves.bars import BARS, CLOCK, BarsSleeve, Strategy, clock_alone
from tests.fakes.bars import synthetic_bars
from tests.fakes.minutes import decisions, invented

SHORTER = replace(BARS, indicators=("return_1", "ema_gap_20", "rsi_14", "volume_level_20", "session_return", "time_left"))


@pytest.mark.parametrize("strategy", Strategy)
def test_ten_sessions_alone_are_what_all_together_are_to_the_bit(strategy: Strategy) -> None:
    sleeve, minutes = replace(SHORTER, strategy=strategy), invented(90, 30)
    whole, part = sleeve.intraday(minutes)[1], sleeve.intraday(minutes.rows(5, 30))[1]
    offset = len(whole.sessions) - len(part.sessions)
    kept = part.eligible[:, 0]
    assert kept.sum() > 300
    np.testing.assert_array_equal(whole.values[offset:][kept], part.values[kept])


def with_other_future(minutes: MinuteBars, session: int, minute: int) -> MinuteBars:
    """The minutes whose prices and volumes after a moment are others."""
    after = np.zeros(minutes.close.shape, dtype=bool)
    after[session + 1 :], after[session, minute:] = True, True
    changed = {name: np.where(after, 1.3 * getattr(minutes, name), getattr(minutes, name)) for name in (*PRICES, "volume")}
    overnight = minutes.overnight.copy()
    overnight[session + 1 :] += 0.01
    return replace(minutes, **changed, overnight=overnight)


def test_nothing_after_a_decision_enters_its_features() -> None:
    sleeve, minutes = replace(SHORTER, strategy=Strategy.INDICATORS), invented(90, 25)
    bars, panel = sleeve.intraday(minutes)
    for minute in (45, 125, 390):
        other = sleeve.intraday(with_other_future(minutes, 22, minute))[1]
        upto = np.flatnonzero(bars.session[:, 0] == 22)[minute // 5 - 1] + 1
        np.testing.assert_array_equal(panel.values[:upto], other.values[:upto])
        assert not np.array_equal(panel.values[upto:], other.values[upto:], equal_nan=True)


def test_timeframe_hours_strategy_and_warm_up_are_part_of_the_specification() -> None:
    others = [
        replace(SHORTER, timeframe=10),
        replace(SHORTER, hours=Hours.BOTH),
        replace(SHORTER, strategy=Strategy.INDICATORS),
        replace(SHORTER, session_minutes=1380),
        replace(SHORTER, length=5),
    ]
    assert len({sleeve.spec_hash for sleeve in (SHORTER, *others)}) == 6
    assert SHORTER.lookback_sessions == 7  # 400 bars of 5 minutes before a session of 390
    assert "rsi_14@60" in others[2].names and others[2].lookback_sessions == 20
    assert not any(name.endswith("@1") for name in replace(SHORTER, strategy=Strategy.INDICATORS, length=5).names)


def test_a_rung_that_the_minutes_cannot_make_is_refused() -> None:
    with pytest.raises(FixInput, match="do not make bars of 5"):
        _ = replace(SHORTER, length=2).names
    with pytest.raises(DataNotUsable, match="reads minutes"):
        BARS.panel(synthetic_bars(3, sessions=5, symbols=2))


@pytest.mark.parametrize(
    "shape",
    [
        BARS,
        replace(BARS, timeframe=30, strategy=Strategy.INDICATORS, hours=Hours.BOTH, session_minutes=1380, length=5),
        replace(BARS, strategy=Strategy.INGESTION),
        replace(BARS, indicators=("natr_14", "rsi_14")),
    ],
    ids=["as it is", "futures", "raw", "two indicators"],
)
def test_a_specification_gives_back_the_sleeve_that_it_is_of(shape: BarsSleeve) -> None:
    assert BARS.shaped_as(shape.spec).spec == shape.spec == specs(shape.spec)["bars"]
    spoiled = ((shape.spec[0][0], shape.spec[0][1], 999), *shape.spec[1:])
    assert BARS.shaped_as(spoiled) == BARS.shaped_as(()) == BARS


def test_the_newest_decision_is_of_the_last_bar_that_has_ended() -> None:
    """Minutes to 11:02 of an open session give the bar of 11:00, its features those of the whole history to the bit."""
    minutes = invented(90, 14)
    opened = minutes.rows(0, 14)
    gone = {name: opened.grids()[name].copy() for name in ("open", "high", "low", "close", "volume", "traded")}
    for name, array in gone.items():
        array[-1, 92:] = False if name == "traded" else np.nan
    found = BARS.newest(replace(opened, **gone), bars=3)
    panel = decisions(90, 14)[1]
    at = int(np.searchsorted(panel.sessions, found.sessions[-1]))
    assert found.sessions[-1] - opened.opens[-1] == np.timedelta64(90, "m")
    np.testing.assert_array_equal(found.values, panel.values[at - 2 : at + 1])
    with pytest.raises(FixInput, match="bars of 1 minutes, not of 5"):
        replace(BARS, length=5).newest(minutes)


def test_decisions_know_their_session_and_the_growth_over_each_night() -> None:
    minutes = invented(90, 14)
    bars, panel = decisions(90, 14)
    assert bars.session[[0, 77, 78], 0].tolist() == [0, 0, 1] and bars.left[[0, 77], 0].tolist() == [385, 0]
    night = (1 + minutes.overnight[1]) * bars.close[78, 0] / bars.open[78, 0] - 1
    np.testing.assert_allclose(bars.total_return[78, 0], night, rtol=1e-14)
    np.testing.assert_allclose(bars.total_return[1, 0], bars.close[1, 0] / bars.close[0, 0] - 1, rtol=1e-14)
    assert str(bars.sessions[0]).endswith("14:35:00")
    assert not panel.eligible[bars.session < 6].any() and panel.eligible[bars.session >= 6].mean() > 0.9


def test_the_clock_s_panel_has_the_clock_alone() -> None:
    panel = clock_alone(decisions(90, 14)[1])
    assert panel.names == CLOCK and panel.values.shape[2] == 3


def test_it_is_a_value() -> None:
    assert replace(BARS) == BARS and isinstance(BARS, BarsSleeve)
