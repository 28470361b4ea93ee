"""Model bundles on the device: pulling, verifying, switching, and the scores that are delivered instead."""
