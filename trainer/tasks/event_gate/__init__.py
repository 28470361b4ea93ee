"""The task `event_gate`: whether the trade that an event proposes meets its target before its stop."""
