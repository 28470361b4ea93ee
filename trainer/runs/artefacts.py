"""Serialises the files of a run folder, byte-reproducible."""

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from signals.bundle.calibration import AppliedCalibration
from signals.bundle.manifest import FeatureLine, HeadLine, MemberLine, ModelForm
from signals.bundle.profiles import profile_of
from signals.bundle.seal import parse
from signals.features.panel import FeaturePanel, FeatureSpec
from signals.market.bars import Floats
from signals.models.heads import ClassesHead, Head, PatternHead, ScoreHead, parts_of
from signals.models.inference import FEATURES, SCORE, GraphMember, Inputs, infer, predict
from signals.monitoring.continuity import LAGS
from signals.sleeves.base import Sleeve
from signals.storage.arrow import parquet_of
from signals.text.documents import to_json
from signals.views import TableView, View
from trainer.learners.base import Matrix, Model
from trainer.runs.run_folder import canonical_json, read_document, read_file
from trainer.samples.samples import Samples
from trainer.validation.probabilities import CalibrationDocument
from trainer.validation.splits.cpcv import group_bounds
from trainer.validation.splits.oof import OutOfFold

GOLDEN_ROWS, GOLDEN_NAN_ROWS = 64, 16
FORM, PARAMETERS, BANK = "model.json", "parameters.npz", "bank.npz"


@dataclass(frozen=True)
class FeatureList:
    """`feature_list.json`, as far as it is read: the ordered features, and the hash that a device compares."""

    spec_hash: str
    features: tuple[FeatureLine, ...]

    @property
    def spec(self) -> FeatureSpec:
        """Ordered (name, units, look-back in sessions), comparable with a sleeve's."""
        return tuple((line.name, line.units, line.lookback_sessions) for line in self.features)


def feature_list(sleeve: Sleeve) -> bytes:
    """Ordered features with dtype, units and look-back, and the hash that a device compares."""
    rows = [{"name": name, "units": units, "lookback_sessions": lookback, "dtype": "float32"} for name, units, lookback in sleeve.spec]
    return canonical_json({"sleeve": sleeve.name, "spec_hash": sleeve.spec_hash, "features": rows})


def metrics(rows: Samples, schema_version: str, head: Head, calibration: CalibrationDocument | None) -> dict[str, object]:
    """Return what a reader of a model's outputs must know: classes by number, map, ranges of the features, and their schema.

    Of one calibrated score the classes are what the probability is of, 1, and its contrary, 0. A range is the 1 and 99 % quantile.
    """
    named = head.classes if isinstance(head, PatternHead) else head.names if isinstance(head, ClassesHead) else ()
    if not named and calibration is not None:
        named = f"not: {calibration.event}", calibration.event
    columns = {name: column[np.isfinite(column)] for name, column in zip(rows.names, rows.features.T, strict=True)}
    return {
        "schema_version": schema_version,
        "classes": dict(enumerate(named)),
        "calibration": None if calibration is None else {"event": calibration.event, "platt": to_json(calibration.platt)},
        "ranges": {name: np.quantile(column, (0.01, 0.99)).tolist() for name, column in columns.items() if column.size},
    }


def features_of(run: Path) -> FeatureList:
    """Features that the run learned from."""
    return read_document(run / "feature_list.json", FeatureList)


def form_of(run: Path) -> ModelForm:
    """Return the form of the run's models: its `model.json`, or a table and one score where it has none."""
    return parse(read_file(run, FORM), ModelForm, str(run / FORM)) if (run / FORM).exists() else ModelForm()


def shape_of(sleeve: Sleeve, run: Path) -> Sleeve:
    """Return the sleeve in the shape that the run learned from, with what the run keeps for its features."""
    sleeve = sleeve.shaped_as(features_of(run).spec)
    if not (run / PARAMETERS).exists():
        return sleeve
    with np.load(run / PARAMETERS, allow_pickle=False) as kept:
        return sleeve.knowing(dict(kept))


def oof_parquet(rows: Samples, oof: OutOfFold) -> bytes:
    """Out-of-fold scores, sorted by path, session, symbol: session, symbol, path, score, label."""
    paths, count = oof.scores.shape
    symbols = pa.DictionaryArray.from_arrays(np.tile(rows.column, paths).astype(np.int32), list(rows.symbols))
    columns = {
        "session": pa.array(np.tile(rows.sessions[rows.t0], paths)),
        "symbol": symbols.cast(pa.string()),
        "path": np.repeat(np.arange(paths, dtype=np.int8), count),
        "score": oof.scores.astype(np.float32).reshape(-1),
        "label": np.tile(rows.label, paths),
    }
    return parquet_of(pa.table(columns), ["session", "symbol", "path"])


def walk_forward_parquet(rows: Samples, scores: Floats) -> bytes:
    """Walk-forward scores, sorted by session and symbol: session, symbol, score, label."""
    tested = np.flatnonzero(np.isfinite(scores))
    names = np.array(rows.symbols, dtype=object)[rows.column[tested]]
    columns = {
        "session": pa.array(rows.sessions[rows.t0[tested]]),
        "symbol": pa.array(names, type=pa.string()),
        "score": scores[tested].astype(np.float32),
        "label": rows.label[tested],
    }
    return parquet_of(pa.table(columns), ["session", "symbol", "path"])


