"""The target book: the weights that the policy would hold if trading were free.

Order of operations (architecture of the policy, each line one module)
    rank -> inverse normal -> clip +-3, by sleeve                ranking
    the sleeves' expected returns added                          blend
    without names whose single share is above the name cap
    top and bottom N, each side to gross 1/2                     selection
    name cap with redistribution, neutrality, to a fixed point   caps, neutrality
    where configured, a side's gross shared by risk parity       hrp
    times s = min(gross target, c f*, vol target / forecast,     kelly, risk_scaling
                  CVaR budget / expected shortfall)              cvar
              x max(0, 1 - 1/t^2) of the walk-forward book       kelly
each bound of s times the share of the sleeves that is bet       blend
A rehearsal has its declared gross in place of c f* and of the evidence.

Invariants of a `TargetBook`, checked when it is made
1. Gross at most `gross_target`; every |w_i| at most `name_cap`.
2. Long/short: |sum w| <= net_limit, |beta'w| <= beta_limit, sectors likewise. Long-only: no weight is negative.
3. Ex-ante volatility at most the target; expected shortfall at most its budget, where there is one.
s multiplies the whole book and is at most 1, so it loosens none of them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from portfolio.config import BookSides, CvarBudget, PortfolioConfig, Weighting
from portfolio.policy.blend import Backing, Blend, SizedScores, backing_of, combined, z_of
from portfolio.policy.caps import cap_names
from portfolio.policy.neutrality import Exposures, exposures, neutralise
from portfolio.policy.selection import top_and_bottom, top_quantile
from portfolio.risk.cvar import session_cvar
from portfolio.risk.hrp import shared_by_risk
from portfolio.risk.kelly import SizingCoefficient, grinold_mean, kelly_scalar
from portfolio.risk.model import RiskModel, annual_volatility, volatility_scalar
from signals.errors import InvariantBroken, ScoresInvalid
from signals.market.bars import Floats
from signals.scoring.scores import Scores, inverse_normal

SLACK = 1e-9
"""Rounding allowed for when an invariant is checked, as a fraction of equity."""
SIZED_BY, NOT_BY_EVIDENCE = "sized by", "not sized by evidence"

Decisions = tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The names that have both a score and a risk estimate, M of them, in symbol order.

    Attributes
    ----------
    z : float64, shape (M,)
        Clipped inverse-normal rank among the candidates.
    mu : float64, shape (M,)
        Expected residual return over the horizon, by the IC in use, summed over the sleeves; the sign of z in a rehearsal,
        which claims no gain that a cost could exceed.
    held : float64, shape (M,)
        Current weights.
    backing : Backing
        What sizes the book.
    too_dear : mapping of symbol to USD
        Price of those of which a single share is above the name cap: they cannot be held.
    """

    symbols: tuple[str, ...]
    z: Floats
    mu: Floats
    held: Floats
    covariance: Floats
    beta: Floats
    sectors: tuple[str, ...]
    horizon_sessions: int
    backing: Backing
    returns: Floats | None = None
    too_dear: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TargetBook:
    """A feasible book over the candidates, and how it came about."""

    candidates: Candidates
    weights: Floats
    config: PortfolioConfig
    decisions: Decisions

    def __post_init__(self) -> None:
        config, weights, candidates = self.config, self.weights, self.candidates
        bounds = [
            ("gross", float(np.abs(weights).sum()), config.gross_target),
            ("largest name", float(np.abs(weights).max(initial=0.0)), config.name_cap),
            ("volatility", annual_volatility(weights, candidates.covariance, candidates.horizon_sessions), config.volatility_target),
        ]
        if config.cvar is not None:
            bounds.append(("expected shortfall", shortfall(weights, candidates, config.cvar), config.cvar.limit))
        if config.mode is BookSides.LONG_SHORT:
            limited = limits_of(candidates, config)
            figures = np.abs(limited.of(weights)).tolist()
            bounds += list(zip(limited.names, figures, limited.limits.tolist(), strict=True))
        else:
            bounds.append(("short side", float(-weights.min(initial=0.0)), 0.0))
        for name, figure, limit in bounds:
            if not figure <= limit + SLACK:
                raise InvariantBroken(f"the target book's {name} is {figure:.6f}, above {limit:.6f}")


def limits_of(candidates: Candidates, config: PortfolioConfig) -> Exposures:
    """Return the neutrality rows of a long/short book of these candidates."""
    return exposures(candidates.beta, candidates.sectors, config.net_limit, config.beta_limit, config.sector_limit)


