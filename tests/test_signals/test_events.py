"""Events: rules of the detectors by hand, nothing from ahead, thirds of liquidity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from signals.errors import InvariantBroken
from signals.events import detectors
from signals.events.detectors import DETECTORS, LONGEST, Detected, Measures, detect
from signals.events.panel import EventBars, EventPanel, Kind, LiquidityThird, liquidity
from signals.minutes.stretch import DecisionBars

FIELDS = ("open", "high", "low", "close")
Row = tuple[float, float, float, float]
QUIET: list[Row] = [(100.0, 100.5, 99.5, 100.0)] * 45


def of_rows(rows: list[Row]) -> EventBars:
    """One symbol's bars."""
    o, h, lo, c = (np.array(x)[:, None] for x in zip(*rows, strict=True))
    return EventBars(o, h, lo, c, np.ones_like(c), np.zeros(c.shape, bool))


def mirrored(rows: list[Row]) -> list[Row]:
    """Prices upside down."""
    return [(200.0 - o, 200.0 - lo, 200.0 - h, 200.0 - c) for o, h, lo, c in rows]


def step(close: float, up: float = 0.5, down: float = 0.5) -> Row:
    return (close, close + up, close - down, close)


def wild(seed: int = 3, bars: int = 900, symbols: int = 4) -> EventBars:
    """Bars with runs, gaps, long wicks and missing bars, in which every kind occurs."""
    rng = np.random.default_rng(seed)
    shape = (bars, symbols)
    drift = np.repeat(rng.normal(0.0, 0.006, (bars // 10, symbols)), 10, axis=0)
    quiet = np.repeat(rng.choice([0.2, 1.0, 2.5], (bars // 10, symbols)), 10, axis=0)
    close = 100.0 * np.exp(np.cumsum(drift + quiet * rng.normal(0.0, 0.004, shape), axis=0))
    opened = np.vstack([close[:1], close[:-1]])
    high = np.maximum(opened, close) * np.exp(quiet * rng.exponential(0.004, shape))
    low = np.minimum(opened, close) * np.exp(-quiet * rng.exponential(0.004, shape))
    gone = rng.random(shape) < 0.01
    o, h, lo, c = (np.where(gone, np.nan, x) for x in (opened, high, low, close))
    return EventBars(o, h, lo, c, np.where(gone, np.nan, 1e6), np.zeros(shape, bool))


def cut(bars: EventBars, rows: slice) -> EventBars:
    names = (*FIELDS, "dollars", "is_broken")
    return EventBars(**{name: getattr(bars, name)[rows] for name in names}, last_row=None)


def same(one: EventPanel, other: EventPanel, rows: slice = slice(None)) -> bool:
    names = ("kind", "side", "pole_katr", "strength", "atr")
    return all(
        np.array_equal(getattr(one, n)[rows], getattr(other, n)[rows], equal_nan=n in {"pole_katr", "strength", "atr"}) for n in names
    )


def is_causal(bars: EventBars) -> bool:
    """Whether prefixes of many lengths give the same as the whole, and another future changes nothing."""
    whole = detect(bars)
    for at in range(600, 640):
        now = slice(0, at)
        other = replace(bars, **{name: np.vstack([getattr(bars, name)[now], 3.0 * getattr(bars, name)[at:][::-1]]) for name in FIELDS})
        if not (
            same(detect(cut(bars, now)), EventPanel(**{k: x[now] for k, x in vars(whole).items()})) and same(detect(other), whole, now)
        ):
            return False
    return True


POLE = [step(100.0 + 0.5 * i) for i in range(1, 11)]
RUN = [step(100.0 + 0.3 * i) for i in range(1, 10)]
CASES: dict[Kind, tuple[list[Row], int, float]] = {
    Kind.BREAKOUT: ([(100.0, 102.2, 99.9, 102.0)], 1, 1.5),  # 1.5 above the high of 100.5, ATR 1
    Kind.FLAG: (POLE + [(105.0, 105.2, 103.5, 104.6)] * 5, 1, 0.7),  # gives 1.5 of 5 back
    Kind.WEDGE: ([(101 + 0.12 * i, 102 + 0.1 * i, 100 + 0.17 * i, 101 + 0.12 * i) for i in range(20)], -1, 0.665),  # 2 closes to 0.67
    Kind.BLOW_OFF: ([*RUN, (102.7, 105.2, 102.7, 105.0)], -1, 2.5),  # 5 ATR up in 10 bars, range 2.5
    Kind.WICK: ([*RUN, (102.7, 105.2, 102.6, 102.8)], -1, 2.4 / 2.6),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_shape_drawn_by_hand_is_found_at_its_last_bar_with_its_side_and_strength_and_upside_down_alike(kind: Kind) -> None:
    rows, side, strength = CASES[kind]
    for drawn, sign in ((QUIET + rows, 1), (mirrored(QUIET + rows), -1)):
        found = detect(of_rows(drawn))
        assert (found.kind[-1, 0], found.side[-1, 0]) == (kind, sign * side)
        assert found.strength[-1, 0] == pytest.approx(strength)
        assert np.isnan(found.pole_katr[-1, 0]) if kind != Kind.FLAG else found.pole_katr[-1, 0] == pytest.approx(5.0)
        assert not found.kind[: len(QUIET)].any()


FAULTS: dict[Kind, list[Row]] = {
    Kind.BREAKOUT: [(100.0, 102.2, 99.9, 102.0), (102.0, 103.5, 102.0, 103.0)],  # the second close beyond, not the first
    Kind.FLAG: POLE + [(105.0, 105.2, 102.4, 104.6)] * 5,  # gives more than half back
    Kind.WEDGE: [(101 + 0.12 * i, 102 + 0.1 * i, 100 + 0.1 * i, 101 + 0.1 * i) for i in range(20)],  # a channel: nothing closes
    Kind.BLOW_OFF: [*RUN, (102.7, 104.5, 102.7, 104.5)],  # a range of 1.8 ATR
    Kind.WICK: [*RUN, (102.7, 105.2, 102.6, 103.7)],  # a wick of 1.5 of 2.6
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_shape_that_misses_one_clause_is_not_found(kind: Kind) -> None:
    assert not holds(kind, of_rows(QUIET + FAULTS[kind]))[-1, 0]
    assert holds(kind, of_rows(QUIET + CASES[kind][0]))[-1, 0]


def holds(kind: Kind, bars: EventBars) -> np.ndarray:
    """Where the rule of a kind holds, whichever kind names the event."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = DETECTORS[kind](Measures(bars))
    return (found.side != 0) & np.isfinite(found.strength)


def test_an_event_reads_nothing_after_its_bar() -> None:
    bars = wild()
    assert set(np.unique(detect(bars).kind)) == set(Kind)
    assert is_causal(bars)


@pytest.mark.parametrize("kind", DETECTORS)
def test_a_detector_that_looks_one_bar_ahead_is_caught(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    bars, rule = wild(), DETECTORS[kind]

    def ahead(m: Measures) -> Detected:
        return rule(Measures(cut_ahead(m.bars)))

    monkeypatch.setitem(detectors.DETECTORS, kind, ahead)
    assert not is_causal(bars)


def cut_ahead(bars: EventBars) -> EventBars:
    return EventBars(**{name: np.roll(getattr(bars, name), -1, axis=0) for name in (*FIELDS, "dollars", "is_broken")})


def test_an_event_depends_on_forty_bars_and_its_own_symbol_alone() -> None:
    bars = wild()
    whole = detect(bars)
    later = detect(cut(bars, slice(500, None)))
    assert same(later, EventPanel(**{k: getattr(whole, k)[500:] for k in vars(whole)}), slice(LONGEST, None))
    alone = EventBars(**{name: getattr(bars, name)[:, 2:3] for name in (*FIELDS, "dollars", "is_broken")})
    assert same(detect(alone), EventPanel(**{k: getattr(whole, k)[:, 2:3] for k in vars(whole)}))


def test_a_bar_of_a_symbol_is_one_event_named_by_the_rarest_kind() -> None:
    bars = wild()
    panel, rules = detect(bars), {kind: holds(kind, bars) for kind in DETECTORS}
    events = panel.table()
    assert len(events) == len(set(zip(events.row.tolist(), events.column.tolist(), strict=True))) == np.count_nonzero(panel.kind)
    both = rules[Kind.BLOW_OFF] & rules[Kind.BREAKOUT] & (panel.kind > 0)
    assert both.any()  # else the rule of precedence is not tried
    assert (panel.kind[both] != Kind.BREAKOUT).all()


def test_nothing_is_found_across_a_bar_that_cannot_be_compared() -> None:
    bars = of_rows(QUIET + CASES[Kind.FLAG][0])
    bars.is_broken[-20] = True
    assert detect(bars).kind[-1, 0] == Kind.NONE
    bars.is_broken[-20], bars.is_broken[-LONGEST - 1] = False, True
    assert detect(bars).kind[-1, 0] == Kind.FLAG


def test_a_night_is_no_pole_and_no_breakout() -> None:
    rows = QUIET + [step(130.0) for _ in range(20)]
    session = np.repeat([0, 1], [len(QUIET), 20])
    assert detect(of_rows(rows)).kind.any()  # with the night left in
    o, h, lo, c = (np.array(x)[:, None] for x in zip(*rows, strict=True))
    returns = c / np.vstack([c[:1], c[:-1]]) - 1.0
    returns[len(QUIET)] = c[len(QUIET)] / o[len(QUIET)] - 1.0  # the night taken out
    axes = np.datetime64("2025-01-02T14:31:00", "s") + 60 * np.arange(len(rows)), ("A",)
    prices = {"open": o, "high": h, "low": lo, "close": c, "volume": np.ones_like(c), "eligible": np.ones(c.shape, bool)}
    growth = {"total_return": returns, "overnight_return": np.zeros_like(c)}
    within = EventBars.of(DecisionBars(*axes, **prices, **growth, session=session[:, None], left=session[:, None], sigma=c))
    assert not detect(within).kind.any()
    assert within.last_row is not None
    assert set(within.last_row.tolist()) == {len(QUIET) - 1, len(rows) - 1}


@pytest.mark.parametrize("fault", ["low", "open", "shape"])
def test_bars_that_cannot_be_are_refused(fault: str) -> None:
    bars = of_rows(QUIET)
    wrong: dict[str, Any] = {"low": bars.high + 1.0, "open": np.where(np.arange(45) == 3, np.nan, 1.0)[:, None], "shape": bars.high[1:]}
    with pytest.raises(InvariantBroken, match="bars of events"):
        replace(bars, **{"high" if fault == "shape" else fault: wrong[fault]})


def test_liquidity_is_the_third_among_the_eligible_of_the_bar_by_what_was_traded_before() -> None:
    dollars = np.tile([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0], (70, 1))
    eligible = np.ones(dollars.shape, bool)
    eligible[:, 6] = False
    found = liquidity(dollars, eligible)
    assert found[-1].tolist() == [1, 1, 2, 2, 3, 3, LiquidityThird.UNKNOWN]
    assert not found[:47].any()  # 48 of 60 bars are needed
    changed = dollars.copy()
    changed[65:, 0] = 1e9
    assert np.array_equal(liquidity(changed, eligible)[:65], found[:65])
    assert liquidity(changed, eligible)[-1, 0] == LiquidityThird.HIGH
    assert set(liquidity(np.ones_like(dollars), eligible)[-1, :6].tolist()) == {LiquidityThird.LOW}
    assert not liquidity(dollars[:, :2], eligible[:, :2]).any()
