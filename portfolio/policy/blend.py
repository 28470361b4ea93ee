r"""Several sleeves' scores as one book's: the expected return of each name is the sum of what each sleeve expects.

    mu_i = sum_s  w_s IC_s sigma_i,k z_is / k_s          per session; sigma_i,k over the k_s sessions of the sleeve
    k    = sum_s m_s k_s / sum_s m_s                     sessions of a step; m_s = w_s IC_s / sqrt(k_s), a sleeve's part of mu

w is the share of the configured weights, those of sleeves without scores included: what a missing sleeve would have held
stays unallocated, the book is never levered up to fill it. IC is the shrunk one, z the clipped inverse-normal rank among
the names that the sleeve scored. A name that a sleeve did not score is one of which it expects nothing.

Entry points: `blended` (scores and what sizes them become a `Blend`), `on` (the scores of some names), `combined` (the one
formula that weighs scores: the device's, the backtest's and the stack's).

Invariants
----------
1. One sleeve that holds all of the weight is itself: its scores, its IC and its k, to the bit.
2. The shares of the sleeves with scores sum to at most 1; more than half of the weight missing is refused.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from portfolio.risk.kelly import SizingCoefficient
from signals.errors import DataNotUsable, InvariantBroken
from signals.files import sha256_of
from signals.market.bars import Floats
from signals.scoring.scores import Scores, inverse_normal

MOST_MISSING = 0.5
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class SizedScores:
    """One sleeve's scores of a session, and what sizes them.

    Attributes
    ----------
    horizon_sessions : int
        k of the sleeve's label.
    weight : float
        As configured, on any scale; positive.
    """

    scores: Scores
    ic: SizingCoefficient
    horizon_sessions: int
    weight: float = 1.0


@dataclass(frozen=True)
class Backing:
    """Sizing of a book of several sleeves.

    Attributes
    ----------
    weighted : tuple of float
        w_s IC_s of each sleeve; 0 where nothing may be bet on it.
    counted : tuple of float
        m_s = w_s IC_s / sqrt(k_s): its expected return for z = 1, in residual deviations of a session.
    reasons : tuple of str
        Why nothing may be bet; empty where something may.
    allocated : float
        Share of the configured weight that is bet.
    evidence : float
        Share of the Kelly book that the evidence supports: the sleeves', each counted by its m.
    step_sessions : float
        k of the book.
    is_rehearsal : bool
        Whether every sleeve is one.
    shrunk_ic : float
        sum_s w_s IC_s of all sleeves as measured, whether or not anything is bet on it.
    """

    weighted: tuple[float, ...]
    counted: tuple[float, ...]
    reasons: tuple[str, ...]
    allocated: float
    evidence: float
    step_sessions: float
    is_rehearsal: bool
    shrunk_ic: float


@dataclass(frozen=True, eq=False)
class Blend(Scores):
    """The scores of a book: `values` are one sleeve's own, or what several say together, and rank its names.

    Attributes
    ----------
    parts : tuple of SizedScores
        Sleeves with scores; their weights are shares of what is configured.
    fixed_ic : float or None
        Rehearsals: stands in for every sleeve's.
    """

    parts: tuple[SizedScores, ...] = ()
    fixed_ic: float | None = None

    @property
    def allocated(self) -> float:
        """Share of the configured weight whose sleeves have scores; 1 when none is missing."""
        return math.fsum(part.weight for part in self.parts)


def blended(parts: Sequence[SizedScores], missing: Mapping[str, float] | None = None, fixed_ic: float | None = None) -> Blend:
    """Return the scores of a book from those of its sleeves.

    Parameters
    ----------
    parts : sequence of SizedScores
        Of one session, in the configured order.
    missing : mapping of sleeve to weight, optional
        Configured sleeves without scores.
    fixed_ic : float, optional
        Of the portfolio's settings.

    Raises
    ------
    DataNotUsable
        No sleeve has scores, or more than half of the weight is missing.
    InvariantBroken
        Sessions differ, or the weights are not weights.
    """
    absent = dict(missing or {})
    weights = [*(part.weight for part in parts), *absent.values()]
    if not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise InvariantBroken("a sleeve's weight is finite and positive", where=str(weights))
    if len({part.scores.asof for part in parts}) > 1:
        raise InvariantBroken("a blend is of one session", where=", ".join(f"{p.scores.sleeve} {p.scores.asof}" for p in parts))
    total, lost = math.fsum(weights), math.fsum(absent.values())
    if not parts or is_too_much(lost, total):
        share = f"{lost / total:.0%} of the weight" if parts else "the whole weight"
        raise DataNotUsable(
            f"{share} has no scores: {', '.join(absent) or 'no sleeve is configured'}",
            fix="See why in `appliance alerts`; the next session tries again by itself",
        )
    return _composed(tuple(replace(part, weight=part.weight / total) for part in parts), fixed_ic)


def is_too_much(lost: float, total: float) -> bool:
    """Whether a session is refused where `lost` of the `total` weight of its sleeves has no scores."""
    return lost > MOST_MISSING * total * (1 + ROUNDING)


def on(scores: Scores, names: Collection[str], renamed: Mapping[str, str] | None = None) -> Scores:
    """Return the scores of `names` alone, of every sleeve in them, under new names where there are."""
    if isinstance(scores, Blend):
        parts = tuple(replace(part, scores=on(part.scores, names, renamed)) for part in scores.parts)
        return _composed(parts, scores.fixed_ic)
    known = renamed or {}
    pairs = sorted((known.get(symbol, symbol), i) for i, symbol in enumerate(scores.symbols) if symbol in names)
    return replace(scores, symbols=tuple(name for name, _ in pairs), values=scores.values[[i for _, i in pairs]])


def combined(z: Floats, coefficients: Sequence[float] | Floats) -> Floats:
    """Return what several sets of standardised scores say together: sum_s c_s z_s.

    Parameters
    ----------
    z : float64, shape (S, ...)
        NaN where a set says nothing about a name: that counts as its mean, 0.
    coefficients : length S

    Returns
    -------
    float64, shape (...)
        NaN where no set says anything.
    """
    total: Floats = np.einsum("s,s...->...", np.asarray(coefficients, dtype=np.float64), np.nan_to_num(z))
    return np.where(np.isfinite(z).any(axis=0), total, np.nan)


def z_of(parts: Sequence[SizedScores], symbols: Sequence[str]) -> Floats:
    """Return each sleeve's clipped inverse-normal ranks among `symbols`, shape (S, N); NaN for a name it did not score."""
    place = {symbol: column for column, symbol in enumerate(symbols)}
    z = np.full((len(parts), len(place)), np.nan)
    for row, part in enumerate(parts):
        known = [i for i, symbol in enumerate(part.scores.symbols) if symbol in place]
        z[row, [place[part.scores.symbols[i]] for i in known]] = inverse_normal(part.scores.values[known])
    return z


