"""Alerts of both hosts to a person: the log, a file, and addresses by webhook and Apprise."""
