"""Options research: chains, implied volatility surfaces, hedged outcomes, candidate structures, and their backtest."""
