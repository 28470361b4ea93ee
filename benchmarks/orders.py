"""Orders: plan, journal and submit 500 under the broker's limit of requests, and reconcile 5,000.

    python -m benchmarks.orders [--orders 500] [--reconciled 5000] [--json]

The device's own jobs and client stand at the embedded exchange in process, which refuses the 201st request of a
minute. What the client waits is told by the exchange's virtual clock; what it computes, and the disk, by a real one.
So the sum of both is the time under the limit, and the real part alone is the time without it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from execution.brokers.base import Activity, Position
from execution.orders import BrokerOrder, OrderStatus, OrderType, Side, TimeInForce
from execution.reconcile import AgreedBook, OrderState, Ours, OwnOrder, Theirs, reconcile
from tests.fakes import exchange as small
from tests.fakes import standing

ALPACA_A_MINUTE = 200
PRICE, SHARES = Decimal(20), Decimal(10)


def submit(orders: int, folder: Path) -> dict[str, float]:
    """Seconds to plan and journal, and to send, real and virtual; the exchange's book says what arrived."""
    names = [f"N{number:04d}" for number in range(orders)]
    panel = small.bars(dict.fromkeys(names, float(PRICE)))
    served = small.exchange("2021-11-22 07:00", panel=panel, requests_a_minute=ALPACA_A_MINUTE)
    device = standing.Standing(folder, served)
    device.start()
    began = time.perf_counter()
    frozen = device.freeze({name: (0.5 if number % 2 else -0.5) / orders for number, name in enumerate(names)})
    assert len(frozen.intents) == orders, frozen.refusals[:3]
    planned = time.perf_counter() - began
    device.to("08:30")
    stood, began = served.now, time.perf_counter()
    device.run("trade")
    sent, waited = time.perf_counter() - began, (served.now - stood).total_seconds()
    posts = device.posts()
    refused = sum(row.status == 429 for row in served.venue.book.log)
    assert (len(posts), len(device.orders())) == (orders, orders), (len(posts), len(device.orders()))
    assert set(posts.values()) == {1} and device.states() == {"working"}, device.states()
    return {"plan_and_freeze_s": planned, "send_real_s": sent, "send_waited_virtual_s": waited, "refused_429": refused}


def compare(orders: int) -> dict[str, float]:
    """Seconds to reconcile a day of `orders` filled orders, one in a hundred with a share less than its fills."""
    at = datetime(2024, 3, 12, 14, 30, tzinfo=UTC)
    own, listed, fills, held = [], [], [], []
    for number in range(orders):
        name, cid, order = f"N{number:04d}", f"c{number}", f"b{number}"
        own.append(OwnOrder(cid, OrderState.LIVE, SHARES, Decimal(0)))
        listed.append(
            BrokerOrder(
                order, cid, name, Side.BUY, OrderType.MARKET, TimeInForce.OPG, OrderStatus.FILLED, "filled", SHARES, SHARES, PRICE, at, at
            )
        )
        fills.append(Activity(f"f{number}", "FILL", name, at.date(), at, SHARES, PRICE, Decimal(0), "buy", order, ""))
        held.append(Position(name, SHARES - (number % 100 == 0), PRICE, None))
    cash = Decimal(10) ** 9
    ours = Ours(AgreedBook(cash, {}), frozenset(), tuple(own), frozenset(), {})
    left = cash - orders * SHARES * PRICE
    theirs = Theirs(left, tuple(held), tuple(listed), tuple(fills), frozenset(item.client_order_id for item in own))
    began = time.perf_counter()
    found = reconcile(ours, theirs, cash_tolerance=Decimal("0.01"))
    took = time.perf_counter() - began
    assert len(found.breaks) == -(-orders // 100) and len(found.news) == orders, len(found.breaks)
    return {"reconcile_s": took, "breaks": len(found.breaks)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=500)
    parser.add_argument("--reconciled", type=int, default=5000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = submit(options.orders, Path(folder)) | compare(options.reconciled)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:25s} {value:10.3f}")


if __name__ == "__main__":
    main()
