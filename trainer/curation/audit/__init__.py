"""The audit of a dataset: what is wrong with it, and how that is known."""
