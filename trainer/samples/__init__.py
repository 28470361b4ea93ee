"""Rows to learn from: a dataset version becomes features and labels."""
