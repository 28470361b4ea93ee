"""Ways for a client to reach the exchange: HTTP, the update stream, or a call inside the process."""
