"""Audit of delivered bars: defects of rows and sessions, extreme returns, quality of a session."""
