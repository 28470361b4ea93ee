"""The curation pipeline from a raw frame to dataset content. Pure.

Entry point: `curate`.

Invariants
----------
1. The order of the delivered rows changes nothing.
2. Cutting the future changes no earlier bar, return, eligibility or status. Only the audit's findings look ahead.
3. Every delivered row is either in the bars or in the quarantine, with its reasons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from signals.audit.defects import DEFECTS, Defects, Reason, Rows, find_defects, missing_sessions
from signals.audit.delivered_rows import DeliveredRows, Events, events
from signals.audit.extremes import confirmed_rows, ends_of_stitches, extremes
from signals.audit.returns import Steps, returns, steps
from signals.audit.session_audit import audit_rows, bar_cells, fixed_returns, non_session_audits
from signals.errors import BadBars
from signals.market.actions import Action, ActionKind
from signals.market.bars import CLASSIFIED, Days, Flags, Floats, days_array
from signals.market.manifest import PriceBasis
from signals.market.securities import Identities, identities
from signals.market.sessions import Calendar, xnys
from trainer.curation.audit.returns import inferred_dividends, inferred_splits, silences
from trainer.curation.audit.universe import UniverseRows, universe_of
from trainer.curation.classification import classified_rows
from trainer.curation.config import CurationConfig
from trainer.curation.eligibility import Membership, as_traded, belonging_rows, eligible_rows, ended_cells, split_logs
from trainer.curation.writer import BARS_SCHEMA, FINDINGS_SCHEMA, QUARANTINE_SCHEMA, REVISIONS_SCHEMA, DatasetContent

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


Cells = tuple[NDArray[np.int64], NDArray[np.int64]]


def bars_table(data: DeliveredRows, usable: Flags, figures: Mapping[str, Floats], flags: Mapping[str, Flags]) -> pa.Table:
    """Usable rows with the `figures` and `flags` of them, sorted by session, then symbol; what names are only where it is known."""
    kept = np.flatnonzero(usable)
    kept = kept[np.lexsort((data.symbol[kept].astype(str), data.rows.day[kept]))]
    ids = np.array(data.securities, dtype=object)
    columns = {
        "session": data.rows.day[kept],
        "symbol": data.symbol[kept],
        "security": ids[data.rows.security[kept]],
        **{name: getattr(data.rows, name)[kept] for name in FIGURES if name != "adj_close"},
        **{name: figure[kept] for name, figure in figures.items()},
        **{name: flag[kept] for name, flag in flags.items()},
        "kind": data.kind[kept],
        "sector": data.sector[kept],
    }
    known = [pa.field(name, pa.float64()) for name in CLASSIFIED if np.isfinite(columns.get(name, np.nan)).any()]
    return _table(columns, pa.schema([*BARS_SCHEMA, *known]))


def quarantine_table(data: DeliveredRows, defects: Defects) -> pa.Table:
    """Rows kept out of the bars, as delivered, with every reason that each has."""
    held = np.flatnonzero(defects.quarantined)
    held = held[np.lexsort((held, data.symbol[held].astype(str), data.rows.day[held]))]
    reasons = ["; ".join(str(defect.reason) for defect in DEFECTS if defects.flags[defect.reason][row]) for row in held]
    columns = {
        "date": data.rows.day[held],
        "symbol": data.symbol[held],
        **{name: getattr(data.rows, name)[held] for name in FIGURES},
        "reasons": np.array(reasons, dtype=object),
    }
    return _table(columns, QUARANTINE_SCHEMA)


def findings_table(data: DeliveredRows, defects: Defects, missing: Cells, absent: Cells, days: Days) -> pa.Table:
    """One row per defect found: date, symbol, reason; sorted by date, symbol, reason."""
    found = [(Reason.MISSING_SESSION, missing[0], days[missing[1]]), (Reason.EXPECTED_ABSENT, absent[0], days[absent[1]])]
    for reason, flags in defects.flags.items():
        rows = np.flatnonzero(flags)
        found.append((reason, rows, data.rows.day[rows]))
    day, symbol = np.concatenate([dates for _, _, dates in found]), np.concatenate([data.symbol[rows] for _, rows, _ in found])
    name = np.concatenate([np.full(len(rows), str(reason), dtype=object) for reason, rows, _ in found])
    order = np.lexsort((name.astype(str), symbol.astype(str), day))
    return _table({"date": day[order], "symbol": symbol[order], "reason": name[order]}, FINDINGS_SCHEMA)


def revisions_table(revisions: pd.DataFrame) -> pa.Table:
    """Return the rows that deliveries replaced, as `fold` sorts them."""
    frame = revisions.assign(date=revisions["date"].dt.date)
    columns = [pa.array(frame[field.name].tolist(), field.type, from_pandas=True) for field in REVISIONS_SCHEMA]
    return pa.Table.from_arrays(columns, schema=REVISIONS_SCHEMA)


def _table(columns: dict[str, NDArray[np.generic]], schema: pa.Schema) -> pa.Table:
    arrays = []
    for field in schema:
        values = columns[field.name]
        nulls = np.isnan(values) if field.type == pa.float64() else None
        arrays.append(pa.array(values, field.type, mask=nulls))
    return pa.Table.from_arrays(arrays, schema=schema)


CALENDAR_YEARS_AHEAD = 3


def calendar_for(frame: pd.DataFrame) -> Calendar:
    """Exchange sessions from the first delivered date to three years past the last."""
    first, last = frame["date"].min().date(), frame["date"].max().date()
    ahead = timedelta(days=366 * CALENDAR_YEARS_AHEAD)
    return xnys(first, min(last, date.max - ahead) + ahead)


@dataclass(frozen=True, eq=False)
class DeliveredHistory:
    """All that was delivered of a dataset, as `read_bars` or `fold`, `read_universe`, `read_minutes` and `calendar_for` return it.

    `revisions` and `spreads` are kept next to the bars; every row of `classification` has the day on which it became known.
    """

    frame: pd.DataFrame
    actions: Sequence[Action]
    universe: pa.Table | None
    calendar: Calendar
    basis: PriceBasis
    revisions: pd.DataFrame | None = None
    spreads: pa.Table | None = None
    classification: pa.Table | None = None


def curate(delivered: DeliveredHistory, config: CurationConfig, *, name: str, vendor: str) -> DatasetContent:
    """Audit the delivered bars, join histories, compute returns and eligibility, and give each session its status.

    Raises
    ------
    BadBars
        No row is on a session, or there are fewer symbols than `min_symbols`.
    """
    actions, universe, calendar = delivered.actions, delivered.universe, delivered.calendar
    revisions, basis = delivered.revisions, delivered.basis
    days = _checked_days(delivered.frame, calendar, config)
    whole = _stitched(delivered, days, config)
    names, data, recorded, defects = whole.names, whole.data, whole.recorded, whole.defects
    confirmed = confirmed_rows(data, actions)
    _refuse_contradicted(data, recorded.ratio, defects.flags[Reason.SPLIT_CONTRADICTED])
    defects.flags[Reason.REVISED] = data.revised
    usable = ~defects.quarantined
    _refuse_nothing_kept(usable, defects)
    membership = None if universe is None else Membership.of(universe, days)
    belongs = belonging_rows(data, usable, membership, config)
    price = as_traded(data, actions, names, days, basis)
    unknown = np.full(len(usable), np.nan)
    found = extremes(data, usable, recorded, confirmed, len(days), config.defects)
    defects.flags[Reason.UNDECIDED_RETURN] = found.undecided
    eligible = eligible_rows(data, usable, belongs, unknown if price is None else price, config.eligibility)
    eligible &= ~found.waits
    has_bar = bar_cells(data, usable, len(days))
    ended = ended_cells(data, has_bar, usable, recorded.ended, membership)
    pairs = steps(data.rows, usable, data.session)
    total, _ = returns(data.rows, pairs, recorded.ratio, recorded.cash)
    traded_on = pairs.after[pairs.is_adjacent]
    defects.flags[Reason.NO_RETURN][traded_on] = ~np.isfinite(total[traded_on])
    paid = [] if basis is PriceBasis.TOTAL_RETURN else _dividends(data, pairs, recorded)
    doubts = _silences(data, recorded, paid, days)
    audits, missing = audit_rows(data, defects, eligible, ended, days, config.coverage, doubts)
    ends = frozenset(names.at(symbol, day - timedelta(days=1)) for symbol, day in whole.begins)
    survivorship, why = universe_of(UniverseRows(data, usable, belongs, total, days, tuple(actions), ends), membership, config)
    figures = fixed_returns(data, usable, audits, recorded)
    classified = {}
    if delivered.classification is not None:
        logs = np.cumsum(np.log(recorded.ratio)) if basis is PriceBasis.RAW else split_logs(data, actions, names, days)
        classified = classified_rows(data, usable, delivered.classification, days, logs, basis)
    lasting = [action for action in actions if action.kind is not ActionKind.CONFIRMED]  # what a person confirmed is in the bars
    return DatasetContent(
        name=name,
        vendor=vendor,
        basis=basis,
        calendar=replace(calendar, sessions=calendar.sessions[calendar.index(days[0].astype(object)) :]),
        bars=bars_table(data, usable, {**figures, **classified}, {"eligible": eligible, "undecided": found.undecided}),
        actions=tuple(sorted([*lasting, *whole.inferred, *paid], key=lambda a: (a.effective, a.symbol, a.kind))),
        quarantine=quarantine_table(data, defects),
        findings=findings_table(data, defects, missing_sessions(data.rows, days), _absent(data, usable, missing), days),
        universe=universe,
        audits=audits,
        non_sessions=non_session_audits(data.rows.day, defects),
        survivorship=survivorship,
        universe_why=why,
        min_history=config.min_history,
        eligibility=config.eligibility,
        is_price_known=price is not None,
        revisions=None if revisions is None or revisions.empty else revisions_table(revisions),
        spreads=delivered.spreads,
    )


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Rows as securities, what was recorded of them, and what is wrong with them."""

    names: Identities
    data: DeliveredRows
    recorded: Events
    inferred: list[Action]
    defects: Defects
    begins: frozenset[tuple[str, date]] = frozenset()


