"""Tests of significance: deflated Sharpe ratio, PBO, max-t, paired and anytime tests, power."""
