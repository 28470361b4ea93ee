"""Direction of one instrument by barriers: short, neutral or long."""
