"""Ensembles of learners on the same rows and head, and learners of chosen features."""
