"""Minute bars, stretches and the ladder: hand-worked grids, quiet minutes, short sessions, and nothing of the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from signals.errors import BadBars, FixInput, InvariantBroken
from signals.minutes.bars import MinuteBars
from signals.minutes.grid import SessionGrid, carried
from signals.minutes.stretch import NEVER, RUNGS, as_of, shown, stretch, timeframe_grids

DAYS = np.array(["2024-03-07", "2024-03-08", "2024-03-11"], dtype="datetime64[D]")
OPENS = np.array(["2024-03-07T14:30", "2024-03-08T14:30", "2024-03-11T13:30"], dtype="datetime64[m]")  # DST begins on the 10th


@pytest.fixture
def rng() -> np.random.Generator:
    """Numbers that are the same each time."""
    return np.random.default_rng(7)


def made(rng: np.random.Generator, minutes: list[int], *, length: int = 1, silent: float = 0.0) -> MinuteBars:
    """Sessions of these lengths with random bars."""
    sizes = np.array(minutes)
    shape = (len(sizes), -(-int(sizes.max()) // length))
    inside = np.arange(shape[1]) < -(-sizes // length)[:, None]
    step = np.where(inside, 1e-3 * rng.standard_normal(shape), 0.0)
    close = 100.0 * np.exp(np.cumsum(step.ravel()).reshape(shape))
    open_ = close * np.exp(1e-4 * rng.standard_normal(shape))
    high, low = np.maximum(open_, close) * 1.0005, np.minimum(open_, close) * 0.9995
    traded = inside & (rng.random(shape) >= silent)
    traded[:, 0] = True
    raw = {
        name: np.where(traded, array, np.nan)
        for name, array in zip(("open", "high", "low", "close"), (open_, high, low, close), strict=True)
    }
    raw["volume"] = np.where(traded, rng.integers(1, 1000, shape), np.nan)
    filled = carried(raw, sizes, length=length)
    days = np.datetime64("2024-01-01", "D") + np.arange(len(sizes))
    return MinuteBars(
        "T",
        days,
        days.astype("datetime64[m]") + 870,
        sizes,
        **filled.grids,
        traded=filled.traded,
        overnight=np.concatenate([[np.nan], 0.01 * rng.standard_normal(len(sizes) - 1)]),
        length=length,
    )


def column(bars: MinuteBars, s: int, timeframe: int, warm_up: int) -> dict[str, np.ndarray]:
    """One session's column, with no more history than the warm-up needs, and no later session."""
    per = -(-bars.minutes // timeframe)
    first = s
    while first > 0 and per[first:s].sum() < warm_up:
        first -= 1
    alone = stretch(bars.rows(first, s + 1), timeframe, warm_up)
    return {
        name: getattr(alone, name)[: warm_up + per[s], -1] for name in ("open", "high", "low", "close", "volume", "traded", "ends", "left")
    }


def test_a_bar_belongs_to_the_session_in_which_its_minutes_are() -> None:
    grid = SessionGrid(DAYS, OPENS, np.array([390, 210, 390]))
    ends = np.array(
        [
            "2024-03-07T14:30",
            "2024-03-07T14:31",
            "2024-03-07T21:00",
            "2024-03-07T21:01",
            "2024-03-08T18:00",
            "2024-03-08T18:01",
            "2024-03-11T13:31",
        ],
        dtype="datetime64[m]",
    )
    s, bar = grid.cells(ends, 1)
    assert s.tolist() == [-1, 0, 0, -1, 1, -1, 2]  # the label of the open itself, and of minutes after a close, are no session's
    assert bar.tolist() == [-1, 0, 389, -1, 209, -1, 0]


def test_a_coarser_bar_lies_on_the_grid_of_the_open_and_the_last_may_be_short() -> None:
    grid = SessionGrid(DAYS[:1], OPENS[:1], np.array([390]))
    ends = OPENS[:1] + np.array([20, 21, 380, 390])
    assert grid.cells(ends, 20)[1].tolist() == [0, -1, 18, 19]


def test_two_bars_of_one_minute_are_refused() -> None:
    grid = SessionGrid(DAYS[:1], OPENS[:1], np.array([390]))
    with pytest.raises(BadBars, match="1 minutes have two bars"):
        grid.placed(OPENS[[0, 0]] + 5, {"close": np.array([1.0, 2.0])})


def test_quiet_minutes_carry_the_last_price_and_long_silence_is_missing() -> None:
    close = np.full((1, 60), np.nan)
    close[0, [2, 5]] = 10.0, 11.0
    grids = {name: close for name in ("open", "high", "low", "close", "volume")}
    found = carried(grids, np.array([50]), most=10)
    assert np.isnan(found.grids["close"][0, :2]).all()  # nothing is known before the first trade
    assert found.grids["close"][0, 2:16].tolist() == [10.0] * 3 + [11.0] * 11  # ten minutes after the last trade, not more
    assert found.grids["volume"][0, 3:5].tolist() == [0.0, 0.0]
    assert np.isnan(found.grids["close"][0, 16:]).all()
    assert found.missing.tolist() == [44]  # minutes 6 to 49; the two before the first trade are quiet
    absent = np.zeros((1, 60), dtype=bool)
    absent[0, 3] = True
    assert carried(grids, np.array([50]), most=10, absent=absent).missing.tolist() == [45]


def test_what_is_carried_does_not_depend_on_how_long_a_silence_will_last() -> None:
    close = np.full((1, 60), np.nan)
    close[0, 0] = 10.0
    longer = carried({name: close for name in ("open", "high", "low", "close", "volume")}, np.array([60]), most=10)
    shorter = close.copy()
    shorter[0, 8] = 12.0
    other = carried({name: shorter for name in ("open", "high", "low", "close", "volume")}, np.array([60]), most=10)
    assert np.array_equal(longer.grids["close"][:, :8], other.grids["close"][:, :8])


def test_bars_of_a_timeframe_are_anchored_at_the_open_and_the_last_is_short(rng: np.random.Generator) -> None:
    bars = made(rng, [7, 4])
    grids = timeframe_grids(bars, 3)
    assert grids["close"].shape == (2, 3)
    assert grids["open"][0].tolist() == bars.open[0, [0, 3, 6]].tolist()
    assert grids["close"][0].tolist() == bars.close[0, [2, 5, 6]].tolist()
    assert grids["high"][0, 1] == bars.high[0, 3:6].max()
    assert grids["low"][1, 0] == bars.low[1, :3].min()
    assert grids["volume"][0].tolist() == [bars.volume[0, :3].sum(), bars.volume[0, 3:6].sum(), bars.volume[0, 6]]
    assert np.isnan(grids["close"][1, 2])
    with pytest.raises(FixInput, match="do not make bars of 7"):
        timeframe_grids(made(rng, [20], length=5), 7)


def test_the_warm_up_is_the_bars_before_the_open_at_the_session_s_own_level() -> None:
    """Closes 10, 11 | 40, 44: the night is +5 %, so the 11 of the day before is 40 / 1.05 in front of the 40."""
    price = np.array([[10.0, 11.0], [40.0, 44.0]])
    bars = MinuteBars(
        "T",
        DAYS[:2],
        OPENS[:2],
        np.array([2, 2]),
        price,
        price,
        price,
        price,
        np.array([[8.0, 4.0], [1.0, 2.0]]),
        np.ones((2, 2), dtype=bool),
        np.array([np.nan, 0.05]),
    )
    found = stretch(bars, 1, 3)
    assert np.isnan(found.close[:3, 0]).all() and found.close[3:, 0].tolist() == [10.0, 11.0]
    assert np.isnan(found.close[0, 1])
    np.testing.assert_allclose(found.close[1:, 1], [40 / 1.05 * 10 / 11, 40 / 1.05, 40.0, 44.0], rtol=1e-15)
    np.testing.assert_allclose((found.close * found.volume)[1:, 1], [80.0, 44.0, 40.0, 88.0], rtol=1e-15)  # dollars stay
    assert found.ends[:, 1].tolist() == [0, 0, 0, 1, 2] and found.left[:, 1].tolist() == [-1, -1, -1, 1, 0]
    assert found.complete.tolist() == [False, False]


@pytest.mark.parametrize(("timeframe", "warm_up"), [(1, 50), (5, 40), (25, 12), (60, 5)])
def test_one_session_alone_is_what_all_together_are_to_the_bit(rng: np.random.Generator, timeframe: int, warm_up: int) -> None:
    bars = made(rng, [60, 35, 60, 60, 17, 60, 60], silent=0.2)
    whole = stretch(bars, timeframe, warm_up)
    for s in np.flatnonzero(whole.complete):
        for name, alone in column(bars, int(s), timeframe, warm_up).items():
            np.testing.assert_array_equal(getattr(whole, name)[: len(alone), s], alone, err_msg=name)
    assert whole.complete.any()


def test_a_short_session_has_no_bars_after_its_close(rng: np.random.Generator) -> None:
    found = stretch(made(rng, [60, 35]), 10, 2)
    assert found.ends[2:, 1].tolist() == [10, 20, 30, 35, NEVER, NEVER]
    assert found.left[2:, 1].tolist() == [25, 15, 5, 0, -1, -1]
    assert np.isnan(found.close[6:, 1]).all() and not found.is_bar[6:, 1].any()


def test_a_rung_shows_its_last_closed_bar(rng: np.random.Generator) -> None:
    bars = made(rng, [60, 50])
    rung = stretch(bars, 20, 2)
    ends = np.array([[19, 19], [20, 20], [39, 39], [40, 49], [60, 50]])
    assert (as_of(rung, ends) - 2).tolist() == [[-1, -1], [0, 0], [0, 0], [1, 1], [2, 2]]
    assert shown(rung.close, as_of(rung, ends))[0, 1] == rung.close[1, 1]  # the last bar of the session before
    with pytest.raises(InvariantBroken, match="nothing to show at the open"):
        as_of(stretch(bars, 20, 0), ends)


def early(bars: MinuteBars, minutes: int) -> MinuteBars:
    """The bars as they are where each stands so many minutes before its place."""
    arrays = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume", "traded")}
    for array in arrays.values():
        array[:, :-minutes] = array[:, minutes:].copy()
    return replace(bars, **arrays)


def changed_cells(bars: MinuteBars, find, shift: int = 0, minutes: int = 0) -> int:  # type: ignore[no-untyped-def]
    """How many values shown at a moment change when every minute after the moment does, over all rungs and some moments."""
    count = 0
    for minute in range(7, 60, 11):
        after = np.arange(bars.width) >= minute
        later = {name: np.where(after, 2.0 * getattr(bars, name), getattr(bars, name)) for name in ("open", "high", "low", "close")}
        for other in (bars, replace(bars, **later)):
            taken = early(other, minutes) if minutes else other
            values = [shown(stretch(taken, m, 8).close[:, -1:], find(replace_last(taken, m, shift), np.array([[minute]]))) for m in RUNGS]
            if other is bars:
                before = values
        count += sum(int(not np.array_equal(a, b, equal_nan=True)) for a, b in zip(before, values, strict=True))
    return count


def replace_last(bars: MinuteBars, m: int, shift: int):  # type: ignore[no-untyped-def]
    found = stretch(bars, m, 8)
    kept = {name: getattr(found, name)[:, -1:] for name in ("open", "high", "low", "close", "volume", "traded", "left")}
    ends = found.ends[:, -1:]
    return replace(found, sessions=found.sessions[-1:], ends=np.where((ends > 0) & (ends < NEVER), ends - shift, ends), **kept)


def test_no_rung_shows_the_future_and_mutants_of_side_anchor_and_label_do(rng: np.random.Generator) -> None:
    bars = made(rng, [480, 60])

    def containing(rung, ends):  # type: ignore[no-untyped-def]
        return np.searchsorted(rung.ends[:, 0], ends[:, 0], side="left")[:, None].clip(max=len(rung.ends) - 1)

    assert changed_cells(bars, as_of) == 0
    assert changed_cells(bars, containing) > 10  # the bar that contains the moment
    assert changed_cells(bars, as_of, shift=1) > 0  # ENDs of rungs that are a minute early
    assert changed_cells(bars, as_of, minutes=1) > 0  # minutes of a file that names them by their START, taken for ENDs
    assert changed_cells(bars, as_of, minutes=5) > 0  # rungs whose first bar begins five minutes after the open


def test_absent_sessions_and_shorter_hours_leave_the_return_over_them_in_the_night(rng: np.random.Generator) -> None:
    bars = made(rng, [30, 30, 30])
    growth = (1 + bars.overnight[1]) * bars.last_close[1] / bars.first_open[1] * (1 + bars.overnight[2])
    kept = bars.without(np.array([False, True, False]))
    assert kept.sessions.tolist() == bars.sessions[[0, 2]].tolist()
    np.testing.assert_allclose(1 + kept.overnight[1], growth, rtol=1e-14)
    inner = bars.between(np.full(3, 10), np.full(3, 20))
    assert inner.minutes.tolist() == [10, 10, 10] and inner.opens[0] == bars.opens[0] + 10
    np.testing.assert_array_equal(inner.close, bars.close[:, 10:20])
    expected = bars.close[0, 29] / bars.close[0, 19] * (1 + bars.overnight[1]) * bars.open[1, 10] / bars.open[1, 0]
    np.testing.assert_allclose(1 + inner.overnight[1], expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("low", 200.0, "outside of its range"),
        ("volume", -1.0, "wrong sign"),
        ("close", np.nan, "NaN where the close is not"),
        ("minutes", 0, "bars of 1"),
    ],
)
def test_bars_that_contradict_themselves_are_refused(rng: np.random.Generator, field: str, value: float, said: str) -> None:
    bars = made(rng, [30, 30])
    changed = getattr(bars, field).copy()
    changed.flat[3 if field != "minutes" else 0] = value
    with pytest.raises(InvariantBroken, match=said):
        replace(bars, **{field: changed})
