"""Vendors' deliveries: receipts, parsing, and what was known when."""
