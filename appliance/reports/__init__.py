"""The daily report: gathered from the ledger as plain data, rendered for a person, drawn as a curve."""
