"""Caps of vega."""

from pydantic import Field

from signals.config import Config


class VegaCaps(Config):
    """Most |vega| of all positions, USD a vol point: in one underlier, and in all together."""

    name_usd: float = Field(default=100.0, gt=0)
    total_usd: float = Field(default=500.0, gt=0)

    def units(self, vega_usd: float, count: int) -> float:
        """How many units of a structure with this vega a unit, USD a vol point, one of `count` underliers may have."""
        return min(self.name_usd, self.total_usd / max(count, 1)) / abs(vega_usd) if vega_usd else 0.0
