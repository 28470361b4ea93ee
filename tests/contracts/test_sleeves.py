"""The battery that every sleeve passes: what enters a feature, what does not, and that both hosts agree to the bit."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.errors import DataNotUsable, NotASession
from signals.events.recorded import SHOWN
from signals.features.panel import FeaturePanel
from signals.features.treatment import Treatment
from signals.market.bars import NO_PANEL, Bars
from signals.sleeves import SLEEVES
from signals.sleeves.base import Sleeve
from signals.sleeves.equities_xs import EQUITIES_XS
from tests.fakes.bars import synthetic_bars, with_joined, yf_bars

SESSIONS = 300
DAILY = [sleeve for sleeve in SLEEVES.values() if "daily_bars" in sleeve.inputs]  # of minutes: tests/test_signals/test_bars_sleeve.py
DECLARED = (Treatment(winsorise_sd=3.0, half_life_sessions=5), Treatment(winsorise_quantile=0.02), Treatment(half_life_sessions=2))
TREATED = [EQUITIES_XS.treated(declared) for declared in DECLARED]
every_sleeve = pytest.mark.parametrize(
    "sleeve",
    [*(one for one in DAILY if not one.joined), *TREATED],
    ids=lambda one: one.name + (one.treatment.words if one.treatment else ""),
)
OTHERS = [one for one in DAILY if one.joined and one.name not in SHOWN]  # what is shown of events has the table of `events`
of_other_datasets = pytest.mark.parametrize("sleeve", OTHERS, ids=lambda sleeve: sleeve.name)


def assert_same_bits(found: np.ndarray, expected: np.ndarray, names: tuple[str, ...]) -> None:
    """Equal float32 bits in every cell; a difference is told by the features that differ."""
    assert found.dtype == expected.dtype == np.float32
    unequal = np.ascontiguousarray(found).view(np.uint32) != np.ascontiguousarray(expected).view(np.uint32)
    both_nan = np.isnan(found) & np.isnan(expected)
    differing = np.flatnonzero((unequal & ~both_nan).reshape(-1, len(names)).any(axis=0))
    assert [names[position] for position in differing] == []


def with_columns(bars: Bars, columns: list[int], symbols: tuple[str, ...]) -> Bars:
    """The panel whose column j is column `columns[j]` of `bars`, under new names."""
    panels = {field.name: getattr(bars, field.name)[:, columns].copy() for field in fields(bars) if field.name not in NO_PANEL}
    return Bars(sessions=bars.sessions, symbols=symbols, **panels)


def with_other_future(bars: Bars, row: int, seed: int) -> Bars:
    """The panel whose bars after `row` are another market's."""
    other = synthetic_bars(seed, sessions=len(bars.sessions), symbols=len(bars.symbols), missing=0.3)
    panels = {}
    for field in fields(bars):
        if field.name not in NO_PANEL:
            panels[field.name] = getattr(bars, field.name).copy()
            panels[field.name][row + 1 :] = getattr(other, field.name)[row + 1 :]
    return replace(bars, **panels)


def day(bars: Bars, row: int) -> date:
    found: date = bars.sessions[row].astype(object)
    return found


@every_sleeve
def test_the_table_is_well_formed(sleeve: Sleeve) -> None:
    """Distinct names; ranks follow the base features in their order; no calendar feature is ranked."""
    assert len(set(sleeve.names)) == len(sleeve.names) == len(sleeve.spec)
    base = [feature.name for feature in sleeve.table]
    assert list(sleeve.names[: len(base)]) == base
    assert list(sleeve.names[len(base) :]) == [f"rank_{feature.name}" for feature in sleeve.table if feature.is_ranked]
    assert not any(feature.is_calendar and feature.is_ranked for feature in sleeve.table)
    assert all(feature.units and feature.lookback_sessions >= 1 for feature in sleeve.table)
    assert sleeve.lookback_sessions == max(feature.lookback_sessions for feature in sleeve.table)
    assert sleeve.inputs
    assert sleeve.horizon_sessions >= 1


