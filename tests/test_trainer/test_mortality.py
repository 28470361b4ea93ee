"""How names end: the yearly table by hand, and what an end without a recorded price costs a book."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars
from tests.fakes.bars import synthetic_bars
from trainer.curation.mortality import document, unpriced_ends


def ending(ends: dict[int, int]) -> Bars:
    """Ten names over two years of weekdays, all eligible; the columns of `ends` have their last bar in that row."""
    bars = synthetic_bars(3, sessions=520, symbols=10, missing=0.0, start=date(2020, 1, 2))
    price, eligible = np.full(bars.close.shape, 10.0), np.ones(bars.close.shape, dtype=bool)
    for column, row in ends.items():
        price[row + 1 :, column], eligible[row + 1 :, column] = np.nan, False
    flat = dict.fromkeys(("open", "high", "low", "close", "volume"), price)
    return replace(bars, **flat, total_return=price * 0.0, overnight_return=price * 0.0, eligible=eligible)


def test_the_yearly_table_counts_ends_and_those_without_a_price() -> None:
    """Of names 1 and 2 the first is delisted at 4 dollars; name 3 misses the last bars of a panel and may come back."""
    bars = ending({1: 99, 2: 399, 3: 516})
    gone = Action(ActionKind.DELISTING, bars.symbols[1], bars.sessions[101].astype(object), date(2020, 1, 2), cash=Decimal(4))
    assert unpriced_ends(bars, (gone,)).tolist() == [-1, -1, 399, *[-1] * 7]
    found = document(bars, (gone,))
    assert [(y.year, y.ends, y.unpriced) for y in found.years] == [(2020, 1, 0), (2021, 1, 1)]
    inferred = replace(gone, inferred=True)
    assert unpriced_ends(bars, (inferred,)).tolist() == [-1, 99, 399, *[-1] * 7], "nobody said what the stitched one was worth"
    name_years = (520 * 10 - 420 - 120 - 3) / 252
    assert found.yearly_end_rate == pytest.approx(2 / name_years) and found.unpriced_ends == 1


def test_a_panel_in_which_nobody_ends_has_a_rate_of_nothing() -> None:
    found = document(ending({}), ())
    assert found.yearly_end_rate == 0.0 and found.unpriced_ends == 0
