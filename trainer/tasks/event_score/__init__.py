"""The task `event_score`: a daily score of the names with an event, for a blend of sleeves."""
