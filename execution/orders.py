"""Order values: intents, the frozen plan, and orders and fills as the broker reports them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from functools import cached_property

from signals.errors import InvariantBroken

BOOK = "main"
FAMILY = "tm1"
CLIENT_ORDER_ID_MAX = 48
MISSES_NOTHING = 1e-6  # of equity
FIRST_STEP = 10
"""Slices from here on are steps of a schedule through the day; 0 is an auction order, 1 the second half of a flip."""


class Side(StrEnum):
    """Direction of an order."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """How an order is priced."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(StrEnum):
    """When an order may execute."""

    DAY = "day"
    GTC = "gtc"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


class OrderStatus(StrEnum):
    """Alpaca's 17 statuses, and UNKNOWN for a word that is none of them."""

    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    DONE_FOR_DAY = "done_for_day"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    ACCEPTED = "accepted"
    PENDING_NEW = "pending_new"
    ACCEPTED_FOR_BIDDING = "accepted_for_bidding"
    STOPPED = "stopped"
    REJECTED = "rejected"
    SUSPENDED = "suspended"
    CALCULATED = "calculated"
    HELD = "held"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Whether the order can never fill again."""
        return self in TERMINAL


TERMINAL = frozenset({OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REPLACED, OrderStatus.REJECTED})


@dataclass(frozen=True, order=True)
class IntentKey:
    """Identity of an order, the same at every recomputation.

    Side and quantity are not part of it: a recomputation that changes them must collide, not duplicate.
    """

    account: str
    session: date
    book: str
    symbol: str
    slice: int = 0
    attempt: int = 0

    @cached_property
    def client_order_id(self) -> str:
        """`tm1-<acct4>-<YYYYMMDD>-<book>-<symbol>-<slice2><attempt2>-<hash6>`, at most 48 of [A-Za-z0-9-]."""
        full = "|".join((self.account, self.session.isoformat(), self.book, self.symbol, str(self.slice), str(self.attempt)))
        parts = (
            FAMILY,
            _sanitised(self.account)[-4:],
            f"{self.session:%Y%m%d}",
            _sanitised(self.book)[:8],
            _sanitised(self.symbol)[:8],
            f"{self.slice:02d}{self.attempt:02d}",
            hashlib.sha256(full.encode()).hexdigest()[:6],
        )
        return "-".join(parts)


def is_of_family(client_order_id: str, account: str) -> bool:
    """Whether a device like this one, on this account, names its orders so."""
    return client_order_id.startswith(f"{FAMILY}-{_sanitised(account)[-4:]}-")


def _sanitised(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", text)


@dataclass(frozen=True)
class Intent:
    """One order that we mean to send.

    Attributes
    ----------
    quantity : Decimal
        Shares, positive.
    reference_price : Decimal
        USD; the close of `asof`, restated for actions effective on the session.
    reduces : bool
        The order can only lower the absolute position.
    waits_for : IntentKey or None
        The closing half of a flip: this opening half is sent only after that one is filled.
    """

    key: IntentKey
    side: Side
    quantity: Decimal
    type: OrderType
    time_in_force: TimeInForce
    reference_price: Decimal
    limit_price: Decimal | None = None
    reduces: bool = False
    waits_for: IntentKey | None = None

    def __post_init__(self) -> None:
        if self.quantity <= 0:
            raise InvariantBroken(f"an intent's quantity is positive, not {self.quantity}", where=self.key.symbol)
        if self.reference_price <= 0:
            raise InvariantBroken("an intent needs a positive reference price", where=self.key.symbol)

    @property
    def notional(self) -> Decimal:
        """Signed USD at the reference price."""
        return self.side.sign * self.quantity * self.reference_price

    @property
    def step(self) -> int:
        """Which step of a schedule through the day it is, 1 the first; 0 for an order that is none."""
        return max(0, self.key.slice - FIRST_STEP + 1)

    def next_attempt(self, quantity: Decimal, time_in_force: TimeInForce) -> Intent:
        """Return the follow-up for a residual, allowed once this attempt is terminal at the broker."""
        key = replace(self.key, attempt=self.key.attempt + 1)
        return replace(self, key=key, quantity=quantity, time_in_force=time_in_force)


@dataclass(frozen=True)
class Provenance:
    """References of an order row: no field may be empty."""

    bundle_sha256: str
    snapshot_id: str
    config_hash: str
    code_version: str

    def __post_init__(self) -> None:
        if not all((self.bundle_sha256, self.snapshot_id, self.config_hash, self.code_version)):
            raise InvariantBroken("provenance is incomplete")


@dataclass(frozen=True)
class Rounding:
    """How far whole shares are from a target book, in fractions of equity; names without a price are left out.

    Attributes
    ----------
    target_gross : float
        Gross of the target book.
    nearest_l1 : float
        Sum over names of |nearest whole shares - target|: what the account's size costs.
    planned_l1, planned_gross : float
        The same distance, and the gross, of the positions with every planned order filled.
    never_held : tuple of str
        Names of the target book that round to no share.
    """

    target_gross: float = 0.0
    nearest_l1: float = 0.0
    planned_l1: float = 0.0
    planned_gross: float = 0.0
    never_held: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Share of the target book that its nearest whole shares miss; 0 for a flat one."""
        return self.nearest_l1 / self.target_gross if self.target_gross > 0 else 0.0

    @property
    def ratio(self) -> float | None:
        """Planned distance over the nearest one; None where rounding misses nothing, a millionth of equity at most."""
        return self.planned_l1 / self.nearest_l1 if self.nearest_l1 > MISSES_NOTHING else None


