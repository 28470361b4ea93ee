"""Publishing bundles, datasets and daily scores; keys and rollback grants."""
