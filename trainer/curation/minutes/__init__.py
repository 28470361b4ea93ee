"""Minutes that are kept: read from a vendor's file or from ticks, placed in sessions, audited and partitioned."""
