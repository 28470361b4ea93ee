"""Fetches history and a universe from a vendor, in rounds that an interruption only delays.

Entry point: `download`.

Invariants
----------
1. Every answer is kept whole or not at all, and one that is kept is not asked for again.
2. The same vendor makes the same bytes, however often and wherever a round was interrupted.
3. A round ends at a session, fixed when it begins; a finished one is extended by the sessions since, names that have
   become candidates by their whole history.
4. Daily bars that lack a month which the monthly bars have are asked for again; what still lacks is noted.
5. An answer without what the vendor itself lists, or without the session of most names that had the one before, is asked
   for again and then not kept: the round goes on another time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from execution.brokers.reported import ReportedAction, ReportedAsset
from signals.errors import BadBars, BrokerUnreachable, FixInput
from signals.files import write_atomic
from signals.market.actions import Action, ActionKind
from signals.market.manifest import Survivorship
from signals.market.sessions import Calendar, xnys
from signals.text.wording import counted
from trainer.curation.download.kinds import AssetKind, KindTable, SymbolHistory, kind_table
from trainer.curation.download.record import (
    ACTIONS,
    BARS,
    EXCLUDED,
    RECORD,
    SPOOL,
    UNIVERSE,
    ActionAnswer,
    DownloadRecord,
    DownloadTerms,
    Spool,
    as_csv,
    bar_files,
    kept_frame,
    read_frame,
    read_record,
)
from trainer.curation.download.selection import Selection, UniverseRule, month_ends, screened, select
from trainer.curation.vendors.cells import listed
from trainer.curation.vendors.files import Note, no_note

if TYPE_CHECKING:
    from trainer.curation.vendors.alpaca import AlpacaVendor

FIRST = date(2016, 1, 4)  # Alpaca's consolidated tape begins here
SYMBOLS_PER_REQUEST, ROWS_PER_REQUEST, ROWS_PER_CHUNK = 100, 10_000, 40_000
REQUESTS_PER_MINUTE = 150  # of the 200 that Alpaca allows a key
CORRECTED_DAYS = 30  # within which a vendor corrects what it said of an action
ASKED_AGAIN = 2
A_MARKET = 1_000  # assets: of so many some have ended
MOST_OF, FEW_NAMES = 0.5, 5  # of the names that had a bar of the last session; fewer than so many say nothing
ACTION_COLUMNS = ["kind", "symbol", "effective", "ratio", "cash", "new_symbol"]
DAILY_SHARE = 3.0  # candidates by member: 1,500 of 500, measured on ten years
RECONSTRUCTED = "the rule at each date over every asset that the vendor lists, inactive ones included; what it lists no more is unknown"
CHOSEN_TODAY = "a list of symbols that was chosen with hindsight"
Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Estimate:
    """Estimate of a round's requests, before they are sent."""

    symbols: int
    requests: int

    @property
    def minutes(self) -> int:
        """Whole minutes of waiting, at our pace."""
        return math.ceil(self.requests / REQUESTS_PER_MINUTE)

    def __str__(self) -> str:
        return (
            f"{self.symbols:,} symbols, about {self.requests:,} requests: about {counted(self.minutes, 'minute')} "
            f"at {REQUESTS_PER_MINUTE} of the 200 requests a minute that Alpaca allows a key. Ctrl-C ends it at any time; "
            "the same command goes on"
        )


@dataclass(frozen=True)
class _Round:
    """One round: what is asked of whom, and who hears of it."""

    folder: Path
    source: AlpacaVendor
    terms: DownloadTerms
    before: DownloadRecord | None
    last: date
    names: SymbolHistory
    active: frozenset[str]
    spool: Spool
    step: Step

    @property
    def since(self) -> date:
        """First day that the folder lacks."""
        return self.before.last + timedelta(days=1) if self.before else self.terms.first

    @property
    def calendar(self) -> Calendar:
        """Sessions from the first bar to well past the last."""
        return xnys(self.terms.first, self.last + timedelta(days=40))

    @property
    def is_wide(self) -> bool:
        """Whether a month ended since the round before, so that names are screened."""
        return self.terms.rule is not None and (self.before is None or bool(month_ends(self.calendar, self.since, self.last)))


