"""Sources of published data and bundles: a folder or an object store."""
