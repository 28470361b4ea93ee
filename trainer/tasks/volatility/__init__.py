"""The task `volatility`: forecasts of volatility with bands, and of drawdowns, judged by QLIKE and coverage."""
