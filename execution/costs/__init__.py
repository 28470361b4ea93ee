"""The costs of trading and holding: spread, impact, borrow, fees. Used by the backtest and by pre-trade estimates alike.

Money that is booked is `Decimal`; fractions that are estimated over arrays are float64.
"""
