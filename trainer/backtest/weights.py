"""The weight-level backtest: the same policy without orders, for many sets of scores at once.

Targets come from the device's own `portfolio.build` and `portfolio.risk.model`, values from `portfolio.nav`: no shares, no
rounding, no auctions, names as of the panel's end. Paths of a cross-validation are compared with it; a test bounds its
distance to the order-exact backtest.
"""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from execution.costs.borrow import DAYS_PER_YEAR, annual_rates
from execution.costs.impact import weight_impact_coefficient
from execution.costs.spread import half_spread
from portfolio.build import AccountSize, build
from portfolio.config import PortfolioConfig
from portfolio.nav import Nav, NavCosts, net_asset_value
from portfolio.policy.sizing import PLANS_READ, STATE, Book, Sizing, SizingOn
from portfolio.risk.kelly import SizingCoefficient
from portfolio.risk.model import WINDOW_SESSIONS, RiskModel, estimate
from signals.audit.extremes import waits
from signals.errors import SkipSession, TooLittleHistory
from signals.market.bars import Bars, Flags, Floats
from signals.market.manifest import PriceBasis
from signals.scoring.scores import Scores
from trainer.backtest.archive import Archive
from trainer.curation.mortality import unpriced_ends
from trainer.off_policy.market_env import MarketEnv
from trainer.validation.deciles import next_opens, trading_conditions

RAMP_SESSIONS = 5  # as a device ramps by default (`tripwires.ramp_sessions`)


@dataclass(frozen=True, eq=False)
class WeightPath:
    """One set of scores as a book.

    Attributes
    ----------
    sessions : tuple of date, length T
        Trade sessions: the book of entry i stands after the open of sessions[i].
    net : float64, shape (T,)
        Net return up to each session's open, after its trades; 0 before the first book and after a ruin.
    gross : float64, shape (T,)
        Sum of absolute weights after each session's trades.
    multipliers : float64, shape (T,), or None
        Of the sizing policy; None without one.
    env : MarketEnv or None
        The book's own history with the states that a policy reads; None without one.
    """

    sessions: tuple[date, ...]
    nav: Nav
    net: Floats
    gross: Floats
    multipliers: Floats | None = None
    env: MarketEnv | None = None


def weight_paths(
    archive: Archive,
    values: Floats,
    portfolio: PortfolioConfig,
    ic: SizingCoefficient,
    horizon: int,
    *,
    equity_usd: float,
    unpriced: float | None = None,
) -> tuple[WeightPath, ...]:
    """Run every set of scores through the policy.

    Parameters
    ----------
    values : float64, shape (P, T, N)
        Scores on the columns of `archive.whole`; NaN where there are none.
    ic : SizingCoefficient
        Sizes every book.
    horizon : int
        k, sessions.
    equity_usd : float
        At which impact is priced.
    unpriced : float or None
        Fraction that a long loses where a name ends without a recorded price; a short gains nothing.
    """
    return _paths(archive, values, portfolio, ic, horizon, _Pricing(equity_usd, unpriced))


def sized_path(
    archive: Archive,
    values: Floats,
    portfolio: PortfolioConfig,
    ic: SizingCoefficient,
    horizon: int,
    sizing_on: SizingOn,
    *,
    equity_usd: float,
) -> WeightPath:
    """Run one set of scores (T, N) under sizing policies; the path has their multipliers, and the book's own history."""
    return _paths(archive, values[None], portfolio, ic, horizon, _Pricing(equity_usd, None, sizing_on))[0]


@dataclass(frozen=True)
class _Pricing:
    equity_usd: float
    unpriced: float | None = None
    sizing_on: SizingOn | None = None


