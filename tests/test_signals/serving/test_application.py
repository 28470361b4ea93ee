"""A served API: only whoever is from here and has the token is answered, in time, by what the document says."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from threading import Event

import anyio
import httpx
import pytest

from signals.errors import BadConfig, BundleRefused, FixInput, InvariantBroken
from signals.serving.application import WAITING_MOST, PageFile, application
from signals.serving.operations import DAY, Call, NotFound, Operation, Parameter, openapi, text_of, whole
from signals.serving.server import Address
from tests.fakes.serving import HERE, KEY, TOKEN, api, ask

ECHO = Operation(
    "echo",
    "GET",
    "/v1/echo/{name}",
    "Say it again.",
    {"type": "object"},
    lambda call: {key: str(value) for key, value in call.given.values.items()},
    (Parameter("name", "A name.", text_of(8, "[a-z]+")), Parameter("day", "A day.", DAY), Parameter("count", "How many.", whole(1, 9, 3))),
)
TAKE = Operation("take", "POST", "/v1/take", "Count.", {"type": "object"}, lambda call: {"bytes": len(call.body)}, body={"type": "object"})
JSON = {**KEY, "content-type": "application/json"}


def failing(error: Exception) -> Operation:
    def run(call: Call) -> object:
        raise error

    return Operation("fail", "GET", "/v1/fail", "Fail.", {"type": "object"}, run)


@pytest.mark.parametrize("headers", [{}, {"authorization": f"Bearer {TOKEN}x"}, {"authorization": TOKEN}, {"authorization": "Bearer "}])
def test_without_the_token_no_operation_is_run(headers: dict[str, str]) -> None:
    ran = []
    watched = Operation("watch", "GET", "/v1/watch", "Look.", {"type": "object"}, lambda call: ran.append(1) or {})
    assert ask(api(watched), "/v1/watch", headers=headers).status_code == 401 and not ran
    assert ask(api(watched), "/v1/watch").status_code == 200 and ran


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://evil.example", {}),
        ("http://127.0.0.1.evil.example", {}),
        (HERE, {"origin": "https://evil.example"}),
        (HERE, {"sec-fetch-site": "cross-site"}),
        (HERE, {"origin": "null"}),
    ],
)
def test_another_sites_page_is_refused_even_with_the_token(url: str, headers: dict[str, str]) -> None:
    """Under a name of its own (rebinding), from its own origin, or as a browser says by itself: files of the page too."""
    served = api(ECHO, files={"/": PageFile("text/html", b"<p>")})
    for path in ("/v1/echo/a", "/", "/openapi.json"):
        assert ask(served, path, headers=KEY | headers, url=url).status_code == 403
    assert ask(served, "/v1/echo/a", headers=KEY | {"origin": HERE, "sec-fetch-site": "same-origin"}).status_code == 200


def test_the_page_needs_no_token_and_may_run_nothing_but_its_own_files() -> None:
    answer = ask(api(ECHO, files={"/": PageFile("text/html", b"<p>")}), "/", headers={})
    policy = answer.headers["content-security-policy"]
    assert answer.text == "<p>" and "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"


def test_parameters_are_read_as_the_document_says() -> None:
    assert ask(api(ECHO), "/v1/echo/abc?day=2026-03-12").json() == {"name": "abc", "day": "2026-03-12", "count": "3"}
    for wrong in (
        "abc?day=12.3.2026",
        "abc?count=10",
        "abc?count=x",
        "ABC",
        "abc?other=1",
        "abc?count=1&count=2",
        "abc?name=b",
        "abc?day=%ff",
    ):
        answer = ask(api(ECHO), f"/v1/echo/{wrong}")
        assert answer.status_code == 422 and set(answer.json()) == {"what", "where", "fix"}, wrong


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("no such name"), 404),
        (FixInput("it is wrong", fix="Ask otherwise"), 422),
        (BundleRefused("no bundle"), 503),
        (InvariantBroken("a secret path", where="/root/secret"), 500),
        (RuntimeError("a secret"), 500),
    ],
)
def test_an_error_is_one_sentence_with_its_status(error: Exception, status: int) -> None:
    answer = ask(api(failing(error)), "/v1/fail")
    assert answer.status_code == status and "/root" not in answer.text and "Traceback" not in answer.text
    assert "secret" not in answer.text or status != 500 or isinstance(error, InvariantBroken)


def test_a_body_is_json_and_no_larger_than_the_limit() -> None:
    served = api(TAKE, body_most=1_000)
    assert ask(served, "/v1/take", method="POST", headers=JSON, body=b"x" * 1_000).json() == {"bytes": 1_000}
    assert ask(served, "/v1/take", method="POST", headers=JSON, body=b"x" * 1_001).status_code == 413
    assert ask(served, "/v1/take", method="POST", headers=KEY, body=b"{}").status_code == 415


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/v1/echo/a", 405), ("DELETE", "/openapi.json", 405), ("GET", "/v1/none", 404)]
)
def test_what_is_not_there_is_said(method: str, path: str, status: int) -> None:
    answer = ask(api(ECHO), path, method=method)
    assert answer.status_code == status and (status != 405 or "GET" in answer.headers["allow"])


def test_whoever_waits_too_long_is_told_and_few_may_wait() -> None:
    """One thread: while an operation does not end, each asked in time is told 504, and those beyond the queue 503."""
    ended = Event()
    slow = Operation("slow", "GET", "/v1/slow", "Wait.", {"type": "object"}, lambda call: ended.wait(60) or {})
    served = application(api(slow, deadline_seconds=0.1))
    found: list[int] = []

    async def many() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url=HERE) as client, anyio.create_task_group() as group:

            async def one() -> None:
                found.append((await client.get("/v1/slow", headers=KEY)).status_code)

            for _ in range(WAITING_MOST + 3):
                group.start_soon(one)

    anyio.run(many)
    ended.set()
    assert sorted(set(found)) == [503, 504] and found.count(503) == 3


def test_the_document_is_of_openapi_3_1_and_names_every_operation() -> None:
    found = ask(api(ECHO, TAKE), "/openapi.json", headers={}).json()
    assert found == json.loads(json.dumps(openapi("test", "1.0", (ECHO, TAKE))))
    assert found["openapi"] == "3.1.0" and set(found["paths"]) == {"/v1/echo/{name}", "/v1/take"}
    assert {"401", "403", "413", "503"} <= set(found["paths"]["/v1/take"]["post"]["responses"])


def test_beyond_loopback_the_token_goes_only_through_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    for path in (certificate, key):
        path.write_text("x")
    key.chmod(0o644)
    for wrong in (
        {"listen": "0.0.0.0"},
        {"listen": "192.168.1.10", "certificate": certificate},
        {"listen": "device.local"},
        {"listen": "0.0.0.0", "certificate": certificate, "key": key},
    ):
        with pytest.raises(BadConfig):
            Address(**wrong)  # type: ignore[arg-type]
    key.chmod(0o600)
    sound = Address("192.168.1.10", names=("Pi.local",), certificate=certificate, key=key)
    assert sound.hosts == {"127.0.0.1", "localhost", "192.168.1.10", "pi.local"} and sound.url(8780) == "https://192.168.1.10:8780/"
    assert Address("::1").url(1) == "http://[::1]:1/" and "0.0.0.0" not in Address("0.0.0.0", certificate=certificate, key=key).hosts


def test_a_day_that_is_none_is_refused() -> None:
    day = Parameter("day", "A day.", DAY)
    assert day.read("2024-02-29") == date(2024, 2, 29)
    for wrong in ("2023-02-29", "2024-2-9", "٢٠٢٤-02-29", "", "2024-02-29T00:00"):
        with pytest.raises(FixInput):
            day.read(wrong)


@pytest.mark.parametrize("fault", [ValueError("int() of something"), UnicodeDecodeError("utf-8", b"x", 0, 1, "bad")])
def test_a_fault_of_an_operation_is_no_fault_of_the_query(fault: Exception) -> None:
    answer = ask(api(failing(fault)), "/v1/fail")
    assert answer.status_code == 500 and "fault of this program" in answer.json()["what"]


def test_an_answer_that_is_no_json_is_a_fault_in_one_sentence() -> None:
    made = Operation("nan", "GET", "/v1/nan", "NaN.", {"type": "object"}, lambda call: {"value": float("nan")})
    answer = ask(api(made), "/v1/nan")
    assert answer.status_code == 500 and "fault of this program" in answer.json()["what"]


def test_a_key_of_tls_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="the key of TLS cannot be read"):
        Address(certificate=tmp_path / "c.pem", key=tmp_path / "none.pem")