def _stitched(delivered: DeliveredHistory, days: Days, config: CurationConfig) -> _Prepared:
    """Prepare the rows; a history that the vendor joined to another one's is split there, which is flagged and recorded."""
    frame, actions, basis = delivered.frame, delivered.actions, delivered.basis
    first_days = {str(symbol): day.date() for symbol, day in frame.groupby("symbol")["date"].min().items()}
    whole = _prepared(frame, actions, first_days, days, basis, config)
    stitches = ends_of_stitches(whole.data, ~whole.defects.quarantined, whole.recorded, confirmed_rows(whole.data, actions))
    if stitches:
        whole = _prepared(frame, [*actions, *stitches], first_days, days, basis, config)
    begins = frozenset((end.symbol, end.effective) for end in stitches)
    flags = whole.defects.flags
    for symbol, day in begins:
        flags[Reason.STITCHED] |= (whole.data.symbol == symbol) & (whole.data.rows.day == np.datetime64(day, "D"))
    flags[Reason.EXTREME_RETURN] |= flags[Reason.STITCHED]
    return replace(whole, inferred=[*whole.inferred, *stitches], begins=begins)


def _prepared(
    frame: pd.DataFrame, actions: Sequence[Action], first_days: Mapping[str, date], days: Days, basis: PriceBasis, config: CurationConfig
) -> _Prepared:
    names = identities(actions, first_days)
    data = delivered(frame, names, days)
    recorded = events(data, actions, names, days, basis)
    inferred: list[Action] = []
    if basis is PriceBasis.RAW and data.rows.has_adjusted:
        recorded, inferred = with_inferred_splits(data, recorded, days)
    return _Prepared(names, data, recorded, inferred, find_defects(data.rows, days, recorded.ratio, config.defects))


