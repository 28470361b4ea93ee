"""Storage of published files: folders, object stores, Arrow tables."""
