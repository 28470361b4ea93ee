"""The expected life of a bundle: predicted ranges of its figures by sessions lived, and the expected mean IC.

A bundle carries it inside its evidence (`expectation`), which is signed with the rest; `trainer.tasks.rank_return`
makes it. Beside it lies what the policy's own book earned on the same scores (`policy_book`, made by
`trainer.backtest.policy_book`), by which a device sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, TypeVar

from pydantic import Field, model_validator

from signals.bundle.manifest import Part
from signals.bundle.seal import Document, parse_json
from signals.bundle.verification import Bundle
from signals.errors import BundleRefused
from signals.scoring.evidence import PolicyBook
from signals.text.documents import BadDocument, from_json

Fan = tuple[tuple[float, ...], ...]
Read = TypeVar("Read")


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
    """The whole promise; see `trainer.tasks.rank_return` for how it is drawn."""

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


def read_expectation(evidence: Mapping[str, object], where: str) -> Expectation | None:
    """Read the expectation out of an evidence document; raises as `expected_of`."""
    return _read(Expectation, evidence, "expectation", where)


def read_policy_book(evidence: Mapping[str, object], where: str) -> PolicyBook | None:
    """Read the policy's book out of an evidence document; raises as `expected_of`."""
    return _read(PolicyBook, evidence, "policy_book", where)


def _evidence(bundle: Bundle) -> tuple[Mapping[str, object], str]:
    path = bundle.manifest.of(Part.EVIDENCE)[0].path
    evidence = parse_json(bundle.contents.files[path], path)
    return (evidence if isinstance(evidence, Mapping) else {}), path


def _read(kind: type[Read], evidence: Mapping[str, object], name: str, where: str) -> Read | None:
    if evidence.get(name) is None:
        return None
    try:
        return from_json(kind, evidence[name])
    except BadDocument as error:
        what = name.replace("_", " ")
        raise BundleRefused(f"the {what} cannot be read: {error}", where=where, fix="Train and publish again") from None
