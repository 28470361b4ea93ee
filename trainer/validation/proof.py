"""Validation of a recipe: out-of-fold scores of the open rows and their figures."""

from dataclasses import dataclass
from math import comb

import numpy as np

from signals.errors import TooLittleHistory
from signals.market.bars import Bars, Floats
from trainer.learners.base import Learner
from trainer.recipes.base import CpcvConfig
from trainer.samples.samples import Samples, Seal, before_seal, seal_holdout
from trainer.validation.deciles import (
    EXTREME_LABEL,
    Capacity,
    Trading,
    Turnover,
    book_weights,
    capacity,
    decile_curve,
    decile_of,
    spread_series,
    trading,
    trading_conditions,
    turnover,
)
from trainer.validation.forecasts import session_mean
from trainer.validation.ic import Mean, by_offset, overlapping_mean, rank_ic
from trainer.validation.splits.cpcv import splits
from trainer.validation.splits.oof import OutOfFold, Step, cross_validate, walk_forward


@dataclass(frozen=True, eq=False)
class Proof:
    """Scores that no model gave to what it had seen.

    Attributes
    ----------
    rows : Samples
        The open rows: everything before the sealed holdout and its gap.
    long_embargo : OutOfFold or None
        The same with the long embargo, where configured and possible.
    walk_forward : float64, shape (n,)
        NaN on the first group.
    """

    rows: Samples
    seal: Seal | None
    oof: OutOfFold
    long_embargo: OutOfFold | None
    walk_forward: Floats


@dataclass(frozen=True, eq=False)
class ProofFigures:
    """Figures of the scores. `series` are per session of the panel, NaN where there is no figure.

    `ic` is the mean over sessions of the paths' average rank IC; the decile figures are averages over paths.
    """

    ic: Mean
    ic_lag: int
    ic_series: Floats
    ic_by_path: tuple[Mean, ...]
    ic_by_offset: tuple[Mean, ...]
    ic_long_embargo: Mean | None
    ic_walk_forward: Mean
    walk_forward_series: Floats
    curve: Floats
    spread: Mean
    turnover: Turnover
    capacity: Capacity
    extreme_labels: int


def fits(config: CpcvConfig) -> int:
    """How many models `prove` fits."""
    splits = comb(config.groups, config.test_groups)
    return splits * (2 if config.long_embargo_sessions else 1) + config.groups - 1


def prove(rows: Samples, learner: Learner, config: CpcvConfig, *, workers: int, step: Step, seal: Seal | None = None) -> Proof:
    """Seal the holdout, then cross-validate and walk forward over what stays open.

    `seal` is that of the run, where the rows are of another label than the run's own.
    """
    if seal is None:
        open_rows, seal = seal_holdout(rows, config.holdout_sessions, config.embargo_sessions)
    else:
        open_rows = before_seal(rows, seal, config.embargo_sessions)
    shape = {"groups": config.groups, "test_groups": config.test_groups, "workers": workers}
    oof = cross_validate(open_rows, learner, **shape, embargo=config.embargo_sessions, step=step)
    distant = None
    if config.long_embargo_sessions:
        try:
            distant = cross_validate(open_rows, learner, **shape, embargo=config.long_embargo_sessions, step=step)
        except TooLittleHistory:
            distant = None  # a short history has no training rows that far from its tests; the report says so
    forward = walk_forward(open_rows, learner, groups=config.groups, workers=workers, step=step)
    return Proof(open_rows, seal, oof, distant, forward)


def leaves_rows(rows: Samples, config: CpcvConfig, embargo: int) -> bool:
    """Whether every split of a cross-validation with this embargo has rows to learn from."""
    shape = {"groups": config.groups, "test_groups": config.test_groups}
    try:
        return all(len(split.train) > 0 for split in splits(rows.t0, rows.t1, **shape, embargo=embargo))
    except TooLittleHistory:
        return False


def figures(proof: Proof, bars: Bars, k: int) -> ProofFigures:
    """Compute every figure of a proof; `bars` are on the rows' axes."""
    rows = proof.rows
    labels = rows.dense(rows.label)
    paths = [rows.dense(scores) for scores in proof.oof.scores]
    by_path = np.array([rank_ic(path, labels) for path in paths])
    series = session_mean(by_path.T)
    forward = rank_ic(rows.dense(proof.walk_forward), labels)
    distant = None
    if proof.long_embargo is not None:
        ics = [rank_ic(rows.dense(scores), labels) for scores in proof.long_embargo.scores]
        distant = overlapping_mean(session_mean(np.array(ics).T), k)
    present = np.unique(rows.t0)
    held = labels[present]
    curve, spread, book, worth = _decile_figures([path[present] for path in paths], held, bars, present, k)
    return ProofFigures(
        ic=overlapping_mean(series, k),
        ic_lag=k - 1,
        ic_series=series,
        ic_by_path=tuple(overlapping_mean(path, k) for path in by_path),
        ic_by_offset=by_offset(series, k),
        ic_long_embargo=distant,
        ic_walk_forward=overlapping_mean(forward, k),
        walk_forward_series=forward,
        curve=curve,
        spread=spread,
        turnover=book,
        capacity=worth,
        extreme_labels=int(np.count_nonzero(np.abs(held) > EXTREME_LABEL)),
    )


def _decile_figures(
    paths: list[Floats], labels: Floats, bars: Bars, present: np.ndarray, k: int
) -> tuple[Floats, Mean, Turnover, Capacity]:
    """Decile figures of the mean of all paths, which hold the same sessions; what is not linear is taken once."""
    volatility, adv_usd = (panel[present] for panel in trading_conditions(bars))
    curves, spreads, books, traded = [], [], [], []
    for scores in paths:
        deciles = decile_of(scores)
        weights = book_weights(deciles, k)
        curves.append(decile_curve(deciles, labels))
        spreads.append(spread_series(deciles, labels))
        books.append(turnover(weights))
        traded.append(trading(weights, volatility[k - 1 :], adv_usd[k - 1 :]))
    spread = overlapping_mean(session_mean(np.array(spreads).T), k)
    costs = Trading(*(float(np.mean([getattr(one, f) for one in traded])) for f in Trading.__dataclass_fields__))
    return (
        np.mean(curves, axis=0),
        spread,
        Turnover(*(float(np.mean([getattr(b, f) for b in books])) for f in Turnover.__dataclass_fields__)),
        capacity(spread, costs, k),
    )
