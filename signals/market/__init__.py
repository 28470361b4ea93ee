"""Market data as values: bars, corporate actions, sessions, securities, curated datasets."""
