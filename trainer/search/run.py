"""Hyperparameter search: Optuna samples, walk-forward folds score, the trial log records.

Trials are proposed in batches and fitted fold by fold side by side; after each fold those that lag are given up. The
sampler is seeded by study and trial number, so a search that stopped between batches goes on as if it had not, and
workers or a cluster change nothing but its duration. Only open rows are read: the sealed holdout stays sealed.
Trials share the bins of their features (`trainer/search/binned.py`); the baselines do not.

`searched` is the optional search before a training; `tried` counts the trials that one book has used in total.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from signals.errors import FixInput, TrademlError
from signals.files import sha256_of
from signals.market.bars import Floats, Opens
from signals.text.wording import reason_of
from trainer.learners.base import FitDevice, Learner, shares_bins
from trainer.learners.fanout import RowSet, side_by_side
from trainer.learners.table import learner_named
from trainer.recipes.base import Choices, Recipe, RecipeConfig, learner_of
from trainer.runs.run_folder import canonical_json, exclusive
from trainer.runs.trials import ChainEnd, EvidenceTrials
from trainer.samples.samples import Material, Samples, seal_holdout
from trainer.search import trial_log
from trainer.search.binned import BinnedRows
from trainer.search.counting import counting
from trainer.search.judgement import SearchEvidence, judge
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
from trainer.validation.deciles import book_returns
from trainer.validation.splits.oof import Step, folds, walk_forward

SEEDS_PER_STUDY = 1_000_000


@dataclass(frozen=True, eq=False)
class Arena:
    """Data that trials are judged on: the open rows, the next opens' returns of every name (T, N), and the label's k."""

    rows: Samples
    following: Opens
    k: int

    def series(self, scores: Floats) -> Series:
        """Net session returns of scores, float64 (n,), NaN where a row is not scored."""
        book = book_returns(self.rows.dense(scores), self.following, self.k)
        return Series(self.rows.sessions[book.rows], book.net)

    def net(self, scores: Floats) -> Floats:
        """The returns of `series` only."""
        return self.series(scores).net


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
        study = _remember(_optuna_study(config, name, plan), choices, config, plan, name)
        running = _Running(study, name, choices, config, arena, plan)
        rows = BinnedRows.of(arena.rows)
        while len(study.get_trials(deepcopy=False)) < plan.trials:
            _run_batch(running, rows, step)
        history = trial_log.read(plan.record)
    complete = [trial for trial in history.studies[name].trials if trial.state is TrialOutcome.COMPLETED]
    if not complete:
        raise FixInput("no trial could be completed", where=str(plan.record), fix="Read the reasons in trials.jsonl")
    best = max(complete, key=lambda trial: (trial.sharpe, -trial.number))
    chosen = with_parameters(config, best.parameters).model_copy(update={"study": name})
    return Found(chosen, best, name, history)


def bins_of(learner: Learner) -> str | None:
    """Whose bins a trial's features are in: all trials' together, or, None, no bins of LightGBM's at all."""
    return "shared" if shares_bins(learner) else None


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
        "bins": bins_of(_learner(config, config.learner, plan)),
    }
    name = sha256_of(canonical_json(document))[:16]
    if name in trial_log.read(plan.record).studies:
        return name
    tested = np.unique(np.concatenate([arena.rows.t0[test] for _, test in _folds(config, arena)]))
    sessions = [str(day) for day in arena.rows.sessions[tested[arena.k - 1 :]]]
    baselines = _baselines(config, arena, plan, step)
    opening = {"kind": "study", "study": name, "identity": document, "sessions": sessions}
    compared = [{"kind": "baseline", "study": name, "name": title, "net": packed(net)} for title, net in baselines.items()]
    trial_log.append(plan.record, opening, *compared)
    return name


