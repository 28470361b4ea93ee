"""The value outside the paper world, part by part, worked by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest

from execution.brokers.base import Position
from execution.costs.fees import regulatory_fees
from execution.costs.real import Liquidity, RealCosts, borrow_due, dividends_due, fees_due, impact_due, liquidity_of, spread_due
from execution.orders import Fill, Side
from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars, days_array
from signals.market.manifest import PriceBasis

FRIDAY, MONDAY = date(2024, 3, 8), date(2024, 3, 11)
AT = datetime(2024, 3, 8, 14, 30, tzinfo=UTC)
# daily volatility 2 %, average volume 1,000,000 USD: 10,000 USD is 1 % of it, so the impact is 20 bp (reference case)
KNOWN = {"AAA": Liquidity(0.02, Decimal(1_000_000))}


def fill(symbol: str, side: Side, quantity: int, price: str) -> Fill:
    return Fill(f"{symbol}-{quantity}", "o", symbol, side, Decimal(quantity), Decimal(price), AT)


def test_dividends_are_credited_to_longs_and_debited_to_shorts_before_the_open() -> None:
    paid = Action(ActionKind.DIVIDEND, "AAA", FRIDAY, FRIDAY, cash=Decimal("0.505"))
    assert dividends_due({"AAA": Decimal(100)}, [paid], PriceBasis.RAW) == Decimal("50.50")
    assert dividends_due({"AAA": Decimal(-100)}, [paid], PriceBasis.SPLIT_ADJUSTED) == Decimal("-50.50")
    assert dividends_due({"AAA": Decimal(100)}, [paid], PriceBasis.TOTAL_RETURN) == 0
    assert dividends_due({"BBB": Decimal(100)}, [paid], PriceBasis.RAW) == 0


def test_impact_is_half_the_spread_and_the_square_root_once_a_name() -> None:
    """10,000 USD: half of 5 bp is 2.50, 20 bp is 20.00; two fills of one name are one trade."""
    whole = impact_due([fill("AAA", Side.BUY, 100, "100")], KNOWN)
    halves = impact_due([fill("AAA", Side.BUY, 50, "100"), fill("AAA", Side.BUY, 50, "100.00")], KNOWN)
    assert whole == halves == (Decimal("22.50"), ())


def test_a_quoted_name_pays_its_own_half_spread_and_an_unquoted_one_five_basis_points() -> None:
    """10,000 USD each: half of 12 bp is 6.00 beside 20.00 of impact, half of the assumed 5 bp is 2.50 beside 20.00."""
    known = {"AAA": Liquidity(0.02, Decimal(1_000_000), Decimal("12.0")), "BBB": Liquidity(0.02, Decimal(1_000_000))}
    trades = [fill("AAA", Side.BUY, 100, "100"), fill("BBB", Side.SELL, 200, "50")]
    assert impact_due(trades[:1], known) == (Decimal("26.00"), ())
    assert impact_due(trades, known) == (Decimal("48.50"), ())
    assert spread_due(trades, known) == Decimal("8.50")


def test_a_name_of_unknown_liquidity_pays_its_spread_and_is_named() -> None:
    assert impact_due([fill("BBB", Side.BUY, 100, "100")], KNOWN) == (Decimal("2.50"), ("BBB",))
    unknown = {"BBB": Liquidity(float("nan"), Decimal(5))}
    assert impact_due([fill("BBB", Side.BUY, 100, "100")], unknown)[1] == ("BBB",)


def test_borrow_runs_over_the_weekend_on_shorts_alone() -> None:
    """A name of 1,000,000 USD a day costs 200 bp; three days on 10,000 USD: 10,000 x 0.02 x 3 / 360 = 1.67."""
    short = Position("AAA", Decimal(-100), Decimal(90), Decimal(100))
    long = Position("AAA", Decimal(100), Decimal(90), Decimal(100))
    three, unknown = borrow_due([short], KNOWN, FRIDAY, MONDAY)
    one, _ = borrow_due([short], KNOWN, date(2024, 3, 7), FRIDAY)
    assert unknown == () and three == Decimal("1.67")
    assert abs(three - 3 * one) <= Decimal("0.02")
    assert borrow_due([long], KNOWN, FRIDAY, MONDAY) == (0, ())
    assert borrow_due([Position("BBB", Decimal(-1), Decimal(1), Decimal(1))], KNOWN, FRIDAY, MONDAY) == (0, ("BBB",))


def test_fees_are_those_of_the_sales() -> None:
    sold = fill("AAA", Side.SELL, 1000, "100")
    expected = regulatory_fees(Side.SELL, Decimal(1000), Decimal(100), FRIDAY).total
    assert fees_due([sold, fill("AAA", Side.BUY, 1000, "100")], FRIDAY) == expected > 0


def test_the_parts_add_up() -> None:
    costs = RealCosts(Decimal("1.00"), Decimal("-0.10"), Decimal("-0.20"), Decimal("-0.30"))
    assert costs.total == Decimal("0.40")


def test_liquidity_skips_gaps_and_needs_two_returns() -> None:
    days = days_array([date(2024, 3, 6), date(2024, 3, 7), FRIDAY])
    panel = np.array([[1.0, 1.0], [1.0, np.nan], [1.0, np.nan]])
    returns = np.array([[0.01, np.nan], [0.03, np.nan], [np.nan, np.nan]])
    bars = Bars(days, ("AAA", "BBB"), panel, panel, panel, panel, panel, returns, returns, np.isfinite(panel))
    volumes = {"AAA": Decimal(10), "BBB": Decimal(20), "CCC": Decimal(30)}
    found = liquidity_of(bars, volumes, {"BBB": Decimal("1.5"), "CCC": Decimal(9)}, {"AAA": Decimal(8)})
    assert found["AAA"].daily_volatility == pytest.approx(0.0141421356)
    assert np.isnan(found["BBB"].daily_volatility) and set(found) == {"AAA", "BBB"}
    assert (found["AAA"].spread_bps, found["BBB"].spread_bps) == (Decimal("12.50"), Decimal("1.5"))  # a cent of 8 USD
    assert found["AAA"].price == 8 and found["BBB"].price is None


def test_two_shorts_of_one_value_pay_by_their_own_liquidity() -> None:
    """36,000 USD each for a day: 50 bp of a large calm name are 0.50, 1,000 bp of a bankrupt at 12 cents 10.00."""
    held = (("BIG", -360, Decimal(100)), ("DEAD", -300_000, Decimal("0.12")))
    shorts = [Position(name, Decimal(quantity), Decimal(1), price) for name, quantity, price in held]
    known = {
        "BIG": Liquidity(0.01, Decimal(500_000_000), price=Decimal(100)),
        "DEAD": Liquidity(0.3, Decimal(40_000_000), price=Decimal("0.12")),
    }
    due = [borrow_due([short], known, date(2024, 3, 7), FRIDAY)[0] for short in shorts]
    assert due == [Decimal("0.50"), Decimal("10.00")]
