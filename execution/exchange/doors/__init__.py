"""How a client reaches the exchange: HTTP, the update stream, or a call inside the process."""
