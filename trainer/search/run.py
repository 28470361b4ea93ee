"""Hyperparameter search: Optuna samples, walk-forward folds score, the trial log records.

Trials are proposed in batches and fitted fold by fold side by side; after each fold those that lag are given up. The
sampler is seeded by study and trial number, so a search that stopped between batches goes on as if it had not, and
workers or a cluster change nothing but its duration. Only open rows are read: the sealed holdout stays sealed.
What they are worth is the task's own metric (`trainer/search/arena.py`). Trials that a book judges share the bins of their
features (`trainer/search/binned.py`); the baselines do not.

`searched` is the optional search before a training; `tried` counts the trials that one book has used in total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from signals.errors import FixInput, InvariantBroken, TrademlError
from signals.files import sha256_of
from signals.market.bars import Floats
from signals.text.wording import reason_of
from trainer.learners.base import FitDevice, Learner, shares_bins
from trainer.learners.fanout import RowSet, side_by_side
from trainer.learners.table import learner_named
from trainer.recipes.base import Choices, Recipe, RecipeConfig, SearchConfig
from trainer.runs.run_folder import canonical_json, exclusive
from trainer.runs.trials import EvidenceTrials, SearchFigures
from trainer.samples.samples import Material, Samples
from trainer.search import trial_log
from trainer.search.arena import BOOK, NOTHING, Arena, SearchMetric
from trainer.search.binned import BinnedRows
from trainer.search.counting import counting, sleeves_of
from trainer.search.judgement import SearchEvidence, judge, judge_search
from trainer.search.trial_log import (
    BARS_KEY,
    PROVED,
    OneTrial,
    Parameters,
    Series,
    Trial,
    TrialOutcome,
    asked,
    begin,
    data_of,
    day_of,
    end,
    ended,
    packed,
    recipe_hash,
    sharpe_of,
    trial_key,
)
from trainer.validation.splits.oof import Step, folds, score_unseen, walk_forward

SEEDS_PER_STUDY = 1_000_000
CONFIGURED = "as configured"


@dataclass(frozen=True)
class SearchPlan:
    """How to search: where trials are recorded, how many the study shall have, and who fits.

    `record` is the folder of the record of trials, the dataset's. `folder` and `storage` are the sampler's memory
    alone: any SQLAlchemy URL, empty for SQLite in the folder; where it is gone it is rebuilt from the record.
    """

    record: Path
    folder: Path
    trials: int
    seed: int
    device: FitDevice
    workers: int
    storage: str = ""


@dataclass(frozen=True, eq=False)
class Found:
    """The recipe with the best trial's parameters, which names its study, that trial, and all that is on record."""

    config: RecipeConfig
    best: Trial
    study: str
    history: trial_log.TrialHistory


def steps(config: RecipeConfig, trials: int) -> int:
    """How often `search` calls `step`: once a trial and once a baseline fold."""
    return trials + 2 * (config.cpcv.groups - 1)


def search(config: RecipeConfig, arena: Arena, identity: Mapping[str, object], plan: SearchPlan, step: Step) -> Found:
    """Run the study until it has `plan.trials` trials, counting those it has, and return the best.

    Raises
    ------
    FixInput
        Nothing to search, trials missing from the record, or no trial that could be completed.
    Locked
        Another search holds the sampler's folder.
    """
    choices = config.search.of(config.learner)
    if not choices:
        raise FixInput(f"search.{config.learner} names no values", fix="Name some, or train without a search")
    with exclusive(plan.folder, "search"):
        name = _opened(config, arena, identity, plan, step)
        study = _remember(_optuna_study(config, name, plan), choices, config, arena, plan, name)
        running = _Running(study, name, choices, config, arena, plan)
        rows = BinnedRows.of(arena.rows) if arena.is_book else arena.rows
        while len(study.get_trials(deepcopy=False)) < plan.trials:
            _run_batch(running, rows, step)
        history = trial_log.read(plan.record)
    complete = [trial for trial in history.studies[name].trials if trial.state is TrialOutcome.COMPLETED]
    if not complete:
        raise FixInput("no trial could be completed", where=str(plan.record), fix="Read the reasons in trials.jsonl")
    best = max(complete, key=lambda trial: (arena.metric.worth(trial.net), -trial.number))
    chosen = with_parameters(config, best.parameters).model_copy(update={"study": name})
    return Found(chosen, best, name, history)


def bins_of(arena: Arena, learner: Learner) -> str | None:
    """Whose bins a trial's features are in: all trials' together, or, None, each fit's own."""
    return "shared" if arena.is_book and shares_bins(learner) else None


def with_parameters(config: RecipeConfig, parameters: Parameters) -> RecipeConfig:
    """Return `config` whose learner has `parameters`, checked like a file's."""
    section = config.of(config.learner)
    chosen = type(section).model_validate({**section.model_dump(), **parameters})
    return config.model_copy(update={config.learner: chosen})


