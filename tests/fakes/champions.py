"""A registry whose history is written as `trainer.promotion.champions` writes it, without a training."""

from __future__ import annotations

from pathlib import Path

from signals.files import sha256_of, write_atomic
from tests.fakes.promotion import BARS, case
from trainer.promotion import history
from trainer.promotion.bars.judge import judge
from trainer.promotion.history import CHAMPIONS, case_path
from trainer.runs.run_folder import canonical_json

SLEEVE = "equities_xs"
NET = "measured.walk_forward.net.annual_sharpe"


def add(registry: Path, event: str, version: str | None, sharpe: float = 1.2, model: str = "a") -> None:
    """Append one record, with its case."""
    judged = case({NET: sharpe})
    content = canonical_json(judged)
    write_atomic(case_path(registry, sha256_of(content)), content)
    verdict = judge(judged, BARS)
    history.append(
        registry / CHAMPIONS,
        {
            **verdict.document(),
            "event": event,
            "sleeve": SLEEVE,
            "version": version,
            "run": f"run-{model}",
            "at": "2026-01-01T00:00:00+00:00",
            "model_sha256": [model if len(model) == 64 else model * 64],
            "case_sha256": sha256_of(content),
            "snapshot_id": "d" * 64,
            "config_hash": "c" * 64,
            "spec_hash": "f" * 64,
            "horizon": 5,
            "code_version": "0.1.0",
            "net_sharpe": sharpe,
            "why": "because",
            "instead_of": None,
        },
    )
