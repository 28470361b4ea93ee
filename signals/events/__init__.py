"""Events: what a detector finds at a bar of a symbol, its outcome, and the picture of the bars before it."""
