"""Endpoints of the exchange, in the shapes of Alpaca's API."""
