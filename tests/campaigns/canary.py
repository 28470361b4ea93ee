"""A canary on a real Alpaca paper account: does the venue still speak as we read it? `make live-paper-canary`.

One buy order at a dollar, far from any market, sent by our own client; found again by its client id; cancelled. What
was said is kept as a redacted cassette in `var/canary/`, and its field sets are compared with those of the cassette
before it, or, the first time, with those of the embedded exchange.

Opt-in: it needs `APCA_API_KEY_ID` and `APCA_API_SECRET_KEY` of a paper account. Exit codes: 0 alike, 1 a field set has
changed or the venue behaved otherwise, 2 no credentials.

Invariants
----------
1. Headers are never recorded; a cassette in which a credential or the account's number occurs is not written.
2. An order that was acknowledged is asked to be cancelled, whatever happens after it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from appliance.system.clock import SystemClock
from execution.brokers.alpaca import AlpacaBroker, Credentials
from execution.brokers.base import PAPER_URL, Acked
from execution.exchange.doors.inprocess import InProcessAdapter
from execution.orders import Intent, IntentKey, OrderType, Side, TimeInForce
from signals.errors import InvariantBroken, TrademlError
from signals.files import write_atomic
from tests.fakes.exchange import exchange

CASSETTES = Path("var") / "canary"
FAR = Decimal("1.00")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OURS = re.compile(r"tm1-[A-Za-z0-9-]+")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
HIDDEN_FIELDS = ("account_number",)
Fields = dict[str, list[str]]


@dataclass
class Recorder(BaseAdapter):
    """A transport that remembers what passed, without headers."""

    inner: BaseAdapter
    heard: list[dict[str, Any]] = field(default_factory=list)

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send one request, once, and remember it with its answer."""
        answer = self.inner.send(request, *args, **options)
        address = urlsplit(request.url or "")
        self.heard.append(
            {
                "method": request.method,
                "path": address.path,
                "query": dict(parse_qsl(address.query)),
                "asked": _read(request.body),
                "status": answer.status_code,
                "answered": _read(answer.content),
            }
        )
        return answer

    def close(self) -> None:
        """Close the inner transport."""
        self.inner.close()


def _read(body: bytes | str | None) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return "not JSON"


def redacted(heard: Sequence[Mapping[str, Any]], secrets: Sequence[str]) -> bytes:
    """Return the cassette: ids replaced by the order in which they first occur, the account's money by a word.

    Raises
    ------
    InvariantBroken
        One of `secrets` would still be in it.
    """
    names: dict[str, str] = {}

    def stable(found: re.Match[str], kind: str) -> str:
        return names.setdefault(found[0], f"{kind}-{sum(name.startswith(kind) for name in names.values()) + 1}")

    def clean(value: Any, key: str, hides_money: bool) -> Any:
        if isinstance(value, Mapping):
            return {name: clean(item, name, hides_money) for name, item in value.items()}
        if isinstance(value, list):
            return [clean(item, key, hides_money) for item in value]
        if key in HIDDEN_FIELDS and value is not None:
            return "removed"
        if hides_money and (isinstance(value, float) or (isinstance(value, str) and NUMBER.fullmatch(value))):
            return "a number"
        if isinstance(value, str):
            return UUID.sub(lambda m: stable(m, "id"), OURS.sub(lambda m: stable(m, "client"), value))
        return value

    rows = [clean(row, "", str(row["path"]).endswith("/account")) for row in heard]
    text = json.dumps(rows, indent=1, sort_keys=True) + "\n"
    if any(secret and secret in text for secret in secrets):
        raise InvariantBroken("a cassette would tell a secret: it is not written", where=str(CASSETTES))
    return text.encode()


def fields(cassette: bytes) -> Fields:
    """Return the field set of each kind of request and of its answer."""
    found: dict[str, set[str]] = {}
    for row in json.loads(cassette):
        step = f"{row['method']} {re.sub(r'id-[0-9]+', 'ID', row['path'])} {row['status']}"
        for part in ("query", "asked", "answered"):
            found.setdefault(f"{step} {part}", set()).update(_names(row[part], ""))
    return {step: sorted(names) for step, names in sorted(found.items())}


