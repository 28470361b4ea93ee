"""Drift, sequential tests and a model's expected life: statistics that both hosts share."""
