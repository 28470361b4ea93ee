"""Signed documents of candidate option structures, one an evening: computed by the trainer, shown by a device, traded by nobody.

Invariants
----------
1. Nothing in the document is believed before enough trusted keys are known to have signed its stored bytes.
2. The |vega| of a document's structures is within the caps that it names, in every underlier and in all: another is refused.
"""

from collections import defaultdict
from datetime import date, datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from signals.bundle.seal import Document

STRUCTURES_KIND = "application/vnd.trademl.structures+json"
MAX_STRUCTURES, MAX_LEGS, MAX_POINTS = 2_000, 8, 400
ROUNDING = 1e-9


class StructureLeg(Document):
    """One listed option with its touch, USD a share; a negative quantity is sold."""

    expiration: date
    strike: float = Field(gt=0)
    right: Literal["C", "P"]
    quantity: float
    bid: float = Field(ge=0)
    ask: float = Field(ge=0)


class CandidateStructure(Document):
    """One structure; a unit of it is a contract of 100 shares a leg.

    `debit_usd` is paid for a unit at the touch; negative is received. The greeks are of a unit: vega by a vol point, theta by a
    calendar day. `expected_points` is the expected hedged profit in vol points of the bought template, `probability` P(net profit > 0)
    of the side taken. `underlier` is its close, `flags` are of the smiles that priced it, and `payoff` has prices of the underlier at
    the first expiry, ascending, each with the profit of a unit there, USD.
    """

    root: str = Field(min_length=1, max_length=20)
    template: str
    side: Literal["buy", "sell"]
    legs: tuple[StructureLeg, ...] = Field(min_length=1, max_length=MAX_LEGS)
    units: float = Field(gt=0)
    debit_usd: float
    delta_shares: float
    gamma_shares: float
    vega_usd: float
    theta_usd: float
    expected_points: float
    probability: float | None = Field(ge=0, le=1)
    underlier: float = Field(gt=0)
    flags: tuple[str, ...] = ()
    payoff: tuple[tuple[float, float], ...] = Field(max_length=MAX_POINTS)


class EveningStructures(Document):
    """The payload: structures of the close of `asof`, and the caps that they keep, USD a vol point."""

    format: Literal["trademl-structures/2"] = "trademl-structures/2"  # 1 had no pairs in its payoff
    asof: date
    created: datetime
    chains_sha256: str
    keyset_version: int = Field(ge=1)
    name_cap_usd: float = Field(gt=0)
    total_cap_usd: float = Field(gt=0)
    structures: tuple[CandidateStructure, ...] = Field(max_length=MAX_STRUCTURES)

    @model_validator(mode="after")
    def _keeps_its_caps(self) -> Self:
        held: dict[str, float] = defaultdict(float)
        for one in self.structures:
            held[one.root] += abs(one.units * one.vega_usd)
        over = [root for root, vega in held.items() if vega > self.name_cap_usd * (1.0 + ROUNDING)]
        if over or sum(held.values()) > self.total_cap_usd * (1.0 + ROUNDING):
            raise ValueError(f"vega beyond its cap: {', '.join(over) or 'all structures together'}")
        return self


def structures_name(asof: date) -> str:
    """Name of the document in its store."""
    return f"structures/{asof}.json"
