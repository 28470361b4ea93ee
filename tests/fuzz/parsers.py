"""Everything of the device that reads what others wrote, each with a whole document to spoil.

`spoilt` makes seeded damage of two kinds: to the bytes, and to the values of a JSON or YAML document that stays whole.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import requests
import yaml
from requests.adapters import BaseAdapter

from appliance.config import ApplianceConfig
from appliance.system.clock import VirtualClock
from execution.brokers.alpaca import AlpacaBroker, BrokerConfig, Credentials
from execution.orders import Intent, IntentKey, OrderType, Side, TimeInForce
from signals.bundle import read_keyset
from signals.bundle.contents import read_bundle_manifest
from signals.bundle.graph import check_model
from signals.bundle.seal import valid_signers
from signals.config import load
from signals.files import sha256_of
from signals.market.dataset import read_table
from signals.market.manifest import CHECKSUM, FORMAT, FileRecord, FileRole, Manifest, _canonical
from tests.fakes.bundles import Recipe, keyset, keyset_file, roots

AT = datetime(2024, 3, 12, 13, 0, tzinfo=UTC)
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    10**400,
    -(10**20),
    0.1,
    1e308,
    "",
    " ",
    "x",
    "\x00",
    "é",
    "NaN",
    "Infinity",
    "-0",
    "1e400",
    "1e-400",
    "0001-01-01",
    "9999-12-31",
    "2024-02-30",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-05:00",
    "2024-03-12T09:30:00.123456789123Z",
    "24:00",
    "09:30",
    "buy",
    "levitating",
    [],
    {},
    [[]],
    {"a": {"a": []}},
    "9" * 5000,
    "1E+99999999999999999999",
    "\ud800",
)
"""Values that a document may hold in the wrong place."""
BOMBS = (b"[" * 3000, b'{"a":' * 2000, b"\xff\xfe", b"\x00", b"- " * 500, b"2001-99-99", b"1E+99999999999999999999", b'"\\ud800"')


@dataclass(frozen=True)
class Parser:
    """One reader: `read` takes bytes to a value, or raises an error of our own tree."""

    name: str
    whole: bytes
    read: Callable[[bytes], object]
    is_document: bool = True
    is_yaml: bool = False


class Canned(BaseAdapter):
    """A transport that answers every request with the bytes it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.content, self.status = b"", 200

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """Answer at once."""
        response = requests.Response()
        response.status_code, response._content = self.status, self.content
        response.headers["Content-Type"] = "application/json"
        response.url, response.request = request.url or "", request
        return response

    def close(self) -> None:
        """Nothing is open."""


def api(name: str, whole: object, ask: Callable[[AlpacaBroker], object], status: int = 200) -> Parser:
    """A question to the broker whose answer is spoilt on its way."""
    door, clock = Canned(), VirtualClock(AT)
    config = BrokerConfig(read_retries=0, backoff_seconds=0)
    broker = AlpacaBroker("http://127.0.0.1:1", Credentials("k", "s"), clock, random.Random(0), adapter=door, config=config)

    def read(content: bytes) -> object:
        clock.advance(clock.now() + timedelta(minutes=2))
        door.content, door.status = content, status
        return ask(broker)

    return Parser(f"API {name}", json.dumps(whole).encode(), read)


