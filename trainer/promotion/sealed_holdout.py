"""Opens a sealed holdout: scores its sessions and computes the book's returns.

The model is fitted again from the run's own recipe, and must be the stored one to the byte: what is judged is what was
trained, and no text format has to be trusted to give a model back.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from signals.errors import FixInput
from signals.files import write_atomic
from signals.scoring.evidence import NAN
from trainer.backtest.figures import annual_sharpe, worth
from trainer.backtest.subject import BacktestSubject, BookSettings
from trainer.learners.base import FitDevice
from trainer.promotion.measure import BEFORE_HOLDOUT, FOLDER, begun, held
from trainer.promotion.measured import SealedBook, SessionReturns
from trainer.recipes.base import Recipe
from trainer.runs import artefacts
from trainer.runs.documents import read_document
from trainer.runs.settings import TRAINING, TrainingSettings
from trainer.samples.prepare import Material, Range, prepare
from trainer.samples.samples import Samples, Seal, seal_holdout
from trainer.search.trial_identity import Series
from trainer.tasks.recipes import agreed, config_of, recipe_named
from trainer.validation.ic import rank_ic
from trainer.validation.splits.oof import fit_all, scored

HOLDOUT = "holdout.parquet"


def open_holdout(subject: BacktestSubject, data: Path, settings: BookSettings) -> SealedBook:
    """Return what the sealed sessions show of this challenger; the scores are kept as `promotion/holdout.parquet`.

    Raises
    ------
    FixInput
        The run has no sealed holdout, or its model cannot be fitted again as it was.
    """
    recipe, material, sealed, values = _scored(subject, data)
    rows = material.rows
    write_atomic(subject.run / FOLDER / HOLDOUT, artefacts.walk_forward_parquet(rows, values))
    if not recipe.task.is_traded:
        return _forecasts(recipe.task.sealed(material, recipe.config, values), rows, sealed)
    book = held(subject, subject.scores(f"{FOLDER}/{HOLDOUT}").values, settings)[0]
    first = begun(book)
    net = book.net[first:]
    ic = rank_ic(rows.dense(values), rows.dense(rows.label))
    figures = worth(net)
    return SealedBook(
        **vars(figures) | {"annual_sharpe": None if figures.is_ruined else annual_sharpe(net)},
        ic=float(np.nanmean(ic)) if np.isfinite(ic).any() else None,
        ic_sessions=int(np.isfinite(ic).sum()),
        first=str(rows.sessions[sealed.first]),
        last=str(rows.sessions[sealed.last]),
        series=SessionReturns(tuple(str(day) for day in book.sessions[first:]), tuple(net.tolist())),
    )


def _forecasts(shown: Series, rows: Samples, sealed: Seal) -> SealedBook:
    """What the seal shows of scores that hold no book: a gain by session, of which no figure of a book is taken."""
    return SealedBook(
        engine="forecasts",
        sessions=len(shown.net),
        total_return=NAN,
        annual_return=NAN,
        annual_volatility=NAN,
        annual_sharpe=None,
        sharpe=None,
        skewness=None,
        kurtosis=None,
        max_drawdown=NAN,
        first=str(rows.sessions[sealed.first]),
        last=str(rows.sessions[sealed.last]),
        series=SessionReturns(tuple(str(day) for day in shown.days), tuple(shown.net.tolist())),
    )


def _scored(subject: BacktestSubject, data: Path) -> tuple[Recipe, Material, Seal, np.ndarray]:
    where = subject.run / TRAINING
    training = read_document(where, TrainingSettings)
    config = config_of(training.config, where=str(where))
    recipe = agreed(recipe_named(subject.evidence.sleeve), config)
    material = prepare(recipe, config, _range(subject, data, training))
    recipe, rows = replace(recipe, sleeve=material.sleeve), material.rows
    open_rows, seal = seal_holdout(rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
    if seal is None:
        raise FixInput("the run has no sealed holdout", where=str(subject.run), fix="Train with holdout_sessions")
    device = FitDevice(subject.evidence.learner.device)
    learner = recipe.task.learner(config, training.seed, device)
    model = fit_all(open_rows, learner)
    if model.to_text().encode() != (subject.run / BEFORE_HOLDOUT).read_bytes():
        raise FixInput(
            "the model before the holdout cannot be fitted again as it was",
            where=str(subject.run / BEFORE_HOLDOUT),
            fix="Promote on the machine and with the program that trained it, or train again",
        )
    sealed = rows.t0 >= seal.first
    values = np.full(len(rows), np.nan)
    values[sealed] = scored(model, rows.inputs(np.flatnonzero(sealed)))
    return recipe, material, seal, values


def _range(subject: BacktestSubject, data: Path, training: TrainingSettings) -> Range:
    """Return what the training read: the same version, range and names."""
    if (asked := training.range) is None:
        raise FixInput("the run does not say what range it read", where=str(subject.run), fix="Train again with this version")
    return Range(data, asked.start, asked.end, asked.symbols, training.dataset_version)
