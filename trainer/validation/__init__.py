"""Validation: splits that cannot leak, and statistics that admit how little is known."""
