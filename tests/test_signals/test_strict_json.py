"""JSON from outside is refused whenever it could not be stored, shown or computed with."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals.text import strict_json
from signals.text.strict_json import MAX_DEPTH, MAX_PLACES, BadJson

HUGE = "1E+99999999999999999999"


@pytest.mark.parametrize(
    "content",
    [
        HUGE,
        f'{{"a": [{HUGE}]}}',
        "-1E+99999999999999999999",
        "1E-99999999999999999999",
        "1.8e308",
        "1e-401",
        "0e99999",
        "2" * 309,
        "1" * 5000,
        "0." + "1" * MAX_PLACES,
        "NaN",
        "[Infinity]",
        "-Infinity",
        '"\\ud800"',
        '{"\\udfff": 1}',
        '[[{"a": "x\\udc00\\ud800"}]]',
        '"\ud800"',
        '{"a": 1, "a": 1}',
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "[" * 100_000,
        '{"a":' * 100_000,
        "",
        "{",
        "nul",
        "[1,]",
        "1 2",
        b"\xff",
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-8-sig"),
        b'"\xed\xa0\x80"',
    ],
)
def test_what_cannot_be_computed_with_stored_or_read_one_way_only_is_refused(content: str | bytes) -> None:
    with pytest.raises(BadJson):
        strict_json.loads(content)


def test_numbers_and_texts_of_a_sane_size_keep_their_digits() -> None:
    content = '{"a": 1.10, "b": [1.7976931348623157e308, 5e-324, -0.0], '
    content += '"c": 123456789012345678901234567890, "d": "\\ud83d\\ude00é"}'
    assert strict_json.loads(content) == {
        "a": Decimal("1.10"),
        "b": [Decimal("1.7976931348623157e308"), Decimal("5e-324"), Decimal("-0.0")],
        "c": 123456789012345678901234567890,
        "d": "😀é",
    }
    assert str(strict_json.loads("1.10")) == "1.10"
    assert strict_json.loads("[1.5]", decimals=float) == [1.5]
    assert strict_json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None


def test_huge_numbers_are_refused_as_floats_too() -> None:
    with pytest.raises(BadJson):
        strict_json.loads("1e999", decimals=float)


@pytest.mark.parametrize("digits", [HUGE, "NaN", "Infinity", "", " 1", "1_000", "+1", "٣", "1.", ".5", "0x1", "1e1.5"])
def test_a_text_is_a_number_only_if_json_would_write_it_so(digits: str) -> None:
    with pytest.raises(BadJson):
        strict_json.number(digits)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_what_was_written_comes_back(document: object) -> None:
    """Also with every character escaped, where halves of a character may only come in pairs."""
    assert strict_json.loads(json.dumps(document)) == document
    assert strict_json.loads(json.dumps(document, ensure_ascii=False).encode()) == document


@given(st.binary() | st.text(alphabet='[]{}",:0123456789eE+-.\\ud8n'))
def test_whatever_comes_is_a_value_or_refused(content: bytes | str) -> None:
    with contextlib.suppress(BadJson):
        strict_json.loads(content)
