"""The bars of a promotion: one function each, and the judge that asks them all."""
