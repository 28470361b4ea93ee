"""The embedded paper exchange and the generated markets that it can trade."""
