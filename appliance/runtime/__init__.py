"""Composition: a state folder becomes a device whose jobs are run, replayed or killed."""
