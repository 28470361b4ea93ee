"""Attribution to the cent: a session worked by hand, and properties against an account kept another way."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.attribution import (
    CAUSES,
    AttributedHolding,
    Attribution,
    Charges,
    IntendedOrder,
    LegShare,
    PnlPart,
    attribute,
    departures,
    in_cents,
)
from signals.errors import InvariantBroken

D = Decimal
CENT = D("0.01")
# 100 shares at 10.00 open at 10.20 (+2 %) and close at 10.71 (+5 %). 110.4 were wanted, 10 ordered, 7 bought at 10.25.
# Yesterday 5 shares were refused, so over the night 5 x 10.00 USD were missing.
HAND = AttributedHolding(
    before=D("1000.00"),
    after=D("1145.97"),
    cash=D("-71.75"),
    slippage=D("-0.35"),
    invested=107 * D("10.20"),
    missing_before={PnlPart.REFUSED: D("-50.00")},
    missing={PnlPart.ROUNDING: D("-0.4") * D("10.20"), PnlPart.REFUSED: -3 * D("10.20")},
)
NIGHT = LegShare(D("0.02"), market=D("0.01"))
DAY = LegShare(D("0.05"), market=D("0.02"), sector=D("0.005"))
CHARGES = Charges(spread_and_impact=D("-1.10"), fees=D("-0.02"), borrow=D("-0.03"), other=D("0.004"))


def test_a_session_worked_by_hand() -> None:
    """It made 1000 x 2 % + 107 x 10.20 x 5 % = 74.57 at arrival, and 1.496 of costs.

    Refused: -50 x 2 % - 30.60 x 5 % = -2.53. Rounding: -4.08 x 5 % = -0.204. The wanted book was 1050 USD over the
    night and 1126.08 by day: market 10.50 + 22.5216, sector 5.6304. Selection is the rest of 77.304: 38.652.
    Cut to cents the parts lack one cent of 73.07; rounding has the largest remainder.
    """
    found = attribute({"A": HAND}, {"A": (NIGHT, DAY)}, CHARGES, D("73.074"))
    assert {part.value: str(amount) for part, amount in found.parts.items()} == {
        "market": "33.02",
        "sector": "5.63",
        "style": "0.00",
        "selection": "38.65",
        "costs": "-1.50",
        "rounding": "-0.20",
        "refused orders": "-2.53",
        "skips": "0.00",
    }
    assert found.total == D("73.07") == sum(found.parts.values())
    assert found.selection == {"A": D("38.65")}
    assert sum(found.costs.values()) == D("-1.50")
    assert (found.costs["slippage"], found.costs["borrow"]) == (D("-0.35"), D("-0.03"))


def test_what_is_not_one_account_s_session_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="the parts sum to"):
        attribute({"A": HAND}, {"A": (NIGHT, DAY)}, CHARGES, D("73.08"))


def test_a_name_without_bars_leaves_its_whole_move_to_selection() -> None:
    found = attribute({"A": AttributedHolding(before=D(100), after=D(90))}, {}, Charges(), D(-10))
    assert found.parts[PnlPart.SELECTION] == D("-10.00")


@pytest.mark.parametrize(
    ("wish", "rounding", "refused", "skipped"),
    [
        (IntendedOrder(D("10.4"), D(0), planned=D(10)), "-0.4", "0", "0"),
        (IntendedOrder(D("10.4"), D(0), planned=D(10), unfilled=D(10)), "-0.4", "-10", "0"),
        (IntendedOrder(D("10.4"), D(0), planned=D(10), unsent=D(10)), "-0.4", "0", "-10"),
        (IntendedOrder(D("10.4"), D(0), is_refused=True), "-0.4", "-10", "0"),
        (IntendedOrder(D("-7.5"), D(3), planned=D(-3), is_refused=True), "0.5", "7", "0"),
        (IntendedOrder(D("0.4"), D(0)), "-0.4", "0", "0"),
        (IntendedOrder(D("10.4"), D(3), is_planned=False), "0", "0", "-7.4"),
        (IntendedOrder(None, D(3), planned=D(2), unfilled=D(2)), "0", "0", "0"),
    ],
    ids=["rounded", "unfilled", "never sent", "refused", "refused short", "too small", "no plan", "no price"],
)
def test_shares_beyond_what_was_wanted_have_a_cause(wish: IntendedOrder, rounding: str, refused: str, skipped: str) -> None:
    found = departures(wish)
    assert found == {PnlPart.ROUNDING: D(rounding), PnlPart.REFUSED: D(refused), PnlPart.SKIPS: D(skipped)}


def test_cents_left_over_go_to_the_largest_remainders() -> None:
    """0.334 + 0.333 + 0.333 = 1.00: the first has the largest remainder. Losses round the same way: towards the sum."""
    assert list(in_cents({"a": D("0.334"), "b": D("0.333"), "c": D("0.333")}, D(1)).values()) == [D("0.34"), D("0.33"), D("0.33")]
    assert list(in_cents({"a": D("-0.334"), "b": D("-0.666")}, D(-1)).values()) == [D("-0.33"), D("-0.67")]


prices = st.decimals(D("1.00"), D("900.00"), places=2)
moves = st.decimals(D("0.70"), D("1.40"), places=3)
shares = st.integers(-500, 500).map(D)
fractions = st.decimals(D(-500), D(500), places=3)


@st.composite
def names(draw: st.DrawFn) -> dict[str, D | bool]:
    """One name's session: what was held, wanted, ordered, refused and filled, and three prices."""
    before = draw(prices)
    arrival = (before * draw(moves)).quantize(D("0.0001"))
    return {
        "held": draw(shares),
        "wanted": draw(fractions),
        "before": before,
        "arrival": arrival,
        "after": (arrival * draw(moves)).quantize(D("0.0001")),
        "paid_more": draw(st.decimals(D(0), D("0.2"), places=2)),
        "filled": draw(st.sampled_from([D(0), D("0.5"), D(1)])),
        "is_refused": draw(st.booleans()),
    }


