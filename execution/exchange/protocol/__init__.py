"""What every endpoint shares: messages, queries, drafts, refusals, rate limits, faults."""
