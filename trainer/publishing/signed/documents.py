"""Puts what is on a dataset's record in force for devices: signed, one more in its sequence, after what is there was verified.

The weights of a stack that has earned them are such a document, for devices with `stack: true`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TypeVar

from signals.bundle.manifest import DEFAULT_EXPIRY_SESSIONS
from signals.bundle.seal import sign
from signals.errors import BundleRefused, FixInput
from signals.scoring.signed import STACK_DOCUMENT, Content, DocumentKind, StackWeights
from signals.text.documents import kept
from signals.text.wording import reason_of
from trainer.curation.store import ObjectStore
from trainer.publishing.keys import load_keyset, signing_keys
from trainer.runs import looks
from trainer.runs.run_folder import parsed, read_hashed

Judged = TypeVar("Judged")


def recorded(path: Path, kind: type[Judged], data: Path, command: str) -> tuple[Judged, str]:
    """Return a judged document and its SHA-256.

    Raises
    ------
    FixInput
        There is none of this shape, or it is not one that `command` wrote on the record of the dataset `data`.
    """
    document, sha256 = read_hashed(path)
    judged = parsed(kind, document, str(path))
    if sha256 not in looks.wrote(data, command):
        raise FixInput(
            f"no `trainer {command}` with this dataset wrote this verdict",
            where=str(path),
            fix="Restore the folder, name the dataset that it was made with as --data, or make it again",
        )
    return judged, sha256


def publish_document(
    kind: DocumentKind[Content], payload_of: Callable[[int, int], Content], keys: Path, to: ObjectStore, created: datetime
) -> Content:
    """Sign and publish what `payload_of` makes of the sequence and the key set's version.

    Raises
    ------
    FixInput
        What is published cannot be believed, or the keys cannot sign.
    """
    keyset, before = load_keyset(keys), to.get(kind.place)
    try:
        seq = kind.open(before, keyset, created.date(), kind.place).seq + 1 if before is not None else 1
    except BundleRefused as error:
        raise FixInput(f"what is published cannot be believed: {reason_of(error)}", where=kind.place, fix="Find out who wrote it") from None
    payload = payload_of(seq, keyset.version)
    signatures = sign(kind.media_type, payload.to_bytes(), signing_keys(keys, keyset, created.date()))
    to.replace(kind.place, kind.seal(payload, signatures), before)
    return payload


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