KEY = IntentKey("PA1", date(2024, 3, 12), "main", "AAPL")
INTENT = Intent(KEY, Side.BUY, Decimal(10), OrderType.MARKET, TimeInForce.OPG, Decimal("171.5"))
ORDER = {
    "id": "61e69015",
    "client_order_id": KEY.client_order_id,
    "symbol": "AAPL",
    "side": "buy",
    "type": "market",
    "time_in_force": "opg",
    "status": "accepted",
    "qty": "10",
    "filled_qty": "0",
    "filled_avg_price": None,
    "limit_price": None,
    "created_at": "2024-03-12T13:00:00.123456789Z",
    "submitted_at": "2024-03-12T13:00:00.123456789Z",
    "updated_at": "2024-03-12T13:00:00Z",
}
ACCOUNT = {
    "id": "e6fe16f3",
    "account_number": "PA1",
    "status": "ACTIVE",
    "cash": "-23140.2",
    "equity": "103820.56",
    "last_equity": "103529.24",
    "buying_power": "262113.632",
    "multiplier": "2",
    "trading_blocked": False,
    "account_blocked": False,
    "trade_suspended_by_user": False,
    "shorting_enabled": True,
}
POSITION = {"symbol": "AAPL", "side": "short", "qty": "-5", "avg_entry_price": "171.5", "current_price": "172"}
ASSET = {"symbol": "AAPL", "tradable": True, "status": "active", "shortable": True, "easy_to_borrow": True, "fractionable": True}
FILLED = {
    "id": "20240312::1",
    "activity_type": "FILL",
    "symbol": "AAPL",
    "transaction_time": "2024-03-12T13:30:00Z",
    "qty": "5",
    "price": "171.5",
    "side": "buy",
    "order_id": "61e69015",
}
DIVIDEND = {"id": "20240312::2", "activity_type": "DIV", "symbol": "AAPL", "date": "2024-03-12", "net_amount": "1.2"}
CLOCK = {
    "timestamp": "2024-03-12T09:00:00-04:00",
    "is_open": False,
    "next_open": "2024-03-12T09:30:00-04:00",
    "next_close": "2024-03-12T16:00:00-04:00",
}
DAY = {"date": "2024-03-12", "open": "09:30", "close": "16:00"}
WIDE = (date.min, date.max)


def dataset_manifest() -> bytes:
    """A whole manifest of a dataset of two sessions."""
    document = {
        "format": FORMAT,
        "name": "d",
        "version": 1,
        "vendor": "v",
        "basis": "raw",
        "first": "2024-03-11",
        "calendar": {
            "name": "XNYS",
            "sessions": [
                {"session": "2024-03-11", "open": "2024-03-11T13:30:00+00:00", "close": "2024-03-11T20:00:00+00:00"},
                {"session": "2024-03-12", "open": "2024-03-12T13:30:00+00:00", "close": "2024-03-12T20:00:00+00:00"},
            ],
        },
        "last": "2024-03-12",
        "survivorship": "unknown",
        "min_history": 253,
        "non_sessions": [],
        "audits": [
            {"session": day, "status": "GREEN", "reasons": [], "eligible": 2, "usable": 2, "rows": 2, "quarantined": 0}
            for day in ("2024-03-11", "2024-03-12")
        ],
        "files": [
            {
                "path": "bars/a.parquet",
                "sha256": "0" * 64,
                "size": 1,
                "rows": 4,
                "first": "2024-03-11",
                "last": "2024-03-12",
                "role": "bars",
            }
        ],
    }
    return json.dumps(document).encode()


def vouched(content: bytes) -> object:
    """Read a dataset's manifest whose checksum is right whatever it says: the parser behind the check is reached."""
    try:
        document = json.loads(content)
        document[CHECKSUM] = sha256_of(_canonical({k: v for k, v in document.items() if k != CHECKSUM}))
        content = json.dumps(document).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass  # no document: it is read as it is
    return Manifest.from_bytes(content, where="manifest.json")


