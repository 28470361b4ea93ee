"""Named kinds of leak, planted in generated markets as a vendor might deliver them, and the honest markets beside them.

Entry points: `KINDS`, `market_of`. Prices are delivered split-adjusted, so that a moved close meets no recorded
split. A leak is planted into a market with or without an honest signal; what one file cannot show is in `HIDDEN`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from signals.market.actions import Action, ActionKind
from signals.market.manifest import PriceBasis
from trainer.curation.config import CurationConfig
from trainer.curation.generated import generate
from trainer.curation.generated.market import actions_rows
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping
from trainer.curation.writer import TOLD_UNIVERSE_SCHEMA

SYMBOLS, SESSIONS = 60, 1512
FIGURES = ["open", "high", "low", "close", "volume"]
MOST_Z = 4.0  # a leaked return is told up to so many standard deviations
WORST_LABELS = 300
K = 5


@dataclass(frozen=True, eq=False)
class Delivery:
    """What a vendor delivers: bars with the security of each row, actions, membership."""

    bars: pd.DataFrame
    actions: tuple[Action, ...]
    universe: pa.Table
    rng: np.random.Generator

    def ahead(self, column: str, sessions: int = 1) -> pd.Series:
        """Figures of the same security `sessions` later; its own where there are none."""
        moved = self.bars.groupby("security", sort=False)[column].shift(-sessions)
        return moved.fillna(self.bars[column])

    def coming(self, sessions: int) -> pd.Series:
        """Standardised return of the next sessions, clipped."""
        change = np.log(self.ahead("close", sessions) / self.bars["close"])
        scale = change.groupby(self.bars["security"], sort=False).transform("std")
        return (change / scale).clip(-MOST_Z, MOST_Z)

    def changed(self, **columns: pd.Series) -> Delivery:
        """Return the delivery with other figures; highs and lows are widened to hold open and close."""
        bars = self.bars.assign(**columns)
        body = bars[["open", "close"]]
        bars["high"] = np.maximum(bars["high"], body.max(axis=1))
        bars["low"] = np.minimum(bars["low"], body.min(axis=1))
        return Delivery(bars, self.actions, self.universe, self.rng)


Plant = Callable[[Delivery], Delivery]


def closes_early(market: Delivery) -> Delivery:
    """Every close is that of the session after; highs and lows are widened to hold it."""
    early = market.changed(close=market.ahead("close"))
    last = early.bars["date"].max()  # of which the vendor has no close yet
    return Delivery(early.bars[early.bars["date"] < last], market.actions, market.universe, market.rng)


def closes_blended(market: Delivery) -> Delivery:
    """Every close has gone two fifths of the way to the next."""
    return market.changed(close=market.bars["close"] ** 0.6 * market.ahead("close") ** 0.4)


def half_symbols_early(market: Delivery) -> Delivery:
    """Every second security's bars bear the date of the session before."""
    names = sorted(market.bars["security"].unique())
    early = market.bars["security"].isin(set(market.rng.choice(names, len(names) // 2, replace=False)))
    return market.changed(**{name: market.ahead(name).where(early, market.bars[name]) for name in FIGURES})


def one_session_early(market: Delivery) -> Delivery:
    """The closes of one session are those of the session after."""
    days = np.sort(market.bars["date"].unique())
    here = market.bars["date"] == days[len(days) // 2 + int(market.rng.integers(0, len(days) // 4))]
    return market.changed(close=market.ahead("close").where(here, market.bars["close"]))


def volumes_early(market: Delivery) -> Delivery:
    """Every volume is that of the session after."""
    return market.changed(volume=market.ahead("volume"))


def volume_of_next_return(market: Delivery) -> Delivery:
    """Volumes are multiplied by a function of the next session's return."""
    return market.changed(volume=market.bars["volume"] * np.exp(1.5 * market.coming(1)))


def volume_of_label(market: Delivery) -> Delivery:
    """Volumes are multiplied by a function of the return over the label's sessions."""
    return market.changed(volume=market.bars["volume"] * np.exp(0.5 * market.coming(K)))


def open_of_next_return(market: Delivery) -> Delivery:
    """Opens have gone a little of the next session's way."""
    return market.changed(open=market.bars["open"] * (market.ahead("close") / market.bars["close"]) ** 0.1)


def membership_before_falls(market: Delivery) -> Delivery:
    """Names leave the membership table for a month before the worst labels, and come back."""
    change = np.log(market.ahead("close", K) / market.bars["close"])
    worst = market.bars.loc[change.nsmallest(WORST_LABELS).index].drop_duplicates("security")
    rows = [row for row in market.universe.to_pylist()]
    days = sorted({day.date() for day in market.bars["date"]})
    for name, day in zip(worst["symbol"], worst["date"], strict=True):
        place = days.index(day.date())
        if 0 < place < len(days) - 30:
            start = next((row["start"] for row in rows if row["symbol"] == name and row["start"] < day.date()), None)
            if start is not None:
                rows.append({"symbol": name, "start": start, "end": days[place], "known_at": days[place - 1]})
                rows.append({"symbol": name, "start": days[place + 21], "end": None, "known_at": days[place + 21]})
    rows.sort(key=lambda row: (row["symbol"], row["start"], row["known_at"]))
    return Delivery(market.bars, market.actions, pa.Table.from_pylist(rows, schema=TOLD_UNIVERSE_SCHEMA), market.rng)


def file_early(market: Delivery) -> Delivery:
    """The whole file, actions and members too, bears the date of the session before."""
    days = np.sort(market.bars["date"].unique())
    before = dict(zip(days[1:], days[:-1], strict=True))
    told = {pd.Timestamp(day).date(): pd.Timestamp(was).date() for day, was in before.items()}
    bars = market.bars[market.bars["date"] > days[0]].copy()
    bars["date"] = bars["date"].map(before)
    actions = tuple(
        Action(a.kind, a.symbol, told[a.effective], min(a.known_at, told[a.effective]), ratio=a.ratio, cash=a.cash, new_symbol=a.new_symbol)
        for a in market.actions
        if a.effective in told
    )
    rows = [{**row, **{key: told.get(row[key], row[key]) for key in ("start", "end", "known_at")}} for row in market.universe.to_pylist()]
    return Delivery(bars, actions, pa.Table.from_pylist(rows, schema=TOLD_UNIVERSE_SCHEMA), market.rng)


def as_it_is(market: Delivery) -> Delivery:
    """Nothing is planted."""
    return market


def reversal(market: Delivery) -> Delivery:
    """A fifth of each session's own move is taken back during the next session, after its open: honest, and short."""
    bars = market.bars
    by = bars["security"]
    change = np.log(bars["close"] / bars.groupby("security", sort=False)["close"].shift(1)).fillna(0.0)
    own = (change - change.groupby(bars["date"]).transform("mean")).clip(-0.1, 0.1)
    back = -0.2 * own.groupby(by, sort=False).shift(1).fillna(0.0)
    level = back.groupby(by, sort=False).cumsum()
    before = level - back
    moved = {name: bars[name] * np.exp(level) for name in ("high", "low", "close")}
    return market.changed(open=bars["open"] * np.exp(before), **moved)


KINDS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        closes_early,
        closes_blended,
        half_symbols_early,
        one_session_early,
        volumes_early,
        volume_of_next_return,
        volume_of_label,
        open_of_next_return,
        membership_before_falls,
        file_early,
    )
}
HIDDEN = {"file_early"}  # one file cannot show these: a second vendor does


def market_of(seed: int, *, strength: float, symbols: int = SYMBOLS, sessions: int = SESSIONS, seasoning: int = 253) -> Delivery:
    """Return an honest generated market as a vendor of split-adjusted bars would deliver it."""
    market = generate(seed, symbols, sessions, strength=strength, with_defects=False)
    bars = market.bars.to_pandas()
    bars["date"] = pd.to_datetime(bars["date"])
    later = {a.new_symbol: a.symbol for a in market.actions if a.kind is ActionKind.SYMBOL_CHANGE}
    bars["security"] = bars["symbol"].map(lambda name: later.get(name, name))
    bars = bars.sort_values(["security", "date"], kind="stable", ignore_index=True)
    splits = [a for a in market.actions if a.kind is ActionKind.SPLIT]
    factor = pd.Series(1.0, index=bars.index)
    for split in splits:
        owner = later.get(split.symbol, split.symbol)
        factor[(bars["security"] == owner) & (bars["date"] < pd.Timestamp(split.effective))] /= float(split.ratio or 1)
    for name in FIGURES[:4]:
        bars[name] *= factor
    bars["volume"] /= factor
    owner_of = {action.symbol: later.get(action.symbol, action.symbol) for action in market.actions}
    actions = tuple(
        _restated(action, [split for split in splits if owner_of[split.symbol] == owner_of[action.symbol]])
        for action in market.actions
        if action.kind is not ActionKind.SPLIT
    )
    return Delivery(bars, actions, market.universe(seasoning), np.random.default_rng(seed))


def other_vendor(market: Delivery) -> Delivery:
    """The same market as another vendor tells it: prices rounded to cents, volumes of fewer venues."""
    bars, rng = market.bars, np.random.default_rng(77)
    rounded = {name: bars[name].round(2).clip(lower=0.01) for name in FIGURES[:4]}
    volume = (bars["volume"] * 0.85 * np.exp(rng.normal(0.0, 0.05, len(bars)))).round()
    return market.changed(**rounded, volume=volume)


def delivered(market: Delivery, folder: Path, *, min_history: int = 253) -> Path:
    """Ingest a delivery into `folder` and return the dataset's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    bars, actions, universe = (folder / f"{name}.parquet" for name in ("bars", "actions", "universe"))
    pq.write_table(pa.Table.from_pandas(market.bars.drop(columns="security"), preserve_index=False), bars)
    pq.write_table(actions_rows(market.actions), actions)
    pq.write_table(market.universe, universe)
    ingest(
        DeliveryFiles(bars, actions, universe),
        folder / "data",
        DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=CurationConfig(min_history=min_history)),
    )
    return folder / "data"


def _restated(action: Action, splits: list[Action]) -> Action:
    """Cash per share in the split-adjusted basis."""
    if action.cash is None:
        return action
    cash = action.cash
    for split in splits:
        if split.effective > action.effective:
            cash = cash / (split.ratio or Decimal(1))
    return Action(action.kind, action.symbol, action.effective, action.known_at, cash=cash, new_symbol=action.new_symbol)
