"""Alerts: what is reported to a person, through which channels, and when it is repeated."""
