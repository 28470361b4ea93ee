"""A raw frame as sorted arrays: the same rows in any order give the same arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.actions import Action, ActionKind
from signals.bars import Days, Floats
from signals.defects import Rows
from signals.manifest import PriceBasis
from trainer.curation.returns import inferred_splits, steps
from trainer.curation.securities import Identities

FIGURES = ("open", "high", "low", "close", "volume", "adj_close")
DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class Delivered:
    """The delivery, sorted by security, day, then every figure.

    Attributes
    ----------
    rows : Rows
    symbol, kind, sector : object, shape (R,)
    securities : tuple of str
        Sorted ids; `rows.security` holds their positions.
    session : int64, shape (R,)
        Position of the row's day among the dataset's sessions; on a non-session that of the next session.
    revised : bool, shape (R,)
        Whether the row replaced one that differed.
    """

    rows: Rows
    symbol: NDArray[np.object_]
    kind: NDArray[np.object_]
    sector: NDArray[np.object_]
    securities: tuple[str, ...]
    session: NDArray[np.int64]
    revised: NDArray[np.bool_]


def delivered(frame: pd.DataFrame, names: Identities, days: Days) -> Delivered:
    """Sort the frame's rows and number their securities and sessions."""
    day = frame["date"].to_numpy().astype("datetime64[D]")
    symbol = frame["symbol"].to_numpy(dtype=object)
    security, securities = pd.factorize(names.of_rows(symbol, day), sort=True)
    figures = {
        name: frame[name].to_numpy(dtype=np.float64) if name in frame else np.full(len(frame), np.nan)
        for name in FIGURES
    }
    words = [frame[name].to_numpy(dtype=object) for name in ("kind", "sector")]
    word_codes = [pd.factorize(word, sort=True)[0] for word in (*words, symbol)]
    revised = frame["revised"].to_numpy(dtype=bool) if "revised" in frame else np.zeros(len(frame), dtype=bool)
    order = np.lexsort((*word_codes, *reversed(list(figures.values())), day, security))
    rows = Rows(
        day=day[order], security=security[order].astype(np.int64), has_adjusted="adj_close" in frame,
        **{name: figure[order] for name, figure in figures.items()},
    )  # fmt: skip
    return Delivered(
        rows, symbol[order], words[0][order], words[1][order], tuple(securities),
        np.searchsorted(days, rows.day).astype(np.int64), revised[order],
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Events:
    """What corporate actions did to each row.

    Attributes
    ----------
    ratio : float64, shape (R,)
        Split ratio effective after the security's previous row and up to this one; 1 where none or already adjusted.
    cash : float64, shape (R,)
        Dividends per share, likewise, in the dataset's basis; 0 where none or already adjusted.
    ended : int64, shape (N,)
        First session at which a recorded delisting has ended the security; the number of sessions where none has.
    """

    ratio: Floats
    cash: Floats
    ended: NDArray[np.int64]


def events(data: Delivered, actions: Sequence[Action], names: Identities, days: Days, basis: PriceBasis) -> Events:
    """Attach each recorded action to the first row of its security on or after the effective session."""
    ratio, cash = np.ones(len(data.rows)), np.zeros(len(data.rows))
    ended = np.full(len(data.securities), len(days), dtype=np.int64)
    codes = {security: code for code, security in enumerate(data.securities)}
    starts = np.searchsorted(data.rows.security, np.arange(len(data.securities) + 1))
    for action in actions:
        code = _security(action, names, codes)
        if code is None:
            continue
        effective = np.datetime64(action.effective, "D")
        row = starts[code] + int(np.searchsorted(data.rows.day[starts[code] : starts[code + 1]], effective))
        if action.kind is ActionKind.DELISTING:
            ended[code] = min(ended[code], int(np.searchsorted(days, effective)))
        elif row == starts[code + 1]:
            continue
        elif action.kind is ActionKind.SPLIT and basis is PriceBasis.RAW:
            ratio[row] *= float(action.ratio or 1)
        elif action.kind is ActionKind.DIVIDEND and basis is not PriceBasis.TOTAL_RETURN:
            cash[row] += float(action.cash or 0)
    return Events(ratio, cash, ended)


def _security(action: Action, names: Identities, codes: dict[str, int]) -> int | None:
    """Code of the security that an action speaks of, by its name before the action, else by its name after it."""
    eve: np.datetime64 = np.datetime64(action.effective, "D") - DAY
    before = codes.get(names.at(action.symbol, eve.astype(object)))
    return before if before is not None else codes.get(names.at(action.symbol, action.effective))


def with_inferred_splits(data: Delivered, recorded: Events, days: Days) -> tuple[Events, list[Action]]:
    """Add the splits of raw prices that adj_close / close implies and nothing recorded explains."""
    rows = data.rows
    sound = np.isin(rows.day, days) & (rows.close > 0) & (rows.adj_close > 0)
    pairs = steps(rows, sound, data.session)
    found = inferred_splits(rows, pairs, recorded.ratio)
    ratio, actions = recorded.ratio.copy(), []
    for place in np.flatnonzero(found != 1):
        row = int(pairs.after[place])
        ratio[row] *= found[place]
        day = rows.day[row].astype(object)
        figure = Decimal(str(round(float(found[place]), 6)))
        actions.append(Action(ActionKind.SPLIT, data.symbol[row], day, day, ratio=figure, inferred=True))
    return replace(recorded, ratio=ratio), actions


def dataset_days(frame: pd.DataFrame, calendar_days: Days) -> Days:
    """Sessions from the first to the last session that has a row; empty where no row lies on a session."""
    found = np.flatnonzero(np.isin(calendar_days, frame["date"].to_numpy().astype("datetime64[D]")))
    return calendar_days[found[0] : found[-1] + 1] if found.size else calendar_days[:0]
