"""Puts what is on a dataset's record in force for devices: signed, one more in its sequence, after what is there was verified."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from signals.bundle.seal import sign
from signals.errors import BundleRefused, FixInput
from signals.scoring.signed import Content, DocumentKind
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
