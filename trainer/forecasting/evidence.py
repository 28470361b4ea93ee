"""`evidence.json` of the sleeve `risk`: figures, their origin and warnings."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date

import numpy as np

from signals.sleeves.risk import RISK
from trainer.forecasting.figures import DrawdownFigures, VolatilityFigures
from trainer.learners.export import Parity
from trainer.recipes.risk import RiskConfig
from trainer.samples.samples import Samples
from trainer.samples.source import TrainingBars, accepted, accepted_warnings
from trainer.validation.ic import Mean
from trainer.validation.proof import Proof

FORMAT = "trademl-risk-evidence-1"
SURE_T = 2.0
MATERIAL_MISS = 0.05  # of outcomes: a 90 % band that holds 85 % is another band


def evidence(
    config: RiskConfig,
    source: TrainingBars,
    rows: Samples,
    proof: Proof,
    volatility: tuple[VolatilityFigures, ...],
    drawdown: DrawdownFigures,
    parity: Parity,
    *,
    seed: int,
    code_version: str,
    entry: str,
) -> dict[str, object]:
    """Assemble the document; `rows` and `proof` are those of the horizon that devices use."""
    own = next(figures for figures in volatility if figures.horizon == RISK.horizon_sessions)
    manifest = source.manifest
    return {
        "format": FORMAT,
        "sleeve": RISK.name,
        "seed": seed,
        "horizon": RISK.horizon_sessions,
        "entry": entry,
        "learner": {"kind": "har", "device": "cpu"},
        "label": "volatility",
        "spec_hash": RISK.spec_hash,
        "first_training_session": _day(rows, int(rows.t0.min())),
        "last_training_session": _day(rows, int(rows.t0.max())),
        "last_label_session": _day(rows, int(rows.t1.max())),
        "training": {"rows": len(rows), "sessions": len(np.unique(rows.t0)), "symbols": len(np.unique(rows.column))},
        "snapshot_id": manifest.snapshot_id,
        "dataset": {
            "name": manifest.name,
            "version": manifest.version,
            "vendor": manifest.vendor,
            "survivorship": str(manifest.universe_state),
            "red_accepted": accepted(source),
        },
        "config": config.model_dump(mode="json"),
        "config_hash": config.fingerprint(),
        "code_version": code_version,
        "ic": {"mean": own.ic.mean, "t_newey_west": own.ic.t, "standard_error": own.ic.standard_error, "sessions": own.ic.sessions},
        "volatility": [_volatility(figures) for figures in volatility],
        "drawdown": {"sessions": config.drawdown_sessions, "level": config.drawdown_level, **asdict(drawdown)},
        "leak_certificate": {"total": int(proof.oof.leaks.sum()), "by_split": proof.oof.leaks.tolist()},
        "holdout": None
        if proof.seal is None
        else {"first": _day(rows, proof.seal.first), "last": _day(rows, proof.seal.last), "sessions": proof.seal.sessions, "opened": 0},
        "parity": asdict(parity),
        "warnings": warnings(config, volatility, drawdown, str(manifest.universe_state)) + accepted_warnings(source),
    }


def warnings(config: RiskConfig, volatility: tuple[VolatilityFigures, ...], drawdown: DrawdownFigures, survivorship: str) -> list[str]:
    """Say where a forecast is not better than no forecast, and where a band is not what it says."""
    found = []
    for figures in volatility:
        for name, gain in figures.advantage.items():
            if not gain.t >= SURE_T:
                found.append(
                    f"over {figures.horizon} sessions HAR's QLIKE is not better than {name}'s: advantage {gain.mean:+.4f}, t {gain.t:.2f}"
                )
        found += _missed(f"the {figures.horizon}-session band", figures.coverage, config.interval)
    found += _missed("the drawdown quantile", drawdown.coverage, config.drawdown_level)
    if not drawdown.advantage.t >= SURE_T:
        found.append(f"the drawdown quantile is not better than a constant: t {drawdown.advantage.t:.2f}")
    if survivorship != "point-in-time":
        found.append(f"universe: {survivorship}; names that died may be missing, and they fell furthest")
    return found


def _missed(what: str, share: Mean, wanted: float) -> list[str]:
    if abs(share.mean - wanted) <= MATERIAL_MISS:
        return []
    return [f"{what} holds {share.mean:.1%} of outcomes, not {wanted:.0%}"]


def _volatility(figures: VolatilityFigures) -> dict[str, object]:
    return {**asdict(figures), "calibration": [list(point) for point in figures.calibration]}


def _day(rows: Samples, row: int) -> str:
    day: date = rows.sessions[row].astype(object)
    return day.isoformat()
