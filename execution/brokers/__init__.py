"""Brokers: the protocol, and the one real implementation behind it."""