def _names(value: Any, within: str) -> set[str]:
    if isinstance(value, Mapping):
        return {f"{within}{name}" for name in value}.union(*(_names(item, f"{within}{name}.") for name, item in value.items()))
    if isinstance(value, list):
        return set().union(*(_names(item, f"{within}[].") for item in value))
    return set()


def differences(before: Fields, now: Fields) -> list[str]:
    """One line for every field or kind of answer that came or went."""
    told = [f"{step}: no longer seen" for step in before if step not in now]
    for step, names in now.items():
        if step not in before:
            told.append(f"{step}: not seen before")
            continue
        told += [f"{step}: {name} is new" for name in names if name not in before[step]]
        told += [f"{step}: {name} is gone" for name in before[step] if name not in names]
    return told


def fly(url: str, credentials: Credentials, symbol: str, now: datetime, inner: BaseAdapter) -> tuple[bytes, list[str]]:
    """Send, find and cancel the order; return the cassette and what went otherwise than it should."""
    recorder = Recorder(inner)
    broker = AlpacaBroker(url, credentials, SystemClock(), random.Random(0), adapter=recorder)
    account, wrong = broker.account(), []
    key = IntentKey(account.number, now.date(), "canary", symbol, now.hour, now.minute)
    outcome = broker.submit(Intent(key, Side.BUY, Decimal(1), OrderType.LIMIT, TimeInForce.DAY, FAR, limit_price=FAR))
    found = None
    try:
        found = broker.order(key.client_order_id)
    finally:
        known = outcome.order if isinstance(outcome, Acked) else found
        if known is not None and broker.cancel(known.id) is not True:
            wrong.append("the cancel was not taken: look at the account's open orders")
    if not isinstance(outcome, Acked):
        wrong.append(f"the order was not acknowledged: {outcome}")
    if found is None:
        wrong.append("the order is not found by its client id")
    elif found.filled_quantity:
        wrong.append("an order at a dollar was filled")
    recorder.close()
    secrets = (credentials.key_id, credentials.secret_key, account.number, account.id)
    return redacted(recorder.heard, secrets), wrong


def last_cassette(folder: Path) -> bytes | None:
    """Return the newest cassette of the folder."""
    kept = sorted(folder.glob("*.json"))
    return kept[-1].read_bytes() if kept else None


def embedded(now: datetime) -> bytes:
    """Return the cassette of the same flight on the embedded exchange."""
    served = exchange("2021-11-22 08:00")
    cassette, _ = fly("http://127.0.0.1", Credentials("key-id", "secret-key"), "AAA", now, InProcessAdapter(served))
    return cassette


def main(arguments: Sequence[str], environment: Mapping[str, str], now: datetime) -> int:
    """Fly once, keep the cassette, and tell what differs."""
    parser = argparse.ArgumentParser(description="One far order on a paper account, found, cancelled, and recorded.")
    parser.add_argument("--url", default=PAPER_URL)
    parser.add_argument("--symbol", default="SPY")
    parser.add_argument("--to", type=Path, default=CASSETTES)
    options = parser.parse_args(arguments)
    key_id, secret = (environment.get(name, "") for name in ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"))
    if not (key_id and secret):
        print("The canary needs APCA_API_KEY_ID and APCA_API_SECRET_KEY of a paper account; nothing was sent.")
        return 2
    before, beside = last_cassette(options.to), "the last cassette"
    if before is None:
        before, beside = embedded(now), "the embedded exchange"
    try:
        cassette, wrong = fly(options.url, Credentials(key_id, secret), options.symbol, now, HTTPAdapter(max_retries=0))
    except TrademlError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    write_atomic(options.to / f"{now:%Y%m%dT%H%M%SZ}.json", cassette)
    told = wrong + differences(fields(before), fields(cassette))
    print("\n".join(told) if told else f"the venue speaks as {beside}")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, datetime.now(UTC)))
