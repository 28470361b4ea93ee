"""A strict JSON reader for outside input: bounded exact numbers, and text that can be stored and displayed.

Invariants
----------
1. Only UTF-8 is read; NaN, Infinity, a key that comes twice and more than `MAX_DEPTH` levels are refused.
2. Every number is one that a float can hold, too, in at most `MAX_PLACES` characters and places: whatever is read can
   be computed with, as an int, a Decimal or a float.
3. No key and no text holds a lone surrogate, which neither UTF-8 nor SQLite can store.
4. Whatever is wrong becomes `BadJson`, a ValueError.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

Json: TypeAlias = "bool | int | float | Decimal | str | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"
MAX_DEPTH = 64
LARGEST = Decimal(sys.float_info.max)
MAX_PLACES = 400  # the smallest float is 5e-324, and its digits go on a little
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BadJson(ValueError):
    """Not JSON, or JSON that could not be stored, shown or computed with."""


def loads(content: bytes | str, *, decimals: Callable[[str], Any] = Decimal) -> Any:
    """Parse one JSON document.

    Parameters
    ----------
    content : bytes or str
    decimals : callable
        Makes a value of the digits of a number with a point or an exponent: `Decimal`, or `float` where a caller
        wants one.

    Raises
    ------
    BadJson
        As the invariants say.

    Examples
    --------
    >>> loads(b'{"qty": "1.5", "price": 20.25}')
    {'qty': '1.5', 'price': Decimal('20.25')}
    >>> loads('[1E+99999999999999999999]')
    Traceback (most recent call last):
    signals.text.strict_json.BadJson: a number is too large, or has too many digits, to compute with
    """

    def fraction(digits: str) -> Any:
        number(digits)
        return decimals(digits)

    try:
        text = content if isinstance(content, str) else content.decode()
        found = json.loads(text, parse_int=_whole, parse_float=fraction, parse_constant=_refuse, object_pairs_hook=_distinct)
    except BadJson:
        raise
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise BadJson(str(error)) from None
    _require_storable(found, look_at_texts=bool(_ESCAPED_SURROGATE.search(text) or _SURROGATE.search(text)))
    return found


def number(digits: str) -> Decimal:
    """Return the Decimal that `digits` write in JSON's way; raise `BadJson` for any other text, or beyond the limit.

    Examples
    --------
    >>> number("-12.50")
    Decimal('-12.50')
    """
    if not _NUMBER.fullmatch(digits):
        raise BadJson("not a number")
    try:
        exact = Decimal(digits) if len(digits) <= MAX_PLACES else None
    except InvalidOperation:  # an exponent of more digits than the machine counts with
        exact = None
    if exact is None or abs(exact.adjusted()) > MAX_PLACES or abs(exact) > LARGEST:
        raise BadJson("a number is too large, or has too many digits, to compute with")
    return exact


def _whole(digits: str) -> int:
    return int(digits) if len(digits) < 20 else int(number(digits))


def _refuse(word: str) -> Any:
    raise BadJson(f"{word} is not JSON")


def _distinct(pairs: list[tuple[str, Json]]) -> JsonObject:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise BadJson("a key occurs twice")
    return content


def _require_storable(document: Any, *, look_at_texts: bool) -> None:
    """Refuse a document that is too deep, and one with a lone surrogate; level by level, not by recursion."""
    level, depth = [document], 0
    while level:
        if depth == MAX_DEPTH and any(isinstance(value, dict | list) for value in level):
            raise _too_deep()
        if look_at_texts and any(_is_broken(value) for value in level):
            raise BadJson("a text holds half of a character (a lone surrogate)")
        level, depth = [value for item in level for value in _inside(item, look_at_texts)], depth + 1


def _inside(value: Any, with_texts: bool) -> list[Any]:
    if isinstance(value, dict):
        held = [*value, *value.values()] if with_texts else list(value.values())
    else:
        held = value if isinstance(value, list) else []
    return [item for item in held if isinstance(item, dict | list) or (with_texts and isinstance(item, str))]


def _is_broken(value: Any) -> bool:
    return isinstance(value, str) and _SURROGATE.search(value) is not None


def _too_deep() -> BadJson:
    return BadJson(f"nested more than {MAX_DEPTH} levels deep")