def _baselines(config: RecipeConfig, arena: Arena, plan: SearchPlan, step: Step) -> dict[str, Floats]:
    """Return returns of what was not searched: the recipe as configured, ridge, and the search's simple rules."""
    kinds = {"as configured": config.learner, "ridge": "ridge"}
    found = {}
    for title, kind in kinds.items():
        learner = _learner(config, kind, plan)
        scores = walk_forward(arena.rows, learner, groups=config.cpcv.groups, workers=plan.workers, step=step)
        found[title] = arena.net(scores)
    tested = np.zeros(len(arena.rows), dtype=bool)
    for _, test in _folds(config, arena):
        tested[test] = True
    for feature, sign in config.search.rules.items():
        if feature not in arena.rows.names:
            raise FixInput(f"search.rules names {feature!r}, which is no feature", fix="Name one of the sleeve's")
        column = arena.rows.features[:, arena.rows.names.index(feature)].astype(np.float64)
        found[f"{sign:+d} {feature}"] = arena.net(np.where(tested, sign * np.nan_to_num(column), np.nan))
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


def _remember(study: optuna.Study, choices: Choices, config: RecipeConfig, plan: SearchPlan, name: str) -> optuna.Study:
    """Return a sampler that holds the trials on record and no others: rebuilt where a process died, or its storage is gone.

    A record that lacks a trial which the sampler saw end is refused: it was cut, and its trials count.
    """
    kept = {trial.number: trial for trial in trial_log.read(plan.record).studies[name].trials}
    held = study.get_trials(deepcopy=False)
    missing = sorted({trial.number for trial in held if trial.state.is_finished()} - set(kept))
    if missing:
        raise FixInput(f"trials {missing} are missing from the record", where=str(plan.record), fix=trial_log.FIX)
    whole = [_remembered(kept[number], choices) for number in sorted(kept)]
    if [trial.state for trial in held] == [trial.state for trial in whole]:
        return study
    optuna.delete_study(study_name=name, storage=_storage(plan))
    study = _optuna_study(config, name, plan)
    study.add_trials(whole)
    return study


def _started(config: RecipeConfig, plan: SearchPlan, name: str, number: int, parameters: Parameters) -> dict[str, object]:
    """The record of a trial that starts, with the key by which a training of the same parameters is known."""
    data, chosen = trial_log.read(plan.record).studies[name].identity, with_parameters(config, parameters)
    device = _learner(chosen, config.learner, plan).device
    return {
        "kind": "started",
        "study": name,
        "number": number,
        "parameters": parameters,
        "trial": trial_key(data, chosen, plan.seed, device),
        "recipe": recipe_hash(data, chosen, plan.seed),
    }


def _remembered(trial: Trial, choices: Choices) -> optuna.trial.FrozenTrial:
    """A recorded trial as the sampler would hold it."""
    states = {TrialOutcome.COMPLETED: TrialState.COMPLETE, TrialOutcome.PRUNED: TrialState.PRUNED}
    state = states.get(trial.state, TrialState.FAIL)
    last = trial.reported[max(trial.reported)] if trial.reported else None
    values = {TrialState.COMPLETE: trial.sharpe, TrialState.PRUNED: last}
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


def _run_batch(running: _Running, rows: BinnedRows, step: Step) -> None:
    """Propose a batch, fit it fold by fold, and write down what became of each trial."""
    config, arena, plan = running.config, running.arena, running.plan
    count = min(config.search.batch, plan.trials - len(running.study.get_trials(deepcopy=False)))
    asked = [_ask(running) for _ in range(count)]
    scores = {trial.number: np.full(len(arena.rows), np.nan) for trial in asked}
    live, over = list(asked), dict[int, tuple[TrialOutcome, str]]()
    shown: dict[int, dict[int, float]] = {trial.number: {} for trial in asked}
    for number, (train, test) in enumerate(_folds(config, arena)):
        jobs = [
            (_learner(with_parameters(config, trial.params), config.learner, plan), RowSet.of(train), RowSet.of(test)) for trial in live
        ]
        results = list(side_by_side(attempt, rows, jobs, workers=plan.workers))
        for trial, result in zip(list(live), results, strict=True):
            if isinstance(result, str):
                over[trial.number] = (TrialOutcome.FAILED, result)
                live.remove(trial)
                continue
            scores[trial.number][test] = result
            sharpe = sharpe_of(arena.net(scores[trial.number]))
            if np.isfinite(sharpe):
                trial.report(sharpe, number)
                shown[trial.number][number] = sharpe
        for trial in list(live):
            if trial.should_prune():
                over[trial.number] = (TrialOutcome.PRUNED, f"below the median after fold {number + 1}")
                live.remove(trial)
    for trial in asked:
        fate = over.get(trial.number, (TrialOutcome.COMPLETED, ""))
        _end(running, trial, scores[trial.number], fate, shown[trial.number])
        step(f"trial {trial.number + 1} of {plan.trials}")


