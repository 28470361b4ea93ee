"""The bank of a net of pictures: the embeddings of past events and what their trades realised; and what it says of each event then.

A host that serves many questions may ask it by an approximate index (HNSW, Malkov and Yashunin 2018), whose recall is measured before it
answers any. What it finds are candidates: which of them may be used, and what they say, is decided by the exact search among them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from signals.bundle.calibration import TemperatureMap
from signals.bundle.manifest import ModelForm
from signals.errors import FixInput
from signals.events.analogs import NEAREST, AnalogBank, Analogs, analogs_in, classes_in, nearest, read_bank, stored
from signals.events.detectors import detect
from signals.events.outcomes import outcomes
from signals.events.panel import EventBars, EventTable
from signals.events.recorded import ANALOGS, HEADS, RULES
from signals.market.actions import Action
from signals.market.bars import Bars, Floats, departures
from signals.models.heads import ClassesHead
from signals.models.inference import FEATURES, GraphMember, infer
from signals.serving.pictures import BankSearch, exact
from signals.sleeves.patterns import PATTERNS, pictured
from trainer.learners.base import Rows
from trainer.runs.artefacts import form_of
from trainer.runs.run_folder import read_file

MOST_ROWS, CHUNK, NET = 240_000, 512, "model.onnx"  # the newest rows

Outputs = Callable[[Rows, Rows], Floats]  # of a net of pictures, float64 (n, width), by (row, column) of the pictures


@dataclass(frozen=True, eq=False)
class SeenEvents:
    """Events that have a picture: the net's embedding of each, float64 (n, d), and its highest probability, float64 (n,)."""

    table: EventTable
    vectors: Floats
    quality: Floats


def seen_events(bars: Bars, outputs: Outputs, classes: ClassesHead, known: TemperatureMap) -> SeenEvents:
    """Return what a net, whose classes have the map `known`, sees in the events of the bars."""
    table = detect(EventBars.of(bars)).table(pictured(bars))
    said, width = outputs(table.row, table.column), classes.width
    quality = classes.probabilities(known.logits(said[:, :width])).max(axis=1)
    return SeenEvents(table, said[:, width + 1 :], quality)


def bank_of(seen: SeenEvents, bars: Bars, actions: tuple[Action, ...]) -> dict[str, np.ndarray]:
    """Return the arrays of the bank: every event whose trade, as devices record it, is over: what it realised, and when that was known."""
    table = seen.table
    made = outcomes(EventBars.of(bars), table, RULES, departures(bars, actions))
    over = np.flatnonzero((made.t1 >= 0) & np.isfinite(made.realised_r))[-MOST_ROWS:]
    symbols = [bars.symbols[c] for c in table.column[over].tolist()]
    days = bars.sessions[table.row[over]], bars.sessions[made.t1[over]]
    return dict(stored(seen.vectors[over], seen.quality[over], made.realised_r[over], symbols, *days))


def analog_figures(run: Path, bars: Bars, actions: tuple[Action, ...]) -> Mapping[str, Floats]:
    """Return `sim_conf` and `hist_rr_pct` of every event, float64 (T, N), NaN elsewhere, by the net of a run of the sleeve `patterns`.

    Each event asks a bank of those alone whose trades were known before its own bar; the net was taught no outcome. `FixInput` of others.
    """
    seen = seen_events(bars, *net_of(run, bars))
    return figures_by(read_bank(bank_of(seen, bars, actions), bars.sessions), seen, bars)


def figures_by(bank: AnalogBank, seen: SeenEvents, bars: Bars, k: int = NEAREST) -> Mapping[str, Floats]:
    """Return `analog_figures` by a bank whose rows are those of the bars and whose columns are codes of symbols."""
    found, row, column = np.full((len(ANALOGS), *bars.close.shape), np.nan), seen.table.row, seen.table.column
    found[:, row, column] = analogs_in(bank, [bars.symbols[c] for c in column.tolist()], seen.vectors, row, k).T
    return dict(zip(ANALOGS, found, strict=True))


def net_of(run: Path, bars: Bars) -> tuple[Outputs, ClassesHead, TemperatureMap]:
    """Return the net of a run on these bars, its classes and their map; raise `FixInput` where the folder is no such run."""
    form = form_of(run)
    lines = {line.name: line for line in form.heads}
    classes = classes_in({name: line.head for name, line in lines.items()})
    given = lines[HEADS[0]].calibration if classes is not None else None
    known = given.map if given is not None else None
    if classes is None or not isinstance(known, TemperatureMap):
        fix = "Put the run back that label.analogs names, or train by another, or without"
        raise FixInput("here is no run of the sleeve patterns", where=str(run), fix=fix)
    return outputs_of_graph(read_file(run, NET), form, bars), classes, known


def outputs_of_graph(graph: bytes, form: ModelForm, bars: Bars) -> Outputs:
    """Return the outputs of an exported net on these bars: a device's own, to the bit, which those of a learner's are not."""
    panel, widths = PATTERNS.panel(bars), {line.name: line.head.width for line in form.heads}
    member = GraphMember(graph, widths, profile=form.members[0].profile)

    def outputs(row: Rows, column: Rows) -> Floats:
        parts = [slice(start, start + CHUNK) for start in range(0, max(len(row), 1), CHUNK)]
        said = [infer([member], {FEATURES: form.view.rows(panel, row[part], column[part])}) for part in parts]
        return np.concatenate([np.concatenate([one[name] for name in widths], axis=1) for one in said])

    return outputs


LINKS, WHILE_BUILT, WHILE_ASKED = 16, 200, 64
LEAST_RECALL, MEASURED, RECALL_AT = 0.95, 200, 10
MORE = 4  # candidates for each row asked for: some may not be used

Candidates = Callable[[NDArray[np.float32], int], NDArray[np.int64]]


def indexed(bank: AnalogBank, least: float = LEAST_RECALL) -> BankSearch:
    """Return the indexed search with its recall in words, or the exact one where that is under `least`; `FixInput` without its library."""
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

    recall = _recall(bank, candidates)
    says = f"HNSW (M {LINKS}, ef {WHILE_BUILT}/{WHILE_ASKED}), recall@{RECALL_AT} {recall:.3f}"
    if recall < least:
        return BankSearch(bank, f"exact ({says})", exact(bank).find)
    return BankSearch(bank, says, partial(_found, bank, candidates))


def _recall(bank: AnalogBank, candidates: Candidates) -> float:
    """Share of the nearest rows of evenly chosen rows that the index finds."""
    chosen = np.unique(np.linspace(0, len(bank.vectors) - 1, MEASURED).astype(np.int64))
    count, hits = min(RECALL_AT, len(bank.vectors)), 0
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
