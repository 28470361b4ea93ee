"""Exact JSON encoding of frozen values for the state file."""

import json
from collections.abc import Callable
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def encode(value: object) -> str:
    """Return the JSON text of a dataclass of plain fields."""
    row = {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]
    return json.dumps(row, default=_plain, separators=(",", ":"))


def decode(text: str, model: type[T]) -> T:
    """Read back what `encode` wrote; a field that an earlier release did not write has its default."""
    row = json.loads(text)
    return model(**{name: None if row[name] is None else read(row[name]) for name, read in _readers(model).items() if name in row})  # type: ignore[arg-type]


def _plain(value: object) -> str:
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


@cache
def _readers(model: type) -> dict[str, Callable[[Any], Any]]:
    return {name: _reader(hint) for name, hint in get_type_hints(model).items()}


def _reader(hint: Any) -> Callable[[Any], Any]:
    if isinstance(hint, UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is not None:
        return lambda value: value
    if issubclass(hint, datetime):
        return datetime.fromisoformat
    if issubclass(hint, date):
        return date.fromisoformat
    if issubclass(hint, Decimal | Enum):
        return hint  # type: ignore[no-any-return]
    return lambda value: value