def _ask(running: _Running) -> optuna.Trial:
    study, config, plan = running.study, running.config, running.plan
    number = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(seed=plan.seed * SEEDS_PER_STUDY + number, n_startup_trials=config.search.startup_trials)
    trial = study.ask()
    for parameter, values in running.choices.items():
        trial.suggest_categorical(parameter, values)
    trial_log.append(plan.record, _started(config, plan, running.name, trial.number, trial.params))
    return trial


def _end(running: _Running, trial: optuna.Trial, scores: Floats, fate: tuple[TrialOutcome, str], shown: Mapping[int, float]) -> None:
    """Write the end to the record first: what the sampler knows is on record."""
    study, arena, (state, reason) = running.study, running.arena, fate
    scored = np.unique(arena.rows.t0[np.isfinite(scores)])
    net = arena.net(scores) if len(scored) >= arena.k else np.zeros(0)
    value = sharpe_of(net)
    if state is TrialOutcome.COMPLETED and not np.isfinite(value):
        state, reason = TrialOutcome.FAILED, "its book never earned anything"
    outcome = Trial(trial.number, state, trial.params, net, reason, reported=shown)
    trial_log.append(running.plan.record, {"study": running.name, **ended(outcome)})
    if state is TrialOutcome.COMPLETED:
        study.tell(trial, value)
    else:
        study.tell(trial, state=TrialState.PRUNED if state is TrialOutcome.PRUNED else TrialState.FAIL)


def attempt(rows: BinnedRows, learner: Learner, train: RowSet, test: RowSet) -> Floats | str:
    """Test scores, or why there are none: parameters that a library refuses end their trial, not the search."""
    try:
        return rows.score(learner, train, test)
    except (TrademlError, ValueError, ArithmeticError, MemoryError) as error:
        return reason_of(error)


def _learner(config: RecipeConfig, name: str, plan: SearchPlan) -> Learner:
    return learner_named(name, config, plan.seed, plan.device if name == config.learner else FitDevice.CPU)


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
    recipe: Recipe, config: RecipeConfig, material: Material, following: Opens, request: SearchRequest, run: TrialRun, step: Step
) -> tuple[Found, Floats | None]:
    """Search on the open rows; return the best recipe, and its returns in the bins that the trials shared, if they did.

    A folder of an older version that holds trials of its own gives them to the record of `data` first.
    """
    if (request.folder / trial_log.FILE).exists() and request.folder.resolve() != run.data.resolve():
        trial_log.merge(run.data, request.folder)
    open_rows, _ = seal_holdout(material.rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
    identity = {**data_of(recipe, material.source, open_rows), BARS_KEY: request.bars_hash}
    plan = SearchPlan(run.data, request.folder, request.trials, run.seed, run.device, run.workers, request.storage)
    found = search(config, Arena(open_rows, following, config.label.k), identity, plan, step)
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
        chain=ChainEnd(history.anchor.records, history.anchor.head),
    )
    return Tried(document, np.array([sharpe_of(one.net) for one in counted.series], dtype=np.float64))


def per_split(
    recipe: Recipe, config: RecipeConfig, material: Material, following: Opens, run: TrialRun, *, bars_hash: str, step: Step
) -> tuple[OneTrial, Series]:
    """Record and return the net returns of a recipe's walk-forward decile book on the open rows.

    Each split's features are in bins of its own, as in a training of the recipe: it is the same trial.
    """
    open_rows, _ = seal_holdout(material.rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
    learner = learner_of(config, run.seed, run.device)
    data = data_of(recipe, material.source, open_rows)
    question = asked(PROVED, data, config, seed=run.seed, device=learner.device, bars_hash=bars_hash)
    begin(run.data, question)
    scores = walk_forward(open_rows, learner, groups=config.cpcv.groups, workers=run.workers, step=step)
    found = Arena(open_rows, following, config.label.k).series(scores)
    end(run.data, question, found)
    return question, found
