"""Analogs: the rows of a bank of past events whose embeddings are nearest to a given one, found exactly, with their outcomes.

The bank is float16 where it is stored and is widened to float32 once, before the first question; every row is looked at. A bundle
holds it as arrays that say days and symbols by numbers (`stored`, `read_bank`). The embeddings are outputs of a net of pictures, which
are read here too: its heads, and the shape of a picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from signals.errors import FixInput, InvariantBroken, ScoresInvalid
from signals.events.panel import Rows
from signals.events.recorded import HEADS
from signals.market.bars import Days, Floats
from signals.models.heads import ClassesHead, Head

APART, BLOCK, RR_QUANTILE, NEAREST, ROUNDING = 64, 64, 0.65, 50, 1e-4
CODES = 2**24  # whole numbers that float32 holds exactly


@dataclass(frozen=True, eq=False)
class AnalogBank:
    """Past events, one row each; what is no such bank is `InvariantBroken`.

    Attributes
    ----------
    vectors : float16, shape (n, d)
        Embeddings of length one.
    quality, realised_r : float64, shape (n,)
    row, column, known_at : int64, shape (n,)
        Bar and symbol of the event, and the bar at which its outcome was known (`t1`).
    """

    vectors: NDArray[np.float16]
    quality: Floats
    realised_r: Floats
    row: Rows
    column: Rows
    known_at: Rows

    def __post_init__(self) -> None:
        n = len(self.vectors)
        if self.vectors.ndim != 2 or any(len(x) != n for x in (self.quality, self.realised_r, self.row, self.column, self.known_at)):
            raise InvariantBroken("a bank of analogs has one embedding and one of each figure for every event")
        length = np.sqrt(np.einsum("nd,nd->n", self.vectors, self.vectors, dtype=np.float64))
        if not (np.abs(length - 1.0) < 0.01).all():
            raise InvariantBroken("a bank of analogs holds embeddings of length one")
        if not (np.isfinite(self.quality) & np.isfinite(self.realised_r) & (self.known_at > self.row)).all():
            raise InvariantBroken("a bank of analogs holds events whose outcome became known after them")

    @cached_property
    def widened(self) -> NDArray[np.float32]:
        """Embeddings as float32: the same numbers, twice the memory."""
        return self.vectors.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Analogs:
    """Nearest rows of a bank, nearest first, and what they say; NaN where there is none.

    Attributes
    ----------
    place : int64, shape (k,)
        Rows of the bank; fewer than asked where fewer may be used.
    cosine : float32, shape (k,)
    sim_conf : float
        Mean quality times mean cosine.
    hist_rr_pct : float
        0.65-quantile of what they realised, in R.
    """

    place: Rows
    cosine: NDArray[np.float32]
    sim_conf: float
    hist_rr_pct: float


def nearest(bank: AnalogBank, embedding: NDArray[np.float32], *, row: int, column: int, k: int = NEAREST) -> Analogs:
    """Return the `k` rows nearest to an embedding, float32 (d,), known before its bar `row`; none of its symbol `column` within 64 bars."""
    length = float(np.sqrt(np.dot(embedding.astype(np.float64), embedding.astype(np.float64))))
    if embedding.shape != bank.vectors.shape[1:] or not 0.0 < length < np.inf or k < 1:
        raise InvariantBroken(
            f"an analog is asked for by an embedding of {bank.vectors.shape[1]} finite numbers, not all zero, and k of 1 or more"
        )
    asked = (embedding / length).astype(np.float32)
    cosine = np.dot(bank.widened, asked)
    may = (bank.known_at < row) & ((bank.column != column) | (np.abs(bank.row - row) > APART))
    cosine[~may] = -np.inf
    k = min(k, int(np.count_nonzero(may)))
    if k == 0:
        return Analogs(np.empty(0, np.int64), np.empty(0, np.float32), np.nan, np.nan)
    best = np.maximum.reduceat(cosine, np.arange(0, len(cosine), BLOCK))  # k blocks hold k rows, so that none under their bests counts
    bound = np.partition(best, len(best) - k)[len(best) - k] if len(best) > k else -np.inf
    among = np.flatnonzero((cosine >= bound - ROUNDING) & may)
    alone = np.einsum("nd,d->n", bank.widened[among], asked)  # a product with all rows rounds one by how many there are before it
    order = np.lexsort((among, -alone))[:k]
    place, found = among[order], alone[order]
    sim_conf = float(bank.quality[place].mean() * found.mean(dtype=np.float64))
    return Analogs(place, found, sim_conf, float(np.quantile(bank.realised_r[place], RR_QUANTILE)))


def code_of(symbol: str) -> int:
    """Number of a symbol below 2^24; where two share one, a neighbour is left out that need not be."""
    return crc32(symbol.encode()) % CODES


def stored(
    vectors: NDArray[np.floating], quality: Floats, realised_r: Floats, symbols: Sequence[str], asof: Days, known: Days
) -> dict[str, NDArray[np.floating]]:
    """Return the arrays of a bank as a bundle holds them, in this order; vectors of no length are left out."""
    length = np.linalg.norm(vectors, axis=1)
    kept = length > 0.0
    figures = {
        "quality": quality,
        "realised_r": realised_r,
        "symbol": np.array([code_of(symbol) for symbol in symbols], dtype=np.float64),
        "asof": asof.astype("datetime64[D]").astype(np.float64),
        "known": known.astype("datetime64[D]").astype(np.float64),
    }
    unit = (vectors[kept] / length[kept, None]).astype(np.float16)
    return {"vectors": unit, **{name: values[kept].astype(np.float32) for name, values in figures.items()}}


def read_bank(arrays: Mapping[str, NDArray[np.floating]], days: Days) -> AnalogBank:
    """Return the bank of a bundle's arrays, its days as places in `days`, ascending; raise `FixInput` where there are none.

    Arrays that are none of a bank are `ScoresInvalid`. A day before the first one is counted backwards from it, in calendar days.
    """
    if not arrays:
        raise FixInput("this bundle carries no bank", where="patterns", fix="Publish or serve a bundle of the sleeve patterns")
    wanted = ("vectors", "quality", "realised_r", "symbol", "asof", "known")
    if tuple(arrays) != wanted:
        raise ScoresInvalid(f"the bundle's bank holds {', '.join(arrays)}, not {', '.join(wanted)}", fix="Publish another bundle")

    def place(name: str) -> Rows:
        day = arrays[name].astype(np.int64)
        first = days[0].astype("datetime64[D]").astype(np.int64)
        return np.where(day < first, day - first, np.searchsorted(days, day.astype("datetime64[D]")))

    quality, realised_r = (arrays[name].astype(np.float64) for name in ("quality", "realised_r"))
    vectors = arrays["vectors"].astype(np.float16)
    try:
        return AnalogBank(vectors, quality, realised_r, place("asof"), arrays["symbol"].astype(np.int64), place("known"))
    except InvariantBroken as error:  # the file is somebody's: a bundle that says too much is no fault of this program
        raise ScoresInvalid(f"the bundle's bank is none: {error}", fix="Publish another bundle") from error


def classes_in(heads: Mapping[str, Head]) -> ClassesHead | None:
    """Return the head of the classes where these are a net of pictures': classes, pole and embedding, in this order; else None."""
    first = next(iter(heads.values()), None)
    return first if tuple(heads) == HEADS and isinstance(first, ClassesHead) else None


def analogs_in(bank: AnalogBank, symbols: Sequence[str], embeddings: NDArray[np.floating], rows: Rows, k: int = NEAREST) -> Floats:
    """Return `sim_conf` and `hist_rr_pct` of names at bars, float64 (n, 2), by the exact search; NaN where nothing is like it."""
    found = np.full((len(symbols), 2), np.nan)
    for i, (symbol, vector, row) in enumerate(zip(symbols, embeddings.astype(np.float32), rows.tolist(), strict=True)):
        if vector.any():
            near = nearest(bank, vector, row=row, column=code_of(symbol), k=k)
            found[i] = near.sim_conf, near.hist_rr_pct
    return found
