"""What others wrote is read or refused by an error of our own tree, whatever became of it on its way (J8)."""

from __future__ import annotations

import atexit
import json
import tempfile
from pathlib import Path

import pytest

from signals.errors import BadConfig, BadDataset, BrokerUnreachable, TrademlError
from tests.fuzz.__main__ import attack
from tests.fuzz.parsers import BOMBS, FILLED, Parser, parsers

CASES = 250
FOLDER = tempfile.TemporaryDirectory()
atexit.register(FOLDER.cleanup)
READERS = parsers(Path(FOLDER.name))
NAMES = {parser.name: parser for parser in READERS}
# the signature is over another body; the other two answer in words of their own what a broker's answer proves
NEVER_READ = frozenset({"signature"})
NEVER_RAISE = frozenset({"API refusal", "API cancellations"})


@pytest.mark.parametrize("parser", READERS, ids=lambda parser: parser.name)
def test_a_spoilt_document_is_read_or_refused_and_nothing_else(parser: Parser) -> None:
    seen, wrong = attack(parser, CASES, seed=2)
    assert wrong == []
    assert len(seen) > 1 or parser.name in NEVER_RAISE, "the damage reaches both sides of the check"


@pytest.mark.parametrize("parser", [p for p in READERS if p.name not in NEVER_READ], ids=lambda parser: parser.name)
def test_the_whole_document_is_read(parser: Parser) -> None:
    """The control: a parser that refuses everything would pass as well."""
    parser.read(parser.whole)


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: repr(bomb[:6]))
@pytest.mark.parametrize("parser", READERS, ids=lambda parser: parser.name)
def test_a_bomb_alone_is_refused(parser: Parser, bomb: bytes) -> None:
    try:
        parser.read(bomb)
    except TrademlError:
        return
    assert parser.name in NEVER_RAISE or parser.name == "API acknowledgement"


@pytest.mark.parametrize("content", [b"stores: \xff", b"stores: 2001-99-99", b"[" * 3000], ids=["no text", "no date", "no end"])
def test_a_configuration_that_is_no_text_no_date_or_has_no_end_is_a_bad_configuration(content: bytes) -> None:
    with pytest.raises(BadConfig, match="not valid YAML"):
        NAMES["configuration"].read(content)


def test_a_manifest_nested_without_end_is_a_bad_dataset() -> None:
    with pytest.raises(BadDataset, match="nested more than 64 levels deep"):
        NAMES["dataset manifest"].read(b"[" * 100_000)


def test_a_fill_in_the_first_hour_of_the_calendar_was_not_received() -> None:
    """It would be of the year 0 in New York."""
    first = json.dumps([{**FILLED, "transaction_time": "0001-01-01T00:00:00Z"}]).encode()
    with pytest.raises(BrokerUnreachable):
        NAMES["API activities"].read(first)


def test_a_calendar_of_the_last_day_was_not_received() -> None:
    last = json.dumps([{"date": "9999-12-31", "open": "09:30", "close": "23:59"}]).encode()
    with pytest.raises(BrokerUnreachable):
        NAMES["API calendar"].read(last)