def _refuse_contradicted(data: DeliveredRows, ratio: NDArray[np.float64], wrong: Flags) -> None:
    """Raise `BadBars` for recorded splits that the prices did not follow: only holdings would change."""
    rows = np.flatnonzero(wrong)
    if rows.size:
        row = int(rows[0])
        more = f", and {rows.size - 1:,} more" if rows.size > 1 else ""
        raise BadBars(
            f"the recorded split {_shown(ratio[row])} contradicts the prices",
            where=f"{data.symbol[row]} {data.rows.day[row]}: open {data.rows.open[row]:g}, close "
            f"{data.rows.close[row]:g}; the close before was {data.rows.close[row - 1]:g}{more}",
            fix="Correct its ratio or its date, or give --basis split_adjusted where the prices are adjusted already",
        )


def _silences(data: DeliveredRows, recorded: Events, inferred: Sequence[Action], days: Days) -> tuple[tuple[str, ...], ...]:
    """Say of each session that dividends stopped before it, length T."""
    rows = np.flatnonzero((recorded.cash > 0) & (data.session < len(days)))
    paid = np.bincount(data.session[rows], minlength=len(days))
    at = np.searchsorted(days, np.array([action.effective for action in inferred], dtype="datetime64[D]"))
    paid += np.bincount(at, minlength=len(days))
    return tuple(
        (f"no dividend of any name for {since} sessions, of which {due:.0f} were due",) if since else () for since, due in silences(paid)
    )


