r"""Checks that bars filling a gap have the price level of the bars on both sides.

Entry point: `off_level`.

With c_b the held close before a gap and o_a the held open after it, o and c the first open and the last close of what
fills it, and R the recorded split ratios in between (raw prices only), the steps are

    e = log(R o / c_b),    x = log(R o_a / c)

A level that is wrong by a factor k moves e by log k and x by -log k; a real move shows in one of them. So the level is
off by the smaller of |e| and |x| where their signs differ, and by nothing where they agree. At the first or the last
bar of a name there is one step only, and more of it may be a real move. One wrong level for all names shows in their
median long before it shows in one name.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from signals.market.actions import Action, ActionKind
from signals.market.bars import Floats
from signals.market.manifest import Manifest, PriceBasis
from trainer.curation.audit.findings import Missing

BOTH_SIDES = 0.05  # log; by that much a name's opens seldom leave the close before, there and back again
ONE_SIDE = 0.20
OF_ALL = 0.4  # part of these that the median name may show
LEAST_NAMES = 10  # gaps whose median is no coincidence
REMEDY = "deliver the session before or after the gap too, which shows the level"


def off_level(
    filling: pd.DataFrame, agreed: pd.DataFrame, held: pd.DataFrame, actions: Iterable[Action], runs: Sequence[Missing], manifest: Manifest
) -> dict[str, str]:
    """Return why a symbol's bars are not proven to be at the level of those held, by symbol.

    Parameters
    ----------
    filling : DataFrame
        symbol, date, open, close of the missing cells that were delivered.
    agreed : DataFrame
        symbol, date of the cells at which the delivery agrees with what is held; a gap next to one is believed.
    held : DataFrame
        symbol, date, open, close of these symbols.
    actions : iterable of Action
        Recorded ones.
    """
    gaps = _gaps(filling, agreed, runs, manifest)
    if gaps.empty:
        return {}
    if manifest.basis is PriceBasis.TOTAL_RETURN:  # it moves with every dividend: no step is large enough to see that
        return {name: f"{name}: total-return prices of a level that nothing shows; {REMEDY}" for name in gaps["symbol"]}
    before = held.rename(columns={"date": "date_before", "close": "close_before"})
    after = held.rename(columns={"date": "date_after", "open": "open_after"})
    gaps = pd.merge_asof(
        gaps.sort_values("first"),
        before[["symbol", "date_before", "close_before"]].sort_values("date_before"),
        left_on="first",
        right_on="date_before",
        by="symbol",
        allow_exact_matches=False,
    )
    gaps = pd.merge_asof(
        gaps.sort_values("last"),
        after[["symbol", "date_after", "open_after"]].sort_values("date_after"),
        left_on="last",
        right_on="date_after",
        by="symbol",
        allow_exact_matches=False,
        direction="forward",
    )
    strain = _strain(gaps, list(actions) if manifest.basis is PriceBasis.RAW else [])
    known = strain[np.isfinite(strain)]
    is_common = len(known) >= LEAST_NAMES and abs(float(np.median(known))) > OF_ALL
    wrong = gaps[np.isfinite(strain) & ((np.abs(strain) > 1) | is_common)]
    return {str(row["symbol"]): _reason(row) for row in wrong.to_dict("records")}


def _gaps(filling: pd.DataFrame, agreed: pd.DataFrame, runs: Sequence[Missing], manifest: Manifest) -> pd.DataFrame:
    """First open and last close of what fills each run that no agreed session is next to."""
    days, anchors = manifest.calendar.days, set(zip(agreed["symbol"], agreed["date"].dt.date, strict=True))
    by_symbol = {str(name): rows.sort_values("date") for name, rows in filling.groupby("symbol")}
    found = []
    for run in runs:
        low, high = manifest.calendar.index(run.first), manifest.calendar.index(run.last)
        beside = {(run.symbol, days[max(low - 1, 0)]), (run.symbol, days[min(high + 1, len(days) - 1)])}
        if run.symbol in by_symbol and not anchors & beside:
            rows = by_symbol[run.symbol]
            rows = rows[rows["date"].between(pd.Timestamp(run.first), pd.Timestamp(run.last))]
            if len(rows):
                first, last = rows.iloc[0], rows.iloc[-1]
                found.append((run.symbol, first["date"], last["date"], first["open"], last["close"]))
    frame = pd.DataFrame(found, columns=["symbol", "first", "last", "open", "close"])
    return frame.astype({"first": "datetime64[s]", "last": "datetime64[s]"})


def _strain(gaps: pd.DataFrame, actions: Sequence[Action]) -> Floats:
    """How far off each level is, over the limit for it, signed; NaN where no bar is held next to the gap."""
    entered, left = (
        np.log((gaps[now] / gaps[then]).to_numpy(np.float64)) for now, then in (("open", "close_before"), ("open_after", "close"))
    )
    for action in actions:
        if action.kind is ActionKind.SPLIT and action.ratio:
            of, at, step = gaps["symbol"] == action.symbol, pd.Timestamp(action.effective), np.log(float(action.ratio))
            entered[of & (gaps["date_before"] < at) & (at <= gaps["first"])] += step
            left[of & (gaps["last"] < at) & (at <= gaps["date_after"])] += step
    there_and_back = np.where(entered * left < 0, np.sign(entered) * np.minimum(np.abs(entered), np.abs(left)), 0.0)
    one = np.where(np.isnan(entered), -left, entered)
    has_both = np.isfinite(entered) & np.isfinite(left)
    return np.where(has_both, there_and_back / BOTH_SIDES, one / ONE_SIDE)


def _reason(row: Mapping[Hashable, Any]) -> str:
    said = [f"{row['symbol']} {row['first']:%Y-%m-%d}: {row['open']:g} delivered"]
    if not pd.isna(row["close_before"]):
        said.append(f"{row['close_before']:g} held on {row['date_before']:%Y-%m-%d}")
    if not pd.isna(row["open_after"]):
        said.append(f"{row['open_after']:g} on {row['date_after']:%Y-%m-%d}")
    return f"{', '.join(said)}; {REMEDY}"
