"""Option chains as delivered: reading vendors' tables, auditing them by underlying and day, and storing them."""
