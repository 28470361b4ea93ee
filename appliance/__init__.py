"""Host 2, the device: pulls data and bundles, scores, sizes, trades, reconciles, halts and reports."""
