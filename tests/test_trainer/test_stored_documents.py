"""Documents that an earlier program stored are read whole and written to the same bytes.

`stored/` holds files of a training, of a retraining and of a promotion as the program wrote them when documents were
untyped mappings.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from signals.errors import FixInput
from signals.text.documents import BadDocument, from_json
from trainer.promotion.bars.config import Case
from trainer.runs.evidence import Evidence, read_evidence
from trainer.runs.run_folder import TrainingSettings, canonical_json, read_document

STORED = Path(__file__).parent / "stored"


@pytest.mark.parametrize(("name", "kind"), [("evidence.json", Evidence), ("training_cfg.json", TrainingSettings), ("case.json", Case)])
def test_a_stored_document_is_written_to_the_same_bytes(name: str, kind: type[object]) -> None:
    assert canonical_json(read_document(STORED / name, kind)) == (STORED / name).read_bytes()


def test_a_retraining_s_evidence_keeps_what_its_fields_hold() -> None:
    found, raw = read_evidence(STORED), json.loads((STORED / "evidence.json").read_bytes())
    assert found.lineage is not None and found.lineage.predecessor.rank_correlation == raw["lineage"]["predecessor"]["rank_correlation"]
    assert found.forward_ic.t == raw["walk_forward"]["ic"]["t"] and found.trials.n_trials == raw["trials"]["n_trials"]
    assert found.others == {}


def test_what_a_newer_program_wrote_besides_is_kept() -> None:
    raw = json.loads((STORED / "evidence.json").read_bytes()) | {"of_tomorrow": {"a": [1, None]}}
    assert json.loads(canonical_json(from_json(Evidence, raw))) == raw


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("horizon", "5", "horizon: '5' is no whole number"),
        ("horizon", True, "horizon: 'True' is no whole number"),
        ("ic", [], "ic: '\\[\\]' is not an object"),
        ("walk_forward", {"ic": {"mean": "0.1"}}, "walk_forward.ic.mean: '0.1' is no number"),
        ("warnings", "none", "warnings: 'none' is not a list"),
        ("leaks", {"checks": [{"check": "a"}]}, "leaks.checks.0.passed: is missing"),
    ],
)
def test_a_document_of_another_shape_is_refused_with_the_place(part: str, value: object, told: str) -> None:
    raw = json.loads((STORED / "evidence.json").read_bytes())
    with pytest.raises(BadDocument, match=told):
        from_json(Evidence, raw | {part: value})


def test_a_run_whose_evidence_has_another_shape_is_refused_by_file(tmp_path: Path) -> None:
    (tmp_path / "evidence.json").write_text('{"seed": "one"}')
    with pytest.raises(FixInput, match=r"seed: 'one' is no whole number \(.*evidence.json\)"):
        read_evidence(tmp_path)
