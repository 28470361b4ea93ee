"""Reads one version of a curated dataset for training; RED sessions are refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np

from signals.audit.returns import GAP_SESSIONS
from signals.errors import DataNotUsable
from signals.market.actions import Action
from signals.market.bars import Bars, unknown_returns
from signals.market.dataset import Manifest, SessionStatus, load_actions, load_bars, read_manifest, session_range
from signals.market.sessions import SessionAudit
from trainer.curation.audit.findings import missing, summary

SHOWN = 5
UNKNOWN = (
    "{count} bars follow an earlier one of their name and have no return since it (an absence of more than "
    f"{GAP_SESSIONS} sessions, an adjusted close on one side only, or a dataset from before returns across gaps, for "
    "which trainer ingest is to be run again): labels over them are left out, and a book that holds the name earns "
    "nothing there"
)


@dataclass(frozen=True, eq=False)
class TrainingBars:
    """Bars to train on.

    Attributes
    ----------
    bars : Bars
        From the look-back before the first features' session to the last session that may be read.
    first_row : int
        Row of `bars` that is the first features' session.
    datasets : mapping of str to str
        Versions of the other datasets that figures of `bars` are of.
    """

    manifest: Manifest
    bars: Bars
    actions: tuple[Action, ...]
    first_row: int
    datasets: Mapping[str, str] = field(default_factory=dict)


def read_source(
    folder: Path, *, start: date | None, end: date | None, symbols: tuple[str, ...], lookback_sessions: int, version: int | None = None
) -> TrainingBars:
    """Read the bars of features' sessions from `start` on and of labels that end by `end`, sessions of the dataset or its own ends.

    The first features read `lookback_sessions`, their own included. No symbols are all, no version is the newest.

    Raises
    ------
    BadDataset, NotASession, UnknownSymbol
        See `signals.market.dataset` and `Bars.select`.
    DataNotUsable
        A session of the range on which names were eligible is RED and was not accepted as missing.
    """
    manifest = read_manifest(folder, version)
    first, last = session_range(manifest, start, end)
    refuse_red(folder, manifest, first, last)
    days = manifest.calendar.between(manifest.first, last)
    loaded_from = days[max(0, days.index(first) - lookback_sessions + 1)]
    bars = load_bars(folder, manifest, loaded_from, last)
    if symbols:
        bars = bars.select(tuple(sorted(set(symbols))))
    first_row = int(np.searchsorted(bars.sessions, np.datetime64(first, "D")))
    return TrainingBars(manifest, bars, load_actions(folder, manifest), first_row)


def refuse_red(folder: Path, manifest: Manifest, first: date, last: date) -> None:
    """Raise `DataNotUsable` for RED sessions of [first, last], from the first one with eligible names on.

    It names what is missing there. Sessions that a person accepted as missing (`trainer accept-red`) are let through:
    in the panel they are rows without bars.
    """
    red = [audit for audit in _red(manifest, first, last) if manifest.waiver(audit) is None]
    if red:
        shown = "; ".join(f"{audit.session}: {', '.join(audit.reasons)}" for audit in red[:SHOWN])
        more = f"; and {len(red) - SHOWN} more" if len(red) > SHOWN else ""
        days = {audit.session for audit in red}
        lacking = [run for run in missing(folder, manifest, min(days), max(days)) if any(run.first <= day <= run.last for day in days)]
        names = f"; missing: {summary(lacking)}" if lacking else ""
        raise DataNotUsable(
            f"{len(red)} RED session{'s' * (len(red) > 1)} in the training range",
            where=shown + more + names,
            fix="Fetch what is missing with trainer backfill, train on a range without them (--start, --end), or, "
            "where nobody has it, say so with trainer accept-red",
        )


def accepted(source: TrainingBars) -> list[dict[str, str]]:
    """RED sessions that the source holds as missing by a person's word, for evidence: session, audit, reason."""
    manifest = source.manifest
    first, last = (day.astype("datetime64[D]").astype(object) for day in source.bars.sessions[[source.first_row, -1]])
    pairs = [(audit, manifest.waiver(audit)) for audit in _red(manifest, first, last)]
    return [
        {"session": str(audit.session), "audit": "; ".join(audit.reasons), "reason": waiver.reason}
        for audit, waiver in pairs
        if waiver is not None
    ]


def accepted_warnings(source: TrainingBars) -> list[str]:
    """Return what a reader must know about sessions accepted as missing; empty where there are none."""
    return [f"{row['session']} is RED ({row['audit']}) and was trained around as missing: {row['reason']}" for row in accepted(source)]


def unknown_warnings(source: TrainingBars) -> list[str]:
    """Return what a reader must know about returns that are not known; empty where there are none."""
    count = unknown_returns(source.bars)
    return [UNKNOWN.format(count=count)] if count else []


def _red(manifest: Manifest, first: date, last: date) -> list[SessionAudit]:
    audits = [audit for audit in manifest.audits if first <= audit.session <= last]
    begin = next((audit.session for audit in audits if audit.eligible), last)
    return [audit for audit in audits if audit.status is SessionStatus.RED and audit.session >= begin]
