"""The search: Optuna proposes, walk-forward folds judge, and the store remembers everything.

Trials are proposed in batches and fitted fold by fold side by side; after each fold those that lag are given up. The
sampler is seeded by study and trial number, so a search that stopped between batches goes on as if it had not, and
workers or a cluster change nothing but its duration. Only open rows are read: the sealed holdout stays sealed.
Trials share the bins of their features (`trainer/search/binned.py`); the baselines do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from signals.bars import Floats
from signals.errors import FixInput, TrademlError
from signals.files import sha256_of
from signals.holding import Opens
from signals.wording import reason_of
from trainer.artefacts import canonical_json
from trainer.fanout import RowSet, side_by_side
from trainer.models.base import Device, Learner, SharesBins
from trainer.models.table import LEARNERS, LearnerKind
from trainer.recipes.base import RecipeConfig
from trainer.recipes.space import Choices
from trainer.samples import Samples
from trainer.search import store
from trainer.search.binned import BinnedRows
from trainer.search.trial import Parameters, State, Trial, ended, packed, sharpe_of
from trainer.validation.book import book_returns
from trainer.validation.oof import Step
from trainer.validation.walk_forward import folds, walk_forward

SEEDS_PER_STUDY = 1_000_000
Series = Floats


@dataclass(frozen=True, eq=False)
class Arena:
    """What trials are judged on: the open rows, the next opens' returns of every name (T, N), and the label's k."""

    rows: Samples
    following: Opens
    k: int

    def net(self, scores: Floats) -> Series:
        """Net session returns of scores, float64 (n,), NaN where a row is not scored."""
        return book_returns(self.rows.dense(scores), self.following, self.k).net


@dataclass(frozen=True)
class Plan:
    """How to search: where trials are remembered, how many the study shall have, and who fits.

    `storage` is Optuna's own memory, any SQLAlchemy URL; empty for SQLite in the folder.
    """

    folder: Path
    trials: int
    seed: int
    device: Device
    workers: int
    storage: str = ""


@dataclass(frozen=True, eq=False)
class Found:
    """The recipe with the best trial's parameters, that trial, its study and all that the folder remembers."""

    config: RecipeConfig
    best: Trial
    study: str
    history: store.History


def steps(config: RecipeConfig, trials: int) -> int:
    """How often `search` calls `step`: once a trial and once a baseline fold."""
    return trials + 2 * (config.cpcv.groups - 1)


def search(config: RecipeConfig, arena: Arena, identity: Mapping[str, Any], plan: Plan, step: Step) -> Found:
    """Run the study until it has `plan.trials` trials, counting those it has, and return the best.

    Raises
    ------
    FixInput
        Nothing to search, trials missing from the store or the storage, or no trial that could be completed.
    Locked
        Another search holds the folder.
    """
    choices: Choices = getattr(config.search, config.learner)
    if not choices:
        raise FixInput(f"search.{config.learner} names no values", mend="Name some, or train without a search")
    with store.held(plan.folder):
        name = _opened(config, arena, identity, plan, step)
        study = _optuna_study(config, name, plan)
        _reconcile(study, plan.folder, name)
        rows = BinnedRows.of(arena.rows)
        while len(study.get_trials(deepcopy=False)) < plan.trials:
            _run_batch(study, choices, config, arena, rows, plan, name, step)
        history = store.read(plan.folder)
    complete = [trial for trial in history.studies[name].trials if trial.state is State.COMPLETED]
    if not complete:
        raise FixInput("no trial could be completed", where=str(plan.folder), mend="Read the reasons in trials.jsonl")
    best = max(complete, key=lambda trial: (trial.sharpe, -trial.number))
    return Found(with_parameters(config, best.parameters), best, name, history)


def bins_of(learner: Learner) -> str | None:
    """Whose bins a trial's features lie in: all trials' together, or, None, no bins of LightGBM's at all."""
    return "shared" if isinstance(learner, SharesBins) else None