def target_book(
    scores: Scores,
    risk: RiskModel,
    config: PortfolioConfig,
    held: Mapping[str, float],
    equity_usd: float,
    prices: Mapping[str, float] | None = None,
) -> TargetBook:
    """Turn scores into the book that the policy wants.

    Parameters
    ----------
    risk : RiskModel
        Of the same `asof`.
    held : mapping of symbol to current weight
        Breaks ties and keeps long-only names above the exit; nothing else of it is read.
    prices : mapping of symbol to USD, optional
        Names of which a single share is worth more than the name cap are replaced by the next; nothing else of it is
        read.

    Raises
    ------
    ScoresInvalid
        All scores are equal, or none belongs to a name with a risk estimate.
    NoFeasibleBook
        Caps and neutrality cannot be met together.
    """
    parts = _parts(scores, risk)
    candidates = candidates_of(scores, risk, config.fixed_ic, held)
    backing = candidates.backing
    sized = _sized(parts, backing, config)
    cap_usd = config.name_cap * equity_usd
    candidates = replace(candidates, too_dear={s: p for s, p in (prices or {}).items() if p > cap_usd})
    counted = (
        ("scored names", str(len(scores.symbols))),
        ("names without a risk estimate", str(len(scores.symbols) - len(candidates.symbols))),
        ("returns limited in the risk model", str(risk.limited_returns)),
        *_forecast(risk),
    )
    most = config.max_names(equity_usd)
    if all(backing.reasons):
        named = len(parts) > 1
        reasons = (f"{part.scores.sleeve}: {why}" if named else why for part, why in zip(parts, backing.reasons, strict=True))
        return _flat(candidates, config, (*sized, *counted), "; ".join(reasons))
    if most < (2 if config.mode is BookSides.LONG_SHORT else 1):
        reason = f"equity of {equity_usd:,.0f} USD is below one position of {config.min_position_usd:,.0f} USD a side"
        return _flat(candidates, config, (*sized, *counted), reason)
    unit, chosen = unit_book(candidates, config, most)
    weights, scaled = scale(unit, candidates, config)
    return TargetBook(candidates, weights, config, (*sized, *counted, *chosen, *scaled))


def _parts(scores: Scores, risk: RiskModel) -> tuple[SizedScores, ...]:
    """The sleeves behind the scores; scores that are no blend are one sleeve's, sized by the risk model's IC."""
    return scores.parts if isinstance(scores, Blend) else (SizedScores(scores, risk.ic, risk.horizon_sessions),)


def _forecast(risk: RiskModel) -> tuple[tuple[str, str], ...]:
    """How many names' risk is a forecast, and by what it scales covariance, residual volatility and the tail's returns."""
    if not risk.forecast_names:
        return ()
    return (
        ("names with a volatility forecast", str(risk.forecast_names)),
        ("forecast volatility over the window's, median", f"{risk.forecast_ratio:.2f}"),
    )


def _sized(parts: tuple[SizedScores, ...], backing: Backing, config: PortfolioConfig) -> Decisions:
    """What sizes the book: the IC in use of each sleeve, shrunk as measured or a rehearsal's fixed one."""
    fixed = None if backing.is_rehearsal or config.fixed_ic is None else config.fixed_ic
    said = () if fixed is None else (("ic used", f"{fixed:.4f} fixed by configuration: a rehearsal, not evidence"),)
    if len(parts) > 1:
        lines = tuple((f"sleeve {part.scores.sleeve}", _sleeve_line(i, parts, backing)) for i, part in enumerate(parts))
        return ((SIZED_BY, sized_by(backing, config)), *lines, *_unallocated(backing), *said)
    ic = parts[0].ic
    return (
        (SIZED_BY, sized_by(backing, config)),
        ("ic", f"{ic.mean:.4f}"),
        ("ic t", f"{ic.t:.2f}"),
        ("ic shrunk", f"{ic.shrunk:.4f}"),
        ("t of the net walk-forward book", _known(ic)),
        *_unallocated(backing),
        *said,
    )


def _unallocated(backing: Backing) -> Decisions:
    is_reported = 0 < backing.allocated < 1 - SLACK  # where nothing is bet, the reason is reported instead
    return (("unallocated weight", f"{1 - backing.allocated:.4f}"),) if is_reported else ()


def _sleeve_line(row: int, parts: tuple[SizedScores, ...], backing: Backing) -> str:
    part, total = parts[row], sum(backing.counted)
    share = f"{backing.counted[row] / total:.2%} of what is expected" if total > 0 else "nothing is expected"
    line = (
        f"weight {part.weight:.4f}, {share}, ic {part.ic.mean:.4f} (t {part.ic.t:.2f}, shrunk {part.ic.shrunk:.4f}), "
        f"k {part.horizon_sessions}, t of its net walk-forward book {_known(part.ic)}"
    )
    return f"{line}: {backing.reasons[row]}" if backing.reasons[row] else line


def _known(ic: SizingCoefficient) -> str:
    return "unknown" if ic.book_t is None else f"{ic.book_t:.2f}"


