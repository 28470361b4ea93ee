"""The expected life of a bundle: predicted ranges of its figures by sessions lived, and the expected mean IC.

A bundle carries it inside its evidence (`expectation`), which is signed with the rest; `trainer.training.expectation` makes it.
Beside it lies what the policy's own book earned on the same scores (`policy_book`, made by `trainer.backtest.policy_book`), by
which a device sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from signals.bundle.manifest import Part
from signals.bundle.seal import Document, parse_json
from signals.bundle.verification import Bundle
from signals.errors import BundleRefused

Fan = tuple[tuple[float, ...], ...]
Read = TypeVar("Read", bound=Document)


class PromisedIc(Document):
    """Mean IC of the proof, and what the sequential test takes as promised: `promised`, of ICs held to +-`bound`."""

    mean: float
    standard_error: float = Field(ge=0)
    promised: float
    bound: float = Field(gt=0)


class Fans(Document):
    """Quantiles, rows by sessions lived: mean IC, turnover and impact so far, and the deepest drawdown.

    Turnover and drawdown are fractions of equity; impact is a fraction of traded value at an equity of 1 USD.
    """

    ic: Fan
    turnover: Fan
    impact: Fan
    drawdown: Fan


class Expectation(Document):
    """The whole promise; see `trainer.training.expectation` for how it is drawn."""

    format: Literal["trademl-expectation/1"] = "trademl-expectation/1"
    sessions: int = Field(ge=1)
    cohorts: int = Field(ge=1, le=60)
    block_sessions: int = Field(ge=1)
    lives: int = Field(ge=1)
    levels: tuple[float, ...] = Field(min_length=3, max_length=99)
    after: tuple[int, ...] = Field(min_length=1, max_length=400)
    ic: PromisedIc
    fans: Fans

    @model_validator(mode="after")
    def _holds_together(self) -> Expectation:
        if list(self.levels) != sorted(set(self.levels)) or list(self.after) != sorted(set(self.after)):
            raise ValueError("levels and sessions increase")
        if self.after[0] < 1 or abs(self.ic.promised) >= self.ic.bound:
            raise ValueError("the promised IC is inside its bound")
        for name, fan in self.fans:
            if len(fan) != len(self.after) or any(len(row) != len(self.levels) for row in fan):
                raise ValueError(f"the fan of {name} has another shape")
        return self

    def band(self, figure: str, sessions: int) -> tuple[float, ...]:
        """Quantiles of a figure after `sessions` sessions, by `levels`.

        Between two stated numbers of sessions it is interpolated in their logarithm; beyond the last it stays.
        """
        fan: Fan = getattr(self.fans, figure)
        place = sum(after <= sessions for after in self.after)
        if place == 0:
            return fan[0]
        if place == len(self.after):
            return fan[-1]
        left, right = math.log(self.after[place - 1]), math.log(self.after[place])
        share = (math.log(sessions) - left) / (right - left)
        return tuple(a + share * (b - a) for a, b in zip(fan[place - 1], fan[place], strict=True))


class PolicyBook(Document):
    """The policy's own book on walk-forward scores, after spread, impact and borrow, before it is sized by evidence.

    Attributes
    ----------
    sessions : int
        From the first trade on; 0 of a book that never traded.
    block_sessions : int
        Of the bootstrap.
    annual_return, annual_volatility : float
        Arithmetic, fractions of equity.
    annual_sharpe, sharpe_low, sharpe_high : float
        With its 95 % interval.
    t : float
        Mean net return over its block-bootstrap standard error; 0 of a book that never traded.
    gross : float
        Mean gross of the book, fraction of equity.
    growth, growth_low, growth_high : float
        Annual log growth at the Kelly fraction of the policy, and at the ends of the Sharpe ratio's interval.
    """

    sessions: int = Field(ge=0)
    block_sessions: int = Field(ge=1)
    annual_return: float
    annual_volatility: float = Field(ge=0)
    annual_sharpe: float
    sharpe_low: float
    sharpe_high: float
    t: float
    gross: float = Field(ge=0)
    growth: float
    growth_low: float
    growth_high: float


def expected_of(bundle: Bundle) -> Expectation | None:
    """Return what the bundle promises; None where its evidence holds no expectation.

    Raises
    ------
    BundleRefused
        It holds one that cannot be read.
    """
    return read_expectation(*_evidence(bundle))


def policy_book_of(bundle: Bundle) -> PolicyBook | None:
    """Return what the bundle says of the policy's own book; None where an older trainer made it; raises likewise."""
    return read_policy_book(*_evidence(bundle))


def read_expectation(evidence: Mapping[str, Any], where: str) -> Expectation | None:
    """Read the expectation out of an evidence document; raises as `expected_of`."""
    return _read(Expectation, evidence.get("expectation"), "expectation", where)


def read_policy_book(evidence: Mapping[str, Any], where: str) -> PolicyBook | None:
    """Read the policy's book out of an evidence document; raises as `expected_of`."""
    return _read(PolicyBook, evidence.get("policy_book"), "policy book", where)


def _evidence(bundle: Bundle) -> tuple[Mapping[str, Any], str]:
    path = bundle.manifest.of(Part.EVIDENCE)[0].path
    evidence = parse_json(bundle.contents.files[path], path)
    return (evidence if isinstance(evidence, Mapping) else {}), path


def _read(kind: type[Read], found: object, what: str, where: str) -> Read | None:
    if found is None:
        return None
    try:
        return kind.model_validate(found, strict=False)
    except ValidationError as error:
        raise BundleRefused(f"the {what} cannot be read: {error.errors()[0]['msg']}", where=where, fix="Train and publish again") from None
