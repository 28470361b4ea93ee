"""Weights by which several sleeves share a book, as a file names them: in the form of now, and in that of `router.yml`."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from signals.config import Config

ROUTER, SLEEVES = "router", "sleeves"
SleeveName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SleeveWeights(Config):
    """Weights of the sleeves in `configs/sleeves.yml`; `router.yml` of the release before is read as well.

    Attributes
    ----------
    weights : mapping of sleeve to float
        Positive, on any scale.
    """

    weights: dict[SleeveName, Weight] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _by_sleeve(cls, given: object) -> object:
        if not isinstance(given, Mapping) or "weights" in given:
            return given
        return {"weights": {name: row.get("weight", 1.0) if isinstance(row, Mapping) else row for name, row in given.items()}}


def from_router(given: object) -> object:
    """Return settings whose section `router` of the release before, if they have one, is the section `sleeves`."""
    if not isinstance(given, Mapping) or ROUTER not in given:
        return given
    if SLEEVES in given:
        raise ValueError(f"both {SLEEVES} and {ROUTER}: {SLEEVES} replaces it")
    former = given[ROUTER] if isinstance(given[ROUTER], Mapping) else {}
    if unknown := sorted(set(former) - {"weights"}):
        raise ValueError(f"{ROUTER} has no {unknown[0]!r}")
    rest = {name: value for name, value in given.items() if name != ROUTER}
    return {**rest, SLEEVES: former["weights"]} if "weights" in former else rest
