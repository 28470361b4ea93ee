"""Curates vendors' option tables: read, joined, audited by underlying and day, and kept in a folder that its manifest vouches for.

Several files of the same contracts and days, as quotes and a list with open interest, make one chain.

    options/manifest.json         audits by underlying and day, files with their SHA-256
    options/<root>-<hash>.parquet rows in the order of day, expiration, strike, right

Invariants
----------
1. GREEN: at least two expiries, each with 8 two-sided quotes out of the money and parity within the spread of a pair. AMBER: one such
   expiry, or several of which not all are so. RED: none, an underlying that the quotes deny, or every quote that of the day before.
2. The audit of a day depends on that day's rows, the day before and splits alone.
3. A file is never overwritten: its name holds its hash, and the manifest is written last.
4. Nothing is read that the manifest does not vouch for.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from signals.bundle.seal import canonical_json
from signals.errors import BadBars, BadDataset
from signals.files import sha256_of, write_atomic
from signals.market.actions import Action, ActionKind
from signals.market.bars import days_array
from signals.market.sessions import SessionStatus, xnys
from signals.storage.arrow import parquet_of, read_parquet
from signals.text import strict_json
from signals.text.documents import BadDocument, from_json, to_json
from signals.text.wording import clean, reason_of
from trainer.curation.vendors.cells import dates, figures, given_days, refuse_later, symbols
from trainer.curation.vendors.files import Note, WantedColumns, no_note, tables
from trainer.curation.vendors.mapping import ChainColumns
from trainer.options.chains import ARRAYS, OptionChain, outside

FOLDER, MANIFEST, QUARANTINE = "options", "manifest.json", "quarantine.parquet"
KEY = ["root", "quote_date", "expiration", "strike", "right"]
FIGURES = ("bid", "ask", "underlying", "volume", "open_interest")
ROOT = re.compile(r"[!-~]{1,20}")
RIGHTS = {"c": "C", "call": "C", "calls": "C", "p": "P", "put": "P", "puts": "P"}
MOST_GAP, MOST_MOVE = 0.05, 0.35  # of the underlying's close from the nearest forward, and from the last close, as a logarithm
LEAST_QUOTES, LEAST_EXPIRIES = 8, 2
ENDED = "nothing expires later"
Splits = Sequence[tuple[date, float]]  # effective, ratio; the earliest first


@dataclass(frozen=True)
class ChainAudit:
    """Audit of one underlying and day."""

    root: str
    day: date
    status: SessionStatus
    reasons: tuple[str, ...]
    expiries: int
    quotes: int


@dataclass(frozen=True)
class ChainFile:
    """One underlying's file."""

    root: str
    path: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class ChainManifest:
    """Contents of a folder of chains."""

    vendor: str
    files: tuple[ChainFile, ...]
    audits: tuple[ChainAudit, ...]
    format: str = "trademl-options-1"
    quarantined: Mapping[str, int] = field(default_factory=dict)

    @property
    def roots(self) -> tuple[str, ...]:
        """Underlyings, sorted."""
        return tuple(one.root for one in self.files)


@dataclass(frozen=True, eq=False)
class ChainDelivery:
    """Files of option quotes by name with their columns, the underlyings' corporate actions, and who delivered them."""

    contents: Mapping[str, bytes]
    mapping: ChainColumns
    actions: tuple[Action, ...] = ()
    vendor: str = ""


