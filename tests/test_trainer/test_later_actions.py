"""What a vendor restates later, a dividend, a split or the base of all prices, changes no feature of the past.

The same market is delivered twice and curated both times: as it was known on an evening, and as a vendor tells the very
same bars after the actions that followed. Every feature of both sleeves is compared at the sessions before them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest

from appliance.bundles.feature_record import FeatureRecord
from appliance.monitoring.feature_restatement import compare
from signals.features.panel import FeaturePanel
from signals.features.ranking import rank
from signals.market.bar_rows import BarRows
from signals.market.bars import Bars
from signals.market.manifest import PriceBasis
from signals.market.sessions import xnys
from signals.sleeves import SLEEVES
from signals.sleeves.base import Sleeve
from trainer.curation.config import CurationConfig
from trainer.curation.curate import DeliveredHistory, curate

SESSIONS, NAMES = 300, 14
CALENDAR = xnys(date(2020, 1, 2), date(2022, 1, 3))
DAYS = CALENDAR.days[:SESSIONS]
PRICES = ("open", "high", "low", "close")
CLOSES = {PriceBasis.RAW: PRICES, PriceBasis.SPLIT_ADJUSTED: (*PRICES, "adj_close"), PriceBasis.TOTAL_RETURN: PRICES}
OF_DAYS = tuple(sleeve for sleeve in SLEEVES.values() if sleeve.inputs == ("daily_bars",))  # what these bars can give
every_basis = pytest.mark.parametrize("basis", list(PriceBasis))


@cache
def delivered(basis: PriceBasis) -> pd.DataFrame:
    """Seeded bars of `NAMES` stocks, sorted by date: names return to a price they had, so that drawdowns tie at 0."""
    rng = np.random.default_rng(8)
    growth = np.round(rng.normal(0.0004, 0.012, (SESSIONS, NAMES)), 3)
    growth[60:120] = -growth[59::-1]
    close = 40.0 * np.exp(np.cumsum(growth, axis=0)) * np.linspace(0.5, 4.0, NAMES)
    opened = close * np.exp(-growth / 3)
    frame = pd.DataFrame(
        {
            "date": np.repeat(pd.to_datetime(list(DAYS)), NAMES),
            "symbol": np.tile([f"S{i:02d}" for i in range(NAMES)], SESSIONS),
            "open": opened.ravel(),
            "close": close.ravel(),
            "volume": rng.integers(10**5, 10**6, close.size).astype(float),
        }
    )
    frame["high"] = frame[["open", "close"]].max(axis=1) * 1.004
    frame["low"] = frame[["open", "close"]].min(axis=1) * 0.996
    frame["adj_close"] = frame["close"]
    frame["kind"], frame["sector"] = "stock", ""
    frame["date"] = frame["date"].astype("datetime64[s]")
    return frame if basis is PriceBasis.SPLIT_ADJUSTED else frame.drop(columns="adj_close")


def bars_of(frame: pd.DataFrame, basis: PriceBasis) -> Bars:
    history = DeliveredHistory(frame.reset_index(drop=True), (), None, CALENDAR, basis)
    content = curate(history, CurationConfig(min_history=5), name="t", vendor="v")
    return BarRows(content.bars, CALENDAR, (), basis).panel(DAYS[0], DAYS[-1])


def after_a_split(frame: pd.DataFrame, basis: PriceBasis, ratio: float) -> pd.DataFrame:
    """The history after a later split of every other name, as a vendor of that basis tells it; raw prices stay."""
    if basis is PriceBasis.RAW:
        return frame
    moved, hit = frame.copy(), frame["symbol"].isin(sorted(set(frame["symbol"]))[::2])
    for name in CLOSES[basis]:
        moved.loc[hit, name] /= ratio
    moved.loc[hit, "volume"] *= ratio
    return moved


def after_a_dividend(frame: pd.DataFrame, basis: PriceBasis, share: float) -> pd.DataFrame:
    """The history after later dividends of `share` of the price, of every other name; raw prices stay."""
    lowered = {PriceBasis.RAW: (), PriceBasis.SPLIT_ADJUSTED: ("adj_close",), PriceBasis.TOTAL_RETURN: PRICES}[basis]
    moved, hit = frame.copy(), frame["symbol"].isin(sorted(set(frame["symbol"]))[::2])
    for name in lowered:
        moved.loc[hit, name] *= 1.0 - share
    return moved


def on_another_base(frame: pd.DataFrame, basis: PriceBasis, factor: float) -> pd.DataFrame:
    moved = frame.copy()
    for name in CLOSES[basis]:
        moved[name] *= factor
    return moved


@cache
def told(basis: PriceBasis) -> Bars:
    return bars_of(delivered(basis), basis)


@cache
def told_again(basis: PriceBasis, how: Callable[[pd.DataFrame, PriceBasis, float], pd.DataFrame], by: float) -> Bars:
    return bars_of(how(delivered(basis), basis, by), basis)


def recorded(panel: FeaturePanel, row: int) -> FeatureRecord:
    values = panel.values[row].astype("<f4")
    return FeatureRecord(DAYS[row], "s", "b", "i", panel.names, panel.symbols, values.tobytes())


def row_of(panel: FeaturePanel, row: int) -> FeaturePanel:
    chosen = slice(row, row + 1)
    return FeaturePanel(panel.sessions[chosen], panel.symbols, panel.names, panel.values[chosen].copy(), panel.eligible[chosen].copy())


@every_basis
@pytest.mark.parametrize("sleeve", OF_DAYS, ids=lambda sleeve: sleeve.name)
def test_a_later_split_by_a_power_of_two_changes_no_bit_of_any_feature(sleeve: Sleeve, basis: PriceBasis) -> None:
    """Halving prices and doubling volumes is exact in floating point, so that the features must be exactly equal."""
    before, after = sleeve.panel(told(basis)), sleeve.panel(told_again(basis, after_a_split, 4.0))
    np.testing.assert_array_equal(before.values, after.values)


@every_basis
@pytest.mark.parametrize("sleeve", OF_DAYS, ids=lambda sleeve: sleeve.name)
@pytest.mark.parametrize("share", [0.004, 0.5])
def test_a_later_dividend_changes_no_feature(sleeve: Sleeve, basis: PriceBasis, share: float) -> None:
    """Up to rounding of the restated prices; ranks do not move at all. On raw prices, to the bit."""
    before, after = sleeve.panel(told(basis)), sleeve.panel(told_again(basis, after_a_dividend, share))
    if basis is PriceBasis.RAW:
        np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_allclose(before.values, after.values, rtol=1e-6, atol=1e-9)
    ranked = [place for place, name in enumerate(before.names) if name.startswith("rank_")]
    np.testing.assert_array_equal(before.values[..., ranked], after.values[..., ranked])


def test_dollar_volume_of_total_return_prices_would_have_moved_and_has_no_figure() -> None:
    """The dividend is planted: close x volume of the names that paid it falls by half."""
    before = told(PriceBasis.TOTAL_RETURN)
    after = told_again(PriceBasis.TOTAL_RETURN, after_a_dividend, 0.5)
    moved = np.log(after.close * after.volume) - np.log(before.close * before.volume)
    np.testing.assert_allclose(moved[:, ::2], np.log(0.5), atol=1e-12)
    assert not before.has_dollars
    panel = SLEEVES["equities_xs"].panel(before)
    assert np.isnan(panel.values[..., panel.names.index("log_traded_usd_20")]).all()
    raw = SLEEVES["equities_xs"].panel(told(PriceBasis.RAW))
    assert np.isfinite(raw.values[20:, :, raw.names.index("log_traded_usd_20")]).all()


@every_basis
@pytest.mark.parametrize("sleeve", OF_DAYS, ids=lambda sleeve: sleeve.name)
def test_a_vendor_that_tells_every_price_on_another_base_has_rewritten_nothing(sleeve: Sleeve, basis: PriceBasis) -> None:
    """All prices times a constant move returns by 1e-16: no rank moves, and the evenings compare as they were.

    Dollar volumes do follow the base of raw prices; they are left out of the comparison.
    """
    before, after = sleeve.panel(told(basis)), sleeve.panel(told_again(basis, on_another_base, 1.0 / 3.0))
    kept = [place for place, name in enumerate(before.names) if not name.startswith("log_traded")]
    names = tuple(before.names[place] for place in kept)
    before, after = (FeaturePanel(p.sessions, p.symbols, names, p.values[..., kept].copy(), p.eligible.copy()) for p in (before, after))
    ranked = [place for place, name in enumerate(names) if name.startswith("rank_")]
    np.testing.assert_array_equal(before.values[..., ranked], after.values[..., ranked])
    for row in range(60, SESSIONS, 40):
        assert compare(recorded(before, row), row_of(after, row)).changed == ()


def test_unrounded_drawdowns_would_have_changed_places_with_the_base() -> None:
    """Names at their peak are 0 on one base and -1e-16 on another; ranked to the bit, they come in another order."""
    basis = PriceBasis.SPLIT_ADJUSTED
    sleeve = SLEEVES["equities_xs"]
    before, after = sleeve.panel(told(basis)), sleeve.panel(told_again(basis, on_another_base, 1.0 / 3.0))
    place = before.names.index("drawdown_60")
    ours, theirs = before.values[..., place], after.values[..., place]
    noise = (ours != theirs) & (np.abs(ours - theirs) < 1e-9)
    assert noise.any()
    to_the_bit = [np.argsort(np.argsort(values, axis=1), axis=1) for values in (ours, theirs)]
    assert (to_the_bit[0] != to_the_bit[1]).any()
    np.testing.assert_array_equal(rank(ours, before.eligible), rank(theirs, after.eligible))


def test_ranks_tie_values_that_agree_to_eighteen_bits_and_no_others() -> None:
    """1, 1 + 2^-20 and 1 - 2^-21 are one value to a rank, 1 + 2^-16 is another; -1e-16, 0 and 1e-12 are nothing."""
    values = np.array([[1.0, 1 + 2**-20, 1 - 2**-21, 1 + 2**-16, -1e-16, 0.0, 1e-12, -1e-6]], np.float32)
    assert len(set(values[0].tolist())) == 8
    found = rank(values, np.ones(values.shape, dtype=bool))[0]
    assert (found * 8).tolist() == [5.5, 5.5, 5.5, 7.5, 2.5, 2.5, 2.5, 0.5]
