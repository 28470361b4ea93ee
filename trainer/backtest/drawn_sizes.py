"""Values multipliers that devices drew in shadow on the dataset's own opens and costs: decisions of one step for the estimators.

A draw is valued as a replay values it: from the level of the session before to its own, of the book that the device held, from the
open of its session to the next one. Where the session before drew nothing, or the dataset lacks a name of the book or the next
open, it says nothing and is left out.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from portfolio.policy.sizing import GRID, STATE
from signals.errors import FixInput, TooLittleHistory
from signals.files import sha256_of
from signals.market.bars import Floats
from signals.scoring.draw_logs import FIX, SizeDecision, SizeLog, read_size_log
from trainer.backtest.archive import Archive
from trainer.backtest.weights import book_env
from trainer.off_policy.decisions import read_decisions
from trainer.off_policy.logs import LoggedDecisions, exported


@dataclass(frozen=True, eq=False)
class DecisionsFile:
    """Decisions on sizes; `sha256` is of all their files, `left_out` counts draws without a value."""

    log: LoggedDecisions
    sha256: str
    is_rehearsal: bool = False
    left_out: int = 0


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
        _add(by_device, log, where=str(path))
    parts = [_valued(list(own.values()), archive, equity_usd) for own in by_device.values()]
    rows = [row for part in parts for row in part]
    if not rows:
        raise TooLittleHistory("no draw has a value", where=str(path), fix="Draw in sessions that follow one another; ingest their bars")
    sessions, features, actions, rewards, propensities = (np.array(column) for column in zip(*rows, strict=True))
    return DecisionsFile(
        LoggedDecisions.of_one_step(sessions, features, actions, rewards, propensities, len(GRID)),
        sha256_of("".join(sha256_of(content) for content in contents.values()).encode()),
        any(log.is_rehearsal for log in logs),
        sum(len(own) for own in by_device.values()) - len(rows),
    )


def _add(by_device: dict[str, dict[date, SizeDecision]], log: SizeLog, *, where: str) -> None:
    """Take a log's draws, each once: an export of before may be next to one of today."""
    if (log.grid, log.names) != (GRID, STATE):
        raise FixInput("the log is of another grid or state than this version's", where=where, fix="Use the version that the device has")
    for one in log.decisions:
        own = by_device.setdefault(one.seed, {})
        if own.setdefault(one.asof, one) != one:
            raise FixInput(f"two logs know different draws of {one.asof}", where=where, fix=FIX)


def _valued(decisions: list[SizeDecision], archive: Archive, equity_usd: float) -> list[tuple[int, Floats, int, float, float]]:
    """Return (asof as a number, features, level, reward, propensity) of each draw of one device that has a value."""
    calendar, days = archive.manifest.calendar, archive.whole.sessions
    place = {day: row for row, day in enumerate(days.astype(object).tolist())}
    column = {security: number for number, security in enumerate(archive.securities)}
    books = {}
    for one in decisions:
        names = {name: column.get(security) for security, name in archive.rows.symbols_on(one.asof).items()}
        renamed = {a.new_symbol: a.symbol for a in archive.effective_on(one.session) if a.new_symbol}
        own = {names.get(renamed.get(name, name)): weight for name, weight in one.book.items()}
        if one.asof in place and calendar.next(one.asof) == one.session and None not in own:
            books[place[one.asof]] = (one, own)
    if len(books) < 2:
        return []
    first, last = min(books), min(max(books) + 1, len(days) - 2)
    weights, states = np.zeros((last - first + 1, len(column))), np.zeros((last - first + 1, len(STATE)))
    for row, (one, own) in books.items():
        if row <= last:
            weights[row - first, [number for number in own if number is not None]] = list(own.values())
            states[row - first] = one.state
    rewards = book_env(archive, first, weights, states, equity_usd).rewards() if last - first >= 2 else np.zeros((0, 0, 0))
    found = []
    for row, (one, _) in sorted(books.items()):
        earlier = books.get(row - 1)
        if earlier is None or earlier[0].multiplier != one.before or row - first >= len(rewards):
            continue
        before, level = GRID.index(one.before), GRID.index(one.multiplier)
        asof = int(np.datetime64(one.asof, "D").astype(np.int64))
        found.append((asof, np.array([before, *one.state]), level, float(rewards[row - first, before, level]), one.propensity))
    return found
