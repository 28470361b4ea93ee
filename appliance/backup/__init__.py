"""Backups of the ledger: copies, the vaults that keep them, and restoring one."""