def _opened(config: RecipeConfig, arena: Arena, identity: Mapping[str, object], plan: SearchPlan, step: Step) -> str:
    """Name of the study, which is written with its baselines if it is new."""
    document = {
        **identity,
        "config_hash": config.fingerprint(),
        "learner": config.learner,
        "device": str(plan.device),
        "seed": plan.seed,
        "bins": bins_of(arena, arena.learner(config, plan.seed, plan.device)),
        **({} if arena.is_book else {"metric": arena.metric.name}),
    }
    name = sha256_of(canonical_json(document))[:16]
    if name in trial_log.read(plan.record).studies:
        return name
    baselines = _baselines(config, arena, plan, step)
    days = baselines[CONFIGURED].days
    if not all(np.array_equal(one.days, days) for one in baselines.values()):
        raise InvariantBroken("what a search compares its trials with was judged on different sessions")
    opening = {"kind": "study", "study": name, "identity": document, "sessions": [str(day) for day in days]}
    compared = [{"kind": "baseline", "study": name, "name": title, "net": packed(one.net)} for title, one in baselines.items()]
    trial_log.append(plan.record, opening, *compared)
    return name


def _baselines(config: RecipeConfig, arena: Arena, plan: SearchPlan, step: Step) -> dict[str, Series]:
    """Return the series of what was not searched: the recipe as configured, ridge, and the search's simple rules."""
    kinds = {CONFIGURED: arena.learner(config, plan.seed, plan.device)}
    if arena.has_ridge:
        kinds["ridge"] = arena.metric.learner(learner_named("ridge", config, plan.seed, FitDevice.CPU))
    found = {}
    for title, learner in kinds.items():
        scores = walk_forward(arena.rows, learner, groups=config.cpcv.groups, workers=plan.workers, step=step)
        found[title] = arena.metric.series(scores)
    tested = np.zeros(len(arena.rows), dtype=bool)
    for _, test in _folds(config, arena):
        tested[test] = True
    is_ranking = arena.is_book or config.search.rules != SearchConfig().rules  # the usual rules rank names for a book
    for feature, sign in config.search.rules.items() if is_ranking else ():
        if feature not in arena.rows.names:
            raise FixInput(f"search.rules names {feature!r}, which is no feature", fix="Name one of the sleeve's")
        column = arena.rows.features[:, arena.rows.names.index(feature)].astype(np.float64)
        found[f"{sign:+d} {feature}"] = arena.metric.series(np.where(tested, sign * np.nan_to_num(column), np.nan))
    return found


def _storage(plan: SearchPlan) -> str:
    return plan.storage or f"sqlite:///{plan.folder / 'optuna.db'}"


def _optuna_study(config: RecipeConfig, name: str, plan: SearchPlan) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=config.search.pruning_trials, n_warmup_steps=config.search.warmup_folds - 1)
    try:
        return optuna.create_study(storage=_storage(plan), study_name=name, direction="maximize", load_if_exists=True, pruner=pruner)
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError) as error:
        raise FixInput(
            f"the sampler's storage cannot be opened: {reason_of(error).splitlines()[0]}",
            where=plan.storage.split("@")[-1],
            fix="Name a SQLAlchemy URL whose database answers and whose driver is installed",
        ) from None


def _remember(study: optuna.Study, choices: Choices, config: RecipeConfig, arena: Arena, plan: SearchPlan, name: str) -> optuna.Study:
    """Return a sampler that holds the trials on record and no others: rebuilt where a process died, or its storage is gone.

    A record that lacks a trial which the sampler saw end is refused: it was cut, and its trials count.
    """
    kept = {trial.number: trial for trial in trial_log.read(plan.record).studies[name].trials}
    held = study.get_trials(deepcopy=False)
    missing = sorted({trial.number for trial in held if trial.state.is_finished()} - set(kept))
    if missing:
        raise FixInput(f"trials {missing} are missing from the record", where=str(plan.record), fix=trial_log.FIX)
    whole = [_remembered(kept[number], choices, arena.metric) for number in sorted(kept)]
    if [trial.state for trial in held] == [trial.state for trial in whole]:
        return study
    optuna.delete_study(study_name=name, storage=_storage(plan))
    study = _optuna_study(config, name, plan)
    study.add_trials(whole)
    return study


def _started(running: _Running, number: int, parameters: Parameters) -> dict[str, object]:
    """The record of a trial that starts, with the key by which a training of the same parameters is known."""
    config, plan, name = running.config, running.plan, running.name
    data, chosen = trial_log.read(plan.record).studies[name].identity, with_parameters(config, parameters)
    device = running.arena.learner(chosen, plan.seed, plan.device).device
    return {
        "kind": "started",
        "study": name,
        "number": number,
        "parameters": parameters,
        "trial": trial_key(data, chosen, plan.seed, device),
        "recipe": recipe_hash(data, chosen, plan.seed),
    }


