"""The bar of a challenger that would replace a champion."""

from __future__ import annotations

import numpy as np

from trainer.backtest.figures import annual_sharpe
from trainer.promotion.case import Case, Row, at_least, get, series
from trainer.promotion.config import PromotionConfig


def champion(case: Case, bars: PromotionConfig) -> Row:
    """The challenger beside the champion, on the sessions that both have."""
    if case.champion is None:
        return Row("champion", None, "not below the champion", True, "there is none yet: the absolute bars decide")
    theirs, ours = series(case.champion), series(get(case.measured, "walk_forward"))
    common = sorted(theirs.keys() & ours.keys())
    if len(common) < bars.champion_sessions:
        why = f"{len(common)} sessions in common with champion {case.champion.get('version')}"
        return Row("champion", None, f"{bars.champion_sessions} common sessions", False, f"no evidence: {why}")
    beaten = annual_sharpe(np.array([theirs[day] for day in common]))
    reached = annual_sharpe(np.array([ours[day] for day in common]))
    why = f"net Sharpe ratio on {len(common)} sessions in common with champion {case.champion.get('version')}"
    return at_least("champion", reached, beaten - bars.champion_margin, why)
