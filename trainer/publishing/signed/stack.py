"""Publishes the weights of a stack that has earned them, signed, for devices with `stack: true`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from signals.bundle.manifest import DEFAULT_EXPIRY_SESSIONS
from signals.errors import FixInput
from signals.scoring.signed import STACK_DOCUMENT, StackWeights
from signals.text.documents import kept
from trainer.curation.store import ObjectStore
from trainer.publishing.signed.documents import publish_document, recorded
from trainer.runs import looks

STACK, XNYS = "stack.json", "XNYS"


@dataclass(frozen=True)
class StackMember:
    """One member of the stack's document."""

    sleeve: str
    config_hash: str = ""


@dataclass(frozen=True)
class JudgedStack:
    """`stack.json`, as far as its publication needs it."""

    promotable: bool
    last: date
    members: tuple[StackMember, ...]
    device_weights: Mapping[str, float] | None = None
    others: Mapping[str, object] = kept()


def publish_stack(
    folder: Path,
    data: Path,
    keys: Path,
    to: ObjectStore,
    created: datetime,
    *,
    calendar: str = XNYS,
    expiry_sessions: int = DEFAULT_EXPIRY_SESSIONS,
) -> StackWeights:
    """Sign the weights of the stack in `folder`, made with the dataset `data`, and put them in force for devices.

    Raises
    ------
    FixInput
        It is no folder of a stack, its verdict is not the one on the dataset's record, the stack is not promotable or has no
        weights, or the keys cannot sign.
    """
    judged, sha256 = recorded(folder / STACK, JudgedStack, data, looks.STACK)
    if not judged.promotable:
        raise FixInput("the stack is not better than its best member", where=str(folder), fix="See its report.md; devices go on as they do")
    weights = judged.device_weights
    if not weights:
        fix = "Stack runs of different sleeves by --learner ridge"
        raise FixInput("the stack has no weights for a device", where=str(folder), fix=fix)

    def payload(seq: int, keyset_version: int) -> StackWeights:
        return StackWeights(
            seq=seq,
            created=created,
            calendar=calendar,
            last_training_session=judged.last,
            expiry_sessions=expiry_sessions,
            weights=dict(weights),
            members={member.sleeve: member.config_hash for member in judged.members},
            stack_sha256=sha256,
            keyset_version=keyset_version,
        )

    return publish_document(STACK_DOCUMENT, payload, keys, to, created)
