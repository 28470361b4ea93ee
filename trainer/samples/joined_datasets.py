"""Joins figures of other datasets to the bars that a sleeve reads. `INPUTS` is the register.

An input is named by the sleeves that read it (`Sleeve.inputs`) and lies in the folder of the daily bars; installed packages add
inputs in the group `trademl.inputs`.

Figures of each session from every name's minutes (`session_figures`): a name is there in a session when its minutes of
that session and of the `LOOKBACK_SESSIONS` - 1 before it are GREEN: all that its figures read. They depend on these
sessions alone, whatever range is asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from signals.errors import BadDataset, FixInput, TooLittleHistory
from signals.files import sha256_of
from signals.indicators.catalogue import indicators, rows_of
from signals.market.bars import Bars, Days, Flags, Floats, days_array
from signals.market.dataset import FileRole, load_bars, read_manifest, read_table
from signals.market.manifest import Manifest
from signals.market.sessions import SessionStatus
from signals.minutes.grid import default_hours
from signals.minutes.stretch import Stretch, stretch
from signals.plugins import PluginTable
from signals.sleeves.bars import MINUTE_BARS
from signals.sleeves.base import Sleeve
from signals.sleeves.events import DAILY_EVENTS, event_figures
from signals.sleeves.foundation import FORECASTS
from signals.sleeves.intraday import BARS, CHANNELS, LATE_MINUTES, LOOKBACK_SESSIONS, PARTS, PRESENT, TIMEFRAME, WARM_UP
from signals.text.wording import reason_of
from trainer.learners.fanout import side_by_side
from trainer.samples.intraday import load_minutes

MINUTES = "minutes"  # in the folder of the daily bars


def session_figures(names: tuple[str, ...], bars: Bars, data: Path) -> dict[str, Floats]:
    """Return the figures `names` on the axes of `bars`, from the minutes in the dataset's folder `data`; NaN where a name is absent.

    Raises
    ------
    BadDataset
        There are no minutes, or they are not what their manifest vouches for.
    TooLittleHistory
        No name of the minutes is among the bars.
    """
    folder = data / MINUTES
    if not folder.is_dir():
        raise BadDataset(
            "the dataset has no minutes", where=str(folder), fix="Run `trainer ingest --minutes FILE --daily DATA --to DATA/minutes`"
        )
    manifest = read_manifest(folder)
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


DAILY, CHAINS, OPTIONS = "daily_bars", "option_chains", "options"


@dataclass(frozen=True)
class OtherDataset:
    """A dataset beside the daily bars.

    Attributes
    ----------
    name : str
        As sleeves name it.
    identity : str or callable
        File, in the folder of the daily bars, whose bytes say which version it is; or the SHA-256 that says it, of that folder.
    figures : callable
        (names, bars, data, manifest of the daily bars) -> figures by name, float64 (T, N) on the axes of `bars`, NaN where a name
        has none; each known at its session's close, and the same whatever range of bars is asked for.
    """

    name: str
    identity: str | Callable[[Path], str]
    figures: Callable[[tuple[str, ...], Bars, Path, Manifest], Mapping[str, Floats]]


def _of_minutes(names: tuple[str, ...], bars: Bars, data: Path, _manifest: Manifest) -> Mapping[str, Floats]:
    return session_figures(names, bars, data)


def _of_chains(_names: tuple[str, ...], bars: Bars, data: Path, manifest: Manifest) -> Mapping[str, Floats]:
    """Compute of the whole history: the forecasts that implied variances are compared with depend on where it begins."""
    from trainer.options.positions import observed  # it fits surfaces, which no other sleeve needs

    whole = load_bars(data, manifest, manifest.first, bars.asof)
    rows = np.searchsorted(whole.sessions, bars.sessions)
    columns = np.array([whole.column(symbol) for symbol in bars.symbols])
    return {name: panel[np.ix_(rows, columns)] for name, panel in observed(whole, data).items()}


def _of_forecasts(_names: tuple[str, ...], bars: Bars, data: Path, _manifest: Manifest) -> Mapping[str, Floats]:
    from trainer.samples.forecasts import forecasts  # no other sleeve needs a foundation model

    return forecasts(bars, data)


def _weights(data: Path) -> str:
    from trainer.learners.foundation.zero_shot import digest_of
    from trainer.samples.forecasts import checkpoint_of

    return digest_of(checkpoint_of(data)[1])


def _of_events(_names: tuple[str, ...], bars: Bars, _data: Path, _manifest: Manifest) -> Mapping[str, Floats]:
    return event_figures(bars)


_BUILT_IN = (
    OtherDataset(MINUTE_BARS, f"{MINUTES}/manifest.json", _of_minutes),
    OtherDataset(CHAINS, f"{OPTIONS}/manifest.json", _of_chains),
    OtherDataset(FORECASTS, _weights, _of_forecasts),
    OtherDataset(DAILY_EVENTS, "manifest.json", _of_events),
)
INPUTS: PluginTable[OtherDataset] = PluginTable("trademl.inputs", OtherDataset, {one.name: one for one in _BUILT_IN})


def inputs_of(sleeve: Sleeve) -> tuple[OtherDataset, ...]:
    """Return the datasets that the sleeve reads beside its bars; raise `FixInput` for one that there is not."""
    names = [name for name in sleeve.inputs if sleeve.joined and name != DAILY]
    if strange := [name for name in names if name not in INPUTS]:
        what = f"the sleeve {sleeve.name} reads the input {strange[0]!r}, which nothing here computes"
        raise FixInput(what, where="trademl.inputs", fix=f"Install the package that has it; there are {', '.join(INPUTS)}")
    return tuple(INPUTS[name] for name in names)


def snapshots_of(sleeve: Sleeve, data: Path) -> dict[str, str]:
    """Return which versions of other datasets the sleeve's figures are of, for the evidence: SHA-256 of what identifies them."""
    try:
        return {
            one.name: sha256_of((data / one.identity).read_bytes()) if isinstance(one.identity, str) else one.identity(data)
            for one in inputs_of(sleeve)
        }
    except OSError as error:
        what = f"nothing says which version an input of {sleeve.name} is of ({reason_of(error)})"
        raise BadDataset(what, where=str(data), fix="Ingest it next to the daily bars") from None


def with_other_datasets(sleeve: Sleeve, bars: Bars, data: Path, manifest: Manifest) -> Bars:
    """Return the bars with what the sleeve reads beside them; the bars themselves where it reads nothing else.

    Raises
    ------
    FixInput
        The sleeve reads an input that there is not.
    BadDataset
        An input cannot be read, or gives figures on other axes than those of the bars.
    """
    beside = dict(bars.joined)
    for one in inputs_of(sleeve):
        beside |= one.figures(sleeve.joined, bars, data, manifest)
    if strange := [name for name, panel in beside.items() if panel.shape != bars.close.shape]:
        raise BadDataset(f"the figure {strange[0]} is on other axes than the bars", where=str(data), fix="Correct what computes it")
    return replace(bars, joined=beside) if beside else bars
