"""Monitoring of the model in use: drift, attribution, realised against expected results."""
