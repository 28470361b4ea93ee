"""Host 1, the GPU box: curates data, fits sleeves, proves them, signs and publishes bundles."""
