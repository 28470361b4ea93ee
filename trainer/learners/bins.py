"""LightGBM histogram bins computed once and shared by many fits.

Binning is most of what a short fit costs, and a search fits the same rows again and again. Bins cut on all of them see
the quantiles of features that a fold is tested on, never a label: good enough to choose between parameters, not to
publish a figure. Only a search makes them (`trainer/search/binned.py`); everything that is published bins each split's
own training rows (`LightGbm.fit`).

LightGBM lets nobody take rows out of one dataset on two threads at once; a lock sees to it.
"""

from threading import Lock

import lightgbm
import numpy as np

from signals.errors import LearnerFailed
from signals.text.wording import reason_of
from trainer.learners.base import Matrix, Rows

Settings = dict[str, object]


class Bins:
    """The bins of rows float32 (n, F); the features themselves are not kept."""

    def __init__(self, features: Matrix, names: tuple[str, ...], settings: Settings) -> None:
        self._lock = Lock()
        self._whole = lightgbm.Dataset(features, np.zeros(len(features)), feature_name=list(names), params=settings, free_raw_data=True)
        try:
            self._whole.construct()
        except lightgbm.basic.LightGBMError as error:
            raise LearnerFailed(f"LightGBM: {reason_of(error)}", fix="Correct the parameters") from None

    def of(self, rows: Rows) -> lightgbm.Dataset:
        """The rows numbered `rows`, ascending, with labels of 0 that the caller replaces."""
        part = self._whole.subset([])
        part.used_indices = rows.astype(np.int32)  # type: ignore[assignment]  # `subset` would sort them as a list
        with self._lock:
            return part.construct()
