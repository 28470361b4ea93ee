"""Splits in time: combinatorial purged cross-validation, walk-forward, out-of-fold scores."""
