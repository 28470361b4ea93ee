"""The task `event_quantiles`: quantiles of the returns, stops and targets that follow an event."""
