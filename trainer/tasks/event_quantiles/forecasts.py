"""Quantile forecasts of events: outcomes and levels, walk-forward forecasts of them, and their figures."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from signals.events.outcomes import OutcomeRules
from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from trainer.labels.events import event_labels, played, rows_in
from trainer.labels.horizon import Labels
from trainer.learners.lgbm import LightGbm
from trainer.learners.parameters import LightGbmConfig, Objective
from trainer.samples.samples import Samples
from trainer.validation.clustered import NONE, per_event
from trainer.validation.forecasts import advantage, coverage, mean_loss, pinball, session_mean
from trainer.validation.ic import Mean
from trainer.validation.splits.oof import Step, folds, walk_forward

FAR = 1000.0  # ATR: barriers that no trade meets, which leave the return over the patience
BAND, STOP_LEVEL, TARGET_LEVEL = (0.1, 0.9), 0.7, 0.6
MEDIAN = 0.5
TARGET_BARS, FIXED_TARGET, TARGETS = 30, 2.0, (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # R
FEWEST = 5  # events of a session whose share is shown
RETURN, ADVERSE, FAVOURABLE = "return", "mae_atr", "mfe_r"


@dataclass(frozen=True)
class OutcomeQuantiles:
    """An outcome over some bars, and the levels that are forecast of it.

    `is_asked` says whether its coverage decides; that of outcomes over many bars is printed, because storms last and a quantile of
    all sessions is none of a storm's.
    """

    name: str
    of: str
    bars: int
    levels: tuple[float, ...]
    is_asked: bool = True

    def labels(self, bars: Bars, actions: Iterable[Action], stop_atr: float) -> Labels:
        """Label each event by the outcome; a row that needs the whole patience is known when that is over."""
        rules = OutcomeRules(FAR, 1.0, self.bars) if self.of == RETURN else OutcomeRules(stop_atr, 1.0, self.bars)
        table, (made,) = played(bars, actions, rules)
        if self.of == RETURN:
            return event_labels(bars, table, made.realised_r * FAR, made.t1)
        return event_labels(bars, table, made.mae_atr if self.of == ADVERSE else made.mfe_r, made.seen_to)


def forecasts_of(k: int) -> tuple[OutcomeQuantiles, ...]:
    """Bands of the return over 1 and k bars in ATR, the stop that 70 % of events do not reach, the target that 40 % exceed in R."""
    returns = (OutcomeQuantiles(f"return_{bars}", RETURN, bars, BAND) for bars in dict.fromkeys((1, k)))
    return (
        *returns,
        OutcomeQuantiles("stop_4", ADVERSE, 4, (STOP_LEVEL,)),
        OutcomeQuantiles("stop_24", ADVERSE, 24, (STOP_LEVEL,), is_asked=False),
        OutcomeQuantiles(f"target_{TARGET_BARS}", FAVOURABLE, TARGET_BARS, (TARGET_LEVEL,), is_asked=False),
    )


@dataclass(frozen=True)
class LevelFigures:
    """One level, walking forward.

    Attributes
    ----------
    share : Mean
        Of outcomes at or below the forecast: the level, where it means what it says.
    low, high : float
        Tenth and ninetieth percentile of that share over sessions of five events and more: a quantile is no conditional one.
    gain : float
        Pinball loss saved against the constant one of all earlier events, as a share of the constant's.
    advantage : Mean
        The same in units of the outcome, by session.
    """

    level: float
    share: Mean
    low: float
    high: float
    gain: float
    advantage: Mean

    @property
    def miss(self) -> float:
        """Distance of the share from the level."""
        return abs(self.share.mean - self.level)


@dataclass(frozen=True)
class QuantileFigures:
    """The levels of one outcome."""

    name: str
    is_asked: bool
    levels: tuple[LevelFigures, ...]


@dataclass(frozen=True)
class TargetFigures:
    """A forecast of the target, walking forward.

    Attributes
    ----------
    smape : float
        Mean of 2 |forecast - came| / (|forecast| + |came|): 0 is perfect, 2 the worst.
    uplift : Mean
        R an event of a trade to the forecast target, the nearest of `TARGETS`, above that of one to 2 R, in pairs.
    analogs : Mean
        Pinball loss that `sim_conf` and `hist_rr_pct` save, by session, against the same forecast without them.
    """

    smape: float
    uplift: Mean
    analogs: Mean = NONE


def target_figures(rows: Samples, forecast: Floats, played_r: Floats, without: Floats | None = None) -> TargetFigures:
    """Judge forecasts of the target, float64 (n,), by the R of the trades to each of `TARGETS`, float64 (targets, n).

    `without` is the forecast without the analogs.
    """
    came, seen = rows.label, np.isfinite(forecast) & np.isfinite(played_r).all(axis=0)
    size = np.abs(forecast) + np.abs(came)
    missed = np.divide(2.0 * np.abs(forecast - came), size, out=np.zeros(len(came)), where=size > 0.0)
    nearest = np.abs(np.array(TARGETS)[:, None] - forecast[None, seen]).argmin(axis=0)
    chosen = np.take_along_axis(played_r[:, seen], nearest[None], axis=0)[0]
    saved = NONE
    if without is not None:
        losses = [rows.dense(pinball(came, said, TARGET_LEVEL)) for said in (forecast, without)]
        saved = advantage(losses[0], losses[1], TARGET_BARS)
    uplift = per_event(chosen - played_r[TARGETS.index(FIXED_TARGET), seen], rows.t0[seen])
    return TargetFigures(float(missed[np.isfinite(forecast)].mean()), uplift, saved)


def trades_to(rows: Samples, bars: Bars, stop_atr: float, actions: Iterable[Action]) -> Floats:
    """R of each row's trade to each of `TARGETS`, float64 (targets, n), NaN while one is not over."""
    table, made = played(bars, actions, *(OutcomeRules(stop_atr, target, TARGET_BARS) for target in TARGETS))
    mine = rows_in(table, bars, rows.t0, rows.column)
    return np.array([one.realised_r[mine] for one in made])


