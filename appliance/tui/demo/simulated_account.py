"""The demo device's simulated market and account: prices, scores, targets and whole-share orders.

Another market than `trainer generate` makes: a device has no trainer, nor a history to curate; it needs one session after
another, whose prices follow the scores so that the book on the screens earns something.
"""

import math
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

CENT = Decimal("0.01")
SECTORS = ("Energy", "Materials", "Industrials", "Health Care", "Financials", "Technology", "Utilities", "Real Estate")
GROSS = 0.9
MARKET_DAY, NAME_DAY, DRIFT = 0.004, 0.014, 0.0009
SCORE_MEMORY = 0.9


@dataclass
class DemoSymbol:
    """One invented symbol, as it is after the last generated session."""

    symbol: str
    sector: str
    price: Decimal
    beta: float
    z: float
    score: float = 0.0
    rank: int = 0
    quantity: int = 0
    entry: Decimal = Decimal(0)


@dataclass(frozen=True)
class DemoOrder:
    """One order that the plan asks for; `quantity` is signed."""

    name: DemoSymbol
    quantity: int
    reference: Decimal
    weight: float
    target: float


@dataclass
class DemoBook:
    """The invented account and its market."""

    rng: Random
    names: list[DemoSymbol]
    cash: Decimal
    sides: int
    targets: dict[str, float] = field(default_factory=dict)

    @property
    def equity(self) -> Decimal:
        """Cash and holdings at the last prices, USD."""
        return self.cash + sum((name.quantity * name.price for name in self.names), start=Decimal(0))

    @property
    def gross(self) -> Decimal:
        """Sum of absolute position values, USD."""
        return sum((abs(name.quantity) * name.price for name in self.names), start=Decimal(0))

    @property
    def net(self) -> Decimal:
        """Sum of signed position values, USD."""
        return sum((name.quantity * name.price for name in self.names), start=Decimal(0))

    def score(self) -> None:
        """Draw the evening's scores and ranks."""
        fresh = math.sqrt(1 - SCORE_MEMORY**2)
        for name in self.names:
            name.z = SCORE_MEMORY * name.z + fresh * self.rng.gauss(0, 1)
            name.score = round(0.11 * name.z, 6)
        for rank, name in enumerate(sorted(self.names, key=lambda n: (-n.z, n.symbol)), start=1):
            name.rank = rank

    def plan(self, orders: int, step: float = 1.0) -> list[DemoOrder]:
        """Aim at the best and worst names; return the orders that move most, in symbol order."""
        ordered = sorted(self.names, key=lambda n: n.rank)
        each = GROSS / (2 * self.sides)
        aimed = {n.symbol: each for n in ordered[: self.sides]} | {n.symbol: -each for n in ordered[-self.sides :]}
        equity = float(self.equity)
        wishes = []
        for name in self.names:
            weight = name.quantity * float(name.price) / equity
            target = weight + step * (aimed.get(name.symbol, 0.0) - weight)
            shares = round((target - weight) * equity / float(name.price))
            if name.quantity and (name.quantity + shares) * name.quantity < 0:
                shares = -name.quantity  # a flip closes first
            if abs(shares) * float(name.price) >= 25:
                wishes.append(DemoOrder(name, shares, name.price, weight, weight + shares * float(name.price) / equity))
        wishes.sort(key=lambda w: -abs(w.quantity * w.reference))
        chosen = sorted(wishes[:orders], key=lambda w: w.name.symbol)
        self.targets = {n.symbol: n.quantity * float(n.price) / equity for n in self.names if n.quantity}
        self.targets |= {w.name.symbol: w.target for w in chosen}
        return chosen

    def open_prices(self) -> dict[str, Decimal]:
        """Draw the opening prices from the last ones."""
        market = self.rng.gauss(0, MARKET_DAY / 2)
        for name in self.names:
            self._move(name, name.beta * market + self.rng.gauss(0, NAME_DAY / 3))
        return {name.symbol: name.price for name in self.names}

    def fill(self, name: DemoSymbol, quantity: int, price: Decimal) -> None:
        """Book a fill of signed shares."""
        held = name.quantity
        if held * quantity >= 0:
            total = abs(held) + abs(quantity)
            name.entry = ((name.entry * abs(held) + price * abs(quantity)) / total).quantize(Decimal("0.000001"))
        elif abs(quantity) > abs(held):
            name.entry = price
        name.quantity += quantity
        self.cash -= (quantity * price).quantize(CENT)

    def close_prices(self) -> None:
        """Draw the closing prices; the score leans a little on them."""
        market = self.rng.gauss(0.0002, MARKET_DAY)
        for name in self.names:
            self._move(name, name.beta * market + DRIFT * name.z + self.rng.gauss(0, NAME_DAY))

    def _move(self, name: DemoSymbol, change: float) -> None:
        name.price = max(CENT, (name.price * Decimal(repr(math.exp(change)))).quantize(CENT))


def opened(rng: Random, names: int, sides: int, cash: Decimal) -> DemoBook:
    """Return a book of invented names that holds nothing but cash."""
    symbols: list[str] = []
    while len(symbols) < names:
        symbol = "".join(rng.choice("ABCDEFGHKLMNPRSTVWXYZ") for _ in range(4))
        if symbol not in symbols:
            symbols.append(symbol)
    made = [
        DemoSymbol(
            symbol, rng.choice(SECTORS), Decimal(repr(round(math.exp(rng.uniform(2.3, 5.4)), 2))), rng.uniform(0.6, 1.4), rng.gauss(0, 1)
        )
        for symbol in sorted(symbols)
    ]
    return DemoBook(rng, made, cash, sides)