def sized_by(backing: Backing, config: PortfolioConfig) -> str:
    """Say what sizes the book: its evidence, or a person's declaration."""
    if backing.is_rehearsal:
        gross = min(config.rehearsal_gross, config.gross_target)
        return f"{NOT_BY_EVIDENCE}: a rehearsal at a declared gross of {gross:.4f}"
    if config.fixed_ic is not None:
        return f"{NOT_BY_EVIDENCE}: a rehearsal at a fixed IC of {config.fixed_ic:.4f}"
    return f"evidence: {backing.evidence:.4f} of the book that Kelly and the caps allow"


def candidates_of(scores: Scores, risk: RiskModel, fixed_ic: float | None, held: Mapping[str, float]) -> Candidates:
    """Align scores and risk on the names that both know; z is ranked among those, the sleeves' each by itself."""
    place = {symbol: i for i, symbol in enumerate(risk.symbols)}
    symbols = tuple(symbol for symbol in scores.symbols if symbol in place)
    if not symbols:
        raise ScoresInvalid("no scored name has a risk estimate", where=str(scores.asof), fix="Check scores and bars of this session")
    at = [place[symbol] for symbol in symbols]
    parts = _parts(scores, risk)
    backing, each = backing_of(parts, fixed_ic), z_of(parts, symbols)
    bet = [i for i, why in enumerate(backing.reasons) if not why] or [0]  # of nothing to bet on, any ranking gives a flat book
    says = each[bet[0]] if len(bet) == 1 else combined(each, backing.counted)
    if len(symbols) > 1 and float(np.ptp(np.nan_to_num(says))) == 0.0:
        raise ScoresInvalid(f"all {len(symbols)} scores are equal", where=str(scores.asof), fix="Check the features of this session")
    z = np.nan_to_num(says) if len(bet) == 1 else inverse_normal(says)
    return Candidates(
        symbols=symbols,
        z=z,
        mu=np.sign(z) if backing.is_rehearsal else _expected(parts, backing, each, risk, risk.residual_volatility[at]).sum(axis=0),
        held=np.array([held.get(symbol, 0.0) for symbol in symbols], dtype=np.float64),
        covariance=risk.covariance[np.ix_(at, at)],
        beta=risk.beta[at],
        sectors=tuple(risk.sectors[i] for i in at) if risk.sectors else (),
        horizon_sessions=risk.horizon_sessions,
        backing=backing,
        returns=None if risk.returns is None else risk.returns[:, at],
    )


def _expected(parts: tuple[SizedScores, ...], backing: Backing, each: Floats, risk: RiskModel, residual: Floats) -> Floats:
    """Each sleeve's expected returns over the risk model's h sessions, (S, M): h (w_s IC_s sigma_h sqrt(k_s / h) z_s / k_s)."""
    h = risk.horizon_sessions
    rows = [
        grinold_mean(ic * math.sqrt(h / part.horizon_sessions), residual, np.nan_to_num(z))
        for part, ic, z in zip(parts, backing.weighted, each, strict=True)
    ]
    return np.array(rows)


def said_by_sleeve(scores: Scores, risk: RiskModel, fixed_ic: float | None) -> dict[str, dict[str, float]]:
    """Return what each sleeve says of each candidate, in z: its part of what all say, which sums over the sleeves to that."""
    parts = _parts(scores, risk)
    place = set(risk.symbols)
    symbols = [symbol for symbol in scores.symbols if symbol in place]
    counted = np.array(backing_of(parts, fixed_ic).counted)
    shares = counted / counted.sum() if counted.sum() > 0 else counted
    rows = np.nan_to_num(z_of(parts, symbols)) * shares[:, None]
    return {part.scores.sleeve: dict(zip(symbols, row.tolist(), strict=True)) for part, row in zip(parts, rows, strict=True)}


def shortfall(weights: Floats, candidates: Candidates, budget: CvarBudget) -> float:
    """Expected shortfall of the book over one session, a positive fraction of equity; 0 for an empty book."""
    if candidates.returns is None:
        raise InvariantBroken("a CVaR budget needs the risk model's returns")
    if not np.any(weights):
        return 0.0
    return session_cvar(candidates.returns @ weights, budget.level, budget.method)


def unit_book(candidates: Candidates, config: PortfolioConfig, most: int) -> tuple[Floats, Decisions]:
    """Return the book before its scale: gross at most 1, inside caps and, long/short, neutrality."""
    is_dear = np.array([symbol in candidates.too_dear for symbol in candidates.symbols], dtype=np.bool_)
    raw = _selected(candidates, config, most, ~is_dear)
    replaced = _replaced(candidates, config, most, is_dear)
    if config.mode is BookSides.LONG_ONLY:
        raw = shared_by_risk(raw, candidates.covariance) if config.weighting is Weighting.HRP else raw
        capped = cap_names(raw, config.name_cap)
        return capped, (("names", f"{int((capped > 0).sum())} long"), *replaced)
    raw = shared_by_risk(raw, candidates.covariance) if config.weighting is Weighting.HRP else raw
    weights, passes = neutralise(raw, config.name_cap, limits_of(candidates, config))
    return weights, (
        ("names", f"{int((weights > 0).sum())} long, {int((weights < 0).sum())} short"),
        *replaced,
        ("neutrality passes", str(passes)),
    )


