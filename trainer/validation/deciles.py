r"""Decile returns, turnover, break-even cost and capacity of scores.

The book behind the figures holds the top tenth of names with +1/2 and the bottom tenth with -1/2 of equity, equally
weighted, in k overlapping cohorts of which one is renewed per session:

    w_t = mean of the decile weights of sessions t - k + 1 .. t        gross <= 1
    gain per session = (top mean - bottom mean) / (2 k)
    turnover = sum_i |w_{t,i} - w_{t-1,i}| / 2                         one-way, fraction of equity
    spread cost = s/2 * sum_i |dw_i|                                   s: full quoted spread
    impact cost(E) = sum_i |dw_i| sigma_i sqrt(|dw_i| E / ADV_i)       square-root law, Y = 1

A label counts at its full size, as it does in every backtest: what is no return of one security (two of them stitched
into one series) is kept out by the audit, not by a limit here. A label beyond +100 % can outweigh all others of a
figure, so how many there are is reported.

Capacity is the equity E at which impact halves what is left after the spread. It scales with sqrt(E), so one sum fixes
it. These are figures of a ranking, not a backtest: no caps, no neutrality, no borrow.

Session returns of that book, the input of Sharpe ratios, are

    r_t = sum_i w_{t,i} y_{t,i} - s/2 sum_i |w_{t,i} - w_{t-1,i}|

w_t is the book of `execution/yardstick.py` after session t, y_t the return from the open of t + 1 to the open of t + 2
with delistings at their payout, s the full quoted spread. The returns of neighbouring sessions do not overlap, so
T sessions are T observations. No impact, borrow, caps or neutrality: it compares scores, it is no backtest.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from execution.costs.impact import weight_impact_coefficient
from execution.costs.spread import half_spread
from execution.yardstick import DECILES, book_weights, decile_of
from signals.errors import TooLittleHistory
from signals.market.actions import Action
from signals.market.bars import Bars, Floats, Opens, departures, opens
from signals.scoring.evidence import Capacity
from trainer.labels.horizon import Rows
from trainer.validation.forecasts import session_mean
from trainer.validation.ic import NORMAL_975, Mean

SESSIONS_PER_YEAR = 252
CONDITIONS_WINDOW_SESSIONS = 20
EXTREME_LABEL = 1.0

__all__ = [
    "DECILES",
    "EXTREME_LABEL",
    "Capacity",
    "Turnover",
    "book_weights",
    "capacity",
    "decile_curve",
    "decile_of",
    "spread_series",
    "trading",
    "trading_conditions",
    "turnover",
]


@dataclass(frozen=True)
class Turnover:
    """One-way turnover of the decile book per session and per year, and what it costs at the quoted spread."""

    per_session: float
    annual: float
    spread_cost_annual: float


@dataclass(frozen=True)
class Trading:
    """Average trading of a book in a session.

    Attributes
    ----------
    traded : float
        Sum of absolute weight changes.
    impact : float
        Cost of its impact at an equity of 1 USD, fraction of equity; it grows with the root of equity.
    """

    traded: float
    impact: float


def decile_curve(deciles: Floats, labels: Floats) -> Floats:
    """Mean label in excess of the session's mean, per decile, shape (10,): sessions weigh the same."""
    known = np.isfinite(deciles) & np.isfinite(labels)
    excess = labels - session_mean(np.where(known, labels, np.nan))[:, None]
    curve = np.full(DECILES, np.nan)
    for decile in range(DECILES):
        means = session_mean(np.where(known & (deciles == decile), excess, np.nan))
        if np.isfinite(means).any():
            curve[decile] = float(np.nanmean(means))
    return curve


def spread_series(deciles: Floats, labels: Floats) -> Floats:
    """Top decile's mean label minus the bottom's, per session, shape (T,); NaN where either is empty."""
    top, bottom = (session_mean(np.where(deciles == decile, labels, np.nan)) for decile in (DECILES - 1, 0))
    return top - bottom


def turnover(weights: Floats) -> Turnover:
    """Turnover of a book, mean over its sessions."""
    traded = np.abs(np.diff(weights, axis=0)).sum(axis=1)
    per_session = 0.5 * float(traded.mean()) if traded.size else 0.0
    annual = per_session * SESSIONS_PER_YEAR
    return Turnover(per_session, annual, 2.0 * annual * float(half_spread()))


