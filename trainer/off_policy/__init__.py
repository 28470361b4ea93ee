"""Off-policy evaluation: what another policy would have earned, from decisions logged with their probabilities."""
