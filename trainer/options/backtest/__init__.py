"""The options backtest: positions of listed options, hedged at the close, with every cost and both marks."""
