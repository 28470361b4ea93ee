"""A judged sizing policy as `trainer policy` writes it, and its place on a dataset's record."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from portfolio.policy.sizing import SizingPolicy
from signals.files import sha256_of
from signals.text.documents import from_json, to_json
from trainer.off_policy.judged import POLICY_FILE, JudgedPolicy, LinearValues
from trainer.off_policy.sizing import SizingVerdict
from trainer.runs import looks
from trainer.runs.run_folder import canonical_json

ACCEPTED = SizingVerdict(
    sessions=4000,
    gain=0.06,
    bound=0.03,
    standard_error=0.02,
    margin=0.005,
    gain_of_interest=0.025,
    reasons=(),
    timing=0.05,
    timing_bound=0.02,
    timing_error=0.018,
    exposure=0.5,
    drawdown=0.1,
    whole_drawdown=0.2,
    turnover=0.04,
    whole_turnover=0.05,
)


def judged(policy: SizingPolicy, last: date, **changes: Any) -> JudgedPolicy:
    """A policy that both verdicts accept, unless `changes` says otherwise."""
    made = JudgedPolicy(
        learner="fitted_q",
        seed=1,
        blocks=5,
        sleeve="equities_xs",
        run="run",
        config_hash="c" * 64,
        model_sha256="a" * 64,
        scores_sha256="b" * 64,
        dataset="invented",
        calendar="XNYS",
        snapshot_id="d" * 64,
        settings="settings",
        code_version="test",
        first=date(2020, 1, 2),
        last=last,
        trial="question",
        tries=1,
        replay=ACCEPTED,
        orders=ACCEPTED,
        values=from_json(LinearValues, to_json(policy)),
    )
    return replace(made, **changes)


def record_policy(folder: Path, data: Path, made: JudgedPolicy) -> None:
    """Write the document and record it, as the command does."""
    folder.mkdir(exist_ok=True)
    content = canonical_json(made)
    (folder / POLICY_FILE).write_bytes(content)
    looks.record(data, looks.Look(looks.POLICY, made.sleeve, made.trial, "2020-01-02", str(made.last), sha256_of(content)))
