"""Publishes the signed documents that devices obey until they expire."""
