"""Stage 2: scores to target weights. Pure: no clock, disk or network."""