def session(rows: list[dict[str, D | bool]], *, is_planned: bool = True, is_sent: bool = True) -> tuple[Attribution, D, D]:
    """Attribute it; next to that return the account's own result and the result of holding exactly what was wanted."""
    holdings, legs, made, ideal = {}, {}, D(0), D(0)
    for number, row in enumerate(rows):
        held, wanted, arrival = row["held"], row["wanted"], row["arrival"]
        gap = (wanted - held).quantize(D(1), ROUND_DOWN)
        planned = D(0) if row["is_refused"] or not is_planned else gap
        bought = (planned * row["filled"]).quantize(D(1), ROUND_DOWN) if is_sent else D(0)
        price = arrival + row["paid_more"]
        rest = planned - bought
        wish = IntendedOrder(
            wanted,
            held,
            planned,
            D(0) if is_sent else rest,
            rest if is_sent else D(0),
            is_refused=bool(row["is_refused"]),
            is_planned=is_planned,
        )
        off = departures(wish)
        assert held + bought == wanted + sum(off.values())
        holdings[f"S{number}"] = AttributedHolding(
            before=held * row["before"],
            after=(held + bought) * row["after"],
            cash=-bought * price,
            slippage=-bought * (price - arrival),
            invested=(held + bought) * arrival,
            missing={cause: off[cause] * arrival for cause in CAUSES},
        )
        legs[f"S{number}"] = (
            LegShare(arrival / row["before"] - 1, D("0.01"), D("-0.002"), D("0.001")),
            LegShare(row["after"] / arrival - 1, D("-0.003"), D("0.004"), D(0)),
        )
        made += (held + bought) * row["after"] - held * row["before"] - bought * price
        ideal += held * (arrival - row["before"]) + wanted * (row["after"] - arrival)
    found = attribute(holdings, legs, CHARGES, made + CHARGES.total)
    return found, made + CHARGES.total, ideal


@given(st.lists(names(), min_size=1, max_size=6))
def test_parts_are_cents_that_sum_to_the_account_s_own_result(rows: list[dict[str, D | bool]]) -> None:
    found, total, _ = session(rows)
    assert sum(found.parts.values()) == found.total == total.quantize(CENT)
    assert all(amount == amount.quantize(CENT) for amount in found.parts.values())
    assert sum(found.costs.values()) == found.parts[PnlPart.COSTS]


@given(st.lists(names(), min_size=1, max_size=6))
def test_market_sector_style_and_selection_are_what_holding_exactly_the_wanted_book_would_have_made(
    rows: list[dict[str, D | bool]],
) -> None:
    found, _, ideal = session(rows)
    wanted = sum(found.parts[part] for part in (PnlPart.MARKET, PnlPart.SECTOR, PnlPart.STYLE, PnlPart.SELECTION))
    assert abs(wanted - ideal) <= 4 * CENT


@given(st.lists(names(), min_size=1, max_size=6))
def test_what_was_filled_in_full_lacks_nothing_and_a_skipped_session_blames_the_skip(rows: list[dict[str, D | bool]]) -> None:
    whole = [{**row, "is_refused": False, "filled": D(1)} for row in rows]
    filled = session(whole)[0].parts
    assert filled[PnlPart.REFUSED] == filled[PnlPart.SKIPS] == 0
    skipped = session(rows, is_planned=False)[0].parts
    assert skipped[PnlPart.ROUNDING] == skipped[PnlPart.REFUSED] == 0
    silent = session(whole, is_sent=False)[0].parts
    assert silent[PnlPart.REFUSED] == 0