def with_parameters(config: RecipeConfig, parameters: Parameters) -> RecipeConfig:
    """Return `config` whose learner has `parameters`, checked like a file's."""
    section = getattr(config, config.learner)
    chosen = type(section).model_validate({**section.model_dump(), **parameters})
    return config.model_copy(update={str(config.learner): chosen})


def _opened(config: RecipeConfig, arena: Arena, identity: Mapping[str, Any], plan: Plan, step: Step) -> str:
    """Name of the study, which is written with its baselines if it is new."""
    document = {
        **identity, "config_hash": config.fingerprint(), "learner": str(config.learner), "device": str(plan.device),
        "seed": plan.seed, "bins": bins_of(_learner(config, config.learner, plan)),
    }  # fmt: skip
    name = sha256_of(canonical_json(document))[:16]
    if name in store.read(plan.folder).studies:
        return name
    tested = np.unique(np.concatenate([arena.rows.t0[test] for _, test in _folds(config, arena)]))
    sessions = [str(day) for day in arena.rows.sessions[tested[arena.k - 1 :]]]
    baselines = _baselines(config, arena, plan, step)
    store.append(plan.folder, {"kind": "study", "study": name, "identity": document, "sessions": sessions})
    for title, net in baselines.items():
        store.append(plan.folder, {"kind": "baseline", "study": name, "name": title, "net": packed(net)})
    return name


def _baselines(config: RecipeConfig, arena: Arena, plan: Plan, step: Step) -> dict[str, Series]:
    """Return series of what was not searched: the recipe as configured, ridge, and the search's simple rules."""
    kinds = {"as configured": config.learner, "ridge": LearnerKind.RIDGE}
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
            raise FixInput(f"search.rules names {feature!r}, which is no feature", mend="Name one of the sleeve's")
        column = arena.rows.features[:, arena.rows.names.index(feature)].astype(np.float64)
        found[f"{sign:+d} {feature}"] = arena.net(np.where(tested, sign * np.nan_to_num(column), np.nan))
    return found


def _optuna_study(config: RecipeConfig, name: str, plan: Plan) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(
        n_startup_trials=config.search.pruning_trials, n_warmup_steps=config.search.warmup_folds - 1
    )
    try:
        return optuna.create_study(
            storage=plan.storage or f"sqlite:///{plan.folder / 'optuna.db'}", study_name=name, direction="maximize",
            load_if_exists=True, pruner=pruner,
        )  # fmt: skip
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError) as error:
        raise FixInput(
            f"the sampler's storage cannot be opened: {reason_of(error).splitlines()[0]}",
            where=plan.storage.split("@")[-1],
            mend="Name a SQLAlchemy URL whose database answers and whose driver is installed",
        ) from None  # fmt: skip


def _reconcile(study: optuna.Study, folder: Path, name: str) -> None:
    """Settle what a killed process left open, and refuse a store that holds less than the storage, or more."""
    kept = {trial.number: trial for trial in store.read(folder).studies[name].trials}
    for trial in study.get_trials(deepcopy=False):
        if trial.state is TrialState.RUNNING:
            if trial.number not in kept:
                _start(folder, name, trial.number, trial.params)
            if trial.number not in kept or kept[trial.number].state is State.INTERRUPTED:
                gone = Trial(trial.number, State.INTERRUPTED, trial.params, np.zeros(0), "the process died")
                store.append(folder, {"study": name, **ended(gone)})
            if trial.number in kept and kept[trial.number].state is State.COMPLETED:
                study.tell(trial.number, kept[trial.number].sharpe)
            else:
                study.tell(trial.number, state=TrialState.FAIL)
    kept = {trial.number: trial for trial in store.read(folder).studies[name].trials}
    sampled = {trial.number for trial in study.get_trials(deepcopy=False)}
    if sampled != set(kept):
        missing = sorted(sampled ^ set(kept))
        where = "the store" if sampled - set(kept) else "the sampler's storage"
        raise FixInput(f"trials {missing} are missing from {where}", where=str(folder), mend=store.MEND)


