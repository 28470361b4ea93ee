"""A vendor's corporate actions as `Action` values, from a table of actions or from cumulative factors."""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from signals.actions import Action, ActionKind
from signals.bars import Days, days_array
from signals.errors import BadBars, InvariantBroken
from signals.sessions import Calendar
from trainer.curation.vendors.files import dates, numbers, read_frame, select, symbols
from trainer.curation.vendors.mapping import ActionColumns, ActionForm

CASH_DECIMALS = 4
RATIO_DECIMALS = 6
# Factor tables round at six decimals: a smaller change of a factor is not an action.
FACTOR_TOLERANCE = 1e-6
SPLIT_TOLERANCE = 0.005


def read_actions(
    content: bytes, mapping: ActionColumns, calendar: Calendar, *, where: str
) -> tuple[Action, ...]:  # fmt: skip
    """Read an actions delivery.

    An effective date that is not a session moves to the next one. Where the vendor gives no `known_at`, it is the
    session before `effective`: the evening batch of that session must know what happens overnight.

    Raises
    ------
    BadBars
        Unreadable file, missing column, an unknown kind, or an action without its figure.
    """
    frame = read_frame(content, where=where)
    rows = (
        _from_factors(frame, mapping, where=where)
        if mapping.form is ActionForm.FACTORS
        else _from_actions(frame, mapping, where=where)
    )
    try:
        days = days_array(calendar.days)
        found = [_action(row, calendar, days) for row in rows.to_dict("records")]
    except (InvariantBroken, ValueError, ArithmeticError) as error:
        raise BadBars(f"not a corporate action ({error})", where=where, mend="Correct the row") from None
    return tuple(sorted(found, key=lambda a: (a.effective, a.symbol, a.kind, a.cash or 0, a.ratio or 0)))


def _from_actions(frame: pd.DataFrame, mapping: ActionColumns, *, where: str) -> pd.DataFrame:
    needed, optional = ("kind", "symbol", "effective"), ("known_at", "ratio", "cash", "new_symbol")
    raw = select(frame, mapping.columns, needed, optional, where=where)
    result = pd.DataFrame(
        {
            "kind": raw["kind"].astype("string").str.strip().str.lower().astype(object),
            "symbol": symbols(raw["symbol"], where=where),
            "effective": dates(raw["effective"], None, where=where),
        }
    )
    wrong = sorted(set(result["kind"]) - {str(kind) for kind in ActionKind})
    if wrong:
        raise BadBars(f"unknown kind of action {wrong[0]!r}", where=where, mend=f"Use one of {', '.join(ActionKind)}")
    for name in ("ratio", "cash"):
        result[name] = numbers(raw[name], where=where) if name in raw else np.nan
    names = raw["new_symbol"].astype("string").str.strip() if "new_symbol" in raw else pd.Series("", index=raw.index)
    result["new_symbol"] = names.where(names != "").astype(object)
    result["known_at"] = _known(raw, where=where)
    return result


def _known(raw: pd.DataFrame, *, where: str) -> pd.Series:
    """Days on which the actions became known; NaT where the vendor does not say."""
    known = pd.Series(pd.NaT, index=raw.index, dtype="datetime64[s]")
    if "known_at" in raw:
        said = raw["known_at"].notna() & (raw["known_at"].astype("string").str.strip() != "").fillna(False)
        if bool(said.any()):
            known[said] = dates(raw.loc[said, "known_at"], None, where=f"{where}, known_at")
    return known


def _from_factors(frame: pd.DataFrame, mapping: ActionColumns, *, where: str) -> pd.DataFrame:
    """Turn cumulative factors, each valid through its date, into the actions of the session after it.

    With price factor p, split factor s and the close c of the row's date: split ratio = s_next / s,
    dividend = c (1 - p / p_next) / ratio, per share held after the split.
    """
    needed = ("symbol", "date", "price_factor", "split_factor", "reference_price")
    raw = select(frame, mapping.columns, needed, (), where=where)
    table = pd.DataFrame({name: numbers(raw[name], where=where) for name in needed[2:]})
    table["symbol"], table["date"] = symbols(raw["symbol"], where=where), dates(raw["date"], None, where=where)
    table = table.sort_values(["symbol", "date"], kind="stable")
    later = table.groupby("symbol", sort=False)[["price_factor", "split_factor"]].shift(-1)
    steps = table.assign(
        step=later["split_factor"] / table["split_factor"], kept=table["price_factor"] / later["price_factor"]
    )
    splits = steps[(steps["step"] - 1).abs() > SPLIT_TOLERANCE]
    paid = steps[(1 - steps["kept"]) > FACTOR_TOLERANCE]
    ratio = paid["step"].where((paid["step"] - 1).abs() > SPLIT_TOLERANCE, 1.0)
    cash = (paid["reference_price"] * (1 - paid["kept"]) / ratio).round(CASH_DECIMALS)
    found = pd.concat(
        [
            pd.DataFrame({"kind": "split", "symbol": splits["symbol"], "effective": splits["date"],
                          "ratio": splits["step"].map(_tidy_ratio)}),
            pd.DataFrame({"kind": "dividend", "symbol": paid["symbol"], "effective": paid["date"], "cash": cash}),
        ]
    )  # fmt: skip
    found = found[~((found["kind"] == "dividend") & ~(found["cash"] > 0))]
    found["effective"] += pd.Timedelta(days=1)
    return found.assign(known_at=None, new_symbol=None)


def _tidy_ratio(ratio: float) -> float:
    """Undo the rounding of the factor table: 3.9998 is 4, 0.50001 is a half."""
    for value in (round(ratio), 1 / round(1 / ratio) if ratio < 1 else 0, round(ratio * 2) / 2, round(ratio * 4) / 4):
        if value and abs(ratio / value - 1) < SPLIT_TOLERANCE / 5:
            return float(value)
    return round(ratio, RATIO_DECIMALS)


def _action(row: dict[Hashable, Any], calendar: Calendar, days: Days) -> Action:
    asked = np.datetime64(row["effective"], "D")
    place = int(np.searchsorted(days, asked))
    announced = calendar.days[max(0, place - 1)] if pd.isna(row["known_at"]) else pd.Timestamp(row["known_at"]).date()
    return Action(
        kind=ActionKind(str(row["kind"])),
        symbol=str(row["symbol"]),
        effective=calendar.days[place] if place < len(days) else asked.astype(object),
        known_at=announced,
        ratio=_decimal(row.get("ratio")),
        cash=_decimal(row.get("cash")),
        new_symbol=None if pd.isna(row["new_symbol"]) else str(row["new_symbol"]),
    )


def _decimal(value: object) -> Decimal | None:
    if value is None or not np.isfinite(float(str(value))):
        return None
    return Decimal(format(Decimal(str(value)).normalize(), "f"))
