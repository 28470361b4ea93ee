"""How often is each bar of a promotion wrong? Simulated books and scores, judged by the product's own rows.

Books are net session returns with fat tails (Student's t of five degrees) and a true annual Sharpe ratio; scores are
persistent, their five-session labels overlap, and their IC is that of noise, of the real files, or of a strong signal.
At last whole cases: the decile books of persistent scores, judged by every bar at once, as a first challenger's only
trial, which is the weakest that a promotion asks.
A wrong pass is one of a book or score without skill (or, for a champion, of an equal book), a wrong refusal one of a
book that is what it claims. Printed as the table of `docs/promotion.md`, with the standard error of the rates.

Run it with `make bar-rates`; it takes some minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import cache

import numpy as np
from scipy.stats import binomtest, norm

from signals.features.panel import FeaturePanel
from signals.market.bars import Bars, Opens, opens
from tests.fakes.bars import synthetic_bars
from tests.fakes.promotion import BARS, CHAMPION, WORD, case
from tests.fakes.score_histories import History, honest, planted
from trainer.backtest.document import annual_sharpe, worth
from trainer.curation.generated.prices import ar1
from trainer.labels.horizon import Labels, horizon_labels
from trainer.promotion.bars import evidence, successor
from trainer.promotion.bars.holdout import holdout
from trainer.promotion.bars.judge import judge as verdict
from trainer.promotion.bars.shadow import shadow
from trainer.promotion.measured import Shadow
from trainer.runs.evidence import BarResult
from trainer.samples.samples import samples
from trainer.search.counting import Counted
from trainer.search.judgement import SearchEvidence, judge
from trainer.search.trial_log import Series
from trainer.validation.calibration import Platt, fit_platt
from trainer.validation.deciles import book_returns, decile_curve, decile_of
from trainer.validation.ic import overlapping_mean, rank_ic
from trainer.validation.probabilities import judged, judged_map
from trainer.validation.significance.dsr import deflated_sharpe_ratio

SESSIONS, SEALED, YEAR = 1050, 252, 252**0.5
VOLATILITY = 0.10  # a year
REAL_IC, REAL_DEVIATION = 0.0136, 0.2074  # of the files that were measured, and its long-run deviation by session
DAYS = [f"{n:05d}" for n in range(SESSIONS)]
NAMES, MARKETS, K, GAP, SCORE_PERSISTENCE, STRONG_IC = 60, 30, 5, 10, 0.98, 0.035  # of whole cases
UNTOUCHED = ("bars", "leaks", "long embargo", "universe", "sessions", "turnover", "costs", "champion", "shadow")
TOGETHER = "all together"
Line = tuple[str, str, list[bool], str, list[bool]]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=400, help="of each simulation; 0 for none")
    parser.add_argument("--books", type=int, default=720, help="without skill that every bar judges; 0 for none")
    given = parser.parse_args()
    seeds = range(given.histories)
    print("| bar | without skill | passes wrongly | with skill | refused wrongly |\n|---|---|---|---|---|")
    parts = (book_bars, holdout_bars, champion_bars, shadow_bars, score_bars) if given.histories else ()
    for part in (*parts, *[whole_cases] * bool(given.books)):
        for bar, dead, passes, good, kept in part(range(given.books) if part is whole_cases else seeds):
            print(f"| {bar} | {dead} | {rate(passes)} | {good} | {rate([not one for one in kept])} |", flush=True)
    return 0


def rate(found: Iterable[bool]) -> str:
    """Share with its standard error."""
    values = np.array(list(found), dtype=float)
    return f"{values.mean():.1%} ± {np.sqrt(values.mean() * (1 - values.mean()) / len(values)):.1%}"


def net(true: float, sessions: int, seed: int) -> np.ndarray:
    """Net session returns of a book with this true annual Sharpe ratio."""
    luck = np.random.default_rng([seed, sessions]).standard_t(5, sessions) / np.sqrt(5 / 3)
    return np.asarray((luck + true / YEAR) * VOLATILITY / YEAR)


def book_bars(seeds: range) -> list[Line]:
    """Net Sharpe ratio, drawdown, paths, and the deflated ratio over 1, 20 and 100 trials."""

    def found(row: Callable[..., BarResult], true: float) -> list[bool]:
        return [row(case(_walked(net(true, SESSIONS, seed))), BARS).passed for seed in seeds]

    def deflated(true: float, trials: int) -> list[bool]:
        return [_deflated(net(true, SESSIONS, seed), trials) >= BARS.min_dsr for seed in seeds]

    def paths(true: float) -> list[bool]:
        """Five paths that share nine tenths of their luck."""
        several = [[annual_sharpe(_path(true, seed, n)) for n in range(5)] for seed in seeds]
        return [evidence.paths(case({"measured.paths.annual_sharpe": one}), BARS).passed for one in several]

    lines: list[Line] = [
        ("net Sharpe", "true 0", found(evidence.sharpe, 0.0), "true 1.5", found(evidence.sharpe, 1.5)),
        ("drawdown", "true 0", found(evidence.drawdown, 0.0), "true 1.0", found(evidence.drawdown, 1.0)),
        ("paths", "true 0", paths(0.0), "true 1.0", paths(1.0)),
    ]
    for trials in (1, 20, 100):
        name = f"DSR over {trials} trial{'s' * (trials > 1)}"
        lines.append((name, "true 0", deflated(0.0, trials), "true 1.5", deflated(1.5, trials)))
    return lines


def _path(true: float, seed: int, number: int) -> np.ndarray:
    shared, own = net(0.0, SESSIONS, seed), net(0.0, SESSIONS, 10_000 + 5 * seed + number)
    return np.asarray(np.sqrt(0.9) * shared + np.sqrt(0.1) * own + true / YEAR * VOLATILITY / YEAR)


def _walked(series: np.ndarray) -> dict[str, object]:
    figures = asdict(worth(series))
    return {"measured.walk_forward.net": figures, "measured.walk_forward.sessions": len(series)}


def _deflated(series: np.ndarray, trials: int) -> float:
    known = worth(series)
    assert known.sharpe is not None and known.skewness is not None and known.kurtosis is not None
    return deflated_sharpe_ratio(
        known.sharpe, known.sessions, skewness=known.skewness, kurtosis=known.kurtosis, trials=trials, variance_of_trials=0.0
    )


def holdout_bars(seeds: range) -> list[Line]:
    """The seal, opened first and after four earlier sights, and the whole record with it."""

    def found(true: float, before: int) -> list[bool]:
        seen = {"openings": before, "looks": 0}
        shown = [_shown(net(true, SEALED, seed)) for seed in seeds]
        return [holdout(case({"holdout": one, "seen": seen}), BARS).passed for one in shown]

    def whole(true: float, trials: int) -> list[bool]:
        joined = [np.concatenate([net(true, SESSIONS, seed), net(true, SEALED, seed)]) for seed in seeds]
        return [_deflated(one, trials) >= BARS.min_dsr for one in joined]

    return [
        ("holdout", "true 0", found(0.0, 0), "true 1.0", found(1.0, 0)),
        ("holdout, seen four times before", "true 0", found(0.0, 4), "true 1.0", found(1.0, 4)),
        ("DSR with the seal, 20 trials", "true 0", whole(0.0, 20), "true 1.5", whole(1.5, 20)),
    ]


def _shown(series: np.ndarray) -> dict[str, object]:
    return {
        "annual_sharpe": annual_sharpe(series),
        "sessions": len(series),
        "series": {"sessions": [f"s{n:05d}" for n in range(len(series))], "net": series.tolist()},
    }


def champion_bars(seeds: range) -> list[Line]:
    """Both doors, for the first and the fourth challenger of a year, at a correlation of 0.9."""

    def found(gain: float, *, count: int = 1, is_wanted: bool = False) -> list[bool]:
        return [_challenged(gain, seed, count, is_wanted=is_wanted) for seed in seeds[: len(seeds) // 2]]

    return [
        ("champion: better", "equal", found(0.0), "better by 0.3", found(0.3)),
        ("champion: better, fourth of a year", "equal", found(0.0, count=4), "better by 0.3", found(0.3, count=4)),
        ("champion: wanted", "worse by 0.2", found(-0.2, is_wanted=True), "equal", found(0.0, is_wanted=True)),
    ]


def _challenged(gain: float, seed: int, count: int, *, is_wanted: bool) -> bool:
    theirs, own = net(1.0, SESSIONS, seed), net(0.0, SESSIONS, 20_000 + seed)
    drift = 1.0 / YEAR * VOLATILITY / YEAR
    ours = 0.9 * (theirs - drift) + np.sqrt(1 - 0.9**2) * own + drift * (1.0 + gain)
    champion = {**CHAMPION, "challengers": count, "series": {"sessions": DAYS, "net": theirs.tolist()}}
    return successor.champion(
        case(
            {
                "champion": champion,
                "word": WORD if is_wanted else None,
                "measured.walk_forward.series": {"sessions": DAYS, "net": ours.tolist()},
            }
        ),
        BARS,
    ).passed


def shadow_bars(seeds: range) -> list[Line]:
    """Sixty sessions whose mean IC is that of a dead, a flipped and an honest model of the real files' strength."""
    error = REAL_DEVIATION / np.sqrt(SESSIONS)
    ic = {"mean": REAL_IC, "standard_error": error, "sessions": SESSIONS}
    z = float(norm.ppf(0.5 + BARS.shadow_band / 2.0))
    low = REAL_IC - z * error * float(np.sqrt(1.0 + SESSIONS / 60))
    template = case(
        {
            "champion": CHAMPION,
            "evidence.walk_forward": {"ic": ic},
            "shadow": {
                "sessions": 60,
                "faults": 0,
                "band": BARS.shadow_band,
                "band_low": low,
                "band_high": 1.0,
                "ic": 0.0,
                "profit": {"net_return": 0.0, "turnover_annual": 20.0, "cost_annual": 0.02},
                "recorded": {"is_rehearsal": False},
            },
        }
    )

    def found(true: float) -> list[bool]:
        seen = [np.random.default_rng([seed, 60]).normal(true, REAL_DEVIATION / np.sqrt(60)) for seed in seeds]
        shown = [replace(template, shadow=replace(template.shadow or Shadow(), ic=ic)) for ic in seen]
        return [shadow(one, BARS).passed for one in shown]

    honest_ones = found(REAL_IC)
    return [
        ("shadow's IC", "dead", found(0.0), f"IC {REAL_IC}", honest_ones),
        ("shadow's IC", "opposite sign", found(-REAL_IC), f"IC {REAL_IC}", honest_ones),
    ]


