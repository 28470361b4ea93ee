"""The signed sizing policy, by which a device multiplies its target book; `portfolio.policy.sizing` says what it means."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from signals.scoring.signed.documents import DocumentKind, ExpiringDocument

Number = Annotated[float, Field(ge=-1e6, le=1e6)]
Row = tuple[Number, ...]


class SizingDocument(ExpiringDocument):
    """The payload.

    Attributes
    ----------
    grid : tuple of float
        Multipliers that the policy may choose: in [0, 1], ascending.
    names, centre, scale : tuple
        One a number of the state.
    coefficients : tuple
        By level before, level after, and [1, *state].
    gain, bound, margin, sessions : float, int
        Of the replay that it was accepted by, of equity a year; a bound that is not above the margin is no policy.
    verdict_sha256 : str
        Of the policy's own document, with its verdicts.
    """

    format: Literal["trademl-sizing/1"] = "trademl-sizing/1"
    grid: Row = Field(min_length=2, max_length=16)
    names: tuple[str, ...] = Field(min_length=1, max_length=64)
    centre: Row
    scale: tuple[Annotated[float, Field(gt=0, le=1e6)], ...]
    coefficients: tuple[tuple[Row, ...], ...]
    gain: float
    bound: float
    margin: float = Field(ge=0)
    sessions: int = Field(ge=1)
    verdict_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        levels, width = len(self.grid), len(self.names)
        if list(self.grid) != sorted(set(self.grid)) or self.grid[0] < 0.0 or self.grid[-1] > 1.0:
            raise ValueError("the grid is not ascending inside [0, 1]")
        if len(self.centre) != width or len(self.scale) != width:
            raise ValueError("centre and scale are not one number a number of the state")
        if len(self.coefficients) != levels or any(len(after) != levels for after in self.coefficients):
            raise ValueError("the coefficients are not by level before and after")
        if any(len(row) != width + 1 for after in self.coefficients for row in after):
            raise ValueError("a row of coefficients has another length than the state")
        if not self.bound > self.margin:
            raise ValueError(f"the policy was not accepted: its bound {self.bound} is not above {self.margin}")
        return self


SIZING_DOCUMENT = DocumentKind(
    "application/vnd.trademl.sizing+json",
    "sizing/latest.json",
    SizingDocument,
    "sizing policy",
    "Learn the policy again and publish it",
    "policy.json",
)
