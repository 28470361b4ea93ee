"""Features: pure functions from a panel of bars to a panel of numbers, one family a file."""
