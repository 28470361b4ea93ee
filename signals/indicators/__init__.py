"""Indicators of one instrument's bars, down columns of bars: each reads its own column, up to its own row."""
