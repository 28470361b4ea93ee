"""The training pipeline of the sleeve `risk`: read, label, validate, fit, export, write.

The model that is published forecasts the volatility of the sleeve's own horizon; the other horizons, the bands and the
drawdown quantile lie next to it under `forecasts/`, each an exact export.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from signals.features.panel import FeaturePanel
from signals.monitoring.drift import reference
from signals.sleeves.risk import RISK
from trainer.forecasting import figures as worth
from trainer.forecasting.evidence import evidence
from trainer.forecasting.proof import DrawdownProof, VolatilityProof, fits, prove_drawdown, prove_volatility
from trainer.forecasting.report import report_files
from trainer.learners.base import Learner, Model
from trainer.learners.export import Exported, export
from trainer.learners.lgbm import LightGbm
from trainer.learners.table import har
from trainer.recipes.risk import RiskConfig
from trainer.runs import artefacts
from trainer.runs.documents import canonical_json
from trainer.runs.run_folder import refuse_existing, write_run
from trainer.samples.samples import Samples
from trainer.samples.source import TrainingBars, read_source
from trainer.validation.splits.oof import Step

ENTRY = "opg"


@dataclass(frozen=True)
class ForecastRequest:
    """What to train on; as `trainer.training.train.Request`, without what only a score needs."""

    data: Path
    run: Path
    start: date | None
    end: date | None
    symbols: tuple[str, ...]
    seed: int
    workers: int
    code_version: str


@dataclass(frozen=True, eq=False)
class Proofs:
    """Everything that was proven: one value a horizon, and the drawdown's."""

    volatility: tuple[VolatilityProof, ...]
    drawdown: DrawdownProof

    @property
    def own(self) -> VolatilityProof:
        """The horizon that devices use."""
        return next(proof for proof in self.volatility if proof.horizon == RISK.horizon_sessions)


def steps(config: RiskConfig) -> int:
    """How often `train` calls `step`."""
    return fits(config) + len(config.horizons) * 3 + 1


def train(config: RiskConfig, request: ForecastRequest, step: Step) -> dict[str, Any]:
    """Train the sleeve, write the run folder and return its evidence.

    Raises
    ------
    FixInput, DataNotUsable
        The run folder exists, the range is no range of the dataset, too short, or holds a RED session.
    InvariantBroken
        A leak certificate is not 0, or an export is not exact. Nothing was written.
    """
    refuse_existing(request.run)
    source = read_source(
        request.data, start=request.start, end=request.end, symbols=request.symbols, lookback_sessions=RISK.lookback_sessions
    )
    panel = RISK.panel(source.bars)
    settings: dict[str, Any] = {"first": source.first_row, "seed": request.seed, "workers": request.workers, "step": step}
    proofs = Proofs(
        tuple(prove_volatility(source.bars, panel, config, k, **settings) for k in config.horizons),
        prove_drawdown(source.bars, panel, config, **settings),
    )
    by_horizon = tuple(worth.volatility_figures(proof) for proof in proofs.volatility)
    falls = worth.drawdown_figures(proofs.drawdown, config.drawdown_sessions, config.drawdown_level)
    fitted, exported = _fit(config, proofs, request.seed, step)
    known = evidence(
        config,
        source,
        proofs.own.rows,
        proofs.own.har,
        by_horizon,
        falls,
        exported[RISK.name].parity,
        seed=request.seed,
        code_version=request.code_version,
        entry=ENTRY,
    )
    write_run(
        request.run,
        {
            **_files(config, source, panel, proofs, fitted, exported, known),
            **report_files(known, source.bars.sessions, proofs.own, proofs.drawdown),
        },
    )
    return known


def _fit(config: RiskConfig, proofs: Proofs, seed: int, step: Step) -> tuple[Model, dict[str, Exported]]:
    """Fit every forecast on all rows; return the published model and all exports, its own under the sleeve's name."""
    low, high = config.band
    asked: list[tuple[str, Samples, Learner]] = []
    for proof in proofs.volatility:
        is_own = proof.horizon == RISK.horizon_sessions
        asked += [
            (RISK.name if is_own else f"volatility_{proof.horizon}", proof.rows, har(config.har)),
            (f"volatility_{proof.horizon}_low", proof.rows, LightGbm(config.quantile(low), seed)),
            (f"volatility_{proof.horizon}_high", proof.rows, LightGbm(config.quantile(high), seed)),
        ]
    name = f"drawdown_{config.drawdown_sessions}"
    asked.append((name, proofs.drawdown.rows, LightGbm(config.quantile(config.drawdown_level), seed)))
    models, exported = {}, {}
    for name, rows, learner in asked:
        models[name] = learner.fit(rows.features, rows.target, rows.weight, rows.names, rows.t0)
        exported[name] = export(models[name], rows.features)
        step(f"model {name}")
    return models[RISK.name], exported


def _files(
    config: RiskConfig,
    source: TrainingBars,
    panel: FeaturePanel,
    proofs: Proofs,
    model: Model,
    exported: Mapping[str, Exported],
    known: Mapping[str, Any],
) -> dict[str, bytes]:
    own = proofs.own
    training_cfg = {
        "sleeve": RISK.name,
        "seed": known["seed"],
        "config": config.model_dump(mode="json"),
        "config_hash": known["config_hash"],
        "code_version": known["code_version"],
        "snapshot_id": known["snapshot_id"],
        "dataset_version": source.manifest.version,
        "first_training_session": known["first_training_session"],
        "last_label_session": known["last_label_session"],
        "symbols": list(own.rows.symbols),
    }
    published = exported[RISK.name].onnx
    return {
        "model.onnx": published,
        "model.txt": model.to_text().encode(),
        "model.pkl": artefacts.pickled(model),
        "feature_list.json": artefacts.feature_list(RISK),
        "training_cfg.json": canonical_json(training_cfg),
        "walk_forward.parquet": artefacts.walk_forward_parquet(own.har.rows, own.har.walk_forward),
        "golden.npz": artefacts.golden(own.rows.features, published),
        "drift_reference.json": canonical_json(
            reference(*artefacts.unseen_history(panel, own.rows, own.har.rows, own.har.walk_forward, config.cpcv.groups))
        ),
        "evidence.json": canonical_json(known),
        **{f"forecasts/{name}.onnx": one.onnx for name, one in exported.items() if name != RISK.name},
    }
