"""The screens: a read-only window on one device's ledger, for a terminal of 80 x 24 and up."""
