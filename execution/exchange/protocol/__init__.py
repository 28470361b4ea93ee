"""Parts that all endpoints share: messages, queries, drafts, refusals, rate limits, faults."""
