"""The signed weights of a stack, by which a device counts its sleeves in place of those in its settings."""

from typing import Literal

from pydantic import Field

from signals.bundle.manifest import HEX_64
from signals.scoring.signed.documents import DocumentKind, ExpiringDocument
from signals.scoring.sleeve_weights import SleeveName, Weight

STACK_KIND = "application/vnd.trademl.stack+json"
PLACE = "stack/latest.json"


class StackWeights(ExpiringDocument):
    """The payload.

    Attributes
    ----------
    weights : mapping of sleeve to float
        As a device counts sleeves: each is multiplied by the shrunk IC that its bundle states.
    members : mapping of sleeve to str
        Hash of the training configuration that the stack learned from.
    stack_sha256 : str
        Of the stack's own document, with its verdict.
    """

    format: Literal["trademl-stack-weights/1"] = "trademl-stack-weights/1"
    weights: dict[SleeveName, Weight] = Field(min_length=1, max_length=64)
    members: dict[SleeveName, str] = Field(max_length=64)
    stack_sha256: str = Field(pattern=HEX_64)


STACK_DOCUMENT = DocumentKind(STACK_KIND, PLACE, StackWeights, "stack", "Stack again and publish it", "weights.json")