def score_bars(seeds: range) -> list[Line]:
    """Calibration and the order of the deciles, from scores and labels."""
    few = seeds[: max(1, len(seeds) // 4)]
    noise, real, strong = ([honest(strength, seed) for seed in few] for strength in (0.0, 0.028, 0.06))
    turned = [planted(0.06, seed) for seed in few]
    t = float(np.mean([overlapping_mean(one.ic, one.k).t for one in real]))
    kept = [_reliable(one) for one in real]
    return [
        ("reliability", "signal turned round later", [_reliable(one) for one in turned], f"t {t:.1f}", kept),
        ("reliability", "map twice too sure", [_bent(one, 2.0) for one in strong], f"t {t:.1f}", kept),
        ("reliability", "map four times too sure", [_bent(one, 4.0) for one in strong], f"t {t:.1f}", kept),
        ("decile order", "noise", [_ordered(one) for one in noise], f"t {t:.1f}", [_ordered(one) for one in real]),
    ]


def _reliable(one: History) -> bool:
    return _row(asdict(judged(one.rows, one.scores, one.outcomes, one.k)))


def _bent(one: History, factor: float) -> bool:
    true, later = fit_platt(one.scores, one.outcomes), one.rows.t0 >= one.middle
    said = Platt(factor * true.slope, factor * true.intercept).probability(one.scores[later])
    return _row(asdict(judged_map(said, 0.5, one.outcomes[later], one.rows.t0[later], one.k)))


def _row(figures: dict[str, float]) -> bool:
    return evidence.reliability(case({"evidence.calibration.judged": figures}), BARS).passed


def _ordered(one: History) -> bool:
    return evidence.decile_order(case({"evidence.deciles.curve": one.curve.tolist()}), BARS).passed


def whole_cases(seeds: range) -> list[Line]:
    """Every bar alone and all together: noise, and a twelfth as many books of the real files' and of a strong IC."""
    few = seeds[: len(seeds) // 12]
    noise = [_verdict(0.0, seed) for seed in seeds]
    real, strong = ([_verdict(strength, seed) for seed in few] for strength in (REAL_IC, STRONG_IC))
    lines: list[Line] = []
    for found, said in ((strong, f"IC {STRONG_IC}"), (real, f"IC {REAL_IC}")):
        for bar in (*noise[0], TOGETHER):
            passed = [[all(one.values()) if bar == TOGETHER else one[bar] for one in rows] for rows in (noise, found)]
            lines.append((f"books: {bar}", "noise", passed[0], said, passed[1]))
    count = sum(all(one.values()) for one in noise)
    low, high = binomtest(count, len(noise)).proportion_ci(0.95)
    print(f"noise promoted {count} of {len(noise)}, 95 % interval {low:.2%} to {high:.2%}", file=sys.stderr)
    return lines


@cache
def _market(seed: int) -> tuple[Bars, Labels, Opens]:
    bars = synthetic_bars(seed, SESSIONS + GAP + SEALED, NAMES)
    return bars, horizon_labels(bars, K), opens(bars)


def _verdict(strength: float, seed: int) -> dict[str, bool]:
    """By bar, whether the decile book of scores with this IC passes; bars that scores do not touch are left out."""
    bars, labels, following = _market(seed % MARKETS)
    luck = ar1(np.random.default_rng([seed, NAMES]).standard_normal(labels.values.shape), SCORE_PERSISTENCE)
    known = np.nan_to_num(labels.values / np.nanstd(labels.values))
    evidence = np.where(bars.eligible, luck + strength * known, np.nan)
    values = evidence[..., None].astype(np.float32)
    rows = samples(FeaturePanel(bars.sessions, bars.symbols, ("score",), values, bars.eligible), labels)
    rows = rows.where(rows.t1 < SESSIONS)
    open_scores, held = rows.dense(evidence[rows.t0, rows.column]), rows.dense(rows.label)
    ic = asdict(overlapping_mean(rank_ic(open_scores, held), K))
    walked, sealed = (
        book_returns(np.where(part[:, None], evidence, np.nan), following, K)
        for part in (np.arange(len(evidence)) < SESSIONS, np.arange(len(evidence)) >= SESSIONS + GAP)
    )
    days, own = bars.sessions, evidence[rows.t0, rows.column]
    trial = Series(days[walked.rows], walked.net)
    changes = {
        "evidence.ic": {**ic, "long_embargo": ic, "embargoes": {"needed": 0, "long": 0}},
        "evidence.walk_forward.ic": ic,
        "evidence.calibration.judged": asdict(judged(rows, own, (rows.target > 0).astype(np.float64), K)),
        "evidence.deciles.curve": decile_curve(decile_of(open_scores), held).tolist(),
        **_walked(walked.net),
        "measured.walk_forward.series": _stored(trial),
        "measured.paths.annual_sharpe": [annual_sharpe(walked.net)],
        "trials": judge(SearchEvidence(trial, Counted((trial,)))),
        "holdout": {**_shown(sealed.net), "series": _stored(Series(days[sealed.rows], sealed.net))},
    }
    return {row.bar: row.passed for row in verdict(case(changes), BARS).rows if row.bar not in UNTOUCHED}


def _stored(series: Series) -> dict[str, object]:
    return {"sessions": series.days.astype(str).tolist(), "net": series.net.tolist()}


if __name__ == "__main__":
    sys.exit(main())