def _remembered(trial: Trial, choices: Choices, metric: SearchMetric) -> optuna.trial.FrozenTrial:
    """A recorded trial as the sampler would hold it."""
    states = {TrialOutcome.COMPLETED: TrialState.COMPLETE, TrialOutcome.PRUNED: TrialState.PRUNED}
    state = states.get(trial.state, TrialState.FAIL)
    last = trial.reported[max(trial.reported)] if trial.reported else None
    values = {TrialState.COMPLETE: metric.worth(trial.net), TrialState.PRUNED: last}
    spaces: dict[str, BaseDistribution] = {name: CategoricalDistribution(choices[name]) for name in trial.parameters}
    return optuna.trial.create_trial(
        state=state, value=values.get(state), params=dict(trial.parameters), distributions=spaces, intermediate_values=dict(trial.reported)
    )


@dataclass(frozen=True, eq=False)
class _Running:
    """A study that is open, and what its trials are fitted on."""

    study: optuna.Study
    name: str
    choices: Choices
    config: RecipeConfig
    arena: Arena
    plan: SearchPlan


def _run_batch(running: _Running, rows: BinnedRows | Samples, step: Step) -> None:
    """Propose a batch, fit it fold by fold, and write down what became of each trial."""
    config, arena, plan = running.config, running.arena, running.plan
    count = min(config.search.batch, plan.trials - len(running.study.get_trials(deepcopy=False)))
    asked = [_ask(running) for _ in range(count)]
    scores: dict[int, Floats] = {}
    live, over = list(asked), dict[int, tuple[TrialOutcome, str]]()
    shown: dict[int, dict[int, float]] = {trial.number: {} for trial in asked}
    for number, (train, test) in enumerate(_folds(config, arena)):
        jobs = [
            (arena.learner(with_parameters(config, trial.params), plan.seed, plan.device), RowSet.of(train), RowSet.of(test))
            for trial in live
        ]
        results = list(side_by_side(attempt, rows, jobs, workers=plan.workers))
        for trial, result in zip(list(live), results, strict=True):
            if isinstance(result, str):
                over[trial.number] = (TrialOutcome.FAILED, result)
                live.remove(trial)
                continue
            scores.setdefault(trial.number, np.full((len(arena.rows), *result.shape[1:]), np.nan))[test] = result
            worth = arena.metric.worth(arena.net(scores[trial.number]))
            if np.isfinite(worth):
                trial.report(worth, number)
                shown[trial.number][number] = worth
        for trial in list(live):
            if trial.should_prune():
                over[trial.number] = (TrialOutcome.PRUNED, f"below the median after fold {number + 1}")
                live.remove(trial)
    for trial in asked:
        fate = over.get(trial.number, (TrialOutcome.COMPLETED, ""))
        series = arena.metric.series(scores[trial.number]) if trial.number in scores else NOTHING
        _end(running, trial, series, fate, shown[trial.number])
        step(f"trial {trial.number + 1} of {plan.trials}")


def _ask(running: _Running) -> optuna.Trial:
    study, config, plan = running.study, running.config, running.plan
    number = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(seed=plan.seed * SEEDS_PER_STUDY + number, n_startup_trials=config.search.startup_trials)
    trial = study.ask()
    for parameter, values in running.choices.items():
        trial.suggest_categorical(parameter, values)
    trial_log.append(plan.record, _started(running, trial.number, trial.params))
    return trial


def _end(running: _Running, trial: optuna.Trial, series: Series, fate: tuple[TrialOutcome, str], shown: Mapping[int, float]) -> None:
    """Write the end to the record first: what the sampler knows is on record."""
    study, metric, (state, reason) = running.study, running.arena.metric, fate
    value = metric.worth(series.net)
    if state is TrialOutcome.COMPLETED and not np.isfinite(value):
        state, reason = TrialOutcome.FAILED, f"it has no {metric.name}" if metric.name else "its book never earned anything"
    days = series.days if metric.name else NOTHING.days  # a book's are the study's
    outcome = Trial(trial.number, state, trial.params, series.net, reason, days=days, reported=shown)
    trial_log.append(running.plan.record, {"study": running.name, **ended(outcome)})
    if state is TrialOutcome.COMPLETED:
        study.tell(trial, value)
    else:
        study.tell(trial, state=TrialState.PRUNED if state is TrialOutcome.PRUNED else TrialState.FAIL)