def _paths(
    archive: Archive, values: Floats, portfolio: PortfolioConfig, ic: SizingCoefficient, horizon: int, priced: _Pricing
) -> tuple[WeightPath, ...]:
    equity_usd, unpriced, sizing_on = priced.equity_usd, priced.unpriced, priced.sizing_on
    bars = archive.whole
    scored = np.flatnonzero(np.isfinite(values).any(axis=(0, 2)))
    first, last = int(scored[0]), min(int(scored[-1]), len(bars.sessions) - 2)
    fills, returns, waiting, costs = _conditions(archive, first, last, equity_usd)
    weights = np.zeros((len(values), last - first + 1, len(bars.symbols)))
    books = [_Book(portfolio, bars, equity_usd, sizing_on) for _ in values]
    for row in range(first, last + 1):
        risk = _risk(bars, row, horizon, ic)
        for path, book in enumerate(books):
            if row > first:
                book.drift(returns[row - first])
            weights[path, row - first] = book.next(values[path, row], risk, row, fills[row - first], waiting[row - first])
    sessions = tuple(bars.sessions[first + 1 : last + 2].astype(object).tolist())
    ended = None if unpriced is None else _ended(archive, first, last)
    own = [
        returns if ended is None else np.where(ended, np.where(_shifted(book) > 0, -float(unpriced or 0), 0.0), returns) for book in weights
    ]
    navs = [net_asset_value(book, moved, costs, waiting) for book, moved in zip(weights, own, strict=True)]
    found = [WeightPath(sessions, nav, _net(nav), np.abs(held).sum(axis=1)) for nav, held in zip(navs, weights, strict=True)]
    if sizing_on is None:
        return tuple(found)
    return tuple(
        replace(path, multipliers=np.array(book.multipliers), env=MarketEnv(*_known_states(book.states), held, moved, costs, waits=waiting))
        for path, book, held, moved in zip(found, books, weights, own, strict=True)
    )


def book_env(archive: Archive, first: int, weights: Floats, states: Floats, equity_usd: float) -> MarketEnv:
    """Return the history of a book (T, N) that was held from the open after session `first` on, without penalties.

    Parameters
    ----------
    weights : float64, shape (T, N)
        On the columns of `archive.whole`, after each session's trades.
    states : float64, shape (T, F)
    """
    _, returns, waiting, costs = _conditions(archive, first, first + len(weights) - 1, equity_usd)
    return MarketEnv(STATE, states, weights, returns, costs, waiting, drawdown_penalty=0.0)


def _conditions(archive: Archive, first: int, last: int, equity_usd: float) -> tuple[Flags, Floats, Flags, NavCosts]:
    """Return by session from `first` to `last`: what can be bought, returns up to its open, what cannot be traded, and costs."""
    bars, rows = archive.whole, slice(first, last + 1)
    following = next_opens(bars, archive.actions)
    returns = np.vstack([np.zeros(len(bars.symbols)), np.nan_to_num(following.earned)[first:last]])
    return following.fills[rows], returns, (following.waits | waits(bars))[rows], _costs(archive, first, last, equity_usd)


def _known_states(states: list[Floats | None]) -> tuple[tuple[str, ...], Floats]:
    """Return the names of the numbers that vary, and the numbers: nothing can be learned of what is absent or always the same.

    A session without a number has the last one that is known, and before the first that one: these are sessions of the first block,
    of which policies learn and on which none is judged.
    """
    rows = np.array([np.full(len(STATE), np.nan) if state is None else state for state in states])
    seen = np.isfinite(rows)
    last = np.maximum.accumulate(np.where(seen, np.arange(len(rows))[:, None], -1), axis=0)
    filled = np.take_along_axis(rows, np.where(last < 0, seen.argmax(axis=0), last), axis=0)
    varies = np.flatnonzero(seen.any(axis=0) & (np.ptp(filled, axis=0) > 0))
    return tuple(STATE[place] for place in varies), filled[:, varies]


def _ended(archive: Archive, first: int, last: int) -> NDArray[np.bool_]:
    """Whether a name's holding meets its end without a recorded price, by row of the returns of [first, last]."""
    bars = archive.whole
    ended = np.zeros((last - first + 1, len(bars.symbols)), dtype=bool)
    for column, row in enumerate(unpriced_ends(bars, archive.actions).tolist()):
        # The open of the last bar is the last that a book can trade at: the return from there has no end.
        if first < row <= last:
            ended[row - first, column] = True
    return ended


def _shifted(weights: Floats) -> Floats:
    return np.vstack([np.zeros((1, weights.shape[1])), weights[:-1]])


