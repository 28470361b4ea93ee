"""The jobs of a session, one file each: a function of (session, deps) that returns a `JobReport`."""
