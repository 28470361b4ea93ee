"""Families of networks, a class each from samples (B, *shape) to outputs (B, width). Modules of them do not know one another."""
