"""What a tripped limit does: halting, reducing, ramping, escalating."""
