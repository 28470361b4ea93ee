"""Champion or not: the bars, a module for each theme, and the verdict they give together."""
