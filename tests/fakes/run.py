"""A run folder as a backtest reads it, for the model of `tests.fakes.store`, without a learner."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from signals.market.dataset import load_bars, read_manifest
from tests.fakes.bundles import policy_book
from tests.fakes.store import SLEEVE, rank_model, rank_scores
from trainer.runs.artefacts import feature_list

IC = {"mean": 0.04, "t_newey_west": 5.0}
FORWARD = {"mean": 0.03, "t": 3.0, "standard_error": 0.01, "sessions": 500}


def run_folder(folder: Path, data: Path, last_label: date, walked: int = 20, sealed: int = 15) -> Path:
    """Write a run whose labels ended on `last_label`.

    The evenings before it: `walked` sessions with walk-forward scores, then `sealed` that the model saw without any.
    """
    manifest = read_manifest(data)
    panel = SLEEVE.panel(load_bars(data, manifest, manifest.first, last_label))
    end = panel.sessions.searchsorted(np.datetime64(last_label)) - sealed
    rows, columns = np.nonzero(panel.eligible[end - walked : end])
    rows += end - walked
    folder.mkdir(parents=True)
    pq.write_table(
        pa.table(
            {
                "session": pa.array(panel.sessions[rows]),
                "symbol": pa.array([panel.symbols[column] for column in columns], pa.string()),
                "score": rank_scores(panel.values[rows, columns]).astype(np.float32),
                "label": np.zeros(len(rows)),
            }
        ),
        folder / "walk_forward.parquet",
    )
    (folder / "model.onnx").write_bytes(rank_model())
    (folder / "feature_list.json").write_bytes(feature_list(SLEEVE))
    evidence = {
        "snapshot_id": manifest.snapshot_id,
        "sleeve": SLEEVE.name,
        "spec_hash": SLEEVE.spec_hash,
        "horizon": 5,
        "ic": IC,
        "walk_forward": {"ic": FORWARD},
        "policy_book": policy_book(),
        "last_training_session": str(manifest.calendar.offset(last_label, -6)),
        "last_label_session": str(last_label),
        "code_version": "test",
        "trials": {"n_trials": 12, "variance_of_sharpes": 0.001},
    }
    (folder / "evidence.json").write_text(json.dumps(evidence))
    return folder
