"""F01 to F11: a real process, killed by SIGKILL at each numbered point of a session over real HTTP, and what follows.

The device's process dies; the exchange lives on in this one. Each test says where the death left the ledger and the
exchange, lets a new process go on, and judges the day by the exchange's book and request log.
"""

from __future__ import annotations

import http.client
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from urllib3.connection import HTTPConnection

from appliance.controls.latch import Latch
from appliance.ledger import intents, plans, snapshots
from appliance.ledger.intents import IntentState
from appliance.ledger.snapshots import Phase
from appliance.orders import reconciliation, recovery, submission, tracking
from appliance.safety.halt import halt
from appliance.system.state_folder import DurableFs
from execution.brokers.alpaca import AlpacaBroker
from execution.orders import OrderStatus
from tests.fakes import exchange as small
from tests.fakes.killing import die, dying_after, dying_before, killed
from tests.fakes.standing import D, Standing, stand


@dataclass
class Scene:
    """A device that will be killed, and the same device as the next process will find it."""

    doomed: Standing
    device: Standing


@pytest.fixture
def open_scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Stand a device at an exchange that is served over HTTP as long as the test lasts."""
    served = []

    def build(**exchange: Any) -> Scene:
        device = stand(tmp_path, **exchange)
        context = small.serving(device.served)
        served.append(context)
        device.to("09:10")
        return Scene(Standing(tmp_path, device.served, context.__enter__()), device)

    yield build
    for context in served:
        context.__exit__(None, None, None)


def trade(scene: Scene, point: Callable[[], None]) -> None:
    """Let the trade job run in a process of its own that dies at `point`."""

    def work() -> None:
        point()
        scene.doomed.run("trade")

    killed(work)


def first_state(device: Standing) -> str:
    """The state of the order that leaves first; the others are still planned."""
    states = [entry.state.value for entry in device.entries() if entry.state is not IntentState.PLANNED]
    return states[0] if states else "planned"


def moved_to(state: IntentState) -> Callable[..., bool]:
    return lambda ledger, cid, to, *rest, **named: to is state


def die_after_move(state: IntentState) -> None:
    """The row that says `state` is committed; nothing after it happens."""
    submission.intents.move = dying_after(intents.move, moved_to(state))  # type: ignore[attr-defined]


def die_with_the_request_half_written() -> None:
    """Half the bytes of the order's body leave the socket."""
    send = http.client.HTTPConnection.send
    posting = []

    def halved(self: http.client.HTTPConnection, data: Any) -> None:
        if posting and data:
            send(self, data[: len(data) // 2])
            die()
        if isinstance(data, bytes) and data.startswith(b"POST /v2/orders"):
            posting.append(True)
        send(self, data)

    http.client.HTTPConnection.send = halved  # type: ignore[method-assign]


def die_with_the_answer_unread() -> None:
    """The order's answer lies in the socket's buffer, and nobody reads it."""
    ours = HTTPConnection.getresponse

    def watched(self: Any) -> Any:
        if is_post(self):
            assert select.select([self.sock], [], [], 10)[0], "no answer came"
            die()
        return ours(self)

    HTTPConnection.getresponse = watched  # type: ignore[method-assign]


def is_post(connection: Any) -> bool:
    return connection._response_options is not None and connection._response_options.request_method == "POST"


def die_with_the_answer_read() -> None:
    """The client has understood the acknowledgement; nothing of it is recorded."""
    AlpacaBroker.submit = dying_after(AlpacaBroker.submit)  # type: ignore[method-assign]


def die_after_the_acknowledgement() -> None:
    """ACKED is committed with the broker's id; what the order has become is not looked at."""
    tracking.track = dying_before(tracking.track)


@pytest.mark.parametrize(
    ("point", "state", "orders"),
    [
        pytest.param(lambda: die_after_move(IntentState.JOURNALED), "journaled", 0, id="F03-intent-committed"),
        pytest.param(lambda: die_after_move(IntentState.SENDING), "sending", 0, id="F04-sending-committed"),
        pytest.param(die_with_the_request_half_written, "sending", 0, id="F05-request-half-written"),
        pytest.param(die_with_the_answer_unread, "sending", 1, id="F06-accepted-unread"),
        pytest.param(die_with_the_answer_read, "sending", 1, id="F07-answer-read"),
        pytest.param(die_after_the_acknowledgement, "acked", 1, id="F08-acked-committed"),
    ],
)
def test_killed_on_an_orders_way_the_session_ends_with_each_order_once(
    open_scene: Callable[..., Scene], point: Callable[[], None], state: str, orders: int
) -> None:
    """F03 to F08: the process died where it should, and the day ends as planned, each order once."""
    scene = open_scene()
    trade(scene, point)
    device = scene.device
    assert (first_state(device), len(device.orders())) == (state, orders)
    device.rest_of_the_day()
    device.require_whole()
    assert max(device.posts().values()) == 1, "what the exchange has seen was never posted again"


def die_in_a_partial_fills_poll() -> None:
    """The broker has told of a part that is filled; the journal does not know of it yet."""
    recovery.track = dying_before(recovery.track, lambda path, entry, order: order.filled_quantity > 0)


def test_killed_while_a_partial_fill_is_polled_nothing_is_sent_twice(open_scene: Callable[..., Scene]) -> None:
    """F09: orders fill in parts; the poll of one dies; the rest is sent once, and shares never exceed the plan."""
    scene = open_scene(partial_fill_probability=1.0, seed=2)
    device = scene.device
    device.run("trade")
    device.to("09:45")
    partly = [order for order in device.orders().values() if 0 < order.filled_quantity < (order.quantity or 0)]
    assert partly, "the exchange filled nothing in parts"
    before = {entry.client_order_id: entry.filled_quantity for entry in device.entries()}
    scene.doomed.to("09:45")

    def work() -> None:
        die_in_a_partial_fills_poll()
        scene.doomed.run("confirm")

    killed(work)
    assert {entry.client_order_id: entry.filled_quantity for entry in device.entries()} == before
    device.run("confirm")
    device.run("reconcile_close", "16:20")
    assert device.latch == ""
    assert set(device.posts().values()) == {1}
    deps = device.deps()
    planned = {i.key.symbol: i.side.sign * i.quantity for i in plans.require(deps.ledger, D).intents}
    closing = snapshots.find(deps.ledger, D, Phase.CLOSE)
    deps.close()
    held = device.holdings()
    assert closing is not None
    assert {p.symbol: p.quantity for p in closing.positions} == held
    assert all(abs(held[symbol]) <= abs(quantity) for symbol, quantity in planned.items())


def test_killed_with_the_cancellation_sent_the_device_is_halted_and_sends_nothing(open_scene: Callable[..., Scene]) -> None:
    """F10: a person halts; the process dies between the broker's cancellation and its own record of it."""
    scene = open_scene()
    device = scene.device
    device.run("trade")

    def work() -> None:
        AlpacaBroker.cancel_all = dying_after(AlpacaBroker.cancel_all)  # type: ignore[method-assign]
        halt(scene.doomed.deps(), D, "MANUAL", "a person asks")

    killed(work)
    assert device.latch == "MANUAL"
    assert {order.status for order in device.orders().values()} == {OrderStatus.CANCELED}
    assert device.states() == {"working"}, "the cancellation is not on record"
    posts = device.posts()
    device.run("confirm", "09:45")
    device.run("reconcile_close", "16:20")
    assert device.states() == {"canceled"}
    assert (device.posts(), device.holdings(), device.latch) == (posts, {}, "MANUAL")


def test_killed_in_mid_reconcile_the_agreement_is_recorded_once_and_whole(open_scene: Callable[..., Scene]) -> None:
    """F11: the process dies inside the transaction that books the day's fills."""
    scene = open_scene()
    device = scene.device
    device.run("trade")
    device.run("confirm", "09:45")
    device.to("16:20")
    scene.doomed.to("16:20")

    def work() -> None:
        reconciliation.fills.add = dying_after(reconciliation.fills.add)  # type: ignore[attr-defined]
        scene.doomed.run("reconcile_close")

    killed(work)
    assert (_booked(device), _closing(device)) == (0, None), "half an agreement is on disk"
    assert device.run("reconcile_close").status.value == "done"
    device.require_whole()
    assert _booked(device) == 3
    assert _closing(device) == device.served.venue.book.cash


def _booked(device: Standing) -> int:
    deps = device.deps()
    count = deps.ledger.value("SELECT count(*) FROM fills")
    deps.close()
    assert isinstance(count, int)
    return count


def _closing(device: Standing) -> Decimal | None:
    deps = device.deps()
    found = snapshots.find(deps.ledger, D, Phase.CLOSE)
    deps.close()
    return found.cash if found else None


def test_a_killed_process_leaves_the_latch_as_it_was(open_scene: Callable[..., Scene]) -> None:
    """C1: dying arms nothing and halts nothing."""
    scene = open_scene()
    latch = Latch(scene.device.root, DurableFs())
    before = latch.read()
    trade(scene, lambda: die_after_move(IntentState.SENDING))
    assert latch.read() == before
