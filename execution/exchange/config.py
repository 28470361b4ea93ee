"""Configuration of the embedded exchange."""

from decimal import Decimal

from pydantic import Field

from signals.config import Config


class ExchangeConfig(Config):
    """Settings of one paper exchange.

    Attributes
    ----------
    cash : Decimal
        USD in the account at its opening.
    multiplier : int
        1: long only, within cash; 2: margin and short sales.
    spread_bps : float
        Full bid-ask spread around the last price, in basis points, for continuous orders and quotes. Auction fills
        pay none.
    market_collar : Decimal
        Share of the price by which buying power reserved for a market buy or a short sale exceeds it.
    paper_fidelity : bool
        As Alpaca's paper account: no dividends. False: dividends are paid on raw and split-adjusted prices.
    partial_fill_probability : float
        Chance that a match fills only a part. Alpaca's paper account has 0.1; off unless asked for.
    fractional_market_only : bool
        Fractional and notional orders must be market orders, as Alpaca's specification says; its changelog allows
        limit, stop and stop-limit too.
    hard_to_borrow, not_shortable, not_fractionable, not_tradable : tuple of str
        Symbols that differ from the rule: easy to borrow, fractionable, tradable.
    asset_names : mapping
        Names in the list of assets; `<symbol> Common Stock` of one that is absent.
    minutes : bool
        Continuous orders meet the minute bars in the dataset's folder `minutes`, where a name has them.
    volume_share : Decimal
        With minutes: largest share of a bar's volume that own orders take together.
    impact, impact_half_life : float
        With minutes: Y of the square-root law (0 is none), and minutes in which half of an own trade's impact has faded.
    requests_a_minute : int
        Rate limit per key; 0 is none. Alpaca's is 200.
    power_safe : bool
        Wait for the disk before every answer that changes something, so that a power cut loses nothing either. False
        still survives the death of the process, and is some milliseconds faster an order.
    key_id, secret_key : str
        Credentials that are asked for; empty accepts any that are present.
    """

    cash: Decimal = Field(default=Decimal(1_000_000), gt=0, le=10**12, decimal_places=2)
    multiplier: int = Field(default=2, ge=1, le=2)
    spread_bps: float = Field(default=5.0, ge=0, le=1000)
    market_collar: Decimal = Field(default=Decimal("0.03"), ge=0, le=1)
    paper_fidelity: bool = True
    partial_fill_probability: float = Field(default=0.0, ge=0, le=1)
    fractional_market_only: bool = False
    hard_to_borrow: tuple[str, ...] = ()
    not_shortable: tuple[str, ...] = ()
    not_fractionable: tuple[str, ...] = ()
    not_tradable: tuple[str, ...] = ()
    asset_names: dict[str, str] = Field(default_factory=dict)
    minutes: bool = False
    volume_share: Decimal = Field(default=Decimal("0.1"), gt=0, le=1)
    impact: float = Field(default=1.0, ge=0, le=10)
    impact_half_life: float = Field(default=30.0, gt=0, le=10_000)
    requests_a_minute: int = Field(default=0, ge=0)
    power_safe: bool = True
    key_id: str = ""
    secret_key: str = ""
