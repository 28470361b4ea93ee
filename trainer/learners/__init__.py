"""Learners, each exact when exported or refused."""
