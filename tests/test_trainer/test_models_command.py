"""`trainer models` lists every learner with what a recipe must know of it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from trainer.__main__ import app
from trainer.learners.table import LEARNERS


def test_every_learner_is_listed_with_family_view_scaling_set_gpu_and_cost(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))
    found = {line["name"]: line for line in json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)["models"]}
    assert list(found) == list(LEARNERS) and all(all(line.values()) for line in found.values())
    assert {name: line["family"] for name, line in found.items() if name in ("xgboost", "svm", "mamba", "voting", "timesfm")} == {
        "xgboost": "trees",
        "svm": "table",
        "mamba": "network",
        "voting": "ensemble",
        "timesfm": "foundation",
    }
    assert found["tft"]["features"] == "transformer_raw" and found["lstm"]["gpu"] == "yes" and found["svm"]["gpu"] == "no"
    assert "mamba" in CliRunner().invoke(app, ["models"]).stdout
