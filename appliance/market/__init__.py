"""Market data on the device: the DuckDB store, and sessions completed from a vendor."""
