"""The task `triple_barrier`: which of profit target, stop and time limit a trade meets first."""
