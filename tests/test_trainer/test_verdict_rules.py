"""Verdicts of earlier rules are kept as they were given, and told apart from those that follow again."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from signals.errors import FixInput
from signals.files import sha256_of, write_atomic
from signals.text.documents import to_json
from tests.fakes.promotion import BARS, CHALLENGER, case
from trainer.__main__ import app
from trainer.promotion import champions, history
from trainer.promotion.bars.config import PromotionVerdict
from trainer.promotion.bars.judge import RULES, judge
from trainer.promotion.history import CHAMPIONS, OPENINGS, case_path
from trainer.runs.run_folder import canonical_json

# As the first rules stored it: bars, case and rows of a form that this program no longer writes.
FIRST_BARS = {"min_sharpe": 1.0, "holdout_quantile": 0.05, "max_calibration_error": 0.05, "champion_margin": 0.0}
FIRST_CASE = {
    **{k: v for k, v in CHALLENGER.items() if k not in ("seen", "word")},
    "measured": {**CHALLENGER["measured"], "paths": {"annual_sharpe": [1.0], "stretch_percentiles": [0.0] * 101}},
    "holdout": {"annual_sharpe": 0.7},
}
FIRST_ROWS = [
    {"bar": "net Sharpe", "value": 1.2, "limit": 1.0, "passed": True, "why": "annual, walking forward"},
    {"bar": "holdout", "value": 0.7, "limit": -0.4, "passed": True, "why": "the paths' 5% quantile"},
]


@pytest.mark.parametrize(("last", "is_known"), [("2025-12-31", True), ("2026-03-31", False)])
def test_a_seal_that_was_longer_since_was_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, is_known: bool) -> None:
    """The same model before the seal, trained again on data that end later: what the shorter seal showed is no answer for the longer."""
    shown = {**CHALLENGER["holdout"], "total_return": 0.1, "annual_return": 0.1, "annual_volatility": 0.1, "max_drawdown": 0.1}
    shown |= {"sharpe": 0.1, "skewness": 0.0, "kurtosis": 3.0}
    head = {"challenger": "m", "sleeve": "xs", "holdout": {"first": "2025-01-02", "last": "2025-12-31"}, "settings": "s", "looks": 0}
    for record in ({**head, "kind": "opened"}, {**head, "kind": "result", "result": shown}):
        history.append(tmp_path / OPENINGS, record)
    evidence = SimpleNamespace(sleeve="xs", holdout=SimpleNamespace(first="2025-01-02", last=last))
    subject, request = SimpleNamespace(evidence=evidence), SimpleNamespace(registry=tmp_path, run=tmp_path)
    request.settings = SimpleNamespace(fingerprint=lambda: "s")
    monkeypatch.setattr(champions, "challenger_id", lambda run: "m")
    monkeypatch.setattr(champions, "_looks", lambda subject, request: 0)
    found = champions._opened(subject, request, open_now=False)  # type: ignore[arg-type]
    assert (found is not None) is is_known
    assert champions._seen(subject, request).openings == (0 if is_known else 1)  # type: ignore[arg-type]


def add(registry: Path, document: dict[str, Any], record: dict[str, Any]) -> Path:
    content = canonical_json(document)
    path = case_path(registry, sha256_of(content))
    write_atomic(path, content)
    told = {
        "event": "promoted",
        "sleeve": "xs",
        "version": "1.0.0",
        "run": "a",
        "at": "2026-01-01T00:00:00+00:00",
        "case_sha256": sha256_of(content),
        "instead_of": None,
        "why": "every bar is met",
        "config_hash": "c",
        "spec_hash": "s",
        "horizon": 5,
        "model_sha256": ["a" * 64],
        "challenger": "b" * 64,
    }
    history.append(registry / CHAMPIONS, {**told, **record})
    return path


def add_first(registry: Path) -> Path:
    return add(registry, FIRST_CASE, {"rows": FIRST_ROWS, "bars": FIRST_BARS, "bars_hash": "0" * 64})


def add_now(registry: Path, **changes: Any) -> Path:
    verdict = judge(case(), BARS).document()
    return add(registry, to_json(case()), {**verdict, "bars": BARS.model_dump(mode="json"), "rules": RULES, **changes})


def test_a_record_of_the_first_rules_is_read_and_told_apart(tmp_path: Path) -> None:
    add_first(tmp_path)
    add_now(tmp_path)
    found = champions.audit(tmp_path)
    assert found.earlier == (1,) and found.records.records == 2
    first = history.read(tmp_path / CHAMPIONS).records[0]
    assert PromotionVerdict.of(first).is_promoted and PromotionVerdict.of(first).rows[0].power == ""
    done = CliRunner().invoke(app, ["history", "--registry", str(tmp_path), "--verify"])
    assert done.exit_code == 0 and "Records 1 were judged under earlier rules" in done.stdout
    assert "every verdict follows again" not in done.stdout
    told = json.loads(CliRunner().invoke(app, ["history", "--registry", str(tmp_path), "--verify", "--json"]).stdout)
    assert told["verified"]["earlier_rules"] == [1]


def test_its_case_may_still_not_change(tmp_path: Path) -> None:
    path = add_first(tmp_path)
    write_atomic(path, path.read_bytes().replace(b"0.7", b"0.9"))
    with pytest.raises(FixInput, match="a case was removed or changed"):
        champions.audit(tmp_path)


def test_a_verdict_of_the_rules_of_now_must_follow_again(tmp_path: Path) -> None:
    add_now(tmp_path)
    assert champions.audit(tmp_path).earlier == ()
    rows = judge(case(), BARS).document()["rows"]
    add_now(tmp_path, rows=[{**rows[0], "why": "because"}, *rows[1:]])
    with pytest.raises(FixInput, match="record 2 does not follow"):
        champions.audit(tmp_path)


def test_rules_that_this_program_does_not_know_are_no_earlier_ones(tmp_path: Path) -> None:
    add_now(tmp_path, rules=RULES + 1)
    with pytest.raises(FixInput, match="a newer program judged record 1"):
        champions.audit(tmp_path)
