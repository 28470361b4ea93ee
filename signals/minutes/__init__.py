"""Minute bars of one instrument: sessions on a grid, no-trade minutes, stretches with warm-up, and the ladder of timeframes."""
