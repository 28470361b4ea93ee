"""Reads vendors' option tables and joins them to rows of one form.

Any number of files: what several say of the same contract and day is joined, so that a file of quotes and a list of contracts
with open interest and the underlying's close make one chain. Columns are recognised by their names; a mapping's section
`options` overrides that.
"""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from signals.errors import BadBars
from signals.market.actions import Action
from signals.market.bars import days_array
from signals.market.sessions import xnys
from signals.text.plain_text import clean
from trainer.curation.vendors.cells import dates, figures, given_days, refuse_later, symbols
from trainer.curation.vendors.files import Note, WantedColumns, no_note, tables
from trainer.curation.vendors.mapping import ChainColumns
from trainer.options.chains.audit import audit_chain, or_repeated, splits_of
from trainer.options.chains.store import ChainManifest, chains_of, read_chains_of, read_manifest_of_chains, write_chains

KEY = ["root", "quote_date", "expiration", "strike", "right"]
NEEDED = ("quote_date", "root", "expiration", "strike", "right")
FIGURES = ("bid", "ask", "underlying", "volume", "open_interest")
ROOT = re.compile(r"[!-~]{1,20}")
RIGHTS = {"c": "C", "call": "C", "calls": "C", "p": "P", "put": "P", "puts": "P"}


@dataclass(frozen=True, eq=False)
class ChainRows:
    """Rows in the order of `KEY`, one a contract and day, and those kept out with their `reason`."""

    rows: pd.DataFrame
    quarantine: pd.DataFrame


def read_chains(contents: Mapping[str, bytes], mapping: ChainColumns, *, today: date, note: Note = no_note) -> ChainRows:
    """Read the files `contents`, by name.

    Raises
    ------
    BadBars
        A file is empty or unreadable, lacks a column, or has quotes of the future.
    """
    found = []
    for name, content in contents.items():
        wanted = WantedColumns(mapping.columns, NEEDED, (*FIGURES, "known_at"))
        found += [_table(raw, mapping, where=where) for raw, where in tables(content, wanted, where=name, note=note)]
    if not found:
        raise BadBars("no file was given", fix="Name files of option quotes")
    rows = pd.concat(found, ignore_index=True)
    refuse_later(rows["quote_date"], today, where="option quotes", what="quotes of the future:")
    reason = _reasons(rows)
    quarantined = [rows.assign(reason=reason)[reason != ""]]
    rows = rows[reason == ""]
    prices = rows.groupby(KEY, sort=True)[["bid", "ask"]].nunique().max(axis=1)
    if bool((prices > 1).any()) and rows["known_at"].isna().all():
        twice = rows.set_index(KEY).index.isin(prices.index[prices > 1])
        quarantined.append(rows[twice].assign(reason="quoted twice"))
        rows = rows[~twice]
    joined = rows.sort_values("known_at", kind="stable", na_position="first").groupby(KEY, sort=True, as_index=False).last()
    joined["underlying"] = joined.groupby(["root", "quote_date"])["underlying"].transform("median")
    out = pd.concat(quarantined, ignore_index=True)
    if len(out):
        note(f"{len(out)} rows are quarantined: {', '.join(f'{n} {why}' for why, n in out['reason'].value_counts().items())}")
    return ChainRows(joined, out)


def _table(raw: pd.DataFrame, mapping: ChainColumns, *, where: str) -> pd.DataFrame:
    numbers = figures(raw, ("strike", *FIGURES), mapping.decimal, where=where)
    text = symbols(raw["root"], where=where).str.upper()
    if wrong := sorted({str(name) for name in text if not ROOT.fullmatch(str(name))}):
        raise BadBars(f"no underlying is called {clean(wrong[0])[:40]}", where=where, fix="Correct the delivery, or the mapping")
    rows = pd.DataFrame({name: numbers.get(name, pd.Series(np.nan, index=raw.index)) for name in ("strike", *FIGURES)})
    rows["root"] = text.astype(object).to_numpy()
    for name in ("quote_date", "expiration"):
        rows[name] = dates(raw[name], mapping.date_format, where=f"{where}, {name}").to_numpy()
    rows["right"] = raw["right"].astype("string").str.strip().str.lower().map(RIGHTS).astype(object).to_numpy()
    rows["known_at"] = given_days(raw, "known_at", mapping.date_format, where=where).to_numpy()
    return rows.assign(strike=rows["strike"].round(4))  # float32 of a vendor: 94.290001 is 94.29


def _reasons(rows: pd.DataFrame) -> pd.Series:
    """Why a row is no quote; empty for one that is."""
    first, last = rows["quote_date"].min().year, rows["quote_date"].max().year
    sessions = days_array(xnys(date(first, 1, 1), date(last, 12, 31)).days)
    reason = pd.Series("", index=rows.index, dtype=object)
    checks = (
        ("no right", rows["right"].isna()),
        ("no strike", ~(rows["strike"] > 0.0)),
        ("expired", rows["expiration"] < rows["quote_date"]),
        ("not a finite figure", pd.Series(np.isinf(rows[["strike", *FIGURES]].to_numpy(dtype=np.float64)).any(axis=1), index=rows.index)),
        ("negative price", (rows["bid"] < 0.0) | (rows["ask"] < 0.0)),
        ("crossed", rows["bid"] > rows["ask"]),
        ("no session", ~rows["quote_date"].isin(pd.DatetimeIndex(sessions))),
    )
    for name, wrong in reversed(checks):
        reason = reason.mask(wrong.fillna(False).astype(bool), name)
    return reason


@dataclass(frozen=True, eq=False)
class ChainDelivery:
    """Files of option quotes with their columns, the underlyings' corporate actions, and who delivered them."""

    contents: Mapping[str, bytes]
    mapping: ChainColumns
    actions: tuple[Action, ...] = ()
    vendor: str = ""


def ingest_chains(delivery: ChainDelivery, folder: Path, *, today: date, add: bool = False, note: Note = no_note) -> ChainManifest:
    """Read, audit and write chains; with `add` days that were not delivered now stay, those that were are replaced.

    Raises
    ------
    BadBars
        See `read_chains`; or no row is a quote.
    BadDataset
        With `add` what is there cannot be read.
    """
    given = read_chains(delivery.contents, delivery.mapping, today=today, note=note)
    if given.rows.empty:
        raise BadBars("no row is an option quote", where=", ".join(delivery.contents), fix="Look at what was quarantined and why")
    splits = splits_of(delivery.actions)
    days = {(chain.root, chain.day): audit_chain(chain, splits.get(chain.root, ())) for chain in chains_of(given.rows)}
    if add:
        known = read_manifest_of_chains(folder)
        audits = {(one.root, one.day): one for one in known.audits}
        stored = (chain for root in known.roots for chain in read_chains_of(folder, known, root, with_red=True))
        before = {(chain.root, chain.day): (chain, audits[chain.root, chain.day]) for chain in stored}
        note(f"{len(before.keys() & days.keys())} days were delivered before and are replaced")
        days = before | days
    order = sorted(days)
    for earlier, later in itertools.pairwise(order):
        if earlier[0] == later[0]:
            chain, audit = days[later]
            days[later] = chain, or_repeated(audit, chain, days[earlier][0])
    return write_chains(folder, [days[key] for key in order], vendor=delivery.vendor, quarantine=given.quarantine)
