"""Stage 1: curated bars to features to scores. Runs unchanged on the trainer and on the device."""
