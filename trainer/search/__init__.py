"""Search for parameters in which every trial is kept and counted, whatever became of it."""
