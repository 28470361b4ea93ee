"""The task `rank_return`: the rank of each name's return over k sessions within its session, judged by IC, deciles and book.

The live figures to expect of a model travel in the bundle. The walk-forward scores, which no model gave to what it had seen, are lived
through by `execution.yardstick`: a rank IC, a turnover, an impact and a net return per session. A moving-block bootstrap (Kunsch 1989,
"The jackknife and the bootstrap for general stationary observations") draws lives of a year from these sessions, whole blocks
of all four figures together, and the quantiles of

    mean IC, mean turnover, mean impact, deepest drawdown        after n sessions

are the fan that a device draws its own life into. For the sequential test the ICs are held to +-b, the 99.5 % quantile
of their size; m, the mean that counts as promised, is the lower end of the 90 % confidence interval of the proof's own
mean, with the error of `persistent_mean`: what the proof itself leaves open is no broken promise.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np

from execution.costs.impact import Y_DEFAULT
from execution.yardstick import Lived, levels, lived
from signals.features.history import market_return
from signals.indicators.regimes import Regime, regimes
from signals.market.actions import Action
from signals.market.bars import Bars, Floats, Opens
from signals.market.dataset import load_bars, read_manifest
from signals.monitoring.expectation import Expectation, Fans, PromisedIc
from signals.scoring.evidence import Deciles
from trainer.backtest.policy_book import policy_book
from trainer.labels.horizon import Labels, horizon_labels
from trainer.leaks import checks
from trainer.leaks.checks import Fitting, LeakSubject
from trainer.recipes.base import HORIZON, Recipe, RecipeConfig
from trainer.reports.training import Lines, ReportSubject, report_files, rows_of
from trainer.runs.evidence import Embargoes, Evidence, EvidenceFields, LeakFindings, OutOfFoldIc, RegimeFigures, WalkForward
from trainer.samples.joined_datasets import inputs_of, with_other_datasets
from trainer.search.trial_log import Series
from trainer.tasks.base import Task, TaskFindings, TrainingCase, calibration_of, importance_of
from trainer.validation.deciles import BookReturns, book_returns, next_opens, trading_conditions
from trainer.validation.ic import overlapping_mean, persistent_mean
from trainer.validation.likeness import null_of
from trainer.validation.probabilities import EVENT
from trainer.validation.proof import Proof, ProofFigures, figures, leaves_rows

MIN_SESSIONS = 60
LIVES, LIFE_SESSIONS = 1_000, 252
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
AFTER = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 252)
BOUND_QUANTILE, MIN_BOUND = 0.995, 0.05
Z_90 = 1.6448536269514722  # standard normal quantile of 95 %: two sides leave 10 %


def expectation(scores: Floats, following: Opens, conditions: tuple[Floats, Floats], k: int, seed: int) -> Expectation | None:
    """Describe the life to be expected.

    Parameters
    ----------
    scores : float64, shape (T, N)
        Walk-forward, NaN where there is none.
    following : Opens, shape (T, N)
    conditions : (float64, float64), each of shape (T, N)
        Volatility per session and average dollar volume.
    k : int
        Cohorts of the yardstick: the label's sessions.

    Returns
    -------
    Expectation or None
        None where fewer than 60 sessions have an IC: nothing can be promised of so little.
    """
    volatility, adv_usd = conditions
    with np.errstate(divide="ignore", invalid="ignore"):
        coefficient = np.where(adv_usd > 0, Y_DEFAULT * volatility / np.sqrt(adv_usd), np.nan)
    seen = lived(scores, following, k, coefficient)
    known = np.isfinite(seen.ic)
    if int(known.sum()) < MIN_SESSIONS:
        return None
    block = max(2 * k, 10)
    bound = max(float(np.quantile(np.abs(seen.ic[known]), BOUND_QUANTILE)), MIN_BOUND)
    mean = persistent_mean(np.clip(seen.ic, -bound, bound), block)
    promised = float(np.clip(mean.mean - Z_90 * mean.standard_error, -0.9 * bound, 0.9 * bound))
    return Expectation(
        sessions=int(known.sum()),
        cohorts=k,
        block_sessions=block,
        lives=LIVES,
        levels=LEVELS,
        after=AFTER,
        ic=PromisedIc(mean=mean.mean, standard_error=mean.standard_error, promised=promised, bound=bound),
        fans=fans(seen, block, np.random.default_rng(seed)),
    )


def fans(seen: Lived, block: int, rng: np.random.Generator) -> Fans:
    """Quantiles after each of `AFTER` sessions, rows as `LEVELS`, of the four figures of bootstrapped lives."""
    ic, impact = _filled(seen.ic), _filled(seen.impact)
    starts = rng.integers(0, max(1, len(seen.rows) - block + 1), (LIVES, -(-LIFE_SESSIONS // block)))
    places = (starts[:, :, None] + np.arange(block)).reshape(LIVES, -1)[:, :LIFE_SESSIONS]
    places = np.minimum(places, len(seen.rows) - 1)
    count = np.arange(1, LIFE_SESSIONS + 1)
    value = levels(seen.net[places])
    peak = np.maximum(np.maximum.accumulate(value, axis=1), 1.0)
    figures = {
        "ic": np.cumsum(ic[places], axis=1) / count,
        "turnover": np.cumsum(seen.turnover[places], axis=1) / count,
        "impact": np.cumsum(impact[places], axis=1) / count,
        "drawdown": np.maximum.accumulate(1.0 - value / peak, axis=1),
    }
    chosen = np.array(AFTER) - 1
    return Fans(**{name: tuple(map(tuple, np.quantile(lives[:, chosen], LEVELS, axis=0).T.tolist())) for name, lives in figures.items()})


def _filled(values: Floats) -> Floats:
    """Sessions without a figure take the mean of those with one, 0 where there is none at all."""
    known = np.isfinite(values)
    return np.where(known, values, values[known].mean() if known.any() else 0.0)


LEAK_IC = 0.05  # daily cross-sections of liquid stocks do not rank better than this out of sample
SURE_T = 2.0
FOLD_DEPENDENCE = 1.4  # sqrt 2: each pair of groups meets twice, once either way round; measured 1.5 on 24 noise panels
MATERIAL_GAP = 0.5  # of the IC that the long embargo may take before it counts as a warning


def warnings(worth: ProofFigures, proof: Proof, config: RecipeConfig, survivorship: str) -> list[str]:
    """Say what a reader must not overlook."""
    found = []
    if abs(worth.ic.mean) > LEAK_IC or abs(worth.ic_walk_forward.mean) > LEAK_IC:
        found.append(
            f"LEAK SUSPECTED: out-of-fold IC {worth.ic.mean:.4f}, walk-forward {worth.ic_walk_forward.mean:.4f}; "
            f"beyond {LEAK_IC} it is a leak until proven otherwise"
        )
    if not worth.ic.t >= SURE_T * FOLD_DEPENDENCE:
        found.append(
            f"the IC's t is {worth.ic.t:.2f}; folds that train on each other give noise a t of standard deviation "
            f"{FOLD_DEPENDENCE}, so this is not distinguishable from no skill"
        )
    if not worth.ic_walk_forward.t >= SURE_T:
        found.append(f"walking forward, without hindsight, the IC's t is {worth.ic_walk_forward.t:.2f}: not distinguishable from no skill")
    if worth.extreme_labels:
        found.append(f"{worth.extreme_labels} labels are beyond 100 % and count in full: a decile figure may be theirs alone")
    if worth.ic_long_embargo is not None and worth.ic_long_embargo.mean < (1.0 - MATERIAL_GAP) * worth.ic.mean:
        found.append(
            f"IC {worth.ic.mean:.4f} falls to {worth.ic_long_embargo.mean:.4f} with an embargo of "
            f"{config.cpcv.long_embargo_sessions} sessions"
        )
    if config.cpcv.long_embargo_sessions and proof.long_embargo is None:
        found.append("history too short for a cross-validation with the long embargo")
    if proof.seal is None:
        found.append("no sealed holdout: this run cannot be promoted")
    if survivorship != "point-in-time":
        found.append(f"universe: {survivorship}; names that died may be missing, which flatters every figure")
    return found


def ic_of(worth: ProofFigures, embargoes: Embargoes) -> OutOfFoldIc:
    """Return the IC as evidence carries it."""
    return OutOfFoldIc(
        mean=worth.ic.mean,
        standard_error=worth.ic.standard_error,
        t_newey_west=worth.ic.t,
        lag=worth.ic_lag,
        sessions=worth.ic.sessions,
        by_path=tuple(worth.ic_by_path),
        by_offset=tuple(worth.ic_by_offset),
        long_embargo=worth.ic_long_embargo,
        embargoes=embargoes,
    )


def embargoes_of(recipe: Recipe, config: RecipeConfig, proof: Proof) -> Embargoes:
    """Sessions of the long embargo, those that the longest look-back needs, and whether the history has room."""
    needed, long = recipe.sleeve.lookback_sessions, config.cpcv.long_embargo_sessions
    is_measured = proof.long_embargo is not None and long >= needed
    return Embargoes(
        needed=needed,
        long=long if proof.long_embargo is not None else 0,
        is_possible=is_measured or leaves_rows(proof.rows, config.cpcv, needed),
    )


def by_regime(bars: Bars, worth: ProofFigures, k: int) -> tuple[RegimeFigures, ...]:
    """Return the figures of every regime that a judged session was of, as evidence carries them."""
    kinds = regimes(market_return(bars.total_return, bars.eligible))
    judged = np.isfinite(worth.ic_series)
    found = []
    for regime in Regime:
        inside = kinds == regime.value
        if not (inside & judged).any():
            continue
        of = [overlapping_mean(np.where(inside, series, np.nan), k) for series in (worth.ic_series, worth.walk_forward_series)]
        found.append(RegimeFigures(regime.value, int((inside & judged).sum()), *of))
    return tuple(found)


class RankReturn(Task):
    """The rank, within its session, of the total return from the entry to the exit k sessions later."""

    name = "rank_return"
    kind = HORIZON
    event = EVENT

    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label by the return over k sessions."""
        return horizon_labels(bars, config.label.k, delistings=actions, entry=config.label.entry)

    def steps(self, config: RecipeConfig) -> int:
        """How often the leak battery calls `step`."""
        return checks.FITS

    def rows(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the report."""
        return [*self.extra_lines(known), *rows_of(known)]

    def extra_lines(self, known: Evidence) -> Lines:
        """Lines of the report that come before those of every ranking of returns."""
        return ()

    def judge(self, case: TrainingCase) -> TaskFindings:
        """Judge by IC, deciles, the decile book and the policy's own, the leak battery and calibrated probabilities."""
        config, proof, source, request = case.config, case.proof, case.material.source, case.request
        k, following = config.label.k, next_opens(source.bars, source.actions)
        worth = figures(proof, source.bars, k)
        forward = proof.rows.dense(proof.walk_forward)
        book = book_returns(forward, following, k)
        trials = case.recorded(Series(proof.rows.sessions[book.rows], book.net))
        leaks = _leaks(case)
        fields: EvidenceFields = {
            "ic": ic_of(worth, embargoes_of(case.recipe, config, proof)),
            "walk_forward": WalkForward(worth.ic_walk_forward, config.cpcv.groups - 1),
            "deciles": Deciles(tuple(worth.curve.tolist()), worth.spread, worth.extreme_labels),
            "turnover": worth.turnover,
            "capacity": worth.capacity,
            "trials": trials.document,
            "regimes": by_regime(source.bars, worth, k),
            "expectation": expectation(forward, following, trading_conditions(source.bars), k, request.seed),
            "policy_book": policy_book(request.data, source, forward, worth.ic_walk_forward, k),
            "importance": importance_of(case),
            "leaks": leaks,
            "seed_null": null_of(case.fitted.model, case.material.panel),
            "calibration": calibration_of(case, self.event),
        }
        warned = warnings(worth, proof, config, str(source.manifest.universe_state))
        warned += [f"LEAK SUSPECTED: {sentence}" for sentence in leaks.failures]
        report = partial(self._report, case=case, worth=worth, book=book, sharpes=trials.sharpes)
        return TaskFindings(fields, tuple(warned), report, proof.oof.scores[0])

    def _report(
        self, known: Evidence, *, case: TrainingCase, worth: ProofFigures, book: BookReturns, sharpes: Floats
    ) -> Mapping[str, bytes]:
        subject = ReportSubject(
            known=known,
            sessions=case.material.source.bars.sessions,
            names=case.recipe.sleeve.names,
            importance=case.fitted.model.importance(),
            series=worth.ic_series,
            forward=worth.walk_forward_series,
            eligible=case.material.panel.eligible.sum(axis=1),
            labelled=case.proof.rows.dense(case.proof.rows.label),
            book=book,
            trial_sharpes=sharpes,
            extra_lines=self.extra_lines(known),
        )
        return report_files(subject)


def _leaks(case: TrainingCase) -> LeakFindings:
    """Run the leak battery over the open rows; the second vendor's bars are read as they are, RED sessions left out."""
    proof, request, recipe = case.proof, case.request, case.recipe
    sleeve, source = case.material.sleeve, case.material.source
    joining = partial(with_other_datasets, sleeve, data=request.data, manifest=source.manifest)
    subject = LeakSubject(
        rows=proof.rows,
        scores=proof.oof.scores.mean(axis=0),
        forward=proof.walk_forward,
        panel=case.material.panel,
        bars=case.material.source.bars,
        k=case.config.label.k,
        groups=case.config.cpcv.groups,
        join=joining if inputs_of(sleeve) else None,
    )
    second = None
    if request.second is not None:
        manifest = read_manifest(request.second)
        second = load_bars(request.second, manifest, manifest.first, manifest.last)
    fitting = Fitting(case.learner, request.workers, case.step)
    return checks.battery(subject, recipe.sleeve, fitting, recipe.leaks, seed=request.seed, second=second)


RANK_RETURN = RankReturn()
