"""One session of a whole device whose broker lies, judged by the exchange's own books.

The device is the real one: `appliance job ...` for every row of the timetable, on a real store, with real files. Only
the transport between its client and the exchange is ours: it carries every request out and lies in the answers that a
`Strike` names. Afterwards the lies end, and the next session's mornings are run, honestly.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import apsw
import requests
from requests.adapters import BaseAdapter

from execution.exchange.api.exchange import Exchange
from execution.exchange.doors import inprocess
from execution.exchange.doors.inprocess import FAILURES, InProcessAdapter, as_request, response_for
from execution.exchange.protocol.message import ApiResponse
from tests.fakes.device import Workbench
from tests.hostile.lies import LIES, Told

RUNS_OF_A_JOB = 3  # while it answers that the same command may succeed later
HALTED, TRY_AGAIN, UNCAUGHT = 2, 5, 70
EVENING = ("pull", "score")  # ask the broker nothing: run once, on the device that every strike begins with
JOBS = ("reconcile_morning", "plan", "trade", "confirm", "reconcile_close")
ENDED = {"filled", "canceled", "expired", "replaced", "rejected"}
ZERO = Decimal(0)


@dataclass(frozen=True)
class Endpoint:
    """One question of the device.

    Attributes
    ----------
    name : str
    method : str
    path : str
        Regular expression of the whole path.
    after : str
        The lie that the first answer to an order tells, so that the device asks this question at all.
    """

    name: str
    method: str
    path: str
    after: str = ""


ENDPOINTS = (
    Endpoint("account", "GET", "/v2/account"),
    Endpoint("clock", "GET", "/v2/clock"),
    Endpoint("calendar", "GET", "/v2/calendar"),
    Endpoint("assets", "GET", "/v2/assets"),
    Endpoint("positions", "GET", "/v2/positions"),
    Endpoint("orders", "GET", "/v2/orders"),
    Endpoint("activities", "GET", "/v2/account/activities"),
    Endpoint("bars", "GET", "/v2/stocks/.*"),
    Endpoint("submit", "POST", "/v2/orders"),
    Endpoint("look-up", "GET", "/v2/orders:by_client_order_id", after="answer lost"),
    Endpoint("cancel-all", "DELETE", "/v2/orders", after="other client ids"),
)
SUBMIT = re.compile("/v2/orders")


@dataclass(frozen=True)
class Strike:
    """One lie: what it is, where, and on which of the matching answers.

    Attributes
    ----------
    skip, times : int
        How many matching answers stay true first, and how many are lies then.
    """

    endpoint: Endpoint
    lie: str
    skip: int = 0
    times: int = 1

    def __str__(self) -> str:
        often = "always" if self.times > 999 else f"x{self.times}"
        return f"{self.endpoint.name}: {self.lie}, after {self.skip} true, {often}"


class Liar(BaseAdapter):
    """The transport that lies; `struck` counts the answers that really differed from the truth."""

    door: InProcessAdapter

    def __init__(self, strike: Strike) -> None:
        super().__init__()
        self.strike = strike
        self.matched = self.struck = self.posts = 0
        self.told: dict[str, ApiResponse] = {}

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        """Answer as the exchange would, or as the strike says."""
        asked = as_request(request)
        lies = self._is_struck(asked.method, asked.path)
        if lies == "request lost":
            self.struck += 1
            raise FAILURES["drop"](request)
        true = self.door.exchange.handle(asked)
        said = LIES[lies](true, Told(asked, dict(self.told))) if lies else true
        self.told[asked.path] = true
        self.struck += said != true and lies == self.strike.lie
        if said.breakage == "late":
            raise requests.ReadTimeout("no answer in time", request=request)
        if said.breakage in FAILURES:
            raise FAILURES[said.breakage](request)
        return response_for(request, said)

    def close(self) -> None:
        """The door belongs to the device."""

    def _is_struck(self, method: str, path: str) -> str:
        """Return the lie of this answer; empty for a true one."""
        end = self.strike.endpoint
        if method == "POST" and SUBMIT.fullmatch(path):
            self.posts += 1
            if end.after and self.posts == 1:
                return end.after
        if method != end.method or re.fullmatch(end.path, path) is None:
            return ""
        self.matched += 1
        return self.strike.lie if self.strike.skip < self.matched <= self.strike.skip + self.strike.times else ""


@dataclass(frozen=True)
class Books:
    """The exchange's own books, read from its file and not through its protocol.

    Attributes
    ----------
    held : dict
        Shares by symbol.
    prices : dict
        Average price of each holding, USD.
    orders : dict
        By client order id: symbol, and the signed shares that are filled or may still fill.
    """

    cash: Decimal
    held: dict[str, Decimal]
    prices: dict[str, Decimal]
    orders: dict[str, tuple[str, Decimal]]

    @property
    def gross(self) -> Decimal:
        """Sum of the absolute values of all holdings, USD."""
        return sum((abs(shares) * self.prices[name] for name, shares in self.held.items()), ZERO)


def books(bench: Workbench) -> Books:
    """Read the books of the exchange that the device hosts."""
    file = apsw.Connection(str(bench.state / "exchange" / "exchange.db"), flags=apsw.SQLITE_OPEN_READONLY)
    holdings = [json.loads(str(body)) for (body,) in file.execute("SELECT body FROM holdings")]
    orders = [json.loads(str(body)) for (body,) in file.execute("SELECT body FROM orders ORDER BY seq")]
    ((cash,),) = file.execute("SELECT value FROM facts WHERE name = 'cash'")
    file.close()
    at_stake = {}
    for row in orders:
        shares = Decimal(row["filled_quantity"] if row["status"] in ENDED else row["quantity"])
        at_stake[row["client_order_id"]] = (row["symbol"], shares if row["side"] == "buy" else -shares)
    kept = {row["symbol"]: row for row in holdings if Decimal(row["quantity"]) != 0}
    return Books(
        Decimal(str(cash)),
        {name: Decimal(row["quantity"]) for name, row in kept.items()},
        {name: Decimal(row["average_price"]) for name, row in kept.items()},
        at_stake,
    )


@dataclass(frozen=True)
class Ended:
    """What a session left behind.

    Attributes
    ----------
    codes : dict
        Exit code of every job's last run; `following` is the next session's morning.
    crash : str
        What left a command that should have been one of its errors; empty where nothing did.
    struck : int
        How many answers really were lies.
    """

    bench: Workbench
    day: date
    codes: dict[str, int]
    crash: str
    before: Books
    after: Books
    struck: int
    is_halted: bool


def live(template: Path, root: Path, day: date, following: date, strike: Strike) -> Ended:
    """Run D under the strike on a copy of the template device, then the morning of the next session without it."""
    shutil.copytree(template, root)
    bench = Workbench(root)
    before = books(bench)
    codes: dict[str, int] = {}
    crash = ""
    liar = Liar(strike)

    def adapter(exchange: Exchange) -> Liar:
        liar.door = InProcessAdapter(exchange)
        return liar

    with mock.patch.object(inprocess, "InProcessAdapter", adapter):
        for job in JOBS:
            codes[job], fault = _run(bench, job, day)
            crash = crash or fault
    if codes["reconcile_close"] == TRY_AGAIN:  # the daemon asks again until the evening; the lies are over
        codes["reconcile_close"], fault = _run(bench, "reconcile_close", day)
        crash = crash or fault
    codes["following"], fault = _run(bench, "reconcile_morning", following)
    status = bench("status", "--json")
    return Ended(bench, day, codes, crash or fault, before, books(bench), liar.struck, status.code == HALTED)


def _run(bench: Workbench, job: str, day: date) -> tuple[int, str]:
    """Run a job until it ends, as the daemon does; return its exit code and whatever fault left the command."""
    code = TRY_AGAIN
    for _ in range(RUNS_OF_A_JOB):
        try:
            done = bench("job", job, "--session", str(day))
        except Exception as fault:  # noqa: BLE001 -- whatever leaves a command is what this campaign looks for
            return UNCAUGHT, f"{job}: {type(fault).__name__}: {fault}"
        code = done.code
        if code == UNCAUGHT:
            return code, f"{job}: {done.err.strip()[-300:]}"
        if code != TRY_AGAIN:
            break
    return code, ""
