"""The quotes of one underlying's options at one close."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Days, Floats

DAYS_A_YEAR = 365.0
ARRAYS = ("expiration", "strike", "is_call", "bid", "ask", "volume", "open_interest")


@dataclass(frozen=True, eq=False)
class OptionChain:
    """One underlying and day; rows in the order of expiration, strike, put before call.

    Attributes
    ----------
    root : str
        As listed: SPXW.
    spot : float
        Close of the underlying, restated for splits to the strikes' own units; NaN where it is not known.
    expiration : datetime64[D], shape (n,)
    strike, bid, ask : float64, shape (n,), price
        NaN where there is no quote; a bid of 0 is no bid.
    volume, open_interest : float64, shape (n,), contracts
        NaN where unknown.
    is_call : bool, shape (n,)
    restated : float
        By what the delivered close was multiplied; 1 where it was not.
    known_at : date, optional
        Day on which the last of the rows was known; None where nobody says.
    """

    root: str
    day: date
    spot: float
    expiration: Days
    strike: Floats
    is_call: NDArray[np.bool_]
    bid: Floats
    ask: Floats
    volume: Floats
    open_interest: Floats
    restated: float = 1.0
    known_at: date | None = None

    def __len__(self) -> int:
        return len(self.strike)

    @property
    def mid(self) -> Floats:
        """Middle of bid and ask, float64 (n,); NaN where either is missing."""
        return 0.5 * (self.bid + self.ask)

    @property
    def is_late(self) -> bool:
        """Whether a row became known only after its own evening: nothing could have been decided by it then."""
        return self.known_at is not None and self.known_at > self.day

    @property
    def expirations(self) -> Days:
        """Distinct expirations after the day itself."""
        found = np.unique(self.expiration)
        return found[found > np.datetime64(self.day, "D")]

    def where(self, chosen: NDArray[np.bool_]) -> OptionChain:
        """Return the rows that are `chosen`."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in ARRAYS})

    def of(self, expiration: np.datetime64) -> OptionChain:
        """Return the rows of one expiration."""
        return self.where(self.expiration == expiration)

    def years(self, expiration: np.datetime64) -> float:
        """Calendar time to an expiration, in years of 365 days."""
        return float((expiration - np.datetime64(self.day, "D")) / np.timedelta64(1, "D")) / DAYS_A_YEAR

    def slices(self) -> Iterator[tuple[np.datetime64, OptionChain]]:
        """Yield every later expiration with its rows."""
        for expiration in self.expirations:
            yield expiration, self.of(expiration)
