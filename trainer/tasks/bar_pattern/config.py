"""The recipe of the task `bar_pattern`."""

from typing import Literal

from pydantic import Field

from signals.events.outcomes import OutcomeRules
from signals.views.sample_views import BarImageView
from trainer.labels.horizon import EntryPrice
from trainer.recipes.base import AnyView, CpcvConfig, LabelConfig, RecipeConfig


class PatternLabel(LabelConfig):
    """Which pictures are learned from, and who says what they show.

    Attributes
    ----------
    plain_share : float
        Share of the bars without a shape that is drawn; in every figure each of them stands for all that were left out.
    least : int
        Pictures of each class without which nothing is learned.
    checked : str
        Path of a CSV of examples that a person looked at (symbol, timeframe, bar, label), which override the rules; empty for none.
    pseudo : float
        Probability from which a shape that a first net sees where no rule holds is learned by a second one; 0 for no second one.
    stop_atr, target_r, patience
        The trades whose outcomes stand in the bank of analogs.
    """

    kind: Literal["bar_pattern"] = "bar_pattern"
    k: int = Field(default=1, ge=1, le=1)
    entry: Literal[EntryPrice.OPG] = EntryPrice.OPG
    plain_share: float = Field(default=0.1, gt=0.0, le=1.0)
    least: int = Field(default=1_000, ge=0)
    checked: str = ""
    pseudo: float = Field(default=0.0, ge=0.0, lt=1.0)
    stop_atr: float = Field(default=1.0, gt=0.0)
    target_r: float = Field(default=1.0, gt=0.0)
    patience: int = Field(default=30, ge=1, le=252)

    @property
    def rules(self) -> OutcomeRules:
        """Of those trades."""
        return OutcomeRules(self.stop_atr, self.target_r, self.patience)


class PatternRecipe(RecipeConfig):
    """A recipe that learns to see shapes."""

    label: PatternLabel = PatternLabel()
    learner: str = "bar_cnn"
    view: AnyView = BarImageView()
    cpcv: CpcvConfig = CpcvConfig(groups=3, test_groups=1)