def download(
    folder: Path, source: AlpacaVendor, terms: DownloadTerms, last: date, *, note: Note = no_note, step: Step = lambda name, done, of: None
) -> DownloadRecord:
    """Bring `folder` up to the session `last`, or finish the round that was interrupted; return its record.

    Parameters
    ----------
    last : date
        Newest session whose bars may be asked for.
    note, step : callable
        Are given sentences for a person, and how far a part is.

    Raises
    ------
    FixInput
        The folder holds a download of other terms, or bars that nobody knows the request of.
    BrokerUnreachable
        The vendor did not answer; what had come is kept.
    BadBars
        The vendor refuses, or has nothing of what was asked for.
    """
    before = read_record(folder)
    if before is not None and before.terms != terms:
        raise FixInput("a download of other terms is here", where=str(folder), fix="Repeat its own options, or name another folder")
    spool, done = Spool(folder / SPOOL), before.last if before else None
    spool.drop_finished(done)
    if not spool.folder.exists() and (left := bar_files(folder, done)):
        raise FixInput(
            "bars are here of a request that is not known", where=f"{left[0]}, {len(left)} files", fix="Remove them, or name another folder"
        )
    if before is not None and before.last >= last and not spool.folder.exists():
        note(f"nothing to ask for: everything up to {before.last} is here")
        return before
    last, table = spool.begin(terms, last), kind_table()
    assets = _assets(spool, source)
    names = SymbolHistory(table.kinds(assets), _changes(spool, source, terms, last))
    active = frozenset(asset.symbol for asset in assets if asset.is_active)
    round_ = _Round(folder, source, terms, before, last, names, active, spool, step)
    note(str(estimate(names, terms, before, last, is_wide=round_.is_wide)))
    months = _months(round_)
    asked = _asked(round_, months)
    _fetch(round_, asked, months, note)
    frame = pd.concat([read_frame(path) for path in bar_files(folder)], ignore_index=True)
    actions, unsupported = _actions(round_, asked)
    notes = [f"{len(unsupported):,} corporate actions that datasets cannot represent: {listed(unsupported)}"] if unsupported else []
    if terms.rule is not None:
        chosen = select(frame, _events(actions), round_.names, round_.calendar, terms.rule)
        # No known_at: the state of this universe is `reconstructed`, and a table must not look like a record of its time.
        write_atomic(folder / UNIVERSE, as_csv([asdict(one) for one in chosen.members], ["symbol", "start", "end"]))
        notes += _of_selection(chosen, terms.rule, len(asked))
    excluded = _excluded(assets, table)
    notes.append(f"{len(excluded):,} assets of doubtful kind are left out: {EXCLUDED}")
    write_atomic(folder / ACTIONS, as_csv(actions.to_dict("records"), ACTION_COLUMNS))
    write_atomic(folder / EXCLUDED, as_csv(excluded, ["symbol", "name", "reason"]))
    record = DownloadRecord(
        vendor=source.name,
        feed="sip",
        terms=terms,
        last=last,
        kinds_version=table.version,
        survivorship=Survivorship.RECONSTRUCTED if terms.rule else Survivorship.UNKNOWN,
        rule=f"{terms.rule.sentence()}: {RECONSTRUCTED}" if terms.rule else CHOSEN_TODAY,
        asked=tuple(asked),
        notes=tuple(notes),
    )
    write_atomic(folder / RECORD, (record.model_dump_json(indent=1) + "\n").encode())
    spool.clear()
    for sentence in notes:
        note(sentence)
    return record


def estimate(names: SymbolHistory, terms: DownloadTerms, before: DownloadRecord | None, last: date, *, is_wide: bool) -> Estimate:
    """Return what a round will ask for, by what the list of assets says."""
    sessions = 252 * ((last - terms.first).days / 365.25)
    if not is_wide:
        asked = len(terms.symbols) if before is None else len(before.asked)
        sessions = sessions if before is None else max(1.0, 0.69 * (last - before.last).days)
        return Estimate(asked, 4 + _requests(asked, sessions) + _requests(asked, 1))
    assert terms.rule is not None
    common = len(names.of_kind(AssetKind.STOCK))
    daily = min(common, math.ceil(DAILY_SHARE * terms.rule.size))
    new = daily if before is None else 0
    months = sessions / 21 if before is None else 4
    return Estimate(common, 4 + _requests(common, months) + _requests(new, sessions) + 2 * _requests(daily, 1))