def ingest_chains(delivery: ChainDelivery, folder: Path, *, today: date, add: bool = False, note: Note = no_note) -> ChainManifest:
    """Read, audit and write chains; with `add` days that were not delivered now stay, those that were are replaced.

    Raises `BadBars` as `read_chains` does, and where no row is a quote; `BadDataset` where `add` cannot read what is there.
    """
    rows, quarantine = read_chains(delivery.contents, delivery.mapping, today=today, note=note)
    if rows.empty:
        raise BadBars("no row is an option quote", where=", ".join(delivery.contents), fix="Look at what was quarantined and why")
    splits = defaultdict[str, list[tuple[date, float]]](list)
    for one in sorted(delivery.actions, key=lambda one: one.effective):
        if one.kind is ActionKind.SPLIT and one.ratio:
            splits[one.symbol].append((one.effective, float(one.ratio)))
    days = {(chain.root, chain.day): audit_chain(chain, splits[chain.root]) for chain in chains_of(rows)}
    if add:
        known = read_manifest_of_chains(folder)
        audits = {(one.root, one.day): one for one in known.audits}
        stored = (chain for root in known.roots for chain in read_chains_of(folder, known, root, with_red=True))
        kept = {(chain.root, chain.day): (chain, audits[chain.root, chain.day]) for chain in stored}
        note(f"{len(kept.keys() & days.keys())} days were delivered before and are replaced")
        days = kept | days
    for key, (chain, audit) in days.items():
        coming = (day for day in (chain.next_split, *(effective for effective, _ in splits[chain.root])) if day and day > chain.day)
        days[key] = replace(chain, next_split=min(coming, default=None)), audit
    order = sorted(days)
    for earlier, later in itertools.pairwise(order):
        (before, _), (chain, audit) = days[earlier], days[later]
        moved = chain.spot / before.spot if earlier[0] == later[0] and before.spot > 0.0 and chain.spot > 0.0 else 1.0
        if before.carries_to(chain) and abs(np.log(moved)) > MOST_MOVE:
            note(f"{chain.root} {chain.day}: its close is {moved:.2f} times the last: a split that --actions lacks?")
        same = all(np.array_equal(getattr(chain, name), getattr(before, name), equal_nan=True) for name in ARRAYS[:5])
        if earlier[0] == later[0] and same and audit.status is not SessionStatus.RED and audit.quotes >= LEAST_QUOTES:
            reasons = (f"every quote is that of {before.day}", *audit.reasons)  # no two closes quote a whole chain alike
            days[later] = chain, replace(audit, status=SessionStatus.RED, reasons=reasons)
    by_root = itertools.groupby((days[key][0] for key in order), key=lambda chain: chain.root)
    files = tuple(_write_file(folder, root, list(chains)) for root, chains in by_root)
    if len(quarantine):
        write_atomic(folder / QUARANTINE, quarantine.to_parquet(index=False))
    counted = {str(why): int(count) for why, count in quarantine["reason"].value_counts().items()}
    found = ChainManifest(delivery.vendor, files, tuple(days[key][1] for key in order), quarantined=counted)
    write_atomic(folder / MANIFEST, canonical_json(to_json(found)))
    return found


