"""Learners on tables whose libraries are asked for their trees or vectors, which graphs of our own then hold."""
