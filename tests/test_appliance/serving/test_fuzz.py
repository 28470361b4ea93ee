"""Schemathesis against the API's own document: every answer is one that it documents, and wrong requests are refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import uvicorn
from hypothesis import HealthCheck, assume, given, settings

from appliance.serving.api import operations
from appliance.tui.demo import build
from appliance.tui.ledger_source import LedgerSource
from signals.bundle import child_inference, verify
from signals.models.inference import infer
from signals.serving import scores
from signals.serving.application import Api, application
from signals.serving.connections import listen
from signals.serving.gate import LOOPBACK
from signals.serving.scores import ServedModel
from tests.fakes.bundles import Recipe, keyset, policy, weekdays
from tests.fakes.screens import NOW, StoppedClock
from tests.fakes.serving import KEY, TOKEN

FEW, MANY = 2, 100


class Still:
    """A bundle that stays."""

    def __init__(self, folder: Path) -> None:
        Recipe().write(folder)
        self._model = ServedModel(verify(folder, keyset(), policy(), reproduce=infer), weekdays())

    def identity(self) -> str:
        return "same"

    def load(self) -> ServedModel:
        return self._model


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A device and a bundle, served on loopback; models run in this process, so that many requests are affordable."""
    base = tmp_path_factory.mktemp("fuzzed")
    device = build(base / "demo", seed=7, sessions=12).folder
    with pytest.MonkeyPatch.context() as patch, listen(LOOPBACK, 0) as bound:
        patch.setattr(child_inference, "infer_in_child", infer)
        served = (*operations(LedgerSource(device, StoppedClock(NOW))), *scores.operations(Still(base / "bundle")))
        server = uvicorn.Server(uvicorn.Config(application(Api("device", "1", served, TOKEN)), ws="none", log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://{LOOPBACK}:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def attack(url: str, examples: int, *names: str) -> int:
    """Ask every operation, or those named, rightly and wrongly; return how many requests were sent."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: the API was NOT fuzzed")
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as known

    checks = [not_a_server_error, *(getattr(known, name) for name in WATCHED)]
    sent = 0
    for found in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        operation = found.ok()
        if names and operation.definition.raw["operationId"] not in names:
            continue
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

            @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def once(case: Any) -> None:
                nonlocal sent
                assume(is_sent_whole(case, url))
                sent += 1
                case.call_and_validate(headers=KEY, checks=checks)

            once()
    return sent


def is_sent_whole(case: Any, url: str) -> bool:
    """Whether every parameter of the query goes out: the client leaves empty lists away, and what is left may be right."""
    asked = case.as_transport_kwargs(base_url=url)
    request = requests.Request("GET", asked["url"], params=asked.get("params")).prepare()
    return set(case.query or {}) <= {name for name, _ in parse_qsl(urlsplit(str(request.url)).query, keep_blank_values=True)}


WATCHED = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)


@pytest.mark.slow
def test_a_few_requests_of_every_kind_are_answered_as_documented(url: str) -> None:
    assert attack(url, FEW, "orders", "symbol", "scores") > 5 * FEW


def test_a_wrong_request_that_the_client_makes_right_is_not_counted_as_wrong(url: str) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: the API was NOT fuzzed")
    found = schemathesis.openapi.from_url(f"{url}/openapi.json")["/v1/search"]["GET"]
    assert is_sent_whole(found.Case(query={"text": "a", "more": ""}), url)
    assert not is_sent_whole(found.Case(query={"text": "a", "more": []}), url)


@pytest.mark.slow
def test_many_requests_of_every_kind_are_answered_as_documented(url: str) -> None:
    assert attack(url, MANY) > 1_000
