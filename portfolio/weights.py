"""Target weights of one session, with the policy decisions that produced them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from signals.errors import InvariantBroken
from signals.market.bars import Floats


@dataclass(frozen=True, eq=False)
class TargetWeights:
    """Target fraction of equity per symbol at the open of `session`.

    Attributes
    ----------
    session : date
        D, the trade session.
    asof : date
        The session before it, whose close priced everything.
    symbols : tuple of str, length N, sorted
        Every name that is targeted or held; a held name without a target has weight 0.
    weights : float64, shape (N,), signed fraction of equity
        After this session's step.
    decisions : tuple of (str, str)
        Ordered (what, outcome) pairs for the report: "kelly scalar" -> "0.41", "flat" -> "IC 0.003 shrinks to 0".
    book : float64, shape (N,), signed fraction of equity, or None
        The target book that the steps lead to; None where the weights are that book.
    multiplier : float
        Of the target book, by a sizing policy; 1 without one.
    state : float64 or None
        What the policy read; None without one, or where the book is in no state.
    whole : mapping of symbol to float, or None
        The target book before its multiplier, for the states of later sessions; None without a policy.
    """

    session: date
    asof: date
    symbols: tuple[str, ...]
    weights: Floats
    decisions: tuple[tuple[str, str], ...] = field(default=())
    book: Floats | None = None
    multiplier: float = 1.0
    state: Floats | None = None
    whole: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        for weights in (self.weights, self.aim):
            if weights.shape != (len(self.symbols),):
                raise InvariantBroken(f"{len(self.symbols)} symbols but weights of shape {weights.shape}")
            if not bool(np.all(np.isfinite(weights))):
                raise InvariantBroken("a weight is not finite")
            weights.setflags(write=False)
        if list(self.symbols) != sorted(set(self.symbols)):
            raise InvariantBroken("symbols must be sorted and distinct")
        if self.asof >= self.session:
            raise InvariantBroken("asof precedes the trade session", where=f"{self.asof} {self.session}")

    @property
    def aim(self) -> Floats:
        """The target book that the steps lead to, float64, shape (N,)."""
        return self.weights if self.book is None else self.book

    @property
    def gross(self) -> float:
        """Sum of absolute weights."""
        return float(np.abs(self.weights).sum())

    @property
    def net(self) -> float:
        """Sum of signed weights."""
        return float(self.weights.sum())
