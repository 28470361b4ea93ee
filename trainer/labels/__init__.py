"""Labels: what a sleeve learns, each with the sessions at which it starts and ends."""
