"""Features of underliers from their option chains, and outcomes of hedged positions in them."""
