"""The recipe of `equities_xs`: LightGBM on the rank of the 5-session open-to-open return."""

from signals.sleeves.equities_xs import EQUITIES_XS as SLEEVE
from trainer.recipes.base import CpcvConfig, LabelConfig, Recipe, RecipeConfig

LONG_EMBARGO = 253  # the longest look-back of a feature
SEEDS = 8

EQUITIES_XS = Recipe(
    sleeve=SLEEVE,
    config=RecipeConfig(label=LabelConfig(k=SLEEVE.horizon_sessions), seeds=SEEDS, cpcv=CpcvConfig(long_embargo_sessions=LONG_EMBARGO)),
)
