"""The embedded paper exchange: Alpaca's wire protocol over curated bars, on loopback or in process."""
