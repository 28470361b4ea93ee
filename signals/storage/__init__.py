"""Where published files are: folders, object stores, Arrow tables."""
