"""Training one sleeve: fit, prove, measure, compare, and write the evidence."""
