"""The bar on survivorship of the universe."""

from dataclasses import replace

from signals.market.manifest import Survivorship
from trainer.promotion.bars import evidence, successor, trials
from trainer.promotion.bars.config import Case, Judge, PromotionConfig
from trainer.runs.evidence import BarResult, at_least

BAR = "universe"
LIMIT = "point-in-time or reconstructed"
JUDGED_AGAIN: tuple[Judge, ...] = (
    *(evidence.sessions, evidence.sharpe, evidence.drawdown),
    *(trials.dsr, trials.pbo),
    *(evidence.paths, evidence.turnover, evidence.costs),
    successor.champion,
)
WHY = {
    Survivorship.SURVIVORS_ONLY: "names that died are missing, which flatters every figure",
    Survivorship.UNKNOWN: "nothing shows that names that died are among the names",
}


def universe(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether names that died are in the data; where nobody shows it, a person may answer for it."""
    found = case.evidence.dataset.survivorship
    if found not in list(Survivorship):
        return BarResult(BAR, None, LIMIT, False, "no evidence")
    if found == Survivorship.POINT_IN_TIME:
        return BarResult(BAR, found, LIMIT, True, "members are known at each date")
    if found == Survivorship.RECONSTRUCTED:
        return _reconstructed(case, bars)
    why = case.evidence.dataset.universe_why
    words = WHY[Survivorship(found)] + (f" ({why})" if why else "")
    return case.waived(BAR, BarResult(BAR, found, LIMIT, False, words))


def _reconstructed(case: Case, bars: PromotionConfig) -> BarResult:
    """A rule at each date over all assets: names must end at a plausible rate, and the book must bear the ends."""
    words, ends = str(Survivorship.RECONSTRUCTED), case.evidence.dataset.ends
    rate = at_least(
        BAR,
        ends.yearly_end_rate if ends else None,
        bars.min_yearly_ends,
        "share of the names that end in a year: too few, so that those that died were not delivered",
    )
    if not rate.passed:
        return replace(rate, limit=f"{words}, {bars.min_yearly_ends:.1%} ends a year")
    under = case.measured.unpriced_ends
    if under is None or under.cost != bars.unpriced_end_cost:
        return BarResult(BAR, words, LIMIT, False, "no evidence of the book under ends without a recorded price: judge again")
    stressed = replace(case, measured=replace(case.measured, walk_forward=under.walk_forward, paths=under.paths))
    rows = [row(stressed, bars) for row in JUDGED_AGAIN]
    failed = "; ".join(f"{row.bar}: {row.why}" for row in rows if not row.passed)
    cost = f"an end without a recorded price costs a long {bars.unpriced_end_cost:.0%}"
    if failed:
        return BarResult(BAR, words, LIMIT, False, f"where {cost} and gives a short nothing: {failed}")
    return BarResult(BAR, words, LIMIT, True, f"{rate.value:.1%} of the names end in a year; every bar is met where {cost}")
