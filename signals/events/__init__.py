"""Events: what a detector finds at a bar of a symbol, what came of it, and the picture of the bars before it."""