def golden(rows: Matrix, onnx: bytes, head: Head) -> bytes:
    """Real rows, float32 (n, ...), as `inputs`, and the ONNX model's `scores` for them, float64 (n,).

    Of a head that is no score the arrays are those of `golden_of`.
    """
    if isinstance(head, ScoreHead):
        return arrays({"inputs": rows, "scores": predict([onnx], rows)})
    return golden_of([GraphMember(onnx, {name: part.width for name, part in parts_of(head).items()})], {FEATURES: rows})


def model_form(view: View, head: Head) -> dict[str, bytes]:
    """`model.json` of one graph of this view and head; nothing for a table with one score, which its absence says."""
    return {} if isinstance(view, TableView) and isinstance(head, ScoreHead) else {FORM: form_of_graph(view, head).to_bytes()}


def form_of_graph(view: View, head: Head, calibration: AppliedCalibration | None = None, bank_head: str | None = None) -> ModelForm:
    """Return the form of one graph, its first head's map, and the head whose vectors a bank holds."""
    parts = parts_of(head)
    member = MemberLine(path="model.onnx", profile=profile_of(view), heads=tuple(parts))
    lines = [HeadLine(name=name, head=part, calibration=calibration if name == SCORE else None) for name, part in parts.items()]
    return ModelForm(view=view, heads=tuple(lines), members=(member,), bank_head=bank_head)


def models(rows: Samples, heads: Mapping[str, tuple[Head, bytes]]) -> dict[str, bytes]:
    """Files of a run whose heads have a graph each; `score` ranks, and its graph is `model.onnx`."""
    from trainer.learners.joined_graphs import with_output  # brings in what writes graphs, which a reader of runs lacks

    graphs = {name: graph if name == SCORE else with_output(graph, name) for name, (_, graph) in heads.items()}
    paths = {name: "model.onnx" if name == SCORE else f"{name}.onnx" for name in heads}
    form = ModelForm(
        view=rows.view,
        heads=tuple(HeadLine(name=name, head=head) for name, (head, _) in heads.items()),
        members=tuple(MemberLine(path=path, profile=profile_of(rows.view), heads=(name,)) for name, path in paths.items()),
    )
    members = [GraphMember(graph, {name: heads[name][0].width}) for name, graph in graphs.items()]
    inputs = {FEATURES: rows.inputs(golden_rows(rows.features))[:]}
    return {**{paths[name]: graph for name, graph in graphs.items()}, FORM: form.to_bytes(), "golden.npz": golden_of(members, inputs)}


def golden_of(members: Sequence[GraphMember], inputs: Inputs) -> bytes:
    """Rows of every input by its name, float32 (n, ...), and the outputs of every head for them, float64 (n, width)."""
    return arrays({**inputs, **infer(members, inputs)})


def golden_rows(features: Matrix) -> np.ndarray:
    """Row numbers spread evenly over all rows, up to a quarter of them over the rows with a NaN."""
    with_nan = np.flatnonzero(np.isnan(features).any(axis=1))
    of_nan = _spread(with_nan, min(GOLDEN_NAN_ROWS, len(with_nan)))
    others = np.setdiff1d(np.arange(len(features)), of_nan)
    return np.sort(np.concatenate([of_nan, _spread(others, min(GOLDEN_ROWS - len(of_nan), len(others)))]))


def unseen_history(panel: FeaturePanel, rows: Samples, unseen: Samples, scores: Floats, groups: int) -> tuple[FeaturePanel, Floats]:
    """Return what drift is measured against: the sessions trained on, and scores of models that never saw them.

    Parameters
    ----------
    rows : Samples
        What the published model learned from; its sessions are returned without a gap.
    unseen : Samples
        Rows of the cross-validation or the walk-forward.
    scores : float64, shape (len(unseen),)
        NaN where a row has none. A model in sample fits its own noise and says more than it ever will again.
    groups : int
        Groups of sessions whose scores come from one model each. The first sessions of a group are left out: what one
        model said is not compared with what another says.

    Returns
    -------
    FeaturePanel
    float64, shape (T, N)
        NaN where there is no score.
    """
    history = slice(int(rows.t0.min()), int(rows.t0.max()) + 1)
    seen = FeaturePanel(panel.sessions[history], panel.symbols, panel.names, panel.values[history], panel.eligible[history])
    dense, scored = unseen.dense(scores), np.unique(unseen.t0)
    for first, _ in group_bounds(len(scored), groups):
        dense[scored[first : first + max(LAGS)]] = np.nan
    return seen, dense[history]


def pickled(model: Model) -> bytes:
    """The model for this host's own notebooks; a device never reads it."""
    return pickle.dumps(model, protocol=5)


def arrays(named: Mapping[str, np.ndarray]) -> bytes:
    """Arrays by name as the bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **named)
    return buffer.getvalue()


def _spread(values: np.ndarray, count: int) -> np.ndarray:
    return values[np.linspace(0, len(values) - 1, count).astype(np.int64)] if count else values[:0]
