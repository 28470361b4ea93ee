"""Learners on tables whose trees or vectors are exported as graphs of our own."""
