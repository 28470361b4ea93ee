"""The asset list: tradability, shorting and fractional flags per symbol."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from execution.exchange.config import ExchangeConfig
from execution.exchange.core.book import AccountBook, fixed_id
from execution.exchange.market.market import MarketData


@dataclass(frozen=True)
class Listing:
    """A symbol as an asset of the venue."""

    id: str
    symbol: str
    name: str
    is_active: bool
    is_tradable: bool
    is_shortable: bool
    is_easy_to_borrow: bool
    is_fractionable: bool


@cache
def asset_id(symbol: str) -> str:
    """Return the id that always represents `symbol`."""
    return fixed_id("asset", symbol)


def listing(symbol: str, book: AccountBook, market: MarketData, config: ExchangeConfig, now: datetime) -> Listing | None:
    """Return the asset of `symbol`; None when the venue has never listed it by `now`."""
    active = symbol in market.listed(now)
    if not active and not market.was_listed(symbol, now):
        return None
    shortable = active and symbol not in config.not_shortable and config.multiplier > 1
    return Listing(
        asset_id(symbol),
        symbol,
        config.asset_names.get(symbol, f"{symbol} Common Stock"),
        active,
        active and symbol not in config.not_tradable,
        shortable,
        shortable and symbol not in config.hard_to_borrow and symbol not in book.hard_to_borrow,
        active and symbol not in config.not_fractionable,
    )


def find(name: str, book: AccountBook, market: MarketData, config: ExchangeConfig, now: datetime) -> Listing | None:
    """Return the asset whose symbol or id is `name`."""
    if len(name) == 36 and name.count("-") == 4:
        symbols = (symbol for symbol in market.ever_listed(now) if asset_id(symbol) == name)
        name = next(symbols, name)
    return listing(name, book, market, config, now)
