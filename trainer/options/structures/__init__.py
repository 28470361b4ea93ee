"""Candidate structures of an evening: listed options at the touch, sized by caps of vega, as a signed document."""
