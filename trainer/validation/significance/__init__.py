"""Whether a result is more than luck: deflated Sharpe ratio, PBO, max-t, paired and anytime tests, power."""
