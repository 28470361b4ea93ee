"""Where published files lie: folders, object stores, Arrow tables."""
