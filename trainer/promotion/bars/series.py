"""Promotion bars of tasks that hold no book (forecasts, gates): on the daily series of gains by which their training is judged.

It is a gain by session: the loss that a forecast saves against its baseline. Its sums mean something; its Sharpe ratio does
not. Labels of sessions near one another overlap, so its errors are those of `persistent_mean`.
"""

import numpy as np
from scipy.special import ndtri

from signals.market.manifest import Survivorship
from trainer.promotion.bars.config import Case, PromotionConfig
from trainer.promotion.bars.holdout import SEALED, charge
from trainer.promotion.bars.successor import is_given, unlike
from trainer.promotion.bars.universe import BAR as UNIVERSE
from trainer.promotion.bars.universe import LIMIT, WHY
from trainer.runs.evidence import BarResult, at_least
from trainer.validation.ic import Mean, persistent_mean


def universe(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether names that died are in the data; where nobody shows it, a person may answer for it."""
    data = case.evidence.dataset
    if data.survivorship == Survivorship.POINT_IN_TIME:
        return BarResult(UNIVERSE, data.survivorship, LIMIT, True, "members are known at each date")
    if data.survivorship == Survivorship.RECONSTRUCTED:
        rate = data.ends.yearly_end_rate if data.ends else None
        return at_least(UNIVERSE, rate, bars.min_yearly_ends, "share of the names that end in a year")
    known = data.survivorship in list(Survivorship)
    why = WHY[Survivorship(data.survivorship)] if known else "no evidence"
    row = BarResult(UNIVERSE, data.survivorship or None, LIMIT, False, why)
    return case.waived(UNIVERSE, row) if known else row


def sessions(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the series is long enough."""
    return at_least("sessions", case.measured.walk_forward.sessions, bars.min_sessions, "sessions of the walk-forward forecasts")


def champion(case: Case, bars: PromotionConfig) -> BarResult:
    """The challenger's gain next to the champion's, on the sessions that both have; the challengers of a year share the error."""
    bar, limit = "champion", "better than the champion"
    if case.champion is None:
        return BarResult(bar, None, limit, True, "there is none yet: the absolute bars decide")
    if (other := unlike(case)) is not None:
        return other
    theirs, ours = case.champion.series.by_session, case.measured.walk_forward.series.by_session
    common, count = sorted(theirs.keys() & ours.keys()), case.champion.challengers
    if len(common) < bars.champion_sessions or count is None or count < 1:
        why = f"no evidence: {len(common)} sessions in common with champion {case.champion.version}"
        return BarResult(bar, None, f"{bars.champion_sessions} common sessions", False, why)
    found = gain_of(case, [ours[day] - theirs[day] for day in common])
    low = found.mean - float(ndtri(1.0 - bars.champion_level / count)) * found.standard_error
    why = f"gain {found.mean:+.4g} a session against champion {case.champion.version} on {len(common)} common ones, lower bound {low:+.4g}"
    passed = low > 0.0 or (found.mean >= 0.0 and is_given(case.word))
    return BarResult(bar, found.mean, limit, passed, why)


def sealed(case: Case, bars: PromotionConfig) -> BarResult:
    """What the sealed sessions show; each earlier sight of them is charged, so that dead challengers pass as one would."""
    bar, holdout, opened = "holdout", case.evidence.holdout, case.holdout
    if holdout is None:
        return BarResult(bar, None, SEALED, False, "no evidence: the run has no sealed holdout")
    if case.seen is None or case.seen.openings < 0 or case.seen.looks < 0:
        return BarResult(bar, None, SEALED, False, "no evidence of who saw the sealed sessions before")
    if opened is None:
        return BarResult(bar, None, SEALED, False, "still sealed: another bar fails")
    if opened.series is None or len(opened.series.net) < 2:
        return BarResult(bar, None, SEALED, False, "no evidence: what the seal showed was not kept session by session")
    before = case.seen.openings + case.seen.looks
    found = gain_of(case, list(opened.series.net))
    limit = float(ndtri(0.5 ** (1.0 / (before + 1)))) * found.standard_error
    why = f"gain a session over {found.sessions} sealed ones{charge(before)}"
    passed = bool(found.mean > limit)
    return BarResult(bar, found.mean, limit, passed, why if passed else f"{found.mean:.4g} does not exceed {limit:.4g}, {why}")


def gain_of(case: Case, series: list[float]) -> Mean:
    """Mean of a series of gains of the case's horizon."""
    return persistent_mean(np.array(series, dtype=np.float64), 2 * (case.evidence.horizon - 1))
