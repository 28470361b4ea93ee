"""Families of networks: a module each, from samples (B, *shape) to outputs (B, width). They do not know one another."""
