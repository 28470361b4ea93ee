"""The task `bar_pattern`: which shape of bars, if any, ends at a bar, seen as a picture."""
