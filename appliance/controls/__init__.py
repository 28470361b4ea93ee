"""Limits and the figures they judge, pure: tripwires, measures, the halt latch."""
