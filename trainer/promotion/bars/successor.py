"""The bar on replacing a champion: the paired difference of two books on common sessions.

Two doors. *Better*: the lower bound of the difference exceeds 0. *Not worse, and wanted*: the lower bound exceeds minus
the margin, and a person gives a reason that a comparison of returns cannot hold: age, cost or data. A year of daily
returns seldom tells two good books apart, so the first door alone would keep an ageing champion for good.

The challengers that were judged against one champion within 252 sessions share the probability of error: the m-th is
held to a level of 1/m of it (Bonferroni).
"""

import numpy as np

from trainer.promotion.bars.config import Case, PromotionConfig
from trainer.promotion.measured import Word, measure_of
from trainer.runs.evidence import BarResult
from trainer.validation.significance.paired import GAIN, SEED, Paired, chance_of_bound_above, paired

REASONS = ("age", "cost", "data")


def champion(case: Case, bars: PromotionConfig) -> BarResult:
    """The challenger next to the champion, on the sessions that both have."""
    bar = "champion"
    if case.champion is None:
        return BarResult(bar, None, "better than the champion", True, "there is none yet: the absolute bars decide")
    if (other := unlike(case)) is not None:
        return other
    version, count = case.champion.version, case.champion.challengers
    theirs, ours = case.champion.series.by_session, case.measured.walk_forward.series.by_session
    common = sorted(theirs.keys() & ours.keys())
    if len(common) < bars.champion_sessions or count is None or count < 1:
        limit = f"{bars.champion_sessions} common sessions"
        why = f"no evidence: {len(common)} sessions in common with champion {version}"
        return BarResult(bar, None, limit, False, why)
    found = paired(np.array([ours[day] for day in common]), np.array([theirs[day] for day in common]), seed=SEED)
    if found is None:
        return BarResult(bar, None, "better than the champion", False, "no evidence: a book of the two never moved")
    return _row(found, count, case.word, bars, version)


def unlike(case: Case) -> BarResult | None:
    """Return the row of a champion whose series is of something else than the challenger's; None where both are of one."""
    theirs = case.champion.measure if case.champion else None
    own = measure_of(case.evidence.label, case.evidence.horizon, case.measured)
    if not theirs or theirs == own:
        return None
    why = f"no evidence: the champion's are {theirs}, the challenger's {own}; keep the champion's run folder next to this run"
    return case.waived("champion", BarResult("champion", None, "figures of one kind", False, why))


def _row(found: Paired, count: int, word: Word | None, bars: PromotionConfig, version: str) -> BarResult:
    level, margin_level = bars.champion_level / count, bars.champion_margin_level / count
    better, not_worse = found.lower_bound(level), found.lower_bound(margin_level)
    why = (
        f"net Sharpe ratio {found.difference:+.2f} a year against champion {version} on {found.sessions} common "
        f"sessions, correlation {found.correlation:.2f}; lower bound {better:+.2f} at {level:.1%}, {not_worse:+.2f} "
        f"at {margin_level:.1%}, challenger {count} of it within a year"
    )
    limit, passed = "lower bound above 0", better > 0.0
    if not passed and not_worse > -bars.champion_margin:
        limit, passed = f"lower bound above -{bars.champion_margin:g} and a person's word", is_given(word)
        why += f"; {_said(word)}"
    return BarResult("champion", found.difference, limit, passed, why, _power(found, level, margin_level, bars))


def is_given(word: Word | None) -> bool:
    """Whether a person gave a reason, a sentence and a name."""
    return word is not None and word.reason in REASONS and bool(word.text.strip() and word.by.strip())


def _said(word: Word | None) -> str:
    if word is None or not is_given(word):
        return "not proven better, and nobody gave a reason to replace it (--replace-for, --word, --by)"
    return f"replaced for {word.reason} by the word of {word.by.strip()}: {word.text.strip()}"


def _power(found: Paired, level: float, margin_level: float, bars: PromotionConfig) -> str:
    shape = (found.correlation, found.sessions)
    seen = chance_of_bound_above(0.0, GAIN, *shape, level)
    equal = chance_of_bound_above(-bars.champion_margin, 0.0, *shape, margin_level)
    return (
        f"a true gain of {GAIN} a year is seen with {seen:.0%}, an equal book is taken for better with {level:.1%}; "
        f"with a person's word an equal book passes with {equal:.0%}, one worse by {bars.champion_margin:g} "
        f"with {margin_level:.1%}"
    )
