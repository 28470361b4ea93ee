"""Run folders: artefacts, hash-chained records, and what a person looked at."""
