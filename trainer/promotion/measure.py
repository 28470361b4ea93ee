"""Measures books for a promotion: figures that it adds to the training's evidence, stored in `promotion/measured.json` of a run.

The book of `portfolio.build`, after every cost, at the level of weights: once on the walk-forward scores, which no
hindsight touched and the bars judge, and once on each path of the cross-validation, which give the distribution. Books
are judged before the evidence makes them smaller: a book of no size has no figures.

For the sealed holdout the model is fitted again from the run's own recipe, and must be the stored one to the byte: what
is judged is what was trained, and no text format has to be trusted to give a model back.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from signals.errors import FixInput
from signals.files import sha256_of, write_atomic
from signals.market.bars import Floats
from signals.scoring.evidence import NAN
from trainer.backtest.document import annual_sharpe, is_ruined, worth
from trainer.backtest.subject import OUT_OF_FOLD, WALK_FORWARD, BacktestSubject, BookSettings
from trainer.backtest.weights import WeightPath, weight_paths
from trainer.learners.base import FitDevice
from trainer.promotion.measured import (
    AnnualCosts,
    AnnualTurnover,
    BookFigures,
    Books,
    Measured,
    Paths,
    SealedBook,
    SessionReturns,
    UnpricedEnds,
)
from trainer.recipes.base import Recipe
from trainer.runs import artefacts, looks
from trainer.runs.looks import Look
from trainer.runs.run_folder import TRAINING, TrainingSettings, canonical_json, file_hash, read_document
from trainer.samples.samples import Material, Range, Samples, Seal, prepare, seal_holdout
from trainer.search.trial_log import Series
from trainer.tasks.recipes import agreed, config_of, recipe_named
from trainer.validation.deciles import SESSIONS_PER_YEAR
from trainer.validation.ic import rank_ic
from trainer.validation.splits.oof import fit_all, scored

FOLDER, MEASURED = "promotion", "measured.json"
BEFORE_HOLDOUT = "model_before_holdout.txt"
FORMAT = "trademl-measured-1"
PROMOTE = "promote"
Step = Callable[[str], None]


def model_hashes(run: Path) -> tuple[str, ...]:
    """SHA-256 of every model file that a bundle of this run would carry."""
    return tuple(file_hash(run / member.path) for member in artefacts.form_of(run).members)


def challenger_id(run: Path) -> str:
    """SHA-256 of the model that the seal is opened for."""
    return file_hash(run / BEFORE_HOLDOUT)


def measured(
    subject: BacktestSubject, data: Path, settings: BookSettings, code_version: str, step: Step, *, unpriced: float | None = None
) -> Measured:
    """Return what was measured of this run under these settings, measuring it where it was not.

    With `unpriced`, the fraction that a long loses where a name ends without a recorded price, the books that bear it
    are measured next to the others, under `unpriced_ends`.

    The file is taken as it is when this program made it of these very models, scores, data and settings, and the record of the
    dataset in `data` holds its hash.

    Raises
    ------
    FixInput
        The book would be sized by a fixed IC, which is for rehearsals.
    """
    if settings.portfolio.fixed_ic is not None:
        raise FixInput(
            "a fixed IC is for rehearsals; a promotion sizes by what was proven", where="fixed_ic", fix="Take fixed_ic out of portfolio.yml"
        )
    path = subject.run / FOLDER / MEASURED
    scores = [subject.scores(name) for name in (WALK_FORWARD, OUT_OF_FOLD)]
    blank = Measured(
        format=FORMAT,
        model_sha256=model_hashes(subject.run),
        challenger=challenger_id(subject.run),
        scores_sha256=tuple(found.source for found in scores),
        snapshot_id=subject.archive.manifest.snapshot_id,
        settings=settings.fingerprint(),
        code_version=code_version,
        unpriced_end_cost=unpriced,
    )
    if path.exists() and file_hash(path) in looks.wrote(data, PROMOTE, blank.model_sha256):
        known = read_document(path, Measured)
        if replace(known, walk_forward=blank.walk_forward, paths=blank.paths, unpriced_ends=None) == blank:
            return known
    values = np.concatenate([found.values for found in scores])
    document = replace(blank, **vars(_books(held(subject, values, settings))))
    if unpriced is not None:
        books = _books(held(subject, values, settings, unpriced=unpriced))
        document = replace(document, unpriced_ends=UnpricedEnds(**vars(books), cost=unpriced))
    step("books")
    content, shown = canonical_json(document), document.walk_forward
    looks.record(data, Look(PROMOTE, subject.evidence.sleeve, blank.model_sha256[0], shown.first, shown.last, sha256_of(content)))
    write_atomic(path, content)
    return read_document(path, Measured)


def forecasts(subject: BacktestSubject, gains: Series, code_version: str) -> Measured:
    """Return what a verdict is given on of a run whose scores hold no book: the series by which its training was judged."""
    days = tuple(str(day) for day in gains.days)
    return Measured(
        format=FORMAT,
        model_sha256=model_hashes(subject.run),
        challenger=challenger_id(subject.run),
        snapshot_id=subject.archive.manifest.snapshot_id,
        code_version=code_version,
        walk_forward=BookFigures("forecasts", len(days), days[0], days[-1], series=SessionReturns(days, tuple(gains.net.tolist()))),
    )


def _books(books: tuple[WeightPath, ...]) -> Books:
    return Books(book_figures(books[0]), _distribution(books[1:]))


def held(subject: BacktestSubject, values: Floats, settings: BookSettings, *, unpriced: float | None = None) -> tuple[WeightPath, ...]:
    """Run scores, shape (P, T, N), through the policy at the level of weights, before it is sized by its evidence."""
    return weight_paths(
        subject.archive,
        values,
        settings.portfolio,
        subject.ic.before_evidence(),
        subject.evidence.horizon,
        equity_usd=settings.equity_usd,
        unpriced=unpriced,
    )


def begun(book: WeightPath) -> int:
    """Row of the first trade; 0 of a book that never traded."""
    return int(np.argmax(book.nav.turnover > 0))


def book_figures(book: WeightPath) -> BookFigures:
    """Figures of a book from its first trade on, with its net returns session by session."""
    first = begun(book)
    net = book.net[first:]
    annual = {
        name: float(part[first:].mean()) * SESSIONS_PER_YEAR
        for name, part in (("turnover", book.nav.turnover), ("trading", book.nav.cost), ("borrow", book.nav.borrow))
    }
    days = [str(day) for day in book.sessions[first:]]
    return BookFigures(
        sessions=len(net),
        first=days[0],
        last=days[-1],
        net=worth(net),
        turnover=AnnualTurnover(annual["turnover"]),
        costs=AnnualCosts(annual["trading"], annual["borrow"], annual["trading"] + annual["borrow"]),
        series=SessionReturns(tuple(days), tuple(net.tolist())),
    )


def _distribution(books: tuple[WeightPath, ...]) -> Paths:
    nets = [book.net[begun(book) :] for book in books]
    return Paths(
        annual_sharpe=tuple(None if is_ruined(net) else annual_sharpe(net) for net in nets),
        max_drawdown=tuple(worth(net).max_drawdown for net in nets),
    )


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