def attempt(rows: BinnedRows | Samples, learner: Learner, train: RowSet, test: RowSet) -> Floats | str:
    """Test scores, or why there are none: parameters that a library refuses end their trial, not the search."""
    try:
        return rows.score(learner, train, test) if isinstance(rows, BinnedRows) else score_unseen(rows, learner, train, test)
    except (TrademlError, ValueError, ArithmeticError, MemoryError) as error:
        return reason_of(error)


def _folds(config: RecipeConfig, arena: Arena) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    return folds(arena.rows.t0, arena.rows.t1, config.cpcv.groups)


@dataclass(frozen=True)
class SearchRequest:
    """Where the sampler's memory lies, and how many trials the study shall have.

    `bars_hash` names the promotion bars that hold, before anything is known: another search than under other bars.
    """

    folder: Path
    trials: int
    storage: str = ""
    bars_hash: str = ""


@dataclass(frozen=True)
class TrialRun:
    """How trials are fitted, and the dataset whose record they are written to."""

    data: Path
    seed: int
    device: FitDevice
    workers: int


@dataclass(frozen=True, eq=False)
class Tried:
    """Trials before one book: the figures for its evidence, and the Sharpe ratios of the trials that count."""

    document: EvidenceTrials
    sharpes: Floats


def searched(
    recipe: Recipe, config: RecipeConfig, material: Material, request: SearchRequest, run: TrialRun, step: Step
) -> tuple[Found, Floats | None]:
    """Search on the open rows; return the best recipe, and its returns in the bins that the trials shared, if they did.

    A folder of an older version that holds trials of its own gives them to the record of `data` first.
    """
    if (request.folder / trial_log.FILE).exists() and request.folder.resolve() != run.data.resolve():
        trial_log.merge(run.data, request.folder)
    arena = Arena.of(recipe, config, material)
    identity = {**data_of(recipe, material.source, arena.rows), BARS_KEY: request.bars_hash}
    plan = SearchPlan(run.data, request.folder, request.trials, run.seed, run.device, run.workers, request.storage)
    found = search(config, arena, identity, plan, step)
    is_shared = found.history.studies[found.study].identity["bins"]
    return found, found.best.net if is_shared else None


def tried(data: Path, question: OneTrial, rows: Samples, chosen: Series, *, study: str, shared: Floats | None = None) -> Tried:
    """Judge the chosen returns by everything that is on record for these labelled rows.

    `chosen` come from bins of each split's own, `shared` are a search's returns of the same recipe in shared bins. The
    document names the trial, its study and the file's head, by which a promotion finds them again.
    """
    history = trial_log.known(data)
    history.require(study)
    first, last = day_of(rows, int(rows.t0.min())), day_of(rows, int(rows.t1.max()))
    counted = counting(history, (str(question.identity["sleeve"]),), first, last)
    document = EvidenceTrials(
        **vars(judge(SearchEvidence(chosen, counted, shared))),
        study=study or None,
        trial=question.key,
        lineage=question.lineage or None,
        chain=history.anchor,
    )
    return Tried(document, np.array([sharpe_of(one.net) for one in counted.series], dtype=np.float64))


def figures(data: Path, study: str, key: str, rows: Samples) -> SearchFigures | None:
    """Return what the search `study` by a task's own metric found in its trial `key`; None where it is no such search.

    `rows` are all labelled rows: trials of the sleeve on sessions that overlap theirs count, as they do for a training.
    """
    history = trial_log.known(data)
    known = history.studies.get(study)
    if known is None or known.metric == BOOK:
        return None
    chosen = [trial for trial in known.trials if trial.key == key and trial.state is TrialOutcome.COMPLETED]
    if not chosen:
        return None
    first, last = day_of(rows, int(rows.t0.min())), day_of(rows, int(rows.t1.max()))
    counted = counting(history, sleeves_of(known.identity), first, last, known.metric)
    configured = Series(known.days, known.baselines[CONFIGURED])
    found = judge_search(SearchEvidence(Series(chosen[0].days, chosen[0].net), counted), configured)
    return replace(found, metric=known.metric, study=study, trial=key)


def per_split(
    recipe: Recipe, config: RecipeConfig, material: Material, run: TrialRun, *, bars_hash: str, step: Step
) -> tuple[OneTrial, Series]:
    """Record and return the net returns of a recipe's walk-forward decile book on the open rows.

    Each split's features are in bins of its own, as in a training of the recipe: it is the same trial.
    """
    arena, learner = Arena.of(recipe, config, material), recipe.task.learner(config, run.seed, run.device)
    data = data_of(recipe, material.source, arena.rows)
    question = asked(PROVED, data, config, seed=run.seed, device=learner.device, bars_hash=bars_hash)
    begin(run.data, question)
    found = arena.metric.series(walk_forward(arena.rows, learner, groups=config.cpcv.groups, workers=run.workers, step=step))
    end(run.data, question, found)
    return question, found
