"""Signed documents that a device obeys until they expire."""
