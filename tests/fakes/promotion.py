"""A case that clears every bar by a little, and the way to change one entry of it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import date, timedelta
from typing import Any

from signals.text.documents import to_json
from trainer.promotion.bars.config import Case, PromotionConfig, PromotionVerdict
from trainer.runs.evidence import BarResult

BARS = PromotionConfig()
NET = [0.002, -0.001] * 300  # annual Sharpe ratio 5.29
DAYS = [str(date(2020, 1, 1) + timedelta(days=d)) for d in range(len(NET))]
SEALED = [str(date(2024, 1, 1) + timedelta(days=d)) for d in range(252)]
CHALLENGER: dict[str, Any] = {
    "evidence": {
        "sleeve": "equities_xs",
        "dataset": {"survivorship": "point-in-time", "universe_why": "", "ends": {"yearly_end_rate": 0.03}},
        "leak_certificate": {"total": 0},
        "leaks": {"checks": [{"check": "early moves", "value": 0.0, "limit": 0.0, "passed": True, "why": "none"}]},
        "ic": {
            "mean": 0.03,
            "standard_error": 0.005,
            "long_embargo": {"mean": 0.02},
            "embargoes": {"needed": 253, "long": 253, "is_possible": True},
        },
        "walk_forward": {"ic": {"mean": 0.03, "standard_error": 0.006, "sessions": 1250}},
        "calibration": {
            "platt": {"slope": 0.4, "intercept": 0.0},
            "isotonic": {"knots": [-1.0, 1.0], "levels": [0.48, 0.52]},
            "judged": {
                "slope": 0.8,
                "slope_error": 0.25,
                "excess_brier": 0.0001,
                "excess_error": 0.0002,
                "base_rate": 0.5,
                "said": 0.5,
                "came": 0.5,
            },
            "fitted_for": {"model_sha256": ["m" * 64], "score_deviation": 0.9, "unseen_deviation": 1.0},
        },
        "deciles": {"curve": [-9.0, -7.0, -5.0, -3.0, -1.0, 1.0, 3.0, 5.0, 7.0, 9.0]},
        "holdout": {"first": "2024-01-02", "last": "2024-12-31", "sessions": 252},
    },
    "measured": {
        "model_sha256": ["m" * 64],
        "walk_forward": {
            "sessions": 1250,
            "net": {  # the published example of the deflated Sharpe ratio: an annual 2.5 of 250 sessions
                "annual_sharpe": 1.2,
                "sharpe": 2.5 / 250**0.5,
                "sessions": 1250,
                "skewness": -3.0,
                "kurtosis": 10.0,
                "max_drawdown": 0.1,
                "annual_return": 0.08,
            },
            "turnover": {"annual": 20.0},
            "costs": {"annual_total": 0.02},
            "series": {"sessions": DAYS, "net": NET},
        },
        "paths": {"annual_sharpe": [0.4, 0.5, 0.9, 1.4]},
    },
    "trials": {
        "n_trials": 46,
        "variance_of_sharpes": 0.002,
        "pbo": {"value": 0.04, "probability_of_loss": 0.0},
        "max_t": {"p": 0.04, "t": 2.9, "critical_t": 2.8},
    },
    "holdout": {"annual_sharpe": 0.7, "sessions": 252, "series": {"sessions": SEALED, "net": NET[:252]}},
    "shadow": None,
    "champion": None,
    "searched_under": [BARS.fingerprint()],
    "seen": {"openings": 0, "looks": 0},
    "word": None,
    "waivers": [],
}
CHAMPION = {"version": "1.0.0", "challengers": 1, "series": {"sessions": DAYS[100:], "net": [0.0015, -0.001] * 250}}
WORD = {"reason": "age", "text": "trained on the newest year", "by": "A. Person"}
SHADOW = {
    "sessions": 60,
    "faults": 0,
    "ic": 0.02,
    "band": 0.9,
    "band_low": -0.01,
    "band_high": 0.05,
    "profit": {"annual_sharpe": -3.0, "net_return": -0.02, "turnover_annual": 21.0, "cost_annual": 0.021},
    "recorded": {"is_rehearsal": False},
}
ABSENT = object()
RIVAL = {"champion": CHAMPION, "shadow": SHADOW, "word": WORD}
NET_PATH = "measured.walk_forward.net"


def case(changes: Mapping[str, Any] | None = None) -> Case:
    """The challenger with entries changed, by dotted path; `ABSENT` takes the entry out."""
    document = deepcopy(CHALLENGER)
    for path, value in (changes or {}).items():
        *above, last = path.split(".")
        place = document
        for key in above:
            place = place[key]
        if value is ABSENT:
            del place[last]
        else:
            place[last] = deepcopy(value)
    return Case.of(to_json(document))


def row(found: PromotionVerdict, bar: str) -> BarResult:
    return next(r for r in found.rows if r.bar == bar)


def failed(found: PromotionVerdict) -> list[str]:
    return [r.bar for r in found.rows if not r.passed]
