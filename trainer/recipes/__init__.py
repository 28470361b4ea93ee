"""Recipes, the training half of each sleeve. `RECIPES` is the register."""

from trainer.recipes.equities_xs import EQUITIES_XS

RECIPES = {recipe.sleeve.name: recipe for recipe in (EQUITIES_XS,)}
