"""An approximate index of a bank of analogs, for a host that serves many questions; its recall is measured before it answers any.

The graph (HNSW, Malkov and Yashunin 2018) has 16 links a row, 200 candidates while it is built and 64 while it is asked. What it
finds are candidates: which of them may be used, and what they say, is decided by the exact search among them.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from signals.errors import FixInput
from signals.events.analogs import AnalogBank, Analogs, nearest
from signals.serving.pictures import BankSearch, exact

LINKS, WHILE_BUILT, WHILE_ASKED = 16, 200, 64
LEAST_RECALL, MEASURED, NEAREST = 0.95, 200, 10
MORE = 4  # candidates for each row asked for: some may not be used

Candidates = Callable[[NDArray[np.float32], int], NDArray[np.int64]]


def indexed(bank: AnalogBank, least: float = LEAST_RECALL) -> BankSearch:
    """Return the indexed search with its recall in words, or the exact one where the recall is under `least`.

    Raises
    ------
    FixInput
        The library is not installed.
    """
    candidates = _built(bank)
    recall = _recall(bank, candidates)
    says = f"HNSW (M {LINKS}, ef {WHILE_BUILT}/{WHILE_ASKED}), recall@{NEAREST} {recall:.3f}"
    if recall < least:
        return BankSearch(bank, f"exact ({says})", exact(bank).find)
    return BankSearch(bank, says, partial(_found, bank, candidates))


def _built(bank: AnalogBank) -> Candidates:
    try:
        from usearch.index import Index
    except ImportError:
        raise FixInput("an index of neighbours needs usearch", where="--index", fix="Install the extra trainer, or leave it out") from None
    size = bank.vectors.shape[1]
    index = Index(ndim=size, metric="ip", dtype="f32", connectivity=LINKS, expansion_add=WHILE_BUILT, expansion_search=WHILE_ASKED)
    index.add(np.arange(len(bank.vectors)), bank.widened, threads=1)

    def candidates(unit: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        found = index.search(np.ascontiguousarray(unit), min(count, len(bank.vectors)), threads=1)
        return np.sort(np.asarray(found.keys, dtype=np.int64))

    return candidates


def _recall(bank: AnalogBank, candidates: Candidates) -> float:
    """Share of the nearest rows of evenly chosen rows that the index finds."""
    chosen = np.unique(np.linspace(0, len(bank.vectors) - 1, MEASURED).astype(np.int64))
    count, hits = min(NEAREST, len(bank.vectors)), 0
    for place in chosen:
        cosine = np.dot(bank.widened, bank.widened[place])
        hits += len(np.intersect1d(np.argpartition(cosine, -count)[-count:], candidates(bank.widened[place], count)))
    return hits / (len(chosen) * count)


def _found(bank: AnalogBank, candidates: Candidates, embedding: NDArray[np.float32], *, row: int, column: int, k: int) -> Analogs:
    """Search exactly among the candidates; among all rows where too few of them may be used."""
    if MORE * k < len(bank.vectors):
        places = candidates(embedding.astype(np.float32), MORE * k)  # the longer question has the same neighbours by inner product
        few = AnalogBank(*(getattr(bank, name)[places] for name in ("vectors", "quality", "realised_r", "row", "column", "known_at")))
        found = nearest(few, embedding, row=row, column=column, k=k)
        if len(found.place) == k:
            return Analogs(places[found.place], found.cosine, found.sim_conf, found.hist_rr_pct)
    return nearest(bank, embedding, row=row, column=column, k=k)
