"""Recipes, the training half of each sleeve: one YAML a sleeve, as `trainer.tasks.recipes` reads them."""