@every_sleeve
def test_the_specification_hash_changes_with_name_units_look_back_and_order(sleeve: Sleeve) -> None:
    first, second, *rest = sleeve.table
    others = [
        (second, first, *rest),
        (replace(first, name="other"), second, *rest),
        (replace(first, units="other"), second, *rest),
        (replace(first, lookback_sessions=first.lookback_sessions + 1), second, *rest),
    ]
    hashes = {replace(sleeve, table=table).spec_hash for table in others} | {sleeve.spec_hash}
    assert len(hashes) == 5


@every_sleeve
@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), row=st.integers(0, SESSIONS - 2))
def test_the_future_changes_nothing(sleeve: Sleeve, seed: int, row: int) -> None:
    """Cutting what follows a session, or replacing it by another market, leaves its features as they are."""
    bars = synthetic_bars(seed, sessions=SESSIONS, symbols=5, missing=0.02)
    whole = sleeve.panel(bars).values[: row + 1]
    assert_same_bits(sleeve.panel(bars.rows(0, row + 1)).values, whole, sleeve.names)
    assert_same_bits(sleeve.panel(with_other_future(bars, row, seed + 1)).values[: row + 1], whole, sleeve.names)


@every_sleeve
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), row=st.integers(0, SESSIONS - 1), symbols=st.sampled_from([1, 5, 33, 70]))
def test_the_device_computes_the_row_that_the_trainer_learned_from(sleeve: Sleeve, seed: int, row: int, symbols: int) -> None:
    """Features of one session, from the whole panel or from its look-back alone, equal the trainer's row to the bit."""
    bars = synthetic_bars(seed, sessions=SESSIONS, symbols=symbols, missing=0.02)
    asof = day(bars, row)
    trained = sleeve.panel(bars)
    for source in (bars, bars.until(asof, sleeve.lookback_sessions), with_other_future(bars, row, seed + 1)):
        served = sleeve.features(source, asof)
        assert served.names == trained.names == sleeve.names
        assert list(served.sessions) == [bars.sessions[row]]
        assert_same_bits(served.values[0], trained.values[row], sleeve.names)
        np.testing.assert_array_equal(served.eligible[0], trained.eligible[row])


@every_sleeve
@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), row=st.integers(0, SESSIONS - 1), sessions=st.sampled_from([2, 5, 60]))
def test_the_device_computes_the_window_that_the_trainer_learned_from(sleeve: Sleeve, seed: int, row: int, sessions: int) -> None:
    """Features of several newest sessions equal the trainer's rows to the bit, whatever comes before or after them."""
    bars = synthetic_bars(seed, sessions=SESSIONS, symbols=5, missing=0.02)
    asof, first = day(bars, row), max(0, row + 1 - sessions)
    trained = sleeve.panel(bars)
    for source in (bars, bars.until(asof, sleeve.lookback_sessions + sessions - 1), with_other_future(bars, row, seed + 1)):
        served = sleeve.features(source, asof, sessions)
        assert list(served.sessions) == list(bars.sessions[first : row + 1])
        assert_same_bits(served.values, trained.values[first : row + 1], sleeve.names)
        np.testing.assert_array_equal(served.eligible, trained.eligible[first : row + 1])


@every_sleeve
def test_the_device_and_the_trainer_agree_on_real_bars(sleeve: Sleeve) -> None:
    bars = yf_bars(symbols=80, min_history=253)
    trained = sleeve.panel(bars)
    for row in (200, 270, 401, len(bars.sessions) - 1):
        served = sleeve.features(bars.until(day(bars, row), sleeve.lookback_sessions), day(bars, row))
        assert_same_bits(served.values[0], trained.values[row], sleeve.names)
    _, rows = trained.at(bars.asof)
    assert len(rows) >= 70
    assert np.isfinite(rows).mean() > 0.99


