"""Rows of the ledger as the frozen values that the program works with, built by apsw's row tracer.

A dataclass takes each field from the column of its name, as the field's type says, and from the same row where that
type is a dataclass too. An optional dataclass takes the columns that have its own name in front (`waits_for_account`),
and is None where the column of its name is null. A mapping is a JSON object. A tuple takes the columns by their place;
as a field of a dataclass it has no column and keeps its default.

A column that holds anything else was not written by this program: `LedgerUnusable`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import apsw

from appliance.ledger.values import Value
from signals.errors import InvariantBroken, LedgerUnusable
from signals.text.strict_json import JsonObject

Build = Callable[..., Any]  # of the columns, by name


class RowFactory:
    """A row tracer of apsw that builds one value of a given type from each row of one query.

    `apsw.ext.DataClassRowFactory` does the same for dataclasses that it makes itself; its module costs every process
    4 MB, which the screens and the idle daemon do not have.

    Parameters
    ----------
    kind : type
        A dataclass, a tuple of plain types, or one of these.
    """

    def __init__(self, kind: Any) -> None:
        self._build, self._names = _built(kind), tuple[str, ...]()

    def __call__(self, cursor: apsw.Cursor, row: tuple[Value, ...]) -> Any:
        """Return the value that `row` holds."""
        if not self._names:
            self._names = tuple([name for name, _ in cursor.get_description()])
        return self._build(**dict(zip(self._names, row, strict=True)))


@cache
def _built(kind: Any) -> Build:
    if is_dataclass(kind):
        return _dataclass(kind, "")
    if _is_tuple(kind):
        parts = [_column(part) for part in get_args(kind)]
        return lambda **columns: tuple([read(*item) for read, item in zip(parts, columns.items(), strict=True)])
    only = _column(kind)

    def build(**columns: Value) -> Any:
        ((name, value),) = columns.items()
        return only(name, value)

    return build


def _dataclass(kind: Any, prefix: str) -> Build:
    hints = get_type_hints(kind)
    own, nested = [], []
    for field in fields(kind):
        column = prefix + field.name
        inner, is_optional = _without_none(hints[field.name])
        if is_dataclass(inner):
            nested.append((field.name, column if is_optional else "", _dataclass(inner, f"{column}_" if is_optional else prefix)))
        elif not _is_tuple(inner):
            has_default = field.default is not MISSING or field.default_factory is not MISSING
            own.append((field.name, column, has_default, _column(hints[field.name])))

    def build(**columns: Value) -> Any:
        found = {}
        for name, column, has_default, read in own:
            if column in columns:
                found[name] = read(column, columns[column])
            elif not has_default:
                raise InvariantBroken("the query lacks a column of its row", where=column)
        for name, column, whole in nested:
            found[name] = None if column and columns[column] is None else whole(**columns)
        return kind(**found)

    return build


def _column(hint: Any) -> Callable[[str, Value], Any]:
    inner, is_optional = _without_none(hint)
    kind = get_origin(inner) or inner
    stored, what, convert = READERS.get(kind) or (str, f"one of {', '.join(kind)}", kind)

    def read(name: str, value: Value) -> Any:
        if isinstance(value, stored):
            try:
                return value if convert is None else convert(value)
            except (ValueError, InvalidOperation):
                pass
        elif value is None and is_optional:
            return None
        raise LedgerUnusable(f"column {name} holds {value!r}, not {what}", fix="Restore the last backup")

    return read


def _is_tuple(hint: Any) -> bool:
    return get_origin(hint) is tuple


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) not in (Union, UnionType):
        return hint, False
    (inner,) = [part for part in get_args(hint) if part is not type(None)]
    return inner, True


def _number(text: str) -> Decimal:
    found = Decimal(text)
    if not found.is_finite():
        raise ValueError(text)
    return found


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(text)
    return found.astimezone(UTC)


def _truth(number: int) -> bool:
    if number not in (0, 1):
        raise ValueError(number)
    return bool(number)


def _object(text: str) -> JsonObject:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(text)
    return found


# By the type of a field: what SQLite gives, its name in a message, and how it becomes that type. An enum is its words.
READERS: dict[Any, tuple[Any, str, Callable[[Any], Any] | None]] = {
    str: (str, "text", None),
    bytes: (bytes, "bytes", None),
    int: (int, "an integer", None),
    float: ((int, float), "a number", float),
    bool: (int, "0 or 1", _truth),
    Decimal: (str, "a decimal number", _number),
    date: (str, "a date", date.fromisoformat),
    datetime: (str, "an instant", _instant),
    Mapping: (str, "a JSON object", _object),
    dict: (str, "a JSON object", _object),
}
