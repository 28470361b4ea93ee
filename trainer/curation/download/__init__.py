"""History from Alpaca with a universe of its own: requests, kept answers, resumption and delivery to `ingest`."""
