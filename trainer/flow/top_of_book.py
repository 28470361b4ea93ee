"""The top of a book second by second: the inputs of a window of it, and aggregates of the window.

`INPUTS` is the schema. An input without a source at the broker keeps its place there: it is NaN, never zero, and never learned from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.features.panel import FeaturePanel
from signals.market.bars import Floats

SECONDS = 60


class InputSource(StrEnum):
    """Where an input is from."""

    QUOTES = "quotes"
    TRADES = "trades"
    NONE = "none"


@dataclass(frozen=True)
class FlowInput:
    """One input of a second."""

    name: str
    units: str
    source: InputSource


INPUTS = (
    FlowInput("middle_move", "ticks", InputSource.QUOTES),
    FlowInput("bid_move", "ticks", InputSource.QUOTES),
    FlowInput("ask_move", "ticks", InputSource.QUOTES),
    FlowInput("spread", "ticks", InputSource.QUOTES),
    FlowInput("bid_size", "log", InputSource.QUOTES),
    FlowInput("ask_size", "log", InputSource.QUOTES),
    FlowInput("imbalance", "share", InputSource.QUOTES),
    FlowInput("microprice", "ticks from the middle", InputSource.QUOTES),
    FlowInput("order_flow", "of both sizes", InputSource.QUOTES),
    FlowInput("signed_volume", "signed log", InputSource.TRADES),
    FlowInput("volume", "log", InputSource.TRADES),
    FlowInput("trades", "log", InputSource.TRADES),
    FlowInput("depth_imbalance", "share", InputSource.NONE),
    FlowInput("funding", "rate", InputSource.NONE),
    FlowInput("basis", "ratio", InputSource.NONE),
    FlowInput("open_interest_change", "contracts", InputSource.NONE),
    FlowInput("on_chain_flow", "coins", InputSource.NONE),
    FlowInput("liquidations", "USD", InputSource.NONE),
)
LEARNED = tuple(one.name for one in INPUTS if one.source is not InputSource.NONE)
Windows = Callable[[str], Floats]  # of an input, by name: float64 (T - 59, 60)
TIME = np.arange(SECONDS) - (SECONDS - 1) / 2.0
AGGREGATES: dict[str, Callable[[Windows], Floats]] = {
    "imbalance_mean": lambda of: of("imbalance").mean(axis=1),
    "imbalance_last": lambda of: of("imbalance")[:, -1],
    "order_flow_mean": lambda of: of("order_flow").mean(axis=1),
    "signed_volume_mean": lambda of: of("signed_volume").mean(axis=1),
    "signed_volume_slope": lambda of: of("signed_volume") @ TIME / (TIME @ TIME),
    "move": lambda of: _path(of)[:, -1],
    "share_beyond": lambda of: (_path(of) > 0.0).mean(axis=1),
    "spread_mean": lambda of: of("spread").mean(axis=1),
    "microprice_last": lambda of: of("microprice")[:, -1],
    "volume_mean": lambda of: of("volume").mean(axis=1),
}


@dataclass(frozen=True, eq=False)
class TopOfBook:
    """The book as it stood at the end of each second, and what was traded within it.

    Attributes
    ----------
    second : datetime64[s], shape (T,)
        One after another, none missing.
    bid, ask : float64, shape (T,), ticks
        NaN where there is no side, or where they cross.
    bid_size, ask_size : float64, shape (T,)
    bought, sold, trades : float64, shape (T,)
        Volume by the side that took it, and how many trades.

    Raises
    ------
    InvariantBroken
        Shapes disagree, a second is missing, or a bid is not under its ask.
    """

    second: NDArray[np.datetime64]
    bid: Floats
    ask: Floats
    bid_size: Floats
    ask_size: Floats
    bought: Floats
    sold: Floats
    trades: Floats

    def __post_init__(self) -> None:
        if any(x.shape != self.second.shape for x in vars(self).values()) or (np.diff(self.second) != np.timedelta64(1, "s")).any():
            raise InvariantBroken("a top of book has one row for every second, and one figure of each for every row")
        if (self.bid >= self.ask).any():
            raise InvariantBroken("a top of book has its bid under its ask")

    @property
    def middle(self) -> Floats:
        """Ticks; shape (T,)."""
        return (self.bid + self.ask) / 2.0


def table(book: TopOfBook) -> Floats:
    """Return every input, float64 (T, inputs), NaN where it is not known; those without a source are NaN throughout."""
    both = book.bid_size + book.ask_size
    imbalance = (book.bid_size - book.ask_size) / both
    moves = [np.diff(x, prepend=np.nan) for x in (book.middle, book.bid, book.ask)]
    before = [np.concatenate([[np.nan], x[:-1]]) for x in (book.bid_size, book.ask_size)]
    # Cont, Kukanov and Stoikov 2014, eq. 4, over both sizes
    joined = np.where(moves[1] >= 0, book.bid_size, 0.0) - np.where(moves[1] <= 0, before[0], 0.0)
    offered = np.where(moves[2] <= 0, book.ask_size, 0.0) - np.where(moves[2] >= 0, before[1], 0.0)
    flow = np.where(np.isfinite(moves[0]), (joined - offered) / both, np.nan)
    signed = book.bought - book.sold
    known = {
        **dict(zip(("middle_move", "bid_move", "ask_move"), moves, strict=True)),
        "spread": book.ask - book.bid,
        "bid_size": np.log1p(book.bid_size),
        "ask_size": np.log1p(book.ask_size),
        "imbalance": imbalance,
        "microprice": imbalance * (book.ask - book.bid) / 2.0,
        "order_flow": flow,
        "signed_volume": np.sign(signed) * np.log1p(np.abs(signed)),
        "volume": np.log1p(book.bought + book.sold),
        "trades": np.log1p(book.trades),
    }
    return np.column_stack([known.get(one.name, np.full(len(signed), np.nan)) for one in INPUTS])


def inputs_panel(book: TopOfBook) -> FeaturePanel:
    """Return the inputs that have a source, a row a second: what a net reads windows of."""
    place = [i for i, one in enumerate(INPUTS) if one.name in LEARNED]
    return _panel(book, LEARNED, table(book)[:, place])


def aggregates_panel(book: TopOfBook) -> FeaturePanel:
    """Return aggregates of the `SECONDS` that end at each second: what a logistic regression reads; NaN before there are so many."""
    values = dict(zip((one.name for one in INPUTS), table(book).T, strict=True))
    found = [aggregate(lambda name: sliding_window_view(values[name], SECONDS)) for aggregate in AGGREGATES.values()]
    padded = np.full((len(book.second), len(AGGREGATES)), np.nan)
    padded[SECONDS - 1 :] = np.column_stack(found)
    return _panel(book, tuple(AGGREGATES), padded)


def _path(of: Windows) -> Floats:
    return np.cumsum(np.nan_to_num(of("middle_move")), axis=1)


def _panel(book: TopOfBook, names: tuple[str, ...], values: Floats) -> FeaturePanel:
    eligible = np.isfinite(book.middle) & (np.arange(len(book.second)) >= SECONDS)
    return FeaturePanel(book.second, ("book",), names, values.astype(np.float32)[:, None], eligible[:, None])
