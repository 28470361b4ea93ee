"""History, session by session, through the device's own portfolio and order code against the embedded exchange."""
