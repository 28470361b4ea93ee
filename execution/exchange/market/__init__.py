"""The exchange's bars, symbols and time spans, never later than its clock."""
