"""Settings that fit the equity: whole shares on both sides, or a small account's fractions, long only, at the open.

A quarter of the ordinary gross of 25,000 USD in whole shares misses about a fifth of its target; below that fractions
express what whole shares cannot, and a fraction can neither be sold short nor enter an auction.

The cap of a small book of n names is max(name_cap, 1.5 / n): with fewer than 34 names the ordinary one would leave cash.
"""

from decimal import Decimal
from enum import StrEnum

from appliance.config import ApplianceConfig
from execution.planning.config import EntryStyle
from portfolio.config import BookSides

WHOLE_SHARES_FROM_USD = Decimal(25_000)
MIN_POSITION_USD, SMALLEST_ORDER_USD = 50.0, 1
CAP_OF_EQUAL_SHARES = 1.5
STEPPED_ROOM, NAME_ROOM = 11 / 9, 4 / 3  # the shipped 0.055 and 0.06 over the shipped cap of 0.045


class Size(StrEnum):
    """How positions are expressed."""

    SHARES = "shares"
    FRACTIONS = "fractions"


def size_for(equity: Decimal) -> Size:
    """Return the size that fits."""
    return Size.SHARES if equity >= WHOLE_SHARES_FROM_USD else Size.FRACTIONS


def fitted(config: ApplianceConfig, size: Size, equity: Decimal) -> ApplianceConfig:
    """Return the settings for `size` at this equity; those of whole shares are what they were."""
    if size is Size.SHARES:
        return config
    portfolio, execution = config.portfolio, config.execution
    names = max(1, min(2 * portfolio.names_per_side, int(float(equity) / MIN_POSITION_USD)))
    cap = min(1.0, max(portfolio.name_cap, round(CAP_OF_EQUAL_SHARES / names, 4)))
    changed = {
        "portfolio": portfolio.model_dump()
        | {
            "mode": BookSides.LONG_ONLY,
            "min_position_usd": MIN_POSITION_USD,
            "band_usd": float(SMALLEST_ORDER_USD),
            "name_cap": cap,
            "stepped_name_limit": max(portfolio.stepped_name_limit, round(cap * STEPPED_ROOM, 4)),
        },
        "execution": execution.model_dump()
        | {
            "entry": execution.entry.model_dump() | {"kind": EntryStyle.DAY},
            "planning": execution.planning.model_dump() | {"fractions": True, "min_trade_usd": SMALLEST_ORDER_USD},
            "submission": execution.submission.model_dump() | {"min_residual_usd": SMALLEST_ORDER_USD},
            "pretrade": execution.pretrade.model_dump()
            | {
                "allow_short": False,
                "max_name": max(execution.pretrade.max_name, _places(min(1.0, cap * NAME_ROOM))),
                "max_order_equity": max(execution.pretrade.max_order_equity, _places(cap)),
            },
        },
    }
    return type(config).model_validate(config.model_dump() | changed)


def described(config: ApplianceConfig, equity: Decimal) -> str:
    """Say what the settings make of this equity: names, cap, goal gross, entry."""
    portfolio = config.portfolio
    names = portfolio.max_names(float(equity))
    sides = "long only" if portfolio.mode is BookSides.LONG_ONLY else "long and short"
    shares = "fractions of shares, bought and sold after the open" if config.execution.planning.fractions else "whole shares"
    return (
        f"{sides}, {shares}, at most {names} names of at most {portfolio.name_cap:.1%} each; "
        f"the goal is a gross of {portfolio.gross_target:.0%} of equity"
    )


def _places(share: float) -> Decimal:
    return Decimal(f"{share:.4f}")
