"""Rows of one horizon for a comparison, from the material that a training has."""

from dataclasses import replace
from typing import cast

import numpy as np

from signals.indicators.regimes import known_before, named
from signals.market.bars import Days, Floats
from signals.minutes.stretch import DecisionBars
from signals.sleeves.bars import clock_alone
from trainer.learners.base import Matrix
from trainer.samples.samples import DEFAULT_VIEW, Samples
from trainer.tasks.barrier_classes.comparison import HorizonRows
from trainer.tasks.barrier_classes.decisions import Decisions
from trainer.validation.splits.oof import parts


def horizon_rows(
    rows: Samples, bars: DecisionBars, *, horizon: int, embargo: int, reach: int = 0, truth: Matrix | None = None
) -> HorizonRows:
    """Return the rows with their outcomes, and the training, validation and test parts.

    Parameters
    ----------
    rows : Samples
        Labelled decisions, targets their sides.
    reach : int, bars
        Over which a decision looks back.
    truth : float32, shape (T, Q), optional
        What an oracle knows at each bar of `bars`.

    Raises
    ------
    TooLittleHistory
        A part has no row.
    """
    found = parts(rows.t0, rows.t1, embargo=embargo)
    clock = replace(rows, panel=clock_alone(rows.panel), view=DEFAULT_VIEW)
    return HorizonRows(
        horizon=horizon,
        inputs=rows.inputs()[:],
        names=rows.names,
        clock=cast(Matrix, clock.inputs()),
        truth=None if truth is None else truth[rows.t0],
        weight=rows.weight,
        decisions=decisions_of(rows, bars),
        train=found.train[rows.weight[found.train] > 0.0],
        validation=found.validation,
        test=found.test,
        reach=reach,
    )


def decisions_of(rows: Samples, bars: DecisionBars) -> Decisions:
    """Return what came of labelled decisions, whose targets are their sides."""
    session = bars.session[rows.t0, 0]
    return Decisions(
        moment=rows.t0,
        session=session,
        ends=bars.session[rows.t1, 0],
        side=rows.target.astype(np.int8),
        ret=rows.label,
        sigma=bars.sigma[rows.t0, 0],
        regime=named(known_before(session_returns(bars)))[session],
    )


def days_of(bars: DecisionBars, what: Decisions) -> Days:
    """Trading day of each session with decisions."""
    return session_days(bars)[np.unique(what.session)]


def session_days(bars: DecisionBars) -> Days:
    """Trading day of each numbered session, by its last bar."""
    number = bars.session[:, 0]
    return bars.sessions[np.searchsorted(number, np.arange(number[-1] + 1), side="right") - 1].astype("datetime64[D]")


def session_returns(bars: DecisionBars) -> Floats:
    """Total return of each numbered session, its night included; shape (S,), NaN for the first of all."""
    growth = np.nan_to_num(bars.total_return[:, 0]) + np.nan_to_num(bars.gap_return[:, 0])
    total = np.expm1(np.bincount(bars.session[:, 0], np.log1p(growth)))
    total[:1] = np.nan
    return total
