"""Values multipliers that devices drew in shadow on the dataset's own opens and costs: decisions of one step for the estimators.

A draw is valued as a replay values it: from the level of the session before to its own, of the book that the device held, from the
open of its session to the next one. Where the session before drew nothing, or the dataset lacks a name of the book or the next
open, it says nothing and is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from portfolio.policy.sizing import GRID, STATE
from signals.errors import FixInput, TooLittleHistory
from signals.files import sha256_of
from signals.scoring.shadow_logs import FIX, SizeDecision, read_size_log
from signals.storage.arrow import days, floats, read_parquet
from signals.text.wording import reason_of
from trainer.backtest.archive import Archive
from trainer.backtest.weights import book_env
from trainer.off_policy.logs import LoggedDecisions, exported

COLUMNS = ("before", "multiplier", "propensity", "reward")
PARQUET = "Give a Parquet file with session (date), before, multiplier, propensity, reward and the state, all numbers float64"


@dataclass(frozen=True, eq=False)
class DecisionsFile:
    """Decisions on sizes; `sha256` is of all their files."""

    log: LoggedDecisions
    sha256: str
    is_rehearsal: bool = False


def decisions_of(path: Path, archive: Archive, equity_usd: float) -> DecisionsFile:
    """Read `--decisions`: a Parquet file with rewards, or a file or folder of devices' logs of draws (.json).

    Raises
    ------
    FixInput
        Nothing there is such a log, one was changed, or two know different draws of one session.
    TooLittleHistory
        No draw has a value.
    """
    if path.is_file() and path.suffix != ".json":
        return DecisionsFile(read_decisions(path, STATE), sha256_of(path.read_bytes()))
    contents = exported(path, "sizes")
    logs = [read_size_log(content, where=file) for file, content in contents.items()]
    by_device: dict[str, dict[date, SizeDecision]] = {}
    for log in logs:
        if (log.grid, log.names) != (GRID, STATE):
            fix = "Use the version that the device has"
            raise FixInput("the log is of another grid or state than this version's", where=str(path), fix=fix)
        for one in log.decisions:  # each draw once: an export of before may be next to one of today
            if by_device.setdefault(one.seed, {}).setdefault(one.asof, one) != one:
                raise FixInput(f"two logs know different draws of {one.asof}", where=str(path), fix=FIX)
    rows = [row for own in by_device.values() for row in _valued(list(own.values()), archive, equity_usd)]
    if not rows:
        raise TooLittleHistory("no draw has a value", where=str(path), fix="Draw in sessions that follow one another; ingest their bars")
    return DecisionsFile(
        LoggedDecisions.of_rows(rows, len(GRID)),
        sha256_of("".join(sha256_of(content) for content in contents.values()).encode()),
        any(log.is_rehearsal for log in logs),
    )


def read_decisions(path: Path, names: Sequence[str]) -> LoggedDecisions:
    """Read decisions on sizes: the level before and the state (`names`) are the features, levels of the grid the arms.

    Raises
    ------
    FixInput
        The file cannot be read, lacks a column, or holds a multiplier that is not on the grid.
    """
    try:
        table = read_parquet(path.read_bytes())
        if missing := sorted({"session", *COLUMNS, *names} - {*table.column_names}):
            raise FixInput(f"there is no column {', '.join(missing)}", where=str(path), fix=PARQUET)
        schema = pa.schema([("session", pa.date32()), *((name, pa.float64()) for name in (*COLUMNS, *names))])
        known = table.select(schema.names).cast(schema)
    except (OSError, pa.ArrowException) as error:
        raise FixInput(f"decisions cannot be read: {reason_of(error)}", where=str(path), fix=PARQUET) from None
    before, chosen, chance, reward, *states = (floats(known.column(name)) for name in (*COLUMNS, *names))
    for name, values in (("before", before), ("multiplier", chosen)):
        if not np.isin(values, GRID).all():
            raise FixInput(f"a {name} is none of {GRID}", where=str(path), fix=PARQUET)
    features, sessions = np.column_stack([np.searchsorted(GRID, before), *states]), days(known.column("session")).astype(np.int64)
    return LoggedDecisions.of_one_step(sessions, features, np.searchsorted(GRID, chosen), reward, chance, len(GRID))


def _valued(decisions: list[SizeDecision], archive: Archive, equity_usd: float) -> list[tuple[date, list[float], int, float, float]]:
    """Return asof, features, level, reward and propensity of each draw of one device that has a value."""
    calendar, sessions = archive.manifest.calendar, archive.whole.sessions
    place = {day: row for row, day in enumerate(sessions.astype(object).tolist())}
    column = {security: number for number, security in enumerate(archive.securities)}
    books: dict[int, tuple[SizeDecision, dict[int | None, float]]] = {}
    for one in decisions:
        names = {name: column.get(security) for security, name in archive.rows.symbols_on(one.asof).items()}
        renamed = {a.new_symbol: a.symbol for a in archive.effective_on(one.session) if a.new_symbol}
        own = {names.get(renamed.get(name, name)): weight for name, weight in one.book.items()}
        if one.asof in place and calendar.next(one.asof) == one.session and None not in own:
            books[place[one.asof]] = (one, own)
    first, last = min(books, default=0), min(max(books, default=0) + 1, len(sessions) - 2)
    if last - first < 2:
        return []
    weights, states = np.zeros((last - first + 1, len(column))), np.zeros((last - first + 1, len(STATE)))
    for row, (one, own) in books.items():
        if row <= last:
            weights[row - first, [number for number in own if number is not None]] = list(own.values())
            states[row - first] = one.state
    rewards = book_env(archive, first, weights, states, equity_usd).rewards()
    found = []
    for row, (one, _) in sorted(books.items()):
        earlier = books.get(row - 1)
        if earlier is not None and earlier[0].multiplier == one.before and row - first < len(rewards):
            before, level = GRID.index(one.before), GRID.index(one.multiplier)
            found.append((one.asof, [before, *one.state], level, float(rewards[row - first, before, level]), one.propensity))
    return found
