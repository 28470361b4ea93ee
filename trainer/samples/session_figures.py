"""Figures of each session from every name's minutes, on the axes of daily bars (`Bars.joined`).

A name is there in a session when its minutes of that session and of the `LOOKBACK_SESSIONS` - 1 before it are GREEN: all that its
figures read. They depend on these sessions alone, whatever range is asked for.
"""

from datetime import date
from pathlib import Path

import numpy as np

from signals.errors import BadDataset, TooLittleHistory
from signals.indicators.catalogue import indicators, rows_of
from signals.market.audits import SessionStatus
from signals.market.bars import Bars, Days, Flags, Floats, days_array
from signals.market.dataset import FileRole, read_manifest, read_table
from signals.market.manifest import Manifest
from signals.minutes.grid import default_hours
from signals.minutes.stretch import Stretch, stretch
from signals.sleeves.intraday import BARS, CHANNELS, LATE_MINUTES, LOOKBACK_SESSIONS, PARTS, PRESENT, TIMEFRAME, WARM_UP
from trainer.learners.fanout import side_by_side
from trainer.samples.minutes import load_minutes

FOLDER = "minutes"  # in the folder of the daily bars


def session_figures(names: tuple[str, ...], bars: Bars, data: Path) -> dict[str, Floats]:
    """Return the figures `names` on the axes of `bars`, from the minutes in the dataset's folder `data`; NaN where a name is absent.

    Raises
    ------
    BadDataset
        There are no minutes, or they are not what their manifest vouches for.
    TooLittleHistory
        No name of the minutes is among the bars.
    """
    folder = data / FOLDER
    manifest = _manifest(folder)
    there = _present(folder, manifest, bars)
    columns = np.flatnonzero(there.any(axis=0))
    if not columns.size:
        fix = "Ingest minutes of these names and sessions; those that are not GREEN do not count"
        raise TooLittleHistory("no name of the bars has minutes", where=str(folder), fix=fix)
    found = {name: np.full(bars.close.shape, np.nan) for name in names}
    first, last = (bars.sessions[place].astype(object) for place in (0, -1))
    given = (folder, manifest, max(first, manifest.first), min(last, manifest.last))
    jobs = [(bars.symbols[column],) for column in columns.tolist()]
    for column, (sessions, figures) in zip(columns.tolist(), side_by_side(_of_name, given, jobs, workers=1), strict=True):
        rows = np.searchsorted(bars.sessions, sessions)
        chosen = np.isin(sessions, bars.sessions) & there[np.minimum(rows, len(there) - 1), column]
        for name in found.keys() & figures.keys():
            found[name][rows[chosen], column] = figures[name][chosen]
    return {**found, PRESENT: np.where(there, 1.0, np.nan)}


def _of_name(given: tuple[Path, Manifest, date, date], symbol: str) -> tuple[Days, dict[str, Floats]]:
    """One name's sessions and figures: on this machine, or on one of a cluster that sees the same folder."""
    folder, manifest, first, last = given
    own = stretch(load_minutes(folder, manifest, symbol, default_hours(manifest.calendar.name), first, last), TIMEFRAME, WARM_UP)
    values = indicators(own, rows_of(CHANNELS), full_session=BARS, first=WARM_UP)
    return own.sessions, _means(own, values) | _steps(own, values)


def _manifest(folder: Path) -> Manifest:
    if not folder.is_dir():
        raise BadDataset(
            "the dataset has no minutes", where=str(folder), fix="Run `trainer ingest --minutes FILE --daily DATA --to DATA/minutes`"
        )
    return read_manifest(folder)


def _present(folder: Path, manifest: Manifest, bars: Bars) -> Flags:
    """Whether all that a session's figures read is GREEN, (T, N)."""
    listed = manifest.of_role(FileRole.MINUTE_SESSIONS)
    if not listed:
        raise BadDataset("the dataset holds no minutes", where=str(folder), fix="Run `trainer ingest --minutes FILE`")
    known = read_table(folder, listed[0], ["session", "symbol", "status"]).to_pandas()
    known = known[(known["status"] == str(SessionStatus.GREEN)) & known["symbol"].isin(bars.symbols)]
    days: Days = days_array(known["session"].tolist())
    green = np.zeros(bars.close.shape, dtype=bool)
    inside = np.isin(days, bars.sessions)
    place = {symbol: column for column, symbol in enumerate(bars.symbols)}
    columns = np.array([place[symbol] for symbol in known["symbol"]], dtype=np.int64)
    green[np.searchsorted(bars.sessions, days[inside]), columns[inside]] = True
    there = green.copy()
    there[: LOOKBACK_SESSIONS - 1] = False
    for ago in range(1, LOOKBACK_SESSIONS):
        there[ago:] &= green[:-ago]
    return there


def _means(own: Stretch, values: Floats) -> dict[str, Floats]:
    """Means of indicators over parts of each session, (S,)."""
    is_bar, left = own.is_bar[own.warm_up :], own.left[own.warm_up :]
    is_first = np.arange(len(is_bar))[:, None] == 0
    of_part = {"day": is_bar, "late": is_bar & (left < LATE_MINUTES), "open": is_bar & is_first, "close": is_bar & (left == 0)}
    found = {}
    for channel, parts in PARTS:
        column = values[..., CHANNELS.index(channel)]
        for part in parts:
            known = of_part[part] & np.isfinite(column)
            count = known.sum(axis=0)
            mean = np.where(known, column, 0.0).sum(axis=0) / np.maximum(count, 1)
            found[f"{channel}_{part}"] = np.where(count > 0, mean, np.nan)
    return found


def _steps(own: Stretch, values: Floats) -> dict[str, Floats]:
    """Every indicator at each of a session's last bars, (S,); NaN before the open."""
    last = own.is_bar[own.warm_up :].sum(axis=0) - 1
    found = {}
    for ago in range(BARS):
        row = last - ago
        at = values[np.maximum(row, 0), np.arange(len(last))]
        for place, channel in enumerate(CHANNELS):
            found[f"{channel}@{ago}"] = np.where(row >= 0, at[:, place], np.nan)
    return found
