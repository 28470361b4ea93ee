"""The minimum price and dollar volume of the universe, as a value without numerical libraries."""

import math
from dataclasses import dataclass

DOLLAR_SESSIONS = 20


@dataclass(frozen=True)
class EligibilityConfig:
    """Least price and dollar volume of the universe's names; zeros ask for nothing.

    Attributes
    ----------
    min_price, exit_price : float
        USD as traded, at which a name enters, and under which it leaves.
    min_dollar_volume, exit_dollar_volume : float
        USD a session, likewise.

    Raises
    ------
    ValueError
        A figure is negative or not finite, or a name would leave above its entry.
    """

    # A configuration that holds one refuses keys that it does not know, here as elsewhere.
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    min_price: float = 5.0
    exit_price: float = 3.0
    min_dollar_volume: float = 1_000_000.0
    exit_dollar_volume: float = 500_000.0

    def __post_init__(self) -> None:
        """Refuse what cannot be a rule."""
        for name, figure in vars(self).items():
            if isinstance(figure, bool) or not isinstance(figure, int | float) or not 0 <= figure < math.inf:
                raise ValueError(f"{name} is a finite number of USD, zero or more")
            object.__setattr__(self, name, float(figure))
        if self.exit_price > self.min_price or self.exit_dollar_volume > self.min_dollar_volume:
            raise ValueError("a name leaves at a lower price and dollar volume than it enters")

    def sentence(self, *, is_price_known: bool) -> str:
        """In words, for reports."""
        dollars = f"{self.min_dollar_volume:,.0f} USD a session over {DOLLAR_SESSIONS} sessions ({self.exit_dollar_volume:,.0f} to stay)"
        if not is_price_known:
            return f"at least {dollars}; prices as traded are not known, so that no minimum price applies"
        return f"at least {self.min_price:g} USD as traded ({self.exit_price:g} to stay) and {dollars}"


ANY = EligibilityConfig(min_price=0, exit_price=0, min_dollar_volume=0, exit_dollar_volume=0)
"""Asks for nothing, as datasets that were curated before these rules."""