def read_chains(
    contents: Mapping[str, bytes], mapping: ChainColumns, *, today: date, note: Note = no_note
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read files by name: rows in the order of `KEY`, one a contract and day, and those kept out with their `reason`.

    Raises `BadBars` where there is no file, or one is empty or unreadable, lacks a column, or has quotes of the future.
    """
    wanted, found = WantedColumns(mapping.columns, tuple(KEY), (*FIGURES, "known_at")), []
    for name, content in contents.items():
        found += [_table(raw, mapping, where=where) for raw, where in tables(content, wanted, where=name, note=note)]
    if not found:
        raise BadBars("no file was given", fix="Name files of option quotes")
    rows = pd.concat(found, ignore_index=True)
    refuse_later(rows["quote_date"], today, where="option quotes", what="quotes of the future:")
    reason = _reasons(rows)
    quarantined = [rows.assign(reason=reason)[reason != ""]]
    rows = rows[reason == ""]
    twice = rows.groupby([*KEY, "known_at"], dropna=False)[["bid", "ask"]].transform("nunique").max(axis=1) > 1
    quarantined.append(rows[twice].assign(reason="quoted twice"))
    rows = rows[~twice]
    joined = rows.sort_values("known_at", kind="stable", na_position="first").groupby(KEY, sort=True, as_index=False).last()
    joined["underlying"] = joined.groupby(["root", "quote_date"])["underlying"].transform("median")
    out = pd.concat(quarantined, ignore_index=True)
    if len(out):
        note(f"{len(out)} rows are quarantined: {', '.join(f'{n} {why}' for why, n in out['reason'].value_counts().items())}")
    return joined, out


def _table(raw: pd.DataFrame, mapping: ChainColumns, *, where: str) -> pd.DataFrame:
    numbers = figures(raw, ("strike", *FIGURES), mapping.decimal, where=where)
    text = symbols(raw["root"], where=where).str.upper()
    if wrong := sorted({str(name) for name in text if not ROOT.fullmatch(str(name))}):
        raise BadBars(f"no underlying is called {clean(wrong[0])[:40]}", where=where, fix="Correct the delivery, or the mapping")
    rows = pd.DataFrame({name: numbers.get(name, pd.Series(np.nan, index=raw.index)) for name in ("strike", *FIGURES)})
    rows["root"] = text.astype(object).to_numpy()
    for name in ("quote_date", "expiration"):
        rows[name] = dates(raw[name], mapping.date_format, where=f"{where}, {name}").to_numpy()
    rows["expiration"] = np.busday_offset(rows["expiration"].to_numpy("datetime64[D]"), 0, roll="backward").astype("datetime64[s]")
    rows["right"] = raw["right"].astype("string").str.strip().str.lower().map(RIGHTS).astype(object).to_numpy()
    rows["known_at"] = given_days(raw, "known_at", mapping.date_format, where=where).to_numpy()
    return rows.assign(strike=rows["strike"].round(4))  # float32 of a vendor: 94.290001 is 94.29


def _reasons(rows: pd.DataFrame) -> pd.Series:
    """Why a row is no quote; empty for one that is."""
    first, last = rows["quote_date"].min().year, rows["quote_date"].max().year
    sessions = days_array(xnys(date(first, 1, 1), date(last, 12, 31)).days)
    checks = {
        "no right": rows["right"].isna(),
        "no strike": ~(rows["strike"] > 0.0),
        "expired": rows["expiration"] < rows["quote_date"],
        "not a finite figure": np.isinf(rows[["strike", *FIGURES]]).any(axis=1),
        "negative price": (rows["bid"] < 0.0) | (rows["ask"] < 0.0),
        "crossed": rows["bid"] > rows["ask"],
        "no session": ~rows["quote_date"].isin(pd.DatetimeIndex(sessions)),
    }
    return pd.Series(np.select(list(checks.values()), list(checks), default=""), index=rows.index, dtype=object)


def chains_of(rows: pd.DataFrame) -> Iterator[OptionChain]:
    """Yield the chain of every underlying and day of rows in the order of their key."""
    for (root, day), part in rows.groupby(["root", "quote_date"], sort=True):
        part = part.sort_values(["expiration", "strike", "right"], ascending=[True, True, False], kind="stable")
        known, split = part["known_at"].max(), part["next_split"].iloc[0] if "next_split" in part else None
        yield OptionChain(
            str(root),
            pd.Timestamp(str(day)).date(),
            float(part["underlying"].iloc[0]),
            part["expiration"].to_numpy("datetime64[D]"),
            **{name: part[name].to_numpy(np.float64) for name in ("strike", "bid", "ask", "volume", "open_interest")},
            is_call=(part["right"] == "C").to_numpy(bool),
            restated=float(part["restated"].iloc[0]) if "restated" in part else 1.0,
            known_at=None if pd.isna(known) else pd.Timestamp(known).date(),
            next_split=None if pd.isna(split) else pd.Timestamp(split).date(),
        )


def audit_chain(chain: OptionChain, splits: Splits = ()) -> tuple[OptionChain, ChainAudit]:
    """Restate the underlying and audit one day."""
    good, poor, nearest = 0, [], None
    for expiration, _, rows, forward in chain.slices():
        if forward is None:
            poor.append(f"{expiration}: no forward")
            continue
        nearest = nearest or forward.value
        quotes = len(outside(rows, forward.value))
        if quotes < LEAST_QUOTES:
            poor.append(f"{expiration}: {quotes} quotes")
        elif forward.residual > forward.half_spread:
            poor.append(f"{expiration}: parity off by {forward.residual:.2f}, half a spread is {forward.half_spread:.2f}")
        else:
            good += 1
    chain = _restated(chain, nearest, splits)
    said = [f"the underlying was multiplied by {chain.restated:g} for splits"] if chain.restated != 1.0 else []
    said += [f"known on {chain.known_at}: no feature of that evening is made of it"] if chain.is_late else []
    said += ["no close of the underlying"] if not chain.spot > 0.0 else []
    said += ["one usable expiry: no term structure, no calendar to check"] if 0 < good < LEAST_EXPIRIES else []
    said += poor if good or poor else [ENDED]
    is_green = good >= LEAST_EXPIRIES and not poor and chain.spot > 0.0 and not chain.is_late
    status = SessionStatus.RED if good == 0 else SessionStatus.GREEN if is_green else SessionStatus.AMBER
    if not np.isfinite(chain.bid).any():
        status, said = SessionStatus.RED, ["no quotes"]
    elif nearest is not None and _is_apart(chain.spot, nearest):
        apart = f"the underlying's {chain.spot:.2f} is not the options' {nearest:.2f}: a split without a record?"
        status, said = SessionStatus.RED, [apart]
    return chain, ChainAudit(chain.root, chain.day, status, tuple(said), len(chain.expirations), int(np.isfinite(chain.mid).sum()))


def _is_apart(spot: float, forward: float | None) -> bool:
    """Whether the options' own forward denies a close of the underlying."""
    return forward is not None and spot > 0.0 and bool(abs(np.log(spot / forward)) > MOST_GAP)


def _restated(chain: OptionChain, forward: float | None, splits: Splits) -> OptionChain:
    """Return the chain with its underlying in the strikes' units: a vendor may deliver the close after a split, the strikes of before.

    Where forward and close are apart, the close is multiplied by the splits after the day, one after the other, until they agree.
    """
    ratio = 1.0
    for effective, step in splits if _is_apart(chain.spot, forward) else ():
        if effective > chain.day:
            ratio *= step
            if not _is_apart(chain.spot * ratio, forward):
                return replace(chain, spot=chain.spot * ratio, restated=ratio)
    return chain


def _write_file(folder: Path, root: str, chains: Sequence[OptionChain]) -> ChainFile:
    """Write an underlying's chains, in the order of days."""
    columns = {name: np.concatenate([getattr(chain, name) for chain in chains]) for name in ARRAYS}
    columns["right"] = np.where(columns.pop("is_call"), "C", "P")
    by_day = {
        "root": [root] * len(chains),
        "quote_date": np.array([chain.day for chain in chains], dtype="datetime64[D]"),
        "underlying": [chain.spot for chain in chains],
        "restated": [chain.restated for chain in chains],
        **{name: np.array([getattr(chain, name) for chain in chains], dtype="datetime64[D]") for name in ("known_at", "next_split")},
    }
    table = pa.table(columns | {name: np.repeat(np.asarray(values), [*map(len, chains)]) for name, values in by_day.items()})
    digest = sha256_of(content := parquet_of(table))
    written = ChainFile(root, f"{root.replace('/', '-')}-{digest[:12]}.parquet", digest, len(table))
    write_atomic(folder / written.path, content)
    return written


def read_manifest_of_chains(folder: Path) -> ChainManifest:
    """Return the manifest of a folder of chains; raise `BadDataset` where there is none that can be read."""
    path = folder / MANIFEST
    try:
        return from_json(ChainManifest, strict_json.loads(path.read_bytes()))
    except (OSError, BadDocument, strict_json.BadJson) as error:
        raise BadDataset(f"no option chains can be read: {reason_of(error)}", where=str(path), fix="Run `trainer options ingest`") from None


def read_chains_of(folder: Path, known: ChainManifest, root: str, *, with_red: bool = False) -> tuple[OptionChain, ...]:
    """Return the chains of an underlying in the order of days, the RED ones only `with_red`, or where what expires settles at their close.

    Raises `BadDataset` where there are none, or where their file is not what the manifest vouches for.
    """
    listed = next((one for one in known.files if one.root == root), None)
    if listed is None:
        raise BadDataset(f"no chains of {root}", where=str(folder), fix=f"There are {', '.join(known.roots)}")
    content = path.read_bytes() if (path := folder / listed.path).is_file() else b""
    if sha256_of(content) != listed.sha256:
        raise BadDataset("chains that the manifest does not vouch for: SHA-256 differs", where=str(path), fix="Ingest them again")
    own = (audit for audit in known.audits if audit.root == root and not with_red)
    red = {audit.day for audit in own if audit.status is SessionStatus.RED and ENDED not in audit.reasons}
    return tuple(chain for chain in chains_of(read_parquet(content).to_pandas(use_threads=False)) if chain.day not in red)