def bars_file() -> bytes:
    """A small Parquet file of bars."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"session": [date(2024, 3, 11)] * 4, "symbol": list("ABCD"), "close": [1.0, 2.0, 3.0, None]}), sink)
    return bytes(sink.getvalue())


def parsers(folder: Path) -> tuple[Parser, ...]:
    """Every reader; `folder` is for those that read files."""

    def configuration(content: bytes) -> object:
        path = folder / "appliance.yml"
        path.write_bytes(content)
        return load(path, ApplianceConfig)

    def bars(content: bytes) -> object:
        (folder / "bars.parquet").write_bytes(content)
        record = FileRecord("bars.parquet", sha256_of(content), len(content), 4, WIDE[0], WIDE[1], FileRole.BARS)
        return read_table(folder, record)

    settings = yaml.safe_dump(
        {
            "stores": {"data": "/srv/data", "bundles": "/srv/bundles"},
            "tripwires": {"max_turnover": 0.3},
            "execution": {"pretrade": {"max_gross": "1.0"}, "entry": {"kind": "twap", "steps": 4}},
        }
    ).encode()
    keys = keyset_file(keyset())
    return (
        api("order", ORDER, lambda broker: broker.order(KEY.client_order_id)),
        api("acknowledgement", ORDER, lambda broker: broker.submit(INTENT)),
        api("refusal", {"code": 40310000, "message": "no"}, lambda broker: broker.submit(INTENT), status=403),
        api("orders", [ORDER], lambda broker: broker.orders(open_only=False)),
        api("account", ACCOUNT, lambda broker: broker.account()),
        api("positions", [POSITION], lambda broker: broker.positions()),
        api("assets", [ASSET], lambda broker: broker.assets()),
        api("activities", [FILLED, DIVIDEND], lambda broker: broker.activities(date(2024, 3, 1))),
        api("clock", CLOCK, lambda broker: broker.clock()),
        api("calendar", [DAY], lambda broker: broker.calendar(*WIDE)),
        api("cancellations", [{"id": "1", "status": 200}], lambda broker: broker.cancel_all()),
        Parser("bundle manifest", Recipe().manifest().to_bytes(), lambda c: read_bundle_manifest(c, "manifest.json")),
        Parser("key set", keys, lambda c: read_keyset(c, roots())),
        Parser("signature", keys, lambda c: valid_signers("k", b"body", c, roots(), "manifest.sig")),
        Parser("model", Recipe().files["model.onnx"][1], lambda c: check_model(c, "model.onnx"), is_document=False),
        Parser("dataset manifest", dataset_manifest(), vouched),
        Parser("configuration", settings, configuration, is_yaml=True),
        Parser("bars", bars_file(), bars, is_document=False),
    )


def spoilt(parser: Parser, chance: random.Random) -> bytes:
    """One damaged copy of the parser's document."""
    if parser.is_document and chance.random() < 0.6:
        document = yaml.safe_load(parser.whole) if parser.is_yaml else json.loads(parser.whole)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            document = _twisted(document, chance)
        if not parser.is_yaml:
            return json.dumps(document).encode()
        return yaml.safe_dump(document).encode()
    return _torn(parser.whole, chance)


def _twisted(node: Any, chance: random.Random) -> Any:
    """The document with one value, key or element replaced, removed or repeated."""
    if not isinstance(node, dict | list) or not node or chance.random() < 0.02:
        return chance.choice(ODD)
    if isinstance(node, list):
        place = chance.randrange(len(node))
        kind = chance.random()
        if kind < 0.1:
            return node[:place] + node[place + 1 :]
        if kind < 0.2:
            return [*node, node[place]]
        return [_twisted(item, chance) if number == place else item for number, item in enumerate(node)]
    key = chance.choice(sorted(node))
    kind = chance.random()
    if kind < 0.1:
        return {name: value for name, value in node.items() if name != key}
    if kind < 0.15:
        return {**node, "surprise": chance.choice(ODD)}
    return {**node, key: _twisted(node[key], chance)}


def _torn(whole: bytes, chance: random.Random) -> bytes:
    content = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(content)) if content else 0
        kind = chance.randrange(6)
        if kind == 0 and content:
            content[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and content:
            content[at] = chance.randrange(256)
        elif kind == 2:
            del content[at : at + chance.randrange(1, 20)]
        elif kind == 3:
            content[at:at] = content[at : at + chance.randrange(1, 40)]
        elif kind == 4:
            content[at:at] = chance.choice(BOMBS)
        else:
            del content[at:]
    return bytes(content)
