"""JSON documents of run folders and registries: read strictly, written canonically."""

import json
from pathlib import Path
from typing import TypeVar

from signals.errors import FixInput
from signals.files import sha256_of
from signals.text import strict_json
from signals.text.documents import BadDocument, from_json, to_json
from signals.text.strict_json import JsonObject
from signals.text.wording import reason_of

T = TypeVar("T")


def canonical_json(document: object) -> bytes:
    """Sorted keys, two spaces, one final newline; a figure that does not exist is null, never NaN."""
    return json.dumps(to_json(document), indent=2, sort_keys=True, allow_nan=False).encode() + b"\n"


def read_object(path: Path) -> JsonObject:
    """Read a JSON object of any shape; raise `FixInput` when there is none."""
    return read_hashed(path)[0]


def read_hashed(path: Path) -> tuple[JsonObject, str]:
    """Read a JSON object and the SHA-256 of its very bytes; raises as `read_object`."""
    try:
        raw = path.read_bytes()
        content = strict_json.loads(raw, decimals=float)
    except OSError as error:
        raise FixInput(
            f"{path.name} cannot be read: {reason_of(error)}", where=str(path.parent), fix="Name a run folder made by `trainer train`"
        ) from None
    except ValueError:
        raise FixInput("not a JSON document", where=str(path), fix="Restore it, or train again") from None
    if not isinstance(content, dict):
        raise FixInput("not a mapping", where=str(path), fix="Restore it, or train again")
    return content, sha256_of(raw)


def read_document(path: Path, kind: type[T]) -> T:
    """Read a JSON object as `kind`; raise `FixInput` when there is none, or where it has another shape."""
    return parsed(kind, read_object(path), str(path))


def parsed(kind: type[T], document: object, where: str) -> T:
    """Return what a stored JSON value holds; raise `FixInput` where it has another shape than `kind`."""
    try:
        return from_json(kind, document)
    except BadDocument as error:
        raise FixInput(str(error), where=where, fix="Restore it, or train again") from None
