"""Recipes that are ready to use: `trainer train --preset`."""
