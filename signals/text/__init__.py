"""Text that enters from outside and leaves for a person: JSON, terminal text, messages, console."""
