"""The device's read-only HTTP API and its browser page; a process of its own, never a part of the daemon."""
