"""Training of the sleeve `risk`: volatility and drawdown forecasts, and what they are worth."""