def _requests(symbols: int, rows_each: float) -> int:
    return max(math.ceil(symbols / SYMBOLS_PER_REQUEST), math.ceil(symbols * rows_each / ROWS_PER_REQUEST))


def _assets(spool: Spool, source: AlpacaVendor) -> list[ReportedAsset]:
    """Every asset, those that have ended too: without them a universe is one of survivors."""

    def ask() -> list[ReportedAsset]:
        found = list(source.assets())
        active = sum(asset.is_active for asset in found)
        if not active or (active == len(found) >= A_MARKET):
            what = f"the vendor lists no {'inactive' if active else 'active'} assets"
            raise BadBars(what, where=source.name, fix="Check the key pair; try again later")
        return found

    return [ReportedAsset(*row) for row in cast("list[list[Any]]", spool.document("assets.json", ask))]


def _changes(spool: Spool, source: AlpacaVendor, terms: DownloadTerms, last: date) -> list[ReportedAction]:
    rows = cast("list[list[Any]]", spool.document("changes.json", lambda: list(source.name_changes(terms.first, last))))
    return [ReportedAction(*row)._replace(effective=date.fromisoformat(row[2])) for row in rows]


def _months(round_: _Round) -> pd.DataFrame:
    """Monthly bars of every common stock, from a quarter before what is lacking; empty where nothing is screened."""
    if not round_.is_wide:
        return pd.DataFrame(columns=["date", "symbol", "close", "volume"])
    symbols = round_.names.of_kind(AssetKind.STOCK)
    first = max(round_.terms.first, round_.since - timedelta(days=92)) if round_.before else round_.terms.first
    parts = []
    for at in range(0, len(symbols), SYMBOLS_PER_REQUEST):
        some = symbols[at : at + SYMBOLS_PER_REQUEST]
        ask = partial(_monthly, round_, some, first)
        parts.append(
            kept_frame(round_.spool.folder / f"months-{at:06d}.parquet", ask, round_.source.name)[["date", "symbol", "close", "volume"]]
        )
        round_.step("monthly bars", len(parts), math.ceil(len(symbols) / SYMBOLS_PER_REQUEST))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if found.empty:
        raise BadBars("the vendor has no monthly bar of any common stock", where=round_.source.name, fix="Check the dates and the key pair")
    return found


def _monthly(round_: _Round, symbols: Sequence[str], first: date) -> pd.DataFrame:
    listed_now = round_.active & set(symbols)
    for _ in range(1 + ASKED_AGAIN):
        frame = round_.source.months(symbols, first, round_.last)
        if len(frame) or len(listed_now) < FEW_NAMES:
            return frame
    raise _not_whole(round_, f"no monthly bar of {len(listed_now)} stocks that the vendor lists as active", symbols)


def _not_whole(round_: _Round, what: str, symbols: Sequence[str]) -> BrokerUnreachable:
    return BrokerUnreachable(
        what, where=f"{round_.source.name}: {listed(symbols)}", fix="Run the same command later: what had come is kept"
    )


def _asked(round_: _Round, months: pd.DataFrame) -> list[str]:
    """Symbols whose daily bars the folder holds in the end."""
    names, before = round_.names, set(round_.before.asked) if round_.before else set()
    if round_.terms.rule is None:
        return sorted(names.related(round_.terms.symbols) | before)
    near = {str(symbol) for symbol in screened(months, round_.terms.rule).index} if round_.is_wide else set()
    return sorted(names.related(near | before))


