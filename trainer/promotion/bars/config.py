"""Configuration of the promotion bars, hashed before a search starts; and a verdict's stored case: its inputs, its rows and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field

from signals.config import Config, load_section
from signals.text.documents import to_json
from trainer.promotion.measured import BarWaiver, Measured, Rival, SealedBook, Shadow, Sights, Word
from trainer.runs.evidence import BarResult, Evidence
from trainer.runs.run_folder import parsed
from trainer.runs.trials import Trials

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


OLD_WAIVER = "waiver"  # a reason alone, for a universe of survivors: nobody answered for it


@dataclass(frozen=True, eq=False)
class Case:
    """Everything that a verdict may look at, all of it stored.

    Attributes
    ----------
    evidence : Evidence
        `evidence.json` of the run.
    measured : Measured
        `promotion/measured.json`: the weight-level book walking forward and on the paths.
    trials : Trials
        Figures of that book over every trial on record when it was judged (`trainer/search/judgement.py`).
    holdout : SealedBook or None
        What opening the seal for this challenger showed; None while it is sealed.
    shadow : Shadow or None
        `promotion/shadow.json`.
    champion : Rival or None
        None before the first.
    searched_under : tuple of str
        Hashes of the bars that the training and its searches recorded when they started; empty where none was.
    seen : Sights or None
        Before this challenger's opening; None in a case of an earlier program.
    """

    evidence: Evidence
    measured: Measured
    trials: Trials = Trials()
    holdout: SealedBook | None = None
    shadow: Shadow | None = None
    champion: Rival | None = None
    searched_under: tuple[str, ...] = ()
    waivers: tuple[BarWaiver, ...] = ()
    seen: Sights | None = None
    word: Word | None = None

    def waived(self, bar: str, row: BarResult) -> BarResult:
        """Return `row`, passed where a person answers for the bar under a name and with a reason."""
        for waiver in self.waivers:
            by, reason = waiver.by.strip(), waiver.reason.strip()
            if waiver.bar == bar and by and reason:
                return replace(row, passed=True, why=f"waived by {by}: {reason} (it would fail: {row.why})")
        return row

    @classmethod
    def of(cls, document: Mapping[str, object], where: str = "a case") -> Case:
        """Return the case that `document` stored; raise `FixInput` where it has another shape."""
        known = {key: value for key, value in document.items() if key != OLD_WAIVER}
        old = [{"bar": "universe", "by": "", "reason": document[OLD_WAIVER]}] if document.get(OLD_WAIVER) else []
        return parsed(cls, {"waivers": old, **known}, where)


@dataclass(frozen=True)
class PromotionVerdict:
    """Promoted when every row passes."""

    rows: tuple[BarResult, ...]
    bars_hash: str

    @property
    def is_promoted(self) -> bool:
        """Whether every bar is met."""
        return all(row.passed for row in self.rows)

    @property
    def word(self) -> str:
        """`promoted` or `refused`."""
        return "promoted" if self.is_promoted else "refused"

    @property
    def refusal(self) -> str:
        """Every failed bar in one sentence each; empty when promoted."""
        return "; ".join(f"{row.bar}: {row.why}{f' ({row.power})' * bool(row.power)}" for row in self.failed)

    @property
    def failed(self) -> tuple[BarResult, ...]:
        """The rows that do not pass."""
        return tuple(row for row in self.rows if not row.passed)

    def document(self) -> Mapping[str, object]:
        """Return the verdict as it is stored."""
        return {"verdict": self.word, "bars_hash": self.bars_hash, "rows": to_json(self.rows)}

    @classmethod
    def of(cls, document: Mapping[str, object]) -> PromotionVerdict:
        """Return the verdict that `document`, or a record that holds one, stored."""
        return parsed(cls, document, "a verdict")


Judge = Callable[[Case, PromotionConfig], BarResult]
