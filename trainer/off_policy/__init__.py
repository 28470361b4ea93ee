"""What another policy would have earned, from decisions that were logged with their probabilities."""
