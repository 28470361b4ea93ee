"""Publishes the weights of a stack that has earned them, signed, for devices with `stack: true`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from signals.bundle.manifest import DEFAULT_EXPIRY_SESSIONS
from signals.bundle.seal import sign
from signals.errors import BundleRefused, FixInput
from signals.scoring.stack_weights import PLACE, STACK_KIND, StackWeights, open_stack, seal_stack
from signals.text.documents import kept
from signals.text.wording import reason_of
from trainer.curation.store import ObjectStore
from trainer.publishing.keys import load_keyset, signing_keys
from trainer.runs import looks
from trainer.runs.documents import parsed, read_hashed

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
    document, sha256 = read_hashed(folder / STACK)
    judged = parsed(JudgedStack, document, str(folder / STACK))
    if sha256 not in looks.wrote(data, looks.STACK, (sha256,)):
        raise FixInput(
            "no `trainer stack` with this dataset wrote this verdict",
            where=str(folder / STACK),
            fix="Restore the folder, name the dataset that it was made with as --data, or stack again",
        )
    if not judged.promotable:
        raise FixInput("the stack is not better than its best member", where=str(folder), fix="See its report.md; devices go on as they do")
    if not judged.device_weights:
        fix = "Stack runs of different sleeves by --learner ridge"
        raise FixInput("the stack has no weights for a device", where=str(folder), fix=fix)
    keyset, before = load_keyset(keys), to.get(PLACE)
    try:
        seq = open_stack(before, keyset, created.date(), PLACE).seq + 1 if before is not None else 1
    except BundleRefused as error:
        raise FixInput(f"what is published cannot be believed: {reason_of(error)}", where=PLACE, fix="Find out who wrote it") from None
    payload = StackWeights(
        seq=seq,
        created=created,
        calendar=calendar,
        last_training_session=judged.last,
        expiry_sessions=expiry_sessions,
        weights=dict(judged.device_weights),
        members={member.sleeve: member.config_hash for member in judged.members},
        stack_sha256=sha256,
        keyset_version=keyset.version,
    )
    signatures = sign(STACK_KIND, payload.to_bytes(), signing_keys(keys, keyset, created.date()))
    to.replace(PLACE, seal_stack(payload, signatures), before)
    return payload
