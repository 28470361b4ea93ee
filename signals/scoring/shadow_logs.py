"""The JSON documents in which a device exports its shadows: a bundle's recorded scores, arms of events, multipliers of the book.

Entry points: `ShadowLog`, `ArmLog` and `SizeLog` (the device fills them), `read_shadow_log`, `read_arm_log` and `read_size_log`
(the trainer reads them); `drawn_level` (both hosts draw by it).

The document of scores carries each bundle's manifest as it is stored: its SHA-256 is the source that the scores were recorded
under, so that scores cannot be handed to another model.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import Field, ValidationError, model_validator

from signals.bundle.contents import read_bundle_manifest
from signals.bundle.manifest import HEX_64, BundleManifest
from signals.bundle.seal import Document
from signals.errors import BundleRefused, FixInput
from signals.events.arms import ARMS, draw, drawn, uniform
from signals.events.panel import Kind, LiquidityThird
from signals.files import sha256_of

FIX = "Export it again by `appliance arms --to FILE` or `appliance sizes --to FILE`"
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Log = TypeVar("Log", bound=Document)
KINDS, THIRDS = (tuple(member.name.lower().replace("_", "-") for member in words) for words in (Kind, LiquidityThird))


class ArmDecision(Document):
    """One event, the arm that it drew, and the R that the arm's trade made before costs; an open trade has no exit."""

    asof: date
    symbol: str = Field(min_length=1, max_length=32)
    kind: str
    third: str
    arm: int = Field(ge=0, lt=len(ARMS))
    propensity: float = Field(gt=0.0, le=1.0)
    seed: str = Field(min_length=1, max_length=64)
    exit: str | None
    realised_r: float | None = Field(allow_inf_nan=False)

    @property
    def cell(self) -> int:
        """Number of its kind and third of liquidity, which is what a model of its worth reads."""
        return KINDS.index(self.kind) * len(THIRDS) + THIRDS.index(self.third)

    @model_validator(mode="after")
    def _was_drawn(self) -> ArmDecision:
        if self.kind not in KINDS or self.third not in THIRDS:
            raise ValueError(f"{self.kind} or {self.third} is no word of an event")
        if (self.arm, self.propensity) != drawn(self.seed, self.asof, self.symbol):
            raise ValueError(f"{self.symbol} of {self.asof} did not draw arm {self.arm} with its seed")
        if self.exit is None and self.realised_r is not None:
            raise ValueError(f"{self.symbol} of {self.asof} has a result and no exit")
        return self


class ArmLog(Document):
    """Every draw of a device, oldest first; `arms` are (target, size), as the numbers mean them."""

    format: Literal["trademl-arms-1"] = "trademl-arms-1"
    venue: str
    is_rehearsal: bool
    arms: tuple[tuple[float, float], ...]
    decisions: tuple[ArmDecision, ...]

    @model_validator(mode="after")
    def _is_of_these_arms(self) -> ArmLog:
        if self.arms != tuple((arm.target, arm.size) for arm in ARMS):
            raise ValueError("the arms are others than this version's")
        if len({(one.asof, one.symbol) for one in self.decisions}) != len(self.decisions):
            raise ValueError("an event is there twice")
        return self


def drawn_level(seed: str, asof: date, levels: int) -> tuple[int, float]:
    """Return the level of a plan and its propensity; all levels are as likely, which makes the fewest sessions suffice."""
    return draw(np.full(levels, 1.0 / levels), uniform(seed, asof, "size"))


class SizeDecision(Document):
    """One plan's draw.

    Attributes
    ----------
    asof, session : date
        Of the state, and of the plan.
    before, multiplier : float
        The draw of the plan of the session before, 1 where that drew none, and this one.
    state : tuple of float
        Of the whole book.
    book : mapping of symbol to float
        Signed weights of the whole book after the plan's step, under the names of `session`.
    """

    asof: date
    session: date
    before: Share
    multiplier: Share
    propensity: float = Field(gt=0.0, le=1.0)
    seed: str = Field(min_length=1, max_length=64)
    state: tuple[float, ...] = Field(min_length=1, max_length=64)
    book: dict[str, float]


