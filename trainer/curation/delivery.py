"""A raw frame as sorted arrays, independent of the order of its rows."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd

from signals.audit.defects import Rows
from signals.audit.delivered_rows import DeliveredRows, Events
from signals.audit.returns import steps
from signals.market.actions import Action, ActionKind
from signals.market.bars import Days
from signals.market.securities import Identities
from trainer.curation.audit.returns import inferred_splits

FIGURES = ("open", "high", "low", "close", "volume", "adj_close")


def delivered(frame: pd.DataFrame, names: Identities, days: Days) -> DeliveredRows:
    """Sort the frame's rows and number their securities and sessions."""
    day = frame["date"].to_numpy().astype("datetime64[D]")
    symbol = frame["symbol"].to_numpy(dtype=object)
    security, securities = pd.factorize(names.of_rows(symbol, day), sort=True)
    figures = {name: frame[name].to_numpy(dtype=np.float64) if name in frame else np.full(len(frame), np.nan) for name in FIGURES}
    words = [frame[name].to_numpy(dtype=object) for name in ("kind", "sector")]
    word_codes = [pd.factorize(word, sort=True)[0] for word in (*words, symbol)]
    revised = frame["revised"].to_numpy(dtype=bool) if "revised" in frame else np.zeros(len(frame), dtype=bool)
    order = np.lexsort((*word_codes, *reversed(list(figures.values())), day, security))
    rows = Rows(
        day=day[order],
        security=security[order].astype(np.int64),
        has_adjusted="adj_close" in frame,
        **{name: figure[order] for name, figure in figures.items()},
    )
    return DeliveredRows(
        rows,
        symbol[order],
        words[0][order],
        words[1][order],
        tuple(securities),
        np.searchsorted(days, rows.day).astype(np.int64),
        revised[order],
    )


def with_inferred_splits(data: DeliveredRows, recorded: Events, days: Days) -> tuple[Events, list[Action]]:
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
    """Sessions from the first to the last session that has a row; empty where no row is on a session."""
    found = np.flatnonzero(np.isin(calendar_days, frame["date"].to_numpy().astype("datetime64[D]")))
    return calendar_days[found[0] : found[-1] + 1] if found.size else calendar_days[:0]
