"""Signed documents that a device obeys until they expire, one kind a module."""