def _refuse_nothing_kept(usable: Flags, defects: Defects) -> None:
    """Raise `BadBars` where every row is quarantined: such a dataset holds nothing."""
    if not usable.any():
        counts = [f"{d.reason}: {int(defects.flags[d.reason].sum()):,}" for d in DEFECTS if defects.flags[d.reason].any()]
        raise BadBars(
            f"none of the {len(usable):,} rows can be kept ({', '.join(counts)})",
            fix="Check the columns, the mapping and the vendor's file",
        )


def _shown(ratio: float) -> str:
    return f"{ratio:g}:1" if ratio >= 1 else f"1:{1 / ratio:g}"


def _checked_days(frame: pd.DataFrame, calendar: Calendar, config: CurationConfig) -> Days:
    found = frame["symbol"].nunique()
    if found < config.min_symbols:
        raise BadBars(f"{found} symbols are too few: a cross-section needs {config.min_symbols}", fix="Deliver more symbols")
    days = dataset_days(frame, days_array(calendar.days))
    if not days.size:
        raise BadBars("no row is on a session of the exchange", where=calendar.name, fix="Check the date column")
    return days


def _absent(data: DeliveredRows, usable: Flags, missing: Flags) -> Cells:
    """Cells at which an expected name has no usable bar, each with the row that names it: its last usable one."""
    session, security = np.nonzero(missing)
    count = missing.shape[0]
    last = np.searchsorted(data.rows.security * (count + 1) + data.session, security * (count + 1) + session) - 1
    last = np.maximum.accumulate(np.where(usable, np.arange(len(usable)), -1))[last]
    return last, session


def _dividends(data: DeliveredRows, pairs: Steps, recorded: Events) -> list[Action]:
    """Dividends inferred from adjusted closes, where no dividend is recorded for the row."""
    found = inferred_dividends(data.rows, pairs, recorded.ratio)
    days = data.rows.day
    return [
        Action(ActionKind.DIVIDEND, str(data.symbol[row]), days[row].astype(object), days[row].astype(object), cash=cash, inferred=True)
        for row, cash in found
        if recorded.cash[row] == 0
    ]
