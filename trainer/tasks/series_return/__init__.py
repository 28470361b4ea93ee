"""The task `series_return`: each series' own return in units of its own volatility; one symbol suffices."""
