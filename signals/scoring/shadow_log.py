"""The JSON document in which a device exports the recorded scores of a shadow bundle.

Entry points: `ShadowLog` (the device fills it), `read_shadow_log` (the trainer reads it).

The document carries each bundle's manifest as it is stored: its SHA-256 is the source that the scores were recorded
under, so that scores cannot be handed to another model.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from signals.bundle.manifest import HEX_64, BundleManifest
from signals.bundle.reading import read_bundle_manifest
from signals.bundle.seal import Document
from signals.errors import BundleRefused, FixInput
from signals.files import sha256_of


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
