"""Risk and size: covariance, conditional value at risk, risk parity, Kelly, volatility scaling."""