@dataclass(frozen=True)
class Plan:
    """The frozen orders of one session. Re-runs load it; nothing recomputes it.

    Attributes
    ----------
    session, asof : date
        D, and the session before it.
    account : str
        Account number at the broker.
    equity : Decimal
        USD that the weights were multiplied by.
    intents : tuple of Intent
        Sorted by key.
    refusals : tuple of (symbol, check, reason)
        Orders that pre-trade checks dropped.
    references, adv_usd : mapping of symbol to USD
        Reference prices of every name held or targeted, and average dollar volumes of the planned ones: what each
        order is judged by again right before it leaves.
    step_shares : mapping of symbol to shares
        Of a stepped plan: the share of the session's volume that each step is expected to meet, of names with a curve.
    urgencies : mapping of symbol to urgency
        That was chosen for the name's order by its modelled cost.
    path : mapping of symbol to signed shares
        The unrounded path after this session's step: where the next one begins.
    multiplier : float
        Of its target book, by a sizing policy: what the next plan holds where that is refused.
    """

    session: date
    asof: date
    account: str
    equity: Decimal
    intents: tuple[Intent, ...]
    provenance: Provenance
    refusals: tuple[tuple[str, str, str], ...] = ()
    rounding: Rounding = field(default_factory=Rounding)
    references: Mapping[str, Decimal] = field(default_factory=dict)
    adv_usd: Mapping[str, Decimal] = field(default_factory=dict)
    path: Mapping[str, Decimal] = field(default_factory=dict)
    step_shares: Mapping[str, tuple[Decimal, ...]] = field(default_factory=dict)
    urgencies: Mapping[str, float] = field(default_factory=dict)
    multiplier: float = 1.0

    def __post_init__(self) -> None:
        keys = [intent.key for intent in self.intents]
        if keys != sorted(set(keys)):
            raise InvariantBroken("a plan's intents are sorted and distinct by key", where=str(self.session))
        ids = [key.client_order_id for key in keys]
        if len(set(ids)) != len(ids) or any(len(cid) > CLIENT_ORDER_ID_MAX for cid in ids):
            raise InvariantBroken("client order ids collide or are too long", where=str(self.session))

    @property
    def digest(self) -> str:
        """SHA-256 over everything that would be sent and where it came from."""
        rows = [
            [
                i.key.client_order_id,
                i.side,
                str(i.quantity),
                i.type,
                i.time_in_force,
                str(i.reference_price),
                str(i.limit_price),
                i.reduces,
                i.waits_for.client_order_id if i.waits_for else None,
            ]
            for i in self.intents
        ]
        head = [self.session.isoformat(), self.asof.isoformat(), self.account, str(self.equity)]
        text = json.dumps([head, rows, list(vars(self.provenance).values())], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class BrokerOrder:
    """An order as the broker reports it.

    `status` is UNKNOWN, and `raw_status` the broker's word, when the word is none that we know.
    """

    id: str
    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    status: OrderStatus
    raw_status: str
    quantity: Decimal
    filled_quantity: Decimal
    filled_average_price: Decimal | None
    submitted_at: datetime
    updated_at: datetime
    limit_price: Decimal | None = None


PRICE_STEP = Decimal("0.0001")
CENT = Decimal("0.01")
TICK, SUB_DOLLAR_TICK, DOLLAR = Decimal("0.01"), Decimal("0.0001"), Decimal(1)
"""Least price increments from 1 USD, and below it (Regulation NMS, rule 612)."""


@dataclass(frozen=True)
class Fill:
    """One execution.

    Attributes
    ----------
    id : str
        The broker's activity id: the same fill never counts twice.
    quantity : Decimal
        Shares, positive.
    price : Decimal
        USD, 4 decimals.
    """

    id: str
    order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    at: datetime

    @property
    def cash(self) -> Decimal:
        """Signed USD that the fill adds to the account, to the cent, half-even."""
        return (-self.side.sign * self.quantity * self.price).quantize(CENT, ROUND_HALF_EVEN)


def to_price(value: Decimal) -> Decimal:
    """Round a price to the 4 decimals at which fills are booked, half-even."""
    return value.quantize(PRICE_STEP, ROUND_HALF_EVEN)


def tick_of(price: Decimal) -> Decimal:
    """One tick at `price` USD as traded, USD."""
    return TICK if price >= DOLLAR else SUB_DOLLAR_TICK
