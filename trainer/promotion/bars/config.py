"""Configuration of the promotion bars, hashed before a search starts."""

from pathlib import Path

from pydantic import Field

from signals.config import Config, load_section

SECTION = "promotion"


class VolatilityBars(Config):
    """The bars of a forecast of volatility, on the horizon that devices use.

    Attributes
    ----------
    min_qlike_t : float
        t of the QLIKE that it saves, walking forward, against HAR (but where it is HAR) and against RiskMetrics' EWMA.
    max_band_miss : float
        Share of outcomes by which the band, and the drawdown quantile, may hold more or fewer than they say.
    max_variance_ratio : float
        Realised over forecast variance, or its inverse.
    """

    min_qlike_t: float = 1.645
    max_band_miss: float = Field(default=0.05, gt=0, lt=1)
    max_variance_ratio: float = Field(default=1.25, gt=1)


NO_OTHER = VolatilityBars()


class PromotionConfig(Config):
    """The bars. Their hash is part of a search's identity, in a training's evidence and in every verdict.

    Attributes
    ----------
    min_sharpe : float
        Net, annual, walking forward, of the weight-level book after every cost.
    min_sessions : int
        Sessions of that book.
    max_drawdown : float
        Its deepest fall, fraction.
    min_dsr : float
        Its deflated Sharpe ratio (2014) over every trial.
    max_pbo, max_probability_of_loss : float
        Probability of backtest overfitting; where it does not apply, P(out-of-sample Sharpe ratio < 0).
    max_best_of_all_p : float
        p-value of the book's t as the largest of all trials', by a session bootstrap (max-t); always asked.
    path_quantile, min_path_sharpe : float
        This quantile of the cross-validation's paths must exceed this net annual Sharpe ratio.
    min_holdout_sharpe : float
        The sealed sessions' net annual Sharpe ratio must exceed it; the more often they were seen, the higher.
    max_annual_turnover : float
        One-way, times equity.
    max_cost_share : float
        Costs over the profit before them.
    calibration_level : float
        Of the two-sided interval in which the calibration's slope must hold 1; by the half width of its own interval
        the Brier score may exceed that of the base rate.
    max_calibration_stretch : float
        How many times the published model's scores may be wider, or narrower, than those that its maps were fitted on.
    min_decile_order : float
        Rank correlation between score decile and mean label: higher scores must earn more along the whole curve.
    max_sure_ic, max_plausible_sharpe : float
        Beyond this IC after two standard errors, or this net Sharpe ratio, it is a leak until shown otherwise.
    min_yearly_ends : float
        Share of a reconstructed universe's names that must end in a year: fewer, and its dead were not delivered.
    unpriced_end_cost : float
        What a long loses where a name of a reconstructed universe ends without a recorded price (Shumway 1997); a
        short gains nothing.
    max_long_embargo_loss : float
        Share of the IC that may vanish under the long embargo.
    require_long_embargo : bool
        Accept nobody's word for a history that is too short to measure it.
    shadow_band : float
        Two-sided probability of the band below whose lower end the shadow's mean IC is a catastrophe.
    shadow_ratio : float
        How many times the promised turnover, or its inverse, and the promised costs a shadow's book may have.
    shadow_profit : bool
        Whether it must not have lost money either: a coin's toss over a few months, off by default.
    champion_level : float
        Probability of error, one-sided, of "better than the champion"; the challengers of a year share it.
    champion_margin, champion_margin_level : float
        With a person's word, a net Sharpe ratio lower by less than this a year will do, at this probability of error.
    champion_sessions : int
        Fewer common sessions compare nothing.
    volatility : VolatilityBars
        Asked of forecasts of volatility, in the place of those on a book.
    """

    min_sharpe: float = 1.0
    min_sessions: int = Field(default=504, ge=2)
    max_drawdown: float = Field(default=0.20, gt=0, lt=1)
    min_dsr: float = Field(default=0.95, ge=0, le=1)
    max_pbo: float = Field(default=0.05, ge=0, le=1)
    max_probability_of_loss: float = Field(default=0.05, ge=0, le=1)
    max_best_of_all_p: float = Field(default=0.05, ge=0, le=1)
    path_quantile: float = Field(default=0.25, ge=0, le=1)
    min_path_sharpe: float = 0.0
    min_holdout_sharpe: float = 0.0
    max_annual_turnover: float = Field(default=40.0, gt=0)
    max_cost_share: float = Field(default=0.5, gt=0, le=1)
    calibration_level: float = Field(default=0.90, gt=0, lt=1)
    max_calibration_stretch: float = Field(default=2.0, ge=1)
    min_decile_order: float = Field(default=0.5, ge=-1, le=1)
    max_sure_ic: float = Field(default=0.05, gt=0, le=1)
    max_plausible_sharpe: float = Field(default=3.0, gt=0)
    min_yearly_ends: float = Field(default=0.02, ge=0, le=1)
    unpriced_end_cost: float = Field(default=0.30, ge=0, le=1)
    max_long_embargo_loss: float = Field(default=0.5, ge=0, le=1)
    require_long_embargo: bool = False
    shadow_sessions: int = Field(default=60, ge=1)
    shadow_band: float = Field(default=0.90, gt=0, lt=1)
    shadow_ratio: float = Field(default=1.5, gt=1)
    shadow_profit: bool = False
    champion_level: float = Field(default=0.05, gt=0, lt=0.5)
    champion_margin: float = Field(default=0.2, ge=0)
    champion_margin_level: float = Field(default=0.10, gt=0, lt=0.5)
    champion_sessions: int = Field(default=252, ge=2)
    volatility: VolatilityBars = NO_OTHER

    def fingerprint(self) -> str:
        """SHA-256 over the canonical JSON of every value; those of forecasts are left out where they are the defaults.

        Runs that were trained under the bars from before those existed were trained under these.
        """
        return self.hash_of(self.model_dump(mode="json", exclude={"volatility"} if self.volatility == NO_OTHER else None))


def read_bars(path: Path | None) -> PromotionConfig:
    """Read the section `promotion` of a trainer configuration; no file or no section means the defaults.

    Raises
    ------
    BadConfig
        The file is absent or not YAML, or the section has a wrong key or value.
    """
    return load_section(path, SECTION, PromotionConfig)
