"""Stage 3: target weights to orders to fills."""
