"""Arms of events that were drawn at random: logs of the draws, and what their estimators say."""