def backing_of(parts: Sequence[SizedScores], fixed_ic: float | None) -> Backing:
    """Return what each sleeve's weight is worth: its share times the shrunk IC, or times a fixed one.

    Where every sleeve is a rehearsal, none claims an IC and the weights decide. Next to a sleeve that is sized by evidence a
    rehearsal supports no bet, as does a sleeve without evidence: their shares stay unallocated.
    """
    is_rehearsal = all(part.ic.is_rehearsal for part in parts)
    reasons = tuple(_unsupported(part.ic, fixed_ic, is_rehearsal=is_rehearsal) for part in parts)
    worth = [1.0 if is_rehearsal else part.ic.shrunk if fixed_ic is None else fixed_ic for part in parts]
    weighted = tuple(0.0 if why else part.weight * ic for why, part, ic in zip(reasons, parts, worth, strict=True))
    counted = tuple(ic / math.sqrt(part.horizon_sessions) for ic, part in zip(weighted, parts, strict=True))
    total = math.fsum(counted)
    evidence, step = parts[0].ic.evidence, float(parts[0].horizon_sessions)
    if len(parts) > 1 and total > 0:
        evidence = math.fsum(m * part.ic.evidence for m, part in zip(counted, parts, strict=True)) / total
    if len({part.horizon_sessions for part in parts}) > 1 and total > 0:
        step = math.fsum(m * part.horizon_sessions for m, part in zip(counted, parts, strict=True)) / total
    allocated = math.fsum(part.weight for part, why in zip(parts, reasons, strict=True) if not why)
    measured = math.fsum(part.weight * part.ic.shrunk for part in parts)
    return Backing(weighted, counted, reasons, allocated, evidence, step, is_rehearsal, measured)


def _unsupported(known: SizingCoefficient, fixed_ic: float | None, *, is_rehearsal: bool) -> str:
    """Why nothing may be bet on a sleeve; empty where something may."""
    if is_rehearsal:
        return ""
    if known.is_rehearsal:
        return "a rehearsal next to sleeves that are sized by evidence: no bet"
    ic = known.shrunk if fixed_ic is None else fixed_ic
    if ic <= 0:
        return f"an IC of {ic:.4f} supports no bet"
    if fixed_ic is not None or known.evidence > 0:
        return ""
    if known.book_t is None:
        return "the bundle does not say what its book earned walking forward: train and publish it again"
    return f"the net walk-forward book's t of {known.book_t:.2f} is not above 1, which noise reaches too: no bet"


def _composed(parts: tuple[SizedScores, ...], fixed_ic: float | None) -> Blend:
    first = parts[0].scores
    if len(parts) == 1:
        return Blend(first.asof, first.sleeve, first.symbols, first.values, first.source, parts=parts, fixed_ic=fixed_ic)
    symbols = tuple(sorted({symbol for part in parts for symbol in part.scores.symbols}))
    values = combined(z_of(parts, symbols), backing_of(parts, fixed_ic).counted)
    identity = "\n".join(f"{part.scores.sleeve}|{part.scores.source}|{part.weight!r}" for part in parts)
    return Blend(first.asof, "blend", symbols, values, sha256_of(identity.encode()), parts=parts, fixed_ic=fixed_ic)