class _Book:
    """Weights that drift with returns and move by the policy's steps."""

    def __init__(self, portfolio: PortfolioConfig, bars: Bars, equity_usd: float, sizing_on: SizingOn | None = None) -> None:
        self._portfolio, self._bars, self._sizing_on = portfolio, bars, sizing_on
        self.multipliers: list[float] = []
        self.states: list[Floats | None] = []
        self._books: tuple[Book, ...] = ()
        self._equity_usd = equity_usd
        self._plans = 0
        self._is_ruined = False
        self.held: Floats = np.zeros(len(bars.symbols))

    def drift(self, returns: Floats) -> None:
        growth = 1.0 + float(self.held @ returns)
        self._is_ruined |= growth <= 0
        self.held = np.zeros_like(self.held) if self._is_ruined else self.held * (1.0 + returns) / growth

    def next(self, scores: Floats, risk: RiskModel | None, row: int, fills: Flags, fixed: Flags) -> Floats:
        """Take the step of session `row`: nothing `fixed` is traded, nothing bought without a bar at the next open."""
        self.multipliers.append(self.multipliers[-1] if self.multipliers else 1.0)
        self.states.append(None)
        names = self._bars.symbols
        chosen = np.flatnonzero(np.isfinite(scores))
        if self._is_ruined or risk is None or not len(chosen):
            return self.held
        asof, session = (day.astype(object) for day in self._bars.sessions[row : row + 2])
        given = Scores(asof, "path", tuple(names[c] for c in chosen), scores[chosen], "path")
        current = {names[c]: float(self.held[c]) for c in np.flatnonzero(self.held)}
        ramp = min(1.0, (self._plans + 1) / RAMP_SESSIONS)
        try:
            sizing = self._sizing_on and Sizing(self.multipliers[-1], self._sizing_on(asof), books=self._books)
            targets = build(given, risk, self._portfolio, current, session, AccountSize(self._equity_usd, sizing=sizing), ramp=ramp)
        except SkipSession:
            return self.held
        self._plans += 1
        self.multipliers[-1], self.states[-1] = targets.multiplier, targets.state
        self._books = (*self._books, *([] if targets.whole is None else [targets.whole]))[-PLANS_READ:]
        wanted = np.zeros(len(names))
        wanted[np.searchsorted(names, targets.symbols)] = targets.weights
        self.held = np.where(fixed, self.held, np.where(fills, wanted, 0.0))
        return self.held


def _risk(bars: Bars, row: int, horizon: int, ic: SizingCoefficient) -> RiskModel | None:
    try:
        return estimate(bars.rows(max(0, row - WINDOW_SESSIONS + 1), row + 1), horizon, ic)
    except TooLittleHistory:
        return None


def _costs(archive: Archive, first: int, last: int, equity_usd: float) -> NavCosts:
    bars = archive.whole
    volatility, adv_usd = (panel[first : last + 1] for panel in trading_conditions(bars))
    usual = [_median(volatility), np.maximum(_median(adv_usd), 1.0)]
    impact = weight_impact_coefficient(usual[0], usual[1], equity_usd)
    known = impact[np.isfinite(impact)]
    impact = np.where(np.isfinite(impact), impact, known.max(initial=0.0))  # a name never seen trading is dear
    is_raw = archive.manifest.basis is PriceBasis.RAW
    price = bars.close[first : last + 1] if is_raw else np.full(adv_usd.shape, np.nan)
    days = np.diff(bars.sessions[first : last + 2].astype("datetime64[D]").astype(np.int64))
    # What was sold short at an open is paid for by what was known of the name at the close before.
    rates = _shifted(annual_rates(adv_usd, price, volatility))
    return NavCosts(np.asarray(half_spread(archive.usual_spreads())), impact, rates * days[:, None].astype(np.float64) / DAYS_PER_YEAR)


def _median(panel: Floats) -> Floats:
    """Median of each column over the rows where it is known; NaN for a column without any."""
    known = np.isfinite(panel)
    medians = [float(np.median(panel[known[:, c], c])) if known[:, c].any() else np.nan for c in range(panel.shape[1])]
    return np.array(medians)


def _net(nav: Nav) -> Floats:
    """Net return of each session; what was ruined earns and loses nothing any more."""
    last = len(nav.nav) if nav.ruined is None else nav.ruined + 1
    net = np.zeros(len(nav.nav))
    net[:last] = np.diff(nav.nav[:last], prepend=1.0) / np.concatenate([[1.0], nav.nav[: last - 1]])
    return net