@every_sleeve
def test_no_row_before_the_look_back_enters(sleeve: Sleeve) -> None:
    """A feature declares every session that it reads: another market before its look-back changes nothing."""
    bars = synthetic_bars(2, sessions=SESSIONS, symbols=5)
    other = synthetic_bars(3, sessions=SESSIONS, symbols=5)
    for feature in sleeve.table:
        begin = SESSIONS - feature.lookback_sessions
        panels = {
            field.name: np.vstack([getattr(other, field.name)[:begin], getattr(bars, field.name)[begin:]])
            for field in fields(bars)
            if field.name not in NO_PANEL
        }
        mixed = replace(bars, **panels)
        np.testing.assert_array_equal(feature.compute(mixed)[-1], feature.compute(bars)[-1], err_msg=feature.name)


@every_sleeve
@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_permuting_symbols_permutes_rows(sleeve: Sleeve, seed: int, data: st.DataObject) -> None:
    """To the bit, ranks and the market's return included."""
    bars = synthetic_bars(seed, sessions=SESSIONS, symbols=40)
    order = data.draw(st.permutations(range(40)))
    shuffled = with_columns(bars, order, bars.symbols)
    assert_same_bits(sleeve.panel(shuffled).values, sleeve.panel(bars).values[:, order], sleeve.names)


@every_sleeve
def test_adding_a_symbol_changes_only_what_is_declared_cross_sectional(sleeve: Sleeve) -> None:
    bars = synthetic_bars(6, sessions=SESSIONS, symbols=41)
    fewer = bars.select(bars.symbols[:40])
    before, after = sleeve.panel(fewer).values, sleeve.panel(bars).values[:, :40]
    declared = {feature.name for feature in sleeve.table if feature.is_cross_sectional}
    own = [i for i, name in enumerate(sleeve.names) if name not in declared and not name.startswith("rank_")]
    assert_same_bits(after[..., own], before[..., own], tuple(sleeve.names[i] for i in own))
    changed = {name for i, name in enumerate(sleeve.names) if not np.array_equal(after[..., i], before[..., i], equal_nan=True)}
    assert declared <= changed, "a feature declared cross-sectional does not look at other symbols"


@every_sleeve
def test_an_ineligible_newcomer_changes_nothing_at_all(sleeve: Sleeve) -> None:
    bars = synthetic_bars(6, sessions=SESSIONS, symbols=41)
    outside = bars.eligible.copy()
    outside[:, 40] = False
    fewer = bars.select(bars.symbols[:40])
    after = sleeve.panel(replace(bars, eligible=outside)).values[:, :40]
    assert_same_bits(after, sleeve.panel(fewer).values, sleeve.names)


def restated(bars: Bars, ratio: float, row: int) -> Bars:
    """Back-adjusted prices and volumes of the first symbol after a split at `row`, as a vendor would redeliver them."""
    panels = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name, panel in panels.items():
        panel[:row, 0] *= ratio if name == "volume" else 1.0 / ratio
    return replace(bars, **panels)


@every_sleeve
def test_a_later_split_changes_no_earlier_feature(sleeve: Sleeve) -> None:
    """2:1 to the bit; 7:1 as near as price times volume rounds: one unit in the last place of float32 at most."""
    bars = synthetic_bars(4, sessions=SESSIONS, symbols=6)
    before = sleeve.panel(bars).values
    assert_same_bits(sleeve.panel(restated(bars, 2.0, SESSIONS)).values, before, sleeve.names)
    assert_same_bits(sleeve.panel(restated(bars, 2.0, 280)).values, before, sleeve.names)
    after = sleeve.panel(restated(bars, 7.0, 280)).values
    base = len(sleeve.table)
    np.testing.assert_allclose(after[..., :base], before[..., :base], rtol=2.0**-23, atol=0.0)


