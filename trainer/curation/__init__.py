"""Curation: vendors' deliveries in, audited and content-named datasets out."""
