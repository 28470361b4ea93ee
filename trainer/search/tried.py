"""The optional search before a training, and the trials that one book has used in total."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from signals.market.bars import Floats
from signals.market.holding import Opens
from trainer.learners.base import FitDevice
from trainer.recipes.base import Recipe, RecipeConfig, learner_of
from trainer.runs.trials import ChainEnd, EvidenceTrials
from trainer.samples.prepare import Material
from trainer.samples.samples import Samples, seal_holdout
from trainer.search import store
from trainer.search.counting import counting
from trainer.search.judgement import SearchEvidence, judge
from trainer.search.question import BARS_KEY, PROVED, OneTrial, Series, asked, begin, data_of, day_of, end
from trainer.search.run import Arena, Found, SearchPlan, search
from trainer.search.trial import sharpe_of
from trainer.validation.splits.oof import Step
from trainer.validation.splits.walk_forward import walk_forward


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
    if (request.folder / store.FILE).exists() and request.folder.resolve() != run.data.resolve():
        store.merge(run.data, request.folder)
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
    history = store.known(data)
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
