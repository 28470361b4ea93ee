"""A5: what the device makes of each documented refusal, word for word as the embedded exchange gives it.

The first order of the day is answered by the refusal; the real client reads it and the order path acts on it.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import requests

from execution.brokers.alpaca import AlpacaBroker, Credentials
from execution.brokers.base import Refused, Unknown
from execution.exchange.doors.inprocess import InProcessAdapter, response_for
from execution.exchange.protocol.message import ApiResponse
from tests.fakes import exchange as small
from tests.fakes.standing import Standing, stand
from tests.test_execution.test_exchange_refusals import CASES, Case

REFUSED, DOUBTED = Refused, Unknown
# By HTTP status and code: those that prove that no order came of it, and those that prove nothing.
CLASSES: dict[tuple[int, int], type] = {
    (400, 40010000): REFUSED,
    (400, 40010001): DOUBTED,
    (401, 0): DOUBTED,
    (403, 40310000): REFUSED,
    (404, 40410000): REFUSED,
    (422, 40010001): DOUBTED,  # also what a client order id that exists already is told
    (422, 42210000): REFUSED,
}


class Refusing(InProcessAdapter):
    """The exchange of the device, whose first order is answered with somebody else's refusal."""

    def __init__(self, device: Standing, refusal: ApiResponse) -> None:
        super().__init__(device.served)
        self.refusal, self.refused = refusal, 0

    def send(self, request: requests.PreparedRequest, *arguments: Any, **named: Any) -> requests.Response:
        if request.method == "POST" and not self.refused:
            self.refused += 1
            return response_for(request, self.refusal)
        return super().send(request, *arguments, **named)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def test_every_kind_of_refusal_has_a_class_and_none_is_left_over() -> None:
    assert {(case.status, case.code) for case in CASES} == set(CLASSES)
    assert len(CASES) >= 20


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_documented_refusal_is_classified_and_costs_no_second_order(root: Path, case: Case) -> None:
    """A5: a definitive one ends the order with its code; any other is looked up, found absent and sent once more."""
    device = stand(root)
    adapter = Refusing(device, case.ask(small.exchange(case.at, **case.config)))
    device.broker = lambda: AlpacaBroker(  # type: ignore[method-assign]
        small.URL, Credentials("key", "secret"), device.clock, random.Random(0), adapter=adapter
    )
    device.run("trade", "09:10")
    assert adapter.refused == 1
    entries = device.entries()
    if CLASSES[case.status, case.code] is Refused:
        ended = [entry for entry in entries if entry.state.value == "refused"]
        assert [(e.refusal, e.posts) for e in ended] == [((case.status, case.code), 1)]
        assert len(device.orders()) == len(entries) - 1
    else:
        assert sorted(entry.posts for entry in entries) == [1, 1, 2]
        assert {entry.state.value for entry in entries} == {"working"}
        assert len(device.orders()) == len(entries)
    assert set(device.posts().values()) == {1}, "the exchange saw an order twice"
    assert device.latch == ""
