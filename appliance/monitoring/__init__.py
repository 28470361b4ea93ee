"""Whether a model in use is still the one that was proven: drift, attribution, expected against realised."""
