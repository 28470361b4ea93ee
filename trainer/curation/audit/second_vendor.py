"""Asks another vendor's dataset about the returns that ours leaves undecided.

Entry point: `second_words`. What it says is written as rows of an actions file and changes nothing by itself. A return
that the other vendor has as well is data (`confirmed`); where the other vendor saw an ordinary move over the same two
bars, two securities were joined: the one ends at its last price (`delisting`) and another begins.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.audit.defects import DefectConfig
from signals.audit.extremes import beyond
from signals.errors import FixInput
from signals.market.bars import Floats
from signals.market.dataset import read_manifest, read_table
from signals.market.manifest import FileRole, Manifest

RELATIVE, ABSOLUTE = 0.05, 5e-4  # vendors round, and differ in what a dividend was
COLUMNS = ["session", "symbol", "security", "close", "total_return", "gap_return", "undecided"]


@dataclass(frozen=True)
class SecondWord:
    """Another vendor's answer on an undecided return: `confirms`, or that it was an ordinary move there.

    Attributes
    ----------
    move, theirs : float
        Return since our bar before, here and there.
    last : float
        Our close before.
    """

    symbol: str
    effective: date
    move: float
    theirs: float
    last: float
    confirms: bool

    def __str__(self) -> str:
        said = "confirmed" if self.confirms else "denied"
        return f"{self.symbol} {self.effective} {said}: {self.move:+.0%} here, {self.theirs:+.0%} there"


def second_words(folder: Path, manifest: Manifest, other: Path, first: date, last: date) -> tuple[SecondWord, ...]:
    """Return what the dataset `other` says of each undecided return of [first, last], by date and symbol.

    Nothing is said where it lacks either bar, or has an extreme return of another size.

    Raises
    ------
    FixInput
        `other` is the same dataset: its word is no second one.
    """
    other_manifest = read_manifest(other)
    if {record.sha256 for record in other_manifest.of_role(FileRole.BARS)} & {record.sha256 for record in manifest.of_role(FileRole.BARS)}:
        raise FixInput("the second vendor's bars are this dataset's own", where=str(other), fix="Name a dataset of another vendor")
    ours, theirs = _bars(folder, manifest), _bars(other, other_manifest)
    asked = ours[ours["undecided"] & (ours["session"] >= first) & (ours["session"] <= last)]
    asked = asked.merge(theirs, how="inner", on=["symbol", "session"], suffixes=("", "_now"))
    then = theirs[["security", "session", "level", "unknown"]]
    both = asked.merge(then, how="inner", left_on=["security_now", "before"], right_on=["security", "session"], suffixes=("", "_then"))
    both = both[both["unknown_now"] == both["unknown_then"]].sort_values(["session", "symbol"])
    there = np.expm1((both["level_now"] - both["level_then"]).to_numpy(dtype=float))
    move, left = both["move"].to_numpy(dtype=float), both["last"].to_numpy(dtype=float)
    confirms = agrees(move, there)
    speaks = confirms | ~beyond(there, DefectConfig())
    names, days = both["symbol"].tolist(), both["session"].tolist()
    return tuple(
        SecondWord(names[i], days[i], float(move[i]), float(there[i]), float(left[i]), bool(confirms[i])) for i in np.flatnonzero(speaks)
    )


def agrees(ours: Floats, theirs: Floats) -> NDArray[np.bool_]:
    """Whether another vendor's returns are ours but for rounding and the size of dividends."""
    return np.abs(ours - theirs) <= ABSOLUTE + RELATIVE * np.abs(ours)


def _bars(folder: Path, manifest: Manifest) -> pd.DataFrame:
    """Every bar with its return since the bar before, that bar's session and close, and the sum of log returns so far."""
    parts = [read_table(folder, record).to_pandas().reindex(columns=COLUMNS) for record in manifest.of_role(FileRole.BARS)]
    bars: pd.DataFrame = pd.concat(parts).sort_values(["security", "session"], kind="stable", ignore_index=True)
    bars["undecided"] = bars["undecided"].eq(True)
    bars["move"] = bars["total_return"].fillna(bars["gap_return"]).astype(float)
    names = bars["security"]
    bars["before"], bars["last"] = bars.groupby(names)["session"].shift(1), bars.groupby(names)["close"].shift(1)
    bars["level"] = np.log1p(bars["move"].clip(lower=-1 + 1e-12).fillna(0.0)).groupby(names).cumsum()
    bars["unknown"] = bars["move"].isna().groupby(names).cumsum()
    return bars
