"""Builds target weights from scores: the target book, then this session's step towards it.

Entry point: `build`. `portfolio.policy.target` holds the order of operations, `portfolio.policy.step` the way there; each states its
invariants and checks them on every value it makes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from portfolio.config import BookSides, PortfolioConfig
from portfolio.policy.sizing import ChosenSize, Sizing
from portfolio.policy.step import UNKNOWN_BETA, Step, Way, step
from portfolio.policy.target import Decisions, TargetBook, target_book
from portfolio.risk.model import RiskModel
from portfolio.weights import TargetWeights
from signals.errors import InvariantBroken
from signals.scoring.scores import Scores

__all__ = ["AccountSize", "BookSides", "PortfolioConfig", "build"]


@dataclass(frozen=True, eq=False)
class AccountSize:
    """Size of the account that the book is built for, and the policy that takes a part of that book.

    Attributes
    ----------
    equity_usd : float
        Positive.
    prices : mapping of symbol to USD, optional
        Of one share: a name of which one is above the name cap is replaced by the next.
    sizing : Sizing, optional
        Multiplies the target book by a level of its grid; without one the book is whole.
    """

    equity_usd: float
    prices: Mapping[str, float] | None = None
    sizing: Sizing | None = None


def build(
    scores: Scores,
    risk: RiskModel,
    limits: PortfolioConfig,
    current: TargetWeights | Mapping[str, float],
    session: date,
    size: AccountSize,
    *,
    ramp: float = 1.0,
) -> TargetWeights:
    """Return the weights to hold after the open of `session`.

    Parameters
    ----------
    risk : RiskModel
        Of the same `asof` as the scores.
    current : TargetWeights or mapping of symbol to signed fraction of equity
        Where the step begins, at the close of `asof`: what is held, without what whole shares made of it.
    session : date
        D.
    ramp : float
        Share of the ordinary step to take, in (0, 1]: below 1 on the first sessions after funding, a halt or a new
        bundle.

    Raises
    ------
    ScoresInvalid, NoFeasibleBook
        No new orders this session.
    InvariantBroken
        Arguments that contradict each other, or a limit that the result would break.
    """
    if risk.asof != scores.asof:
        raise InvariantBroken("scores and risk model differ in asof", where=f"{scores.asof} and {risk.asof}")
    equity_usd = size.equity_usd
    if not 0 < ramp <= 1 or not equity_usd > 0:
        raise InvariantBroken(f"a ramp of {ramp} or an equity of {equity_usd}")
    held = _as_mapping(current)
    book, chosen = target_book(scores, risk, limits, held, equity_usd, size.prices), ChosenSize()
    if size.sizing is not None:
        book, chosen = size.sizing.sized(book)
    k = limits.step_sessions or book.candidates.backing.step_sessions
    symbols, way = way_to(book, risk, held, ramp / k, limits.band(equity_usd))
    taken = step(way, limits)
    return TargetWeights(
        session=session,
        asof=scores.asof,
        symbols=symbols,
        weights=taken.weights,
        decisions=(*book.decisions, *_decisions(taken, way, k, ramp)),
        book=way.target,
        multiplier=chosen.multiplier,
        state=chosen.state,
        whole=chosen.whole,
    )


def way_to(book: TargetBook, risk: RiskModel, held: Mapping[str, float], fraction: float, band: float) -> tuple[tuple[str, ...], Way]:
    """Align the target book and what is held on their union, sorted by symbol."""
    wanted = dict(zip(book.candidates.symbols, book.weights.tolist(), strict=True))
    held_for = book.candidates.backing.step_sessions / risk.horizon_sessions  # mu is of the risk model's horizon, a trade is held for k
    mu = dict(zip(book.candidates.symbols, (book.candidates.mu * held_for).tolist(), strict=True))
    beta = dict(zip(risk.symbols, risk.beta.tolist(), strict=True))
    symbols = tuple(sorted({s for s, w in wanted.items() if w != 0} | {s for s, w in held.items() if w != 0}))
    way = Way(
        current=np.array([held.get(s, 0.0) for s in symbols], dtype=np.float64),
        target=np.array([wanted.get(s, 0.0) for s in symbols], dtype=np.float64),
        mu=np.array([mu.get(s, 0.0) for s in symbols], dtype=np.float64),
        beta=np.array([beta.get(s, UNKNOWN_BETA) for s in symbols], dtype=np.float64),
        fraction=fraction,
        band=band,
    )
    return symbols, way


def _as_mapping(current: TargetWeights | Mapping[str, float]) -> Mapping[str, float]:
    if isinstance(current, TargetWeights):
        return dict(zip(current.symbols, current.weights.tolist(), strict=True))
    return current


def _decisions(taken: Step, way: Way, k: float, ramp: float) -> Decisions:
    weights = taken.weights
    return (
        ("step", f"1/{k:g} of the way" + (f", ramp {ramp:.2f}" if ramp < 1 else "")),
        ("skipped below the band", str(taken.below_band)),
        ("skipped below their cost", str(taken.below_cost)),
        ("slices added for balance", str(taken.rebalanced)),
        ("turnover", f"{taken.turnover:.4f}"),
        ("gross", f"{np.abs(weights).sum():.4f}"),
        ("net", f"{weights.sum():+.4f}"),
        ("beta", f"{way.beta @ weights:+.4f}"),
    )