@every_sleeve
def test_values_are_float32_never_infinite_and_ranks_lie_inside_0_and_1(sleeve: Sleeve) -> None:
    """Whatever the bars hold: a crash to nothing, an absurd price, sessions without trades, a name that never lists."""
    bars = synthetic_bars(5, sessions=SESSIONS, symbols=8, missing=0.05)
    panels = {name: getattr(bars, name).copy() for name in ("total_return", "overnight_return", "volume")}
    panels["total_return"][150, 1], panels["total_return"][200, 2] = -1.0, 1e300
    panels["overnight_return"][210, 3] = np.inf
    panels["volume"][:, 4] *= 0.0
    with np.errstate(all="ignore"):
        panel = sleeve.panel(replace(bars, **panels))
    assert panel.values.dtype == np.float32
    assert not np.isinf(panel.values).any()
    ranks = panel.values[..., len(sleeve.table) :]
    known = ranks[np.isfinite(ranks)]
    assert known.size == 0 if ranks.shape[2] == 0 else known.size > 0
    assert bool(np.all((known > 0.0) & (known < 1.0)))
    assert np.isnan(ranks[~panel.eligible]).all()


@every_sleeve
def test_a_spike_or_a_gap_is_forgotten_when_it_leaves_the_window(sleeve: Sleeve) -> None:
    """Bars with and without one wild stretch are equal to the bit once the stretch is a look-back old."""
    bars = synthetic_bars(7, sessions=SESSIONS, symbols=4, missing=0.0)
    wild = {name: getattr(bars, name).copy() for name in ("total_return", "overnight_return", "volume")}
    wild["volume"][10:13] *= 1e9
    wild["total_return"][10], wild["total_return"][11] = 1e6, np.nan
    wild["overnight_return"][10:13] = np.nan
    clear = 13 + sleeve.lookback_sessions
    found, expected = sleeve.panel(replace(bars, **wild)).values, sleeve.panel(bars).values
    assert_same_bits(found[clear:], expected[clear:], sleeve.names)
    if sleeve.lookback_sessions > 1:
        assert not np.array_equal(found[14], expected[14], equal_nan=True)


@every_sleeve
def test_a_session_that_the_bars_do_not_hold_is_refused(sleeve: Sleeve) -> None:
    bars = synthetic_bars(1, sessions=5, symbols=2)
    for absent in (date(2019, 12, 31), date(2020, 1, 4), date(2031, 1, 1)):
        with pytest.raises(NotASession, match="not a session"):
            sleeve.features(bars, absent)


@every_sleeve
def test_the_same_bars_give_the_same_panel_and_stay_as_they_were(sleeve: Sleeve) -> None:
    bars = synthetic_bars(9, sessions=SESSIONS, symbols=5)
    copies = {field.name: np.copy(getattr(bars, field.name)) for field in fields(bars) if field.name != "symbols"}
    first, second = sleeve.panel(bars), sleeve.panel(bars)
    assert isinstance(first, FeaturePanel)
    assert_same_bits(first.values, second.values, sleeve.names)
    for name, copy in copies.items():
        np.testing.assert_array_equal(getattr(bars, name), copy)


@of_other_datasets
def test_a_sleeve_of_other_datasets_scores_the_names_in_them_and_nothing_where_they_are_not(sleeve: Sleeve) -> None:
    """On both hosts alike; a device without them is told to take the scores as they are delivered."""
    bars = synthetic_bars(3, sessions=SESSIONS, symbols=8)
    with pytest.raises(DataNotUsable, match="scoring: pulled"):
        sleeve.features(bars, day(bars, 200))
    full = with_joined(bars, sleeve.joined, seed=4)
    panel = sleeve.panel(full)
    known = np.isfinite(full.joined[sleeve.joined[0]])
    np.testing.assert_array_equal(panel.eligible, bars.eligible & known)
    assert panel.eligible.any() and (bars.eligible & ~panel.eligible).any()
    for row in (60, 200, SESSIONS - 1):
        source = with_other_future(full, row, 5) if row < SESSIONS - 1 else full
        served = sleeve.features(source.until(day(full, row), sleeve.lookback_sessions), day(full, row))
        assert_same_bits(served.values[0], panel.values[row], sleeve.names)
        assert_same_bits(sleeve.panel(source).values[: row + 1], panel.values[: row + 1], sleeve.names)
