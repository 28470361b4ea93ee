"""What chains say of their underliers, and what hedged positions in them earned: features and outcomes."""
