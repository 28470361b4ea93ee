"""What a person reads of an error and of an instant: sentences of the thing that failed, none of Python."""

from __future__ import annotations

import http.client
import inspect
import re
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from signals import errors
from signals.errors import FixInput, TrademlError
from signals.text.console import run
from signals.text.wording import reason_of, utc_words


def met(work: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as found:
        work()
    return found.value


def hung_up(content: bytes) -> str:
    """The address of a server that answers one request with `content` and closes."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(60)

    def answer() -> None:
        with server, server.accept()[0] as client:
            client.recv(65_536)
            client.sendall(content)

    threading.Thread(target=answer, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def get(content: bytes) -> object:
    return requests.get(hung_up(content), timeout=60).content


SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda: Path("/none/x").read_bytes(), "No such file or directory"),
        (lambda: requests.get("http://127.0.0.1:9", timeout=60), "Connection refused"),
        (lambda: get(b""), "the connection was closed without an answer"),
        (lambda: get(SHORT), "the answer was cut off"),
        (lambda: get(b"SSH-2.0-x\r\n\r\n"), "the answer is not HTTP"),
        (lambda: {}["seq"], "seq is missing"),
        (lambda: [] + 1, "a part is of another kind than it should be"),  # type: ignore[operator]
        (lambda: b"\xff".decode(), "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (lambda: Decimal("soon"), "a number that cannot be computed with"),
        (lambda: 1 / 0, "division by zero"),
    ],
)
def test_an_error_is_said_by_what_failed(work: Callable[[], object], words: str) -> None:
    assert reason_of(met(work)) == words


@pytest.mark.parametrize(
    "error",
    [
        OSError(),
        TimeoutError(),
        KeyError(),
        ValueError(),
        requests.ConnectionError(),
        requests.Timeout(),
        urllib3.exceptions.ProtocolError("broken", http.client.IncompleteRead(b"")),
        Exception(object()),
        Exception("<urllib3.connection.HTTPConnection object at 0x7f00>: no"),
    ],
    ids=lambda found: type(found).__name__,
)
def test_an_error_without_a_sentence_gets_one(error: Exception) -> None:
    said = reason_of(error)
    assert said and type(error).__name__ not in said and "object at" not in said and "(" not in said


def test_an_error_of_ours_says_itself() -> None:
    assert reason_of(FixInput("no row matches", where="AAA", fix="Look")) == "no row matches (AAA). Look"


def test_errors_that_wrap_each_other_in_a_circle_come_to_an_end() -> None:
    one, two = requests.ConnectionError("one"), requests.ConnectionError("two")
    one.__cause__, two.__cause__ = two, one
    assert reason_of(one) in ("one", "two")


def test_an_instant_is_said_to_the_second_in_utc() -> None:
    at = datetime(2024, 3, 12, 9, 0, 7, 250_001, timezone(timedelta(hours=-4)))
    assert utc_words(at) == "2024-03-12 13:00:07 UTC"
    assert utc_words(at.replace(tzinfo=None)) == "2024-03-12 09:00:07, without a time zone"


@given(st.datetimes(timezones=st.just(UTC)))
def test_no_instant_shows_its_microseconds(at: datetime) -> None:
    assert re.fullmatch(r"\d{1,4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", utc_words(at))


TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TrademlError)]


@pytest.mark.parametrize("kind", TREE)
def test_no_command_names_the_class_of_its_error_to_a_person(
    kind: type[TrademlError], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program reads the class in the JSON document; its exit code is the same either way."""

    def fail() -> Any:
        raise kind("the file is empty", where="bars.csv", fix="Deliver it again")

    for arguments, is_told in (([], False), (["--json"], True)):
        monkeypatch.setattr("sys.argv", ["trainer", *arguments])
        with pytest.raises(SystemExit) as ended:
            run(fail)
        written = capsys.readouterr()
        assert (ended.value.code, written.err) == (kind.exit_code, "the file is empty (bars.csv). Deliver it again\n")
        assert (f'"error": "{kind.__name__}"' in written.out) is is_told
