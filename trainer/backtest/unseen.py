"""Reads a run's stored out-of-sample scores: walk-forward and out-of-fold."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from signals.errors import FixInput
from signals.files import sha256_of
from signals.market.bars import Floats
from signals.scoring.scores import Scores
from signals.storage.arrow import codes, floats, read_parquet
from signals.storage.arrow import days as days_of
from signals.text.wording import reason_of
from trainer.backtest.archive import Archive

WALK_FORWARD, OUT_OF_FOLD = "walk_forward.parquet", "oof.parquet"


@dataclass(frozen=True, eq=False)
class RunScores:
    """A run's stored scores on the panel of its dataset.

    Attributes
    ----------
    values : float64, shape (P, T, N)
        P = 1 walking forward, one a path out of fold; NaN where a name was not scored.
    labels : float64, shape (T, N)
    source : str
        SHA-256 of the file.
    """

    archive: Archive
    sleeve: str
    values: Floats
    labels: Floats
    source: str

    @property
    def sessions(self) -> tuple[date, ...]:
        """The scored sessions, oldest first."""
        scored = np.isfinite(self.values).any(axis=(0, 2))
        return tuple(self.archive.whole.sessions[scored].astype(object).tolist())

    def on(self, asof: date) -> Scores | None:
        """Return the scores of `asof` under the names of `asof`, the mean over paths; None where there are none."""
        return named(self.archive, self.sleeve, asof, self.values[:, self.archive.whole.index(asof)], self.source)


def named(archive: Archive, sleeve: str, asof: date, values: Floats, source: str) -> Scores | None:
    """Scores, shape (P, N) on the whole panel's columns, under the names of `asof`."""
    then = archive.rows.symbols_on(asof)
    whole = archive.securities
    scored = np.flatnonzero(np.isfinite(values).all(axis=0))
    pairs = sorted((then[whole[column]], column) for column in scored.tolist() if whole[column] in then)
    if not pairs:
        return None
    mean = values[:, [column for _, column in pairs]].mean(axis=0)
    return Scores(asof, sleeve, tuple(symbol for symbol, _ in pairs), mean, source)


def run_scores(archive: Archive, sleeve: str, path: Path, trained: tuple[date, date]) -> RunScores:
    """Read the scores that a run stored.

    Parameters
    ----------
    archive : Archive
        The very version of the dataset that the run was trained on.
    path : Path
        `walk_forward.parquet` or `oof.parquet` of a run folder.
    trained : (date, date)
        First and last session of the bars that the training read: names are those of the last one.

    Raises
    ------
    FixInput
        The file cannot be read, or names what the dataset does not hold.
    """
    content = _bytes(path)
    try:
        table = read_parquet(content)
        session, symbol = days_of(table.column("session")), codes(table.column("symbol"))
        score_, label = _plain(table, "score"), _plain(table, "label")
        layer = pc.cast(table.column("path"), pa.int64()).to_numpy() if "path" in table.column_names else None
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise FixInput(f"the scores cannot be read ({reason_of(error)})", where=str(path), fix="Train again") from None
    owner = archive.rows.securities(*trained)
    place = {security: column for column, security in enumerate(archive.securities)}
    strangers = [name for name in symbol[1] if name not in owner]
    if strangers:
        raise FixInput(f"the dataset holds no {strangers[0]}", where=str(path), fix="Name the run's own dataset")
    column = np.array([place[owner[name]] for name in symbol[1]], dtype=np.int64)[symbol[0]]
    row = np.searchsorted(archive.whole.sessions, session)
    paths = np.zeros(len(session), dtype=np.int64) if layer is None else layer
    shape = archive.whole.close.shape
    values, labels = np.full((int(paths.max()) + 1, *shape), np.nan), np.full(shape, np.nan)
    values[paths, row, column] = score_
    labels[row, column] = label
    return RunScores(archive, sleeve, values, labels, sha256_of(content))


def _plain(table: pa.Table, name: str) -> Floats:
    return floats(pc.cast(table.column(name), pa.float64()))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FixInput(
            f"{path.name} cannot be read: {reason_of(error)}", where=str(path.parent), fix="Name a run folder made by `trainer train`"
        ) from None
