"""The leak battery run by every training: data checks, score checks and a second vendor.

Entry point: `battery`. Its result stands in the evidence; the bar `leak` of a promotion refuses a run of which a check
failed, until a person answers for it.
"""

from signals.market.bars import Bars
from signals.sleeves.base import Sleeve
from trainer.curation.audit.early import early_moves
from trainer.leaks.checks import Fitting, LeakSubject, entry_profile, lagged_features, replaced_session, shifted_labels
from trainer.leaks.second import second_vendor
from trainer.recipes.leak_limits import LeakConfig
from trainer.runs.evidence import LeakCheck, LeakFindings

FITS = 2  # steps: features lagged, labels shifted


def battery(subject: LeakSubject, sleeve: Sleeve, fitting: Fitting, config: LeakConfig, *, seed: int, second: Bars | None) -> LeakFindings:
    """Run every check and return what was found.

    Parameters
    ----------
    second : Bars or None
        Another vendor's bars of the same names; None where there are none.
    """
    early = early_moves(subject.bars)
    told = early.sentences()
    moves = LeakCheck("early moves", not told, float(len(told)), 0.0, "; ".join(told) or "no name, session or volume moves early")
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
    return LeakFindings(
        limits=config.model_dump(mode="json"),
        checks=tuple(checks),
        early=early.document(),
        second_vendor=None if beside is None else beside.document(),
    )
