"""Limits, the figures they are compared with, and the halt latch."""