def of_quantile(config: LightGbmConfig, level: float, seed: int) -> LightGbm:
    """Return the learner of a quantile."""
    return LightGbm(config.model_copy(update={"objective": Objective.QUANTILE, "quantile": level}), seed)


def constant(rows: Samples, groups: int, level: float) -> Floats:
    """Quantile of the events known before each row's group, shape (n,), sessions weighing alike; NaN of the first group."""
    found = np.full(len(rows), np.nan)
    for train, test in folds(rows.t0, rows.t1, groups):
        found[test] = weighted_quantile(rows, train, level)
    return found


def weighted_quantile(rows: Samples, chosen: np.ndarray, level: float) -> float:
    """Quantile of the labels of some rows by their weights."""
    return float(np.quantile(rows.label[chosen], level, weights=rows.weight[chosen], method="inverted_cdf"))


def walked(asked: OutcomeQuantiles, rows: Samples, config: LightGbmConfig, *, groups: int, seed: int, workers: int, step: Step) -> Floats:
    """Forecast the open rows walking forward: float64 (levels, n), NaN in the first group; ascending, for trees fitted apart may cross."""
    learners = [of_quantile(config, level, seed) for level in asked.levels]
    return np.sort([walk_forward(rows, learner, groups=groups, workers=workers, step=step) for learner in learners], axis=0)


def judged(asked: OutcomeQuantiles, rows: Samples, found: Floats, groups: int) -> QuantileFigures:
    """Judge forecasts, float64 (levels, n), against the constant."""
    outcome = rows.dense(rows.label)
    return QuantileFigures(
        asked.name,
        asked.is_asked,
        tuple(
            level_figures(outcome, rows.dense(forecast), rows.dense(constant(rows, groups, level)), level, asked.bars)
            for level, forecast in zip(asked.levels, found, strict=True)
        ),
    )


def level_figures(outcome: Floats, forecast: Floats, against: Floats, level: float, bars: int) -> LevelFigures:
    """Figures of one level; all (T, N), NaN where there is no forecast."""
    known = np.isfinite(forecast) & np.isfinite(outcome)
    below = np.where(known, (outcome <= forecast).astype(np.float64), np.nan)
    shares = session_mean(below)[known.sum(axis=1) >= FEWEST]
    ours, theirs = pinball(outcome, forecast, level), pinball(outcome, against, level)
    least, most = np.quantile(shares, (0.1, 0.9)) if shares.size else (np.nan, np.nan)
    better = advantage(ours, theirs, bars)
    return LevelFigures(
        level=level,
        share=coverage(outcome, np.where(known, -np.inf, np.nan), forecast, bars),
        low=float(least),
        high=float(most),
        gain=better.mean / mean_loss(theirs, bars).mean,
        advantage=better,
    )
