"""`trainer train --sleeve risk`: trains volatility forecasts."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from signals.config import load
from signals.errors import FixInput
from signals.text.console import aligned, emit
from signals.text.progress import progress

SLEEVE = "risk"


def train_risk(
    data: Path,
    run: Path,
    *,
    start: date | None,
    end: date | None,
    symbols: tuple[str, ...],
    config: Path | None,
    seed: int,
    workers: int,
    cluster: str,
    as_json: bool,
    foreign: dict[str, object],
) -> None:
    """Train the sleeve `risk`; `foreign` are options that only a sleeve of scores has, and must be unset.

    Raises
    ------
    FixInput
        A foreign option was given.
    """
    from signals.code_version import code_version
    from trainer.forecasting.report import rows_of
    from trainer.forecasting.training import ForecastRequest, steps, train
    from trainer.learners.fanout import cluster as connected
    from trainer.recipes.risk import RiskConfig

    given = [name for name, value in foreign.items() if value]
    if given:
        raise FixInput(
            f"the sleeve risk has no {', '.join(given)}",
            where=given[0],
            fix="Leave it out; configs/sleeves/risk.yml holds what can be chosen",
        )
    chosen = load(config, RiskConfig) if config else RiskConfig()
    request = ForecastRequest(
        data=data, run=run, start=start, end=end, symbols=symbols, seed=seed, workers=workers, code_version=code_version("trainer")
    )
    with connected(cluster), progress("training", steps(chosen), as_json=as_json) as step:
        known = train(chosen, request, step)
    text = [*aligned(rows_of(known)), "", *(f"WARNING: {warning}" for warning in known["warnings"]), "", f"Report: {run / 'report.html'}"]
    emit({**known, "run": str(run)}, as_json=as_json, text="\n".join(text))