def _fetch(round_: _Round, asked: Sequence[str], months: pd.DataFrame, note: Note) -> None:
    """Ask for the daily bars that the folder lacks, a chunk a file."""
    held = set(round_.before.asked) if round_.before else set()
    chunks = [
        *_chunks([symbol for symbol in asked if symbol in held], round_.since, round_.last),
        *_chunks([symbol for symbol in asked if symbol not in held], round_.terms.first, round_.last),
    ]
    lacking: list[str] = []
    lately = _had_a_bar(round_)
    for number, (symbols, first) in enumerate(chunks, start=1):
        path = round_.folder / BARS / f"{round_.last}-{number:04d}.parquet"
        frame = kept_frame(path, partial(_daily, round_, symbols, first, months, lately & set(symbols)), round_.source.name)
        lacking += _lacking(frame, months, symbols, first)
        round_.step("daily bars", number, len(chunks))
    if not bar_files(round_.folder):
        raise BadBars("the vendor has no bar of these", where=listed(asked), fix="Check the symbols and the dates")
    if lacking:
        note(f"{len(lacking):,} months have a monthly bar and no daily one: {listed(lacking)}")


def _chunks(symbols: Sequence[str], first: date, last: date) -> Iterator[tuple[list[str], date]]:
    size = max(1, int(ROWS_PER_CHUNK / max(1.0, 0.69 * ((last - first).days + 1))))
    for at in range(0, len(symbols), size):
        yield list(symbols[at : at + size]), first


def _daily(round_: _Round, symbols: Sequence[str], first: date, months: pd.DataFrame, lately: set[str]) -> pd.DataFrame:
    frame = round_.source.bars(symbols, first, round_.last)
    for _ in range(ASKED_AGAIN):
        if not _lacking(frame, months, symbols, first) and not _silent(frame, round_, lately):
            break
        frame = round_.source.bars(symbols, first, round_.last)
    if silent := _silent(frame, round_, lately):
        raise _not_whole(round_, f"hardly a bar of {silent[0]} of {len(lately)} names that had one of the session before", symbols)
    return frame.assign(kind=_kinds(frame, round_))


def _had_a_bar(round_: _Round) -> set[str]:
    """Symbols with a bar of the last session that the folder holds."""
    if round_.before is None:
        return set()
    last = round_.before.last
    rows = [read_frame(path) for path in bar_files(round_.folder) if path.name.startswith(f"{last}-")]
    return {str(symbol) for frame in rows for symbol in frame.loc[frame["date"] == pd.Timestamp(last), "symbol"]}


def _silent(frame: pd.DataFrame, round_: _Round, lately: set[str]) -> list[date]:
    """Sessions of the round of which most names that had a bar before it have none."""
    if len(lately) < FEW_NAMES:
        return []
    there = frame[frame["symbol"].isin(lately)].groupby("date")["symbol"].nunique()
    return [day for day in round_.calendar.between(round_.since, round_.last) if there.get(pd.Timestamp(day), 0) < MOST_OF * len(lately)]


def _lacking(frame: pd.DataFrame, months: pd.DataFrame, symbols: Sequence[str], first: date) -> list[str]:
    """Months that the monthly bars have and the daily ones lack."""
    if months.empty:
        return []
    wanted = months[months["symbol"].isin(list(symbols)) & (months["volume"] > 0) & (months["date"] >= pd.Timestamp(first))]
    there = set(zip(frame["symbol"], frame["date"].dt.strftime("%Y-%m"), strict=True))
    return [
        f"{symbol} {month}"
        for symbol, month in zip(wanted["symbol"], wanted["date"].dt.strftime("%Y-%m"), strict=True)
        if (symbol, month) not in there
    ]


def _kinds(frame: pd.DataFrame, round_: _Round) -> pd.Series:
    """Kind of each row: what the bearer of its symbol was on its day; a symbol that a person named is a stock unless it is known better."""
    kinds = pd.Series(str(AssetKind.STOCK), index=frame.index)
    is_listed = bool(round_.terms.symbols)
    for symbol, rows in frame.groupby("symbol"):
        for first, until in round_.names.stretches(str(symbol)):
            kind = round_.names.kind(str(symbol), first)
            kind = AssetKind.STOCK if is_listed and kind is AssetKind.DOUBTFUL else kind
            inside = (rows["date"].dt.date >= first) & (rows["date"].dt.date < until)
            kinds[rows.index[inside]] = str(kind)
    return kinds


