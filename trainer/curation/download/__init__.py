"""History from Alpaca with a universe of its own: what is asked for, kept, resumed and handed to `ingest`."""
