"""One file a job; each is a function of (session, deps) that answers with a `JobReport`."""
