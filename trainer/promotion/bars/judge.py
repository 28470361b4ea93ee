"""Judges a candidate by all bars: a pure function of stored evidence.

Entry point: `judge`. Every bar is a row of `BARS`: a name and a function of the case. What has no evidence fails; what
does not apply says why. The sealed holdout is judged last, because opening it is only worth it when everything else
passes (`is_worth_opening`).

`RULES` names this set of rules. It is raised whenever a row would judge a stored case otherwise: a verdict of earlier
rules is kept as it was given, and `trainer history --verify` says so instead of judging its case again.
"""

from trainer.promotion.bars import evidence, series, shadow, successor, trials, universe
from trainer.promotion.bars.config import Case, Judge, PromotionConfig, PromotionVerdict
from trainer.promotion.bars.holdout import holdout, record
from trainer.tasks.recipes import task_of_kind

RULES = 6

BARS: tuple[Judge, ...] = (
    *(evidence.bars_first, evidence.leaks, evidence.leak, evidence.long_embargo, universe.universe),
    *(evidence.sessions, evidence.sharpe, evidence.drawdown),
    *(trials.dsr, trials.pbo, trials.best_of_all),
    *(evidence.paths, evidence.turnover, evidence.costs),
    *(evidence.reliability, evidence.decile_order),
    *(successor.champion, shadow.shadow),
)
UNSEALED: tuple[Judge, ...] = (holdout, record)
WITHOUT_BOOK: tuple[Judge, ...] = (
    evidence.bars_first,
    evidence.leaks,
    series.universe,
    series.sessions,
    trials.best_of_all,
    series.champion,
)


def judge(case: Case, bars: PromotionConfig) -> PromotionVerdict:
    """Return the verdict: the same case and bars, the same rows."""
    return PromotionVerdict(tuple(row(case, bars) for rows in bars_of(case) for row in rows), bars.fingerprint())


def bars_of(case: Case) -> tuple[tuple[Judge, ...], tuple[Judge, ...]]:
    """Return the bars of the case's task: those that need no opened seal, and those that do."""
    task = task_of_kind(case.evidence.label)
    return ((*BARS, *task.bars), UNSEALED) if task.is_traded else ((*WITHOUT_BOOK, *task.bars), (series.sealed,))


def is_worth_opening(case: Case, bars: PromotionConfig) -> bool:
    """Whether every bar but the holdout's two passes and there is a holdout to open."""
    return case.evidence.holdout is not None and all(row(case, bars).passed for row in bars_of(case)[0])
