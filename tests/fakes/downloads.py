"""A market that Alpaca serves through its own client, and the door by which a download's answers are spoilt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import requests

from execution.brokers.market_data import Keys
from execution.exchange.api.exchange import Exchange
from execution.exchange.config import ExchangeConfig
from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.doors.inprocess import InProcessAdapter
from execution.exchange.market.market import MarketData as ServedMarket
from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars, days_array
from signals.market.sessions import Calendar, xnys
from tests.fakes import exchange as fake
from tests.fakes.vendor import Evening
from trainer.curation.download.record import DownloadTerms
from trainer.curation.download.selection import UniverseRule
from trainer.curation.vendors.alpaca import AlpacaVendor

RULE = UniverseRule(size=6)
END, SESSIONS = date(2025, 6, 30), 380
RENAMED, GONE = date(2025, 6, 16), date(2025, 6, 23)
NAMES = {"FUND": "Big Index ETF", "PREF": "Great Corp. 5% Preferred", "DOUB": "Something"}


@dataclass(frozen=True, eq=False)
class World:
    """Fourteen names whose volumes wander: GOLD was SLVR until 2025-06-16; EBBS was bought on 2025-06-23; CHEP costs under 5 USD;
    LATE has too few sessions until the last month; FUND, PREF and DOUB are traded most and are no common stock."""

    panel: Bars
    calendar: Calendar
    actions: tuple[Action, ...]

    @property
    def first(self) -> date:
        return self.panel.sessions[0].item()

    def served(self, day: date) -> Exchange:
        """The exchange an hour after the close of `day`."""
        market = ServedMarket(self.panel, self.calendar, self.actions)
        at = self.calendar.session(day).close + timedelta(hours=1)
        return Exchange(market, ExchangeVirtualClock(at), config=ExchangeConfig(asset_names=NAMES))


def fourteen_names() -> World:
    calendar, rng = xnys(date(2023, 6, 1), date(2026, 6, 30)), np.random.default_rng(5)
    days = [day for day in calendar.days if day <= END][-SESSIONS:]
    names = ("AAAA", "BBBB", "CCCC", "CHEP", "DDDD", "DOUB", "EBBS", "FUND", "GGGG", "GIGL", "GOLD", "LATE", "MMMM", "PREF")
    shape = (SESSIONS, len(names))
    close = np.round(40 * np.exp(np.cumsum(rng.normal(0, 0.01, shape), axis=0)), 2)
    volume = np.round(1e6 * np.exp(np.cumsum(rng.normal(0, 0.08, shape), axis=0)))
    close[:, names.index("CHEP")], volume[:, names.index("CHEP")] = 4.99, 5e8
    volume[:, [names.index(name) for name in NAMES]] *= 1000
    close[: SESSIONS - 260, names.index("LATE")] = np.nan
    close[days.index(GONE) :, names.index("EBBS")] = np.nan
    close[100:115, names.index("GIGL")] = np.nan  # a halt
    volume[np.isnan(close)] = np.nan
    total = np.full(shape, np.nan)
    total[1:] = close[1:] / close[:-1] - 1
    panel = Bars(days_array(tuple(days)), names, close, close, close, close, volume, total, total.copy(), np.isfinite(close))
    actions = (
        Action(ActionKind.SYMBOL_CHANGE, "SLVR", RENAMED, RENAMED, new_symbol="GOLD"),
        Action(ActionKind.DELISTING, "EBBS", GONE, GONE, cash=Decimal("40.5")),
    )
    return World(panel, calendar, actions)


Spoil = Callable[[int, requests.PreparedRequest], requests.Response | None]
_kept: dict[tuple[datetime, str], requests.Response] = {}  # the exchange's answers by its time and the question: it takes long over them


class Door(InProcessAdapter):
    """The in-process door; counts requests, and answers itself where `spoil` does."""

    def __init__(self, served: Exchange, spoil: Spoil = lambda number, request: None) -> None:
        super().__init__(served)
        self.now, self.spoil, self.asked = served.now, spoil, list[str]()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        self.asked.append(str(request.url))
        said = self.spoil(len(self.asked), request)
        return self.true(request) if said is None else said

    def true(self, request: requests.PreparedRequest) -> requests.Response:
        key = (self.now, str(request.url))
        _kept.setdefault(key, super().send(request)) if key not in _kept else None
        return _kept[key]


def said(request: requests.PreparedRequest, status: int, body: bytes, **headers: str) -> requests.Response:
    answer = requests.Response()
    answer.status_code, answer.request, answer.url, answer._content = status, request, str(request.url), body
    answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return answer


def source(served: Exchange, spoil: Spoil = lambda number, request: None) -> tuple[AlpacaVendor, Door, Evening]:
    door, clock = Door(served, spoil), Evening(served.now)
    return AlpacaVendor(fake.URL, Keys("k", "s"), clock, adapter=door), door, clock


def terms(world: World, **how: Any) -> DownloadTerms:
    return DownloadTerms(first=world.first, rule=RULE, **how)


def bytes_of(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def members(folder: Path, day: date) -> set[str]:
    rows = pd.read_csv(folder / "universe.csv", parse_dates=["start", "end"])
    at = pd.Timestamp(day)
    return set(rows.loc[(rows["start"] <= at) & (rows["end"].isna() | (rows["end"] > at)), "symbol"])


def lost(number: int) -> Spoil:
    """From this request on the network is gone."""

    def spoil(at: int, request: requests.PreparedRequest) -> requests.Response | None:
        if at >= number:
            raise requests.ConnectionError("the network is gone")
        return None

    return spoil


def left(number: int) -> Spoil:
    """A person ends the program at this request."""

    def spoil(at: int, request: requests.PreparedRequest) -> requests.Response | None:
        if at == number:
            raise KeyboardInterrupt
        return None

    return spoil
