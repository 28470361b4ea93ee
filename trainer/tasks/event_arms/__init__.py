"""The task `event_arms`: at which offset from the next open the trade of an event is worth most."""
