"""The leak battery run by every training: data checks, score checks and a second vendor.

Entry point: `battery`. Its result stands in the evidence; the bar `leak` of a promotion refuses a run of which a check
failed, until a person answers for it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from signals.market.bars import Bars
from signals.sleeves.base import Sleeve
from trainer.curation.audit.early import early_moves
from trainer.leaks.checks import Fitting, LeakCheck, LeakSubject, entry_profile, lagged_features, replaced_session, shifted_labels
from trainer.leaks.second import second_vendor
from trainer.recipes.leak_limits import LeakConfig

FITS = 2  # steps: features lagged, labels shifted


def battery(
    subject: LeakSubject, sleeve: Sleeve, fitting: Fitting, config: LeakConfig, *, seed: int, second: Bars | None
) -> dict[str, Any]:
    """Run every check and return the document: `checks`, each with its figure, limit and sentence, and the details.

    Parameters
    ----------
    second : Bars or None
        Another vendor's bars of the same names; None where there are none.
    """
    early = early_moves(subject.bars)
    told = early.sentences()
    moves = LeakCheck("early moves", float(len(told)), 0.0, not told, "; ".join(told) or "no name, session or volume moves early")
    checks = [
        moves,
        *entry_profile(subject, config),
        lagged_features(subject, fitting, config),
        shifted_labels(subject, fitting, config),
        replaced_session(subject, sleeve, config, seed),
    ]
    beside = None
    if second is not None:
        check, beside = second_vendor(subject.bars, second, config, seed)
        checks.append(check)
    return {
        "limits": config.model_dump(mode="json"),
        "checks": [asdict(check) for check in checks],
        "early": early.document(),
        "second_vendor": beside,
    }


def failures(document: dict[str, Any]) -> list[str]:
    """Sentences of the checks that failed."""
    return [f"{check['check']}: {check['why']}" for check in document["checks"] if not check["passed"]]
