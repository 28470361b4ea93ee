"""Foundation models: forecasts of a series by weights that somebody else learned, and that enter by a folder."""