def _selected(candidates: Candidates, config: PortfolioConfig, most: int, is_open: NDArray[np.bool_]) -> Floats:
    """Return the chosen names' raw weights; only names that are open are chosen, ranks are those of all."""
    z, held = candidates.z, candidates.held
    if config.mode is BookSides.LONG_ONLY:
        return top_quantile(z, held, config.entry_quantile, config.exit_quantile, most, is_open)
    return top_and_bottom(np.where(is_open, z, 0.0), held, most // 2)


def _replaced(candidates: Candidates, config: PortfolioConfig, most: int, is_dear: NDArray[np.bool_]) -> Decisions:
    """Name what would have been chosen and is too dear for this account."""
    if not is_dear.any():
        return ()
    wanted = _selected(candidates, config, most, np.ones_like(is_dear))
    named = [
        f"{symbol} ({candidates.too_dear[symbol]:,.2f} USD)"
        for symbol, weight in zip(candidates.symbols, wanted.tolist(), strict=True)
        if weight != 0 and symbol in candidates.too_dear
    ]
    return (("replaced: a single share is above the name cap", ", ".join(named)),) if named else ()


def scale(unit: Floats, candidates: Candidates, config: PortfolioConfig) -> tuple[Floats, Decisions]:
    """Multiply the unit book by s: the least of its bounds, times the share that the evidence supports.

    The share of sleeves without a bet is in the fractional Kelly already, by its mu; it lowers every other bound as much.
    """
    forecast = annual_volatility(unit, candidates.covariance, candidates.horizon_sessions)
    allocated = candidates.backing.allocated
    sizes, share, sizing = _sizes(unit, candidates, config)
    calm = volatility_scalar(forecast, config.volatility_target)
    bounds = {"gross target": config.gross_target * allocated, **sizes, "volatility target": calm * allocated}
    tail: Decisions = ()
    if config.cvar is not None:
        lost = shortfall(unit, candidates, config.cvar)
        bounds["CVaR budget"] = volatility_scalar(lost, config.cvar.limit) * allocated
        tail = ((f"expected shortfall at gross 1 ({config.cvar.method}, {config.cvar.level:g})", f"{lost:.4f}"),)
    binding = min(bounds, key=lambda name: bounds[name])
    scalar = bounds[binding] * share
    weights = unit * scalar
    return weights, (
        *sizing,
        ("forecast volatility at gross 1", f"{forecast:.4f}"),
        *tail,
        ("bounds of the scale", ", ".join(f"{name} {bound:.4f}" for name, bound in bounds.items())),
        ("binds", f"{binding}; {_at_the_cap(unit, config)}"),
        ("scale", f"{scalar:.4f} by {binding}" + (f", times {share:.4f} for its evidence" if share < 1 else "")),
        ("target gross", f"{np.abs(weights).sum():.4f}"),
        ("target net", f"{weights.sum():+.4f}"),
        ("target beta", f"{candidates.beta @ weights:+.4f}"),
    )


def _sizes(unit: Floats, candidates: Candidates, config: PortfolioConfig) -> tuple[dict[str, float], float, Decisions]:
    """The bound by conviction, the share that the evidence leaves of the scale, and what is to be said of them."""
    backing = candidates.backing
    if backing.is_rehearsal:
        return {"rehearsal gross": config.rehearsal_gross * backing.allocated}, 1.0, ()
    full = kelly_scalar(unit, candidates.mu, candidates.covariance)
    used = config.kelly_fraction * full
    sizing = (("kelly f*", f"{full:.3f}"), ("kelly c f*", f"{used:.3f}"))
    return {"fractional Kelly": max(used, 0.0)}, 1.0 if config.fixed_ic is not None else backing.evidence, sizing


def _at_the_cap(unit: Floats, config: PortfolioConfig) -> str:
    """How many names of the unit book the name cap holds back."""
    count = int((np.abs(unit) >= config.name_cap - SLACK).sum())
    return f"the name cap holds {count} name{'s' * (count != 1)}" if count else "the name cap holds no name"


def _flat(candidates: Candidates, config: PortfolioConfig, decisions: Decisions, reason: str) -> TargetBook:
    return TargetBook(candidates, np.zeros(len(candidates.symbols)), config, (*decisions, ("flat", reason)))
