"""A run folder as `trainer train` leaves it, made without a learner: what publishing reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from signals.features.panel import FeaturePanel, spec_hash
from signals.models.inference import predict
from signals.monitoring.drift import reference
from signals.text.documents import to_json
from tests.fakes.bundles import SPEC, policy_book
from tests.fakes.onnx_models import stump_model

CREATED = datetime(2026, 11, 20, 22, 0, tzinfo=UTC)
SPECS = {"equities_xs": SPEC}
WIDTH = len(SPEC)


def features(sessions: int = 80) -> FeaturePanel:
    rng = np.random.default_rng(8)
    values = rng.normal(size=(sessions, 12, WIDTH)).astype(np.float32)
    values[:, 0, 1] = np.nan
    days = np.busday_offset(np.datetime64("2023-10-12"), np.arange(sessions), roll="forward")
    names = tuple(name for name, _, _ in SPEC)
    return FeaturePanel(days, tuple(f"S{i:02d}" for i in range(12)), names, values, np.ones(values.shape[:2], dtype=bool))


def run_folder(folder: Path, model: bytes | None = None) -> Path:
    """The files that `trainer train` writes and publishing reads."""
    onnx, panel = model or stump_model(WIDTH), features()
    rows = panel.values.reshape(-1, WIDTH)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(onnx)
    np.savez(folder / "golden.npz", inputs=rows[:64], scores=predict([onnx], rows[:64]))
    dense = predict([onnx], rows).reshape(panel.eligible.shape)
    listed = [{"name": n, "units": u, "lookback_sessions": k, "dtype": "float32"} for n, u, k in SPEC]
    documents = {
        "feature_list.json": {"sleeve": "equities_xs", "spec_hash": spec_hash(list(SPEC)), "features": listed},
        "training_cfg.json": {"sleeve": "equities_xs", "seed": 1, "config": {}},
        "drift_reference.json": reference(panel, dense),
        "evidence.json": {
            "sleeve": "equities_xs",
            "seed": 1,
            "horizon": 5,
            "entry": "opg",
            "snapshot_id": "2" * 64,
            "first_training_session": "2023-10-12",
            "last_training_session": "2024-01-31",
            "config_hash": "1" * 64,
            "code_version": "0.1.0+abcdef123456",
            "ic": {"mean": 0.015, "t_newey_west": 1.8, "standard_error": 0.008},
            "walk_forward": {"ic": {"mean": 0.012, "t": 1.4, "standard_error": 0.009, "sessions": 700}},
            "policy_book": policy_book(),
        },
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(to_json(document)))
    return folder
