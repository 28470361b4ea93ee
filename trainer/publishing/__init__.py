"""Publishing bundles, datasets and daily scores; keys, and the way back."""
