"""Orders at the exchange: their states, windows, matching and replacement."""