def _actions(round_: _Round, asked: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """All corporate actions of the symbols, those kept before included, each once; and the names of those that we cannot represent."""
    held = set(round_.before.asked) if round_.before else set()
    path, parts, unsupported = round_.folder / ACTIONS, [], list[str]()
    if round_.before is not None:
        parts.append(pd.read_csv(path, keep_default_na=False, dtype=str))
    recent = max(round_.terms.first, round_.since - timedelta(days=CORRECTED_DAYS))
    for first, symbols in ((recent, [s for s in asked if s in held]), (round_.terms.first, [s for s in asked if s not in held])):
        for at in range(0, len(symbols), SYMBOLS_PER_REQUEST):
            some = symbols[at : at + SYMBOLS_PER_REQUEST]
            name = f"actions-{'held' if first == recent and held else 'new'}-{at:06d}.json"
            answer = cast("ActionAnswer", round_.spool.document(name, partial(_answer, round_, some, first)))
            parts.append(pd.DataFrame(answer["rows"], columns=ACTION_COLUMNS, dtype=str))
            unsupported += answer["unsupported"]
            round_.step("corporate actions", min(at + SYMBOLS_PER_REQUEST, len(symbols)), len(symbols))
    found = pd.concat(parts, ignore_index=True).fillna("") if parts else pd.DataFrame(columns=ACTION_COLUMNS)
    # What a vendor says again in other figures is corrected: the newer word counts.
    found = found.drop_duplicates(ACTION_COLUMNS).drop_duplicates(["kind", "symbol", "effective", "cash"], keep="last")
    return found.sort_values(["effective", "symbol", "kind", "cash"], kind="stable", ignore_index=True), sorted(set(unsupported))


def _answer(round_: _Round, symbols: Sequence[str], first: date) -> ActionAnswer:
    frame = round_.source.actions(symbols, first, round_.last)[ACTION_COLUMNS]
    rows = frame.astype(object).where(frame.notna(), "").astype(str).to_numpy().tolist()
    return {"rows": rows, "unsupported": list(round_.source.unsupported)}


def _events(actions: pd.DataFrame) -> list[Action]:
    """Changes of symbols and delistings, as far as a universe asks for them."""
    found = []
    for row in actions.to_dict("records"):
        kind, day = ActionKind(str(row["kind"])), date.fromisoformat(str(row["effective"])[:10])
        if kind is ActionKind.SYMBOL_CHANGE:
            found.append(Action(kind, str(row["symbol"]), day, day, new_symbol=str(row["new_symbol"])))
        elif kind is ActionKind.DELISTING:
            found.append(Action(kind, str(row["symbol"]), day, day, cash=Decimal(str(row["cash"] or 0))))
    return found


def _of_selection(chosen: Selection, rule: UniverseRule, asked: int) -> list[str]:
    if not chosen.chosen:
        return [f"no month has a member yet: a member has {rule.min_sessions} sessions of history before it"]
    first, newest = min(chosen.chosen), max(chosen.chosen)
    short = [day for day, count in chosen.chosen.items() if count < rule.size]
    found = [f"{chosen.chosen[newest]} members at {newest}, the first chosen at {first}; {asked:,} names have daily bars"]
    if short:
        found.append(f"{len(short)} months have fewer than {rule.size} members, first {min(short)}")
    return found


def _excluded(assets: Sequence[ReportedAsset], table: KindTable) -> list[Any]:
    kinds = table.kinds(assets)
    several = {
        asset.symbol for asset in assets if kinds[asset.symbol] is AssetKind.DOUBTFUL and table.kind(asset) is not AssetKind.DOUBTFUL
    }
    return [
        {
            "symbol": asset.symbol,
            "name": asset.name,
            "reason": "assets of several kinds bore the symbol" if asset.symbol in several else "neither table nor rules know its kind",
        }
        for asset in assets
        if kinds[asset.symbol] is AssetKind.DOUBTFUL
    ]
