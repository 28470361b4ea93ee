"""The bank of a net of pictures: the embeddings of past events and what their trades realised; and what it says of each event then."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from signals.bundle.calibration import TemperatureMap
from signals.bundle.manifest import ModelForm
from signals.errors import FixInput
from signals.events.analogs import NEAREST, AnalogBank, read_bank, stored
from signals.events.daily import RULES
from signals.events.detectors import detect
from signals.events.outcomes import OutcomeRules, outcomes
from signals.events.panel import EventBars, EventTable
from signals.events.seen_patterns import HEADS, analogs_in, classes_in
from signals.files import sha256_of
from signals.market.actions import Action
from signals.market.bars import Bars, Floats, departures
from signals.models.heads import ClassesHead
from signals.models.inference import FEATURES, GraphMember, infer
from signals.sleeves.events import ANALOGS
from signals.sleeves.patterns import PATTERNS, pictured
from signals.text.wording import reason_of
from trainer.learners.base import Rows
from trainer.recipes.event_trades import AnalogTrade
from trainer.runs.artefacts import FORM

MOST_ROWS, CHUNK = 240_000, 512  # the newest rows


@dataclass(frozen=True, eq=False)
class PictureNet:
    """A net of pictures: its outputs, float64 (n, width), of pictures by (row, column), its classes, and their map."""

    outputs: Callable[[Rows, Rows], Floats]
    classes: ClassesHead
    known: TemperatureMap


@dataclass(frozen=True, eq=False)
class SeenEvents:
    """Events that have a picture: the net's embedding of each, float64 (n, d), and its highest probability, float64 (n,)."""

    table: EventTable
    vectors: Floats
    quality: Floats


def seen_events(net: PictureNet, bars: Bars) -> SeenEvents:
    """Return what a net sees in the events of the bars."""
    table = detect(EventBars.daily(bars)).table(pictured(bars))
    said, width = net.outputs(table.row, table.column), net.classes.width
    quality = net.classes.probabilities(net.known.logits(said[:, :width])).max(axis=1)
    return SeenEvents(table, said[:, width + 1 :], quality)


def bank_of(seen: SeenEvents, bars: Bars, actions: tuple[Action, ...], rules: OutcomeRules) -> dict[str, np.ndarray]:
    """Return the arrays of the bank: every event whose trade is over, with what it realised and the session that knew it."""
    table = seen.table
    made = outcomes(EventBars.daily(bars), table, rules, departures(bars, actions))
    over = np.flatnonzero((made.t1 >= 0) & np.isfinite(made.realised_r))[-MOST_ROWS:]
    symbols = [bars.symbols[c] for c in table.column[over].tolist()]
    days = bars.sessions[table.row[over]], bars.sessions[made.t1[over]]
    return dict(stored(seen.vectors[over], seen.quality[over], made.realised_r[over], symbols, *days))


def analog_figures(run: Path, bars: Bars, actions: tuple[Action, ...]) -> Mapping[str, Floats]:
    """Return `sim_conf` and `hist_rr_pct` of every event, float64 (T, N), NaN elsewhere, by the net of a run of the sleeve `patterns`.

    Each event asks a bank of those alone whose trades were known before its own bar. The net itself was taught no outcome.

    Raises
    ------
    FixInput
        The folder is no such run.
    """
    seen = seen_events(net_of(run, bars), bars)
    return figures_by(read_bank(bank_of(seen, bars, actions, RULES), bars.sessions), seen, bars)


def figures_by(bank: AnalogBank, seen: SeenEvents, bars: Bars, k: int = NEAREST) -> Mapping[str, Floats]:
    """Return `analog_figures` by a bank whose rows are those of the bars and whose columns are codes of symbols."""
    found, row, column = np.full((len(ANALOGS), *bars.close.shape), np.nan), seen.table.row, seen.table.column
    found[:, row, column] = analogs_in(bank, [bars.symbols[c] for c in column.tolist()], seen.vectors, row, k).T
    return dict(zip(ANALOGS, found, strict=True))


def analogs_of(label: AnalogTrade, bars: Bars, actions: tuple[Action, ...]) -> Mapping[str, Floats]:
    """Return `analog_figures` by the run that a recipe names; nothing where it names none."""
    return analog_figures(Path(label.analogs), bars, actions) if label.analogs else {}


def digest_of_net(run: Path) -> str:
    """SHA-256 of the net of a run."""
    return sha256_of(_read(run / "model.onnx"))


def net_of(run: Path, bars: Bars) -> PictureNet:
    """Return the net of a run, which sees pictures of these bars; raise `FixInput` where the folder is no such run."""
    none = FixInput("this run is none of the sleeve patterns", where=str(run), fix="Give the folder of one, or leave label.analogs out")
    try:
        form, graph = ModelForm.model_validate_json(_read(run / FORM)), _read(run / "model.onnx")
    except ValidationError:
        raise none from None
    lines = {line.name: line for line in form.heads}
    classes = classes_in({name: line.head for name, line in lines.items()})
    given = lines[HEADS[0]].calibration if classes is not None else None
    known = given.map if given is not None else None
    if classes is None or not isinstance(known, TemperatureMap):
        raise none
    panel, view = PATTERNS.panel(bars), form.view
    member = GraphMember(graph, {name: line.head.width for name, line in lines.items()}, profile=form.members[0].profile)

    def outputs(row: Rows, column: Rows) -> Floats:
        parts = []
        for start in range(0, max(len(row), 1), CHUNK):
            part = slice(start, start + CHUNK)
            said = infer([member], {FEATURES: view.rows(panel, row[part], column[part])})
            parts.append(np.concatenate([said[name] for name in lines], axis=1))
        return np.concatenate(parts)

    return PictureNet(outputs, classes, known)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"a run of the sleeve patterns cannot be read: {reason_of(error)}"
        raise FixInput(what, where=str(path), fix="Correct label.analogs") from None
