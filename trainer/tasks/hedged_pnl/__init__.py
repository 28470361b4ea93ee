"""The task `hedged_pnl`: what delta-hedged option positions earn, judged by their profit net of spreads and as a ranking of underliers."""
