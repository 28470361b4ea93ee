"""Configurable limits of the tripwires."""

from signals.config import Config


class TripwireLimits(Config):
    """The table's limits that belong to no other configuration; fractions of equity unless the name says otherwise.

    Attributes
    ----------
    min_coverage : float
        Scored / eligible names.
    max_invalid_scores : float
        Share of tied scores; a non-finite or constant set counts as 1.
    max_turnover, max_turnover_jump : float
        One-sided turnover of a plan; its multiple of the median of the last 20 plans.
    warn_bundle_age, max_bundle_age : float
        Of the bundle's own limit in sessions.
    max_broken_promise : float
        Highest evidence against what a model promised, in multiples of what refutes it.
    max_rejected : float
        Refused / sent orders, from five sent on.
    warn_slippage : float
        Cost of the fills of 20 sessions against the open that they met, in multiples of the cost model's.
    max_slippage_sessions : int
        Sessions in a row over `warn_slippage`; one more halts.
    ramp_sessions : int
        Sessions over which the first funding, a resumption or a new bundle is stepped into.
    skips_that_halt : int
        Skipped sessions in a row that close the latch.
    """

    min_coverage: float = 0.95
    max_invalid_scores: float = 0.20
    max_turnover: float = 0.35
    max_turnover_jump: float = 3.0
    max_held_gross: float = 1.10
    reduce_daily_loss: float = 0.03
    halt_daily_loss: float = 0.05
    reduce_drawdown: float = 0.10
    halt_drawdown: float = 0.15
    warn_bundle_age: float = 0.80
    max_bundle_age: float = 1.0
    max_broken_promise: float = 1.0
    max_rejected: float = 0.20
    warn_slippage: float = 3.0
    max_slippage_sessions: int = 5
    warn_skew_seconds: float = 2.0
    halt_skew_seconds: float = 5.0
    warn_free_disk: float = 0.10
    halt_free_disk: float = 0.03
    warn_temperature_celsius: float = 80.0
    ramp_sessions: int = 5
    skips_that_halt: int = 3
