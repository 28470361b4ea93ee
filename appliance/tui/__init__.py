"""The terminal screens: a read-only view of one device's ledger, for a terminal of 80 x 24 and up."""