class SizeLog(Document):
    """Every draw of a device, oldest first; `names` are those of the state's numbers, `grid` the multipliers."""

    format: Literal["trademl-sizes-1"] = "trademl-sizes-1"
    venue: str
    is_rehearsal: bool
    grid: tuple[Share, ...] = Field(min_length=2, max_length=16)
    names: tuple[str, ...]
    decisions: tuple[SizeDecision, ...]

    @model_validator(mode="after")
    def _was_drawn(self) -> SizeLog:
        for one in self.decisions:
            level, propensity = drawn_level(one.seed, one.asof, len(self.grid))
            if (one.multiplier, one.propensity) != (self.grid[level], propensity):
                raise ValueError(f"the plan of {one.session} did not draw {one.multiplier} with its seed")
            if one.before not in self.grid or len(one.state) != len(self.names):
                raise ValueError(f"the plan of {one.session} has another grid or state")
        if len({one.asof for one in self.decisions}) != len(self.decisions):
            raise ValueError("a session is there twice")
        return self


def read_arm_log(content: bytes, *, where: str) -> ArmLog:
    """Parse an exported log of arms; raise `FixInput` where it is not one, or a draw in it is not what its seed gives."""
    return _parsed(ArmLog, "arms", content, where)


def read_size_log(content: bytes, *, where: str) -> SizeLog:
    """Parse an exported log of multipliers; raise as `read_arm_log`."""
    return _parsed(SizeLog, "sizes", content, where)


def _parsed(kind: type[Log], what: str, content: bytes, where: str) -> Log:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FixInput(f"not a log of {what}: {place or 'content'}: {first['msg']}", where=where, fix=FIX) from None


class ShadowEvening(Document):
    """The scores of one session.

    Attributes
    ----------
    source : str
        SHA-256 of the manifest of the bundle that scored.
    recorded_at : datetime or None
        When the scoring job ended; None where it never did.
    scores : mapping of symbol, as it traded on asof, to score
    """

    asof: date
    source: str = Field(pattern=HEX_64)
    recorded_at: datetime | None
    scores: dict[str, float]


class ShadowLog(Document):
    """Everything that a device recorded next to the bundle in force.

    Attributes
    ----------
    venue : str
        Where that device trades.
    is_rehearsal : bool
        Whether its time was that of an exchange that it hosted itself, as in a replay: such evenings can be gone
        through after the fact.
    first_session, last_session : date
        Trade sessions for which its scoring job began.
    manifests : mapping of SHA-256 to text
        Of every bundle that is still on the device.
    evenings : tuple of ShadowEvening
        Oldest first.
    faults : mapping of trade session to sentence
        Why there are no scores for it.
    """

    format: Literal["trademl-shadow-1"] = "trademl-shadow-1"
    venue: str
    is_rehearsal: bool
    first_session: date
    last_session: date
    manifests: dict[str, str]
    evenings: tuple[ShadowEvening, ...]
    faults: dict[date, str]

    @model_validator(mode="after")
    def _names_its_bundles(self) -> ShadowLog:
        for digest, text in self.manifests.items():
            if sha256_of(text.encode()) != digest:
                raise ValueError(f"the manifest named {digest[:12]} is another one")
        return self

    def bundles(self) -> dict[str, BundleManifest]:
        """Each source's manifest."""
        return {digest: read_bundle_manifest(text.encode(), "its manifests") for digest, text in self.manifests.items()}


def read_shadow_log(content: bytes, *, where: str) -> ShadowLog:
    """Parse an exported log.

    Raises
    ------
    FixInput
        It is not one, or was changed since.
    """
    try:
        log = ShadowLog.model_validate_json(content)
        log.bundles()
    except BundleRefused as error:
        raise FixInput(f"not a shadow log: {error.what}", where=where, fix="Export it again by `appliance shadow --to FILE`") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FixInput(
            f"not a shadow log: {place or 'content'}: {first['msg']}", where=where, fix="Export it again by `appliance shadow --to FILE`"
        ) from None
    return log
