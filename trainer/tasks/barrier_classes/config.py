"""Settings of the task `barrier_classes`: the barriers, and the default ones of each instrument."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from trainer.labels.horizon import EntryPrice
from trainer.labels.weights import WeightConfig
from trainer.recipes.base import CpcvConfig, LabelConfig, MinutesConfig, RecipeConfig

DEFAULT_BARRIERS: Mapping[tuple[str, ...], tuple[float, float]] = {
    ("ES", "MES", "NQ", "MNQ", "YM", "MYM", "RTY", "M2K"): (1.5, 1.0),  # index futures
    ("GC", "MGC"): (1.0, 1.0),
}
OTHERS = (1.0, 1.0)


def barriers_of(symbol: str) -> tuple[float, float]:
    """Distances up and down of an instrument, in average true ranges, where nobody says which."""
    return next((pair for names, pair in DEFAULT_BARRIERS.items() if symbol in names), OTHERS)


class BarrierClassesLabel(LabelConfig):
    """Three classes of a trade that is entered at the next open; k is the horizon in bars.

    Attributes
    ----------
    up, down : float or None
        Distances in average true ranges of 14 bars; None are the instrument's own.
    max_bars : int or None
        Patience; None is the horizon.
    search : int
        Trials of a search for the three on the training part, where they are not given; 0 leaves them as they are.
    cost_bps : float
        Of a trade, in the search.
    overnight : str
        `flat` ends a trade at its session's close, `carry` lets it live.
    quality : bool
        Whether soon and clean outcomes weigh more, 0.5 to 1.5.
    """

    kind: Literal["barrier_classes"] = "barrier_classes"
    k: int = Field(default=20, ge=1, le=252)
    entry: Literal[EntryPrice.OPG] = EntryPrice.OPG
    up: float | None = Field(default=None, gt=0.0)
    down: float | None = Field(default=None, gt=0.0)
    max_bars: int | None = Field(default=None, ge=1)
    search: int = Field(default=0, ge=0)
    cost_bps: float = Field(default=2.0, ge=0.0)
    overnight: Literal["flat", "carry"] = "flat"
    quality: bool = True


class BarsRecipe(RecipeConfig):
    """A recipe over one instrument's minutes."""

    label: BarrierClassesLabel = BarrierClassesLabel()
    minutes: MinutesConfig | None = MinutesConfig()
    weighting: WeightConfig = WeightConfig(uniqueness=True)
    cpcv: CpcvConfig = CpcvConfig(groups=6, test_groups=2)