def trading(weights: Floats, volatility: Floats, adv_usd: Floats) -> Trading:
    """Return what a book trades, mean over its sessions.

    Parameters
    ----------
    weights : float64, shape (T', N)
        Book of the last T' sessions.
    volatility, adv_usd : float64, shape (T', N)
        Standard deviation per session and mean dollar volume; a trade without them costs nothing here.
    """
    changes = np.abs(np.diff(weights, axis=0))
    if not len(changes):
        return Trading(0.0, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_name = changes**1.5 * weight_impact_coefficient(volatility[1:], adv_usd[1:], equity_usd=1.0)
    impact = float(np.where(np.isfinite(per_name), per_name, 0.0).sum(axis=1).mean())
    return Trading(float(changes.sum(axis=1).mean()), impact)


def capacity(spread: Mean, costs: Trading, k: int) -> Capacity:
    """Return of the decile book and the equity at which its own impact halves it.

    Neither break-even nor capacity is linear in the spread: each is taken once, of the mean spread and the mean trading
    of all paths, and again at the ends of the spread's 95 % interval. A mean of the paths' own would favour luck.
    """
    half = NORMAL_975 * spread.standard_error if np.isfinite(spread.standard_error) else 0.0
    gross, low, high = (mean / (2.0 * k) for mean in (spread.mean, spread.mean - half, spread.mean + half))
    return Capacity(
        gross_annual=gross * SESSIONS_PER_YEAR,
        net_of_spread_annual=_net(gross, costs) * SESSIONS_PER_YEAR,
        break_even_spread_bps=2e4 * gross / costs.traded if costs.traded > 0.0 else 0.0,
        equity_usd=_halved(gross, costs),
        equity_low_usd=_halved(low, costs),
        equity_high_usd=_halved(high, costs),
    )


def _net(gross: float, costs: Trading) -> float:
    return gross - float(half_spread()) * costs.traded


def _halved(gross: float, costs: Trading) -> float:
    """Equity at which impact takes half of what the spread leaves of a gain per session; 0 when it leaves nothing."""
    net = _net(gross, costs)
    return (net / (2.0 * costs.impact)) ** 2 if net > 0.0 and costs.impact > 0.0 else 0.0


def trading_conditions(bars: Bars) -> tuple[Floats, Floats]:
    """Volatility per session (ddof 1) and mean dollar volume of the trailing 20 sessions, each (T, N).

    NaN in the first 19 rows and wherever the window holds fewer than 2 bars.
    """
    return (
        _trailing(bars.total_return, lambda count, total, square: np.sqrt((square - total**2 / count) / (count - 1))),
        _trailing(bars.close * bars.volume, lambda count, total, square: total / count),
    )


def _trailing(values: Floats, figure) -> Floats:  # type: ignore[no-untyped-def]  # (count, sum, sum of squares) -> array
    result = np.full(values.shape, np.nan)
    if len(values) < CONDITIONS_WINDOW_SESSIONS:
        return result
    windows = sliding_window_view(values, CONDITIONS_WINDOW_SESSIONS, axis=0)
    known = np.isfinite(windows)
    filled = np.where(known, windows, 0.0)
    count = known.sum(axis=2).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = figure(count, filled.sum(axis=2), (filled**2).sum(axis=2))
    result[CONDITIONS_WINDOW_SESSIONS - 1 :] = np.where(count >= 2, found, np.nan)
    return result


@dataclass(frozen=True, eq=False)
class BookReturns:
    """Net returns, float64 (n,), fraction of equity, of the books after the sessions `rows` (rows of the panel)."""

    rows: Rows
    net: Floats


def next_opens(bars: Bars, delistings: Iterable[Action]) -> Opens:
    """Return what a holding of every name earns from the open of t + 1 to the open of t + 2, its delisting included."""
    return opens(bars, departures(bars, delistings))


def book_returns(scores: Floats, following: Opens, k: int) -> BookReturns:
    """Net returns of the k-cohort decile book of `scores`.

    Parameters
    ----------
    scores : float64, shape (T, N)
        NaN where there is none; a session without any is left out.
    following : Opens, shape (T, N)
        From `next_opens`; a return that is not known earns nothing.

    Raises
    ------
    TooLittleHistory
        Fewer than k sessions are scored.
    """
    rows = np.flatnonzero(np.isfinite(scores).any(axis=1))
    if len(rows) < k:
        raise TooLittleHistory(f"{len(rows)} scored sessions make no book of {k} cohorts")
    weights = book_weights(decile_of(scores[rows]), k, following.fills[rows], following.waits[rows])
    rows = rows[k - 1 :]
    earned = np.einsum("tn,tn->t", weights, np.nan_to_num(following.earned[rows]))
    before = np.vstack([np.zeros(weights.shape[1]), weights[:-1]])
    traded = np.abs(weights - before).sum(axis=1)
    return BookReturns(rows.astype(np.int64), earned - float(half_spread()) * traded)
