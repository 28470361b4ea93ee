"""Figures of forecasts of hedged profits, net of half spreads, by template.

A forecast is traded where its size exceeds the half spreads that were last seen, on the side of its sign, one vega a name:

    net_t = mean over traded names of  sign(s) y - c        vol points; y the profit of the bought position, c the half spreads

k cohorts are held at a time; the vega of a name is at most its cap and that of all together at most theirs, by which the size of a
vega is chosen.
"""

from dataclasses import dataclass, replace

import numpy as np

from signals.market.bars import Bars, Floats
from trainer.samples.samples import Samples
from trainer.validation.calibration import Platt, brier_score, fit_platt
from trainer.validation.forecasts import session_mean
from trainer.validation.ic import Mean, overlapping_mean
from trainer.validation.probabilities import halves

Z_95 = 1.6448536269514722
NO_MEAN = Mean()


@dataclass(frozen=True)
class TemplateFigures:
    """One template, walking forward.

    Attributes
    ----------
    net, gross : Mean, vol points a position
    bound : float
        Lower one-sided 95 % bound of `net`.
    trades : int
        Positions entered.
    came, said_brier, base_brier : float
        Share of profitable positions in the later half of the sessions, and the Brier scores there of the earlier half's map and of
        its base rate; NaN where either half lacks one of the outcomes.
    slope, intercept : float
        Platt's map from the size of a forecast to P(net profit > 0), over all positions; NaN where there is none.
    """

    net: Mean = NO_MEAN
    gross: Mean = NO_MEAN
    bound: float = float("nan")
    trades: int = 0
    came: float = float("nan")
    said_brier: float = float("nan")
    base_brier: float = float("nan")
    slope: float = float("nan")
    intercept: float = float("nan")

    def probability(self, scores: Floats) -> Floats:
        """P(net profit > 0) of a position on the side of each score."""
        return Platt(self.slope, self.intercept).probability(np.abs(scores))


@dataclass(frozen=True)
class HedgedEvidence:
    """The task's own part of the evidence: each template's figures, and the largest share of a cap of vega that was used."""

    straddle: TemplateFigures | None = None
    vertical: TemplateFigures | None = None
    calendar: TemplateFigures | None = None
    vega_used: float = float("nan")


NO_FIGURES = HedgedEvidence()


def positions_of(forward: Floats, bars: Bars, template: str, k: int) -> tuple[Floats, Floats]:
    """Take the side of each forecast that exceeds the half spreads known at its session.

    Returns
    -------
    gross, cost : float64, shape (T, N) as the bars
        Profit of the side taken and its half spreads, vol points; NaN where nothing was traded.
    """
    outcome, cost = bars.joined[f"{template}_{k}"], bars.joined[f"{template}_cost_{k}"]
    known = np.full(cost.shape, np.nan)
    known[k + 1 :] = cost[: -(k + 1)]  # the half spreads of a position that has ended by the session's close
    with np.errstate(invalid="ignore"):
        taken = np.isfinite(outcome) & (np.abs(forward) > known)
    return np.where(taken, np.sign(forward) * outcome, np.nan), np.where(taken, cost, np.nan)


def template_figures(rows: Samples, forward: Floats, bars: Bars, template: str, k: int) -> tuple[TemplateFigures, Floats]:
    """Figures of a template's forecasts, shape (n,), and the mean net profit of each session, (T,)."""
    gross, cost = positions_of(rows.dense(forward), bars, template, k)
    series = session_mean(gross - cost)
    mean = overlapping_mean(series, k)
    net = (gross - cost)[rows.t0, rows.column]
    chosen, size, came = np.isfinite(net), np.abs(forward), (net > 0.0).astype(np.float64)
    bound = mean.mean - Z_95 * mean.standard_error
    figures = TemplateFigures(mean, overlapping_mean(session_mean(gross), k), bound, int(chosen.sum()))
    early, late = (half & chosen for half in halves(rows))
    if any(len(np.unique(came[half])) < 2 for half in (early, late)):
        return figures, series
    said = fit_platt(size[early], came[early]).probability(size[late])
    base = np.full(int(late.sum()), came[early].mean())
    whole = fit_platt(size[chosen], came[chosen])
    return replace(
        figures,
        came=float(came[late].mean()),
        said_brier=brier_score(came[late], said),
        base_brier=brier_score(came[late], base),
        slope=whole.slope,
        intercept=whole.intercept,
    ), series


def vega_used(forward: Floats, k: int, name_cap: float, total_cap: float) -> float:
    """Largest share of a cap that the book of all cohorts uses, with the size of a vega that `structures` chooses.

    Parameters
    ----------
    forward : float64, shape (T, N)
        Sides taken; NaN where none.
    k : int
        Sessions that a position is held: cohorts at a time.
    name_cap, total_cap : float
        Of |vega|, USD a vol point.
    """
    held = np.isfinite(forward)
    share = np.minimum(name_cap / k, total_cap / (k * np.maximum(held.sum(axis=1), 1)))
    vega = held * share[:, None]
    book = np.array([vega[max(0, t - k + 1) : t + 1].sum(axis=0) for t in range(len(vega))])
    return float(max(book.max() / name_cap, book.sum(axis=1).max() / total_cap)) if book.size else 0.0