def _start(folder: Path, name: str, number: int, parameters: Parameters) -> None:
    store.append(folder, {"kind": "started", "study": name, "number": number, "parameters": parameters})


def _run_batch(
    study: optuna.Study, choices: Choices, config: RecipeConfig, arena: Arena, rows: BinnedRows, plan: Plan,
    name: str, step: Step,
) -> None:  # fmt: skip
    """Propose a batch, fit it fold by fold, and write down what became of each trial."""
    count = min(config.search.batch, plan.trials - len(study.get_trials(deepcopy=False)))
    asked = [_ask(study, choices, config, plan, name) for _ in range(count)]
    scores = {trial.number: np.full(len(arena.rows), np.nan) for trial in asked}
    live, over = list(asked), dict[int, tuple[State, str]]()
    for number, (train, test) in enumerate(_folds(config, arena)):
        jobs = [
            (_learner(with_parameters(config, trial.params), config.learner, plan), RowSet.of(train), RowSet.of(test))
            for trial in live
        ]
        results = list(side_by_side(attempt, rows, jobs, workers=plan.workers))
        for trial, result in zip(list(live), results, strict=True):
            if isinstance(result, str):
                over[trial.number] = (State.FAILED, result)
                live.remove(trial)
                continue
            scores[trial.number][test] = result
            sharpe = sharpe_of(arena.net(scores[trial.number]))
            if np.isfinite(sharpe):
                trial.report(sharpe, number)
        for trial in list(live):
            if trial.should_prune():
                over[trial.number] = (State.PRUNED, f"below the median after fold {number + 1}")
                live.remove(trial)
    for trial in asked:
        _end(study, arena, trial, scores[trial.number], over.get(trial.number, (State.COMPLETED, "")), plan, name)
        step(f"trial {trial.number + 1} of {plan.trials}")


def _ask(study: optuna.Study, choices: Choices, config: RecipeConfig, plan: Plan, name: str) -> optuna.Trial:
    number = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(
        seed=plan.seed * SEEDS_PER_STUDY + number, n_startup_trials=config.search.startup_trials
    )
    trial = study.ask()
    for parameter, values in choices.items():
        trial.suggest_categorical(parameter, values)
    _start(plan.folder, name, trial.number, trial.params)
    return trial


def _end(
    study: optuna.Study, arena: Arena, trial: optuna.Trial, scores: Floats, fate: tuple[State, str], plan: Plan,
    name: str,
) -> None:  # fmt: skip
    """Write the end to the store first: what the sampler knows, the store knows."""
    state, reason = fate
    scored = np.unique(arena.rows.t0[np.isfinite(scores)])
    net = arena.net(scores) if len(scored) >= arena.k else np.zeros(0)
    value = sharpe_of(net)
    if state is State.COMPLETED and not np.isfinite(value):
        state, reason = State.FAILED, "its book never earned anything"
    store.append(plan.folder, {"study": name, **ended(Trial(trial.number, state, trial.params, net, reason))})
    if state is State.COMPLETED:
        study.tell(trial, value)
    else:
        study.tell(trial, state=TrialState.PRUNED if state is State.PRUNED else TrialState.FAIL)


def attempt(rows: BinnedRows, learner: Learner, train: RowSet, test: RowSet) -> Floats | str:
    """Test scores, or why there are none: parameters that a library refuses end their trial, not the search."""
    try:
        return rows.score(learner, train, test)
    except (TrademlError, ValueError, ArithmeticError, MemoryError) as error:
        return reason_of(error)


def _learner(config: RecipeConfig, kind: LearnerKind, plan: Plan) -> Learner:
    device = plan.device if kind is config.learner else Device.CPU
    return LEARNERS[kind](config, plan.seed, device)


def _folds(config: RecipeConfig, arena: Arena) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    return folds(arena.rows.t0, arena.rows.t1, config.cpcv.groups)
