"""Actions of tripped limits: halting, reducing, ramping, escalating."""
