"""Where published data and bundles are read from: a folder or an object store."""
