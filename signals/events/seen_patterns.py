"""Reads the outputs of a net of pictures: its heads, the shape of a picture, and the past events that its embedding is nearest to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from signals.errors import FixInput
from signals.events.analogs import NEAREST, AnalogBank, code_of, nearest, read_bank
from signals.events.panel import Rows
from signals.market.bars import Floats
from signals.market.sessions import Calendar
from signals.models.heads import ClassesHead, Head

HEADS, FLAG, LONGEST_POLE = ("score", "pole", "embedding"), "flag", 50.0  # the last a logarithm


@dataclass(frozen=True)
class SeenShape:
    """The likeliest class of a picture, its probability, and the pole of a flag in average true ranges."""

    shape: str
    quality: float
    pole_katr: float | None


def classes_in(heads: Mapping[str, Head]) -> ClassesHead | None:
    """Return the head of the classes where these are a net of pictures': classes, pole and embedding, in this order; else None."""
    first = next(iter(heads.values()), None)
    return first if tuple(heads) == HEADS and isinstance(first, ClassesHead) else None


def shape_of(classes: Sequence[str], probabilities: Sequence[float], log_pole: float) -> SeenShape:
    """Return what the outputs of one picture say."""
    best = max(range(len(classes)), key=probabilities.__getitem__)
    pole = exp(min(log_pole, LONGEST_POLE)) if classes[best] == FLAG else None
    return SeenShape(classes[best], probabilities[best], pole)


def bank_in(arrays: Mapping[str, NDArray[np.floating]], calendar: Calendar) -> AnalogBank:
    """Return the bank of a bundle's arrays, its days as places in the calendar; raise `FixInput` where there are none."""
    if not arrays:
        raise FixInput("this bundle carries no bank", where="patterns", fix="Publish or serve a bundle of the sleeve patterns")
    return read_bank(arrays, np.array(calendar.days, dtype="datetime64[D]"))


def analogs_in(bank: AnalogBank, symbols: Sequence[str], embeddings: NDArray[np.floating], rows: Rows, k: int = NEAREST) -> Floats:
    """Return `sim_conf` and `hist_rr_pct` of names at bars, float64 (n, 2), by the exact search; NaN where nothing is like it."""
    found = np.full((len(symbols), 2), np.nan)
    for i, (symbol, vector, row) in enumerate(zip(symbols, embeddings.astype(np.float32), rows.tolist(), strict=True)):
        if vector.any():
            near = nearest(bank, vector, row=row, column=code_of(symbol), k=k)
            found[i] = near.sim_conf, near.hist_rr_pct
    return found
