"""Forecasts of a foundation model for every name and session, on the axes of daily bars (`Bars.joined`).

The checkpoint is the only folder in the dataset's folder `foundation`, named by its kind, as `foundation/chronos_bolt`. What takes
time, to ask it, is kept there under the hash of the weights and of all that was asked.
"""

import io
from pathlib import Path

import numpy as np

from signals.errors import BadDataset
from signals.files import sha256_of, write_atomic
from signals.market.bars import Bars, Floats
from signals.models.heads import QuantilesHead
from signals.sleeves.foundation import HORIZON_SESSIONS, WINDOW_SESSIONS
from trainer.learners.foundation.zero_shot import LOADERS, ZeroShotModel, digest_of
from trainer.learners.parameters import FoundationConfig

FOLDER = "foundation"
SERIES = "total_return"
QUANTILES = QuantilesHead((0.1, 0.5, 0.9))


def checkpoint_of(data: Path) -> tuple[str, Path]:
    """Return kind and folder of the dataset's checkpoint; raise `BadDataset` unless there is one."""
    found = [(kind, data / FOLDER / kind) for kind in LOADERS if (data / FOLDER / kind).is_dir()]
    if len(found) != 1:
        fix = f"Put one checkpoint into the dataset's folder {FOLDER}/KIND, of: {', '.join(LOADERS)}"
        raise BadDataset(f"{len(found)} foundation models", where=str(data / FOLDER), fix=fix)
    return found[0]


def forecasts(bars: Bars, data: Path) -> dict[str, Floats]:
    """Return median and range of each eligible name's return ahead, NaN elsewhere and where the window reaches back too far.

    Raises
    ------
    BadDataset
        There is no checkpoint, or more than one.
    FixInput
        Its library is not here, or cannot read it.
    """
    kind, folder = checkpoint_of(data)
    weights = digest_of(folder)
    asked = b"".join(np.ascontiguousarray(array).tobytes() for array in (bars.sessions, bars.total_return, bars.eligible))
    path = data / FOLDER / f"{kind}-{weights[:12]}-{sha256_of(asked)[:24]}.npz"
    if not path.is_file():
        config = FoundationConfig(weights=str(folder), sha256=weights, series=SERIES, horizon=HORIZON_SESSIONS)
        buffer = io.BytesIO()
        np.savez(buffer, quantiles=_quantiles(bars, ZeroShotModel(kind, config, QUANTILES, (SERIES,), weights)))
        write_atomic(path, buffer.getvalue())
    with np.load(path, allow_pickle=False) as held:
        low, middle, high = held["quantiles"]
    return {"forecast": middle, "forecast_range": high - low}


def _quantiles(bars: Bars, model: ZeroShotModel) -> Floats:
    """Quantiles by level, session and name, (3, T, N); a session at a time, so that no history of windows is ever held."""
    found = np.full((len(QUANTILES.levels), *bars.close.shape), np.nan)
    for row in range(WINDOW_SESSIONS - 1, len(bars.sessions)):
        columns = np.flatnonzero(bars.eligible[row])
        if columns.size:
            window = bars.total_return[row - WINDOW_SESSIONS + 1 : row + 1, columns].astype(np.float32)
            found[:, row, columns] = model.outputs(np.ascontiguousarray(window.T)[:, :, None]).T
    return found
