"""Compares learners on the same rows, splits and seed: of daily bars, or at several horizons of one instrument's minutes.

The sealed holdout is no column of a comparison of daily bars: comparing learners on it would be choosing by it. In its place is
the walk-forward IC, which no hindsight helps.

On minutes, each learner at each horizon is a trial on record before it is fitted, with its series on validation before anybody
sees it; of the sealed part, who opens it is on record. Cells of the sleeve on the same instrument that were compared before, on
sessions that overlap, and earlier looks at the sealed part are charged; the same comparison again adds nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import cast

import numpy as np

from signals.market.bars import Days
from signals.minutes.stretch import DecisionBars
from signals.sleeves.bars import BarsSleeve
from trainer.learners.base import FitDevice, Learner, Numbered
from trainer.learners.networks.rows import NETWORKS
from trainer.learners.table import LEARNERS, learner_named
from trainer.recipes.base import Recipe, RecipeConfig
from trainer.runs import looks
from trainer.samples.samples import Material, Range, prepare, seal_holdout
from trainer.search import trial_log
from trainer.search.counting import Counted
from trainer.search.counting import cells as cells_on_record
from trainer.search.run import TrialRun
from trainer.search.trial_log import COMPARE, OneTrial, Series, asked, begin, data_of, end, sharpe_of
from trainer.tasks.barrier_classes.comparison import Comparison, ComparisonRecord, HorizonRows, cell_name, compare_learners
from trainer.tasks.barrier_classes.config import BarsRecipe
from trainer.tasks.barrier_classes.horizons import days_of, horizon_rows, session_days
from trainer.tasks.barrier_classes.task import CLASSES, CLOCK_LEARNER
from trainer.tasks.recipes import agreed
from trainer.validation.deciles import SESSIONS_PER_YEAR, book_returns, next_opens
from trainer.validation.ic import Mean, overlapping_mean, rank_ic
from trainer.validation.proof import ProofFigures, figures, fits, prove
from trainer.validation.splits.oof import Step, fit, scored


def compared(
    recipe: Recipe, config: BarsRecipe, kinds: tuple[str, ...], horizons: tuple[int, ...], span: Range, seed: int, step: Step
) -> Comparison:
    """Compare learners at every horizon; on record before the sealed part is opened is which days are seen."""
    rows, ends, asked_of = list[HorizonRows](), list[str](), dict[str, tuple[OneTrial, Days]]()
    for horizon in horizons:
        own = config.model_copy(update={"label": config.label.model_copy(update={"k": horizon})})
        material = prepare(agreed(recipe, own), own, span)
        bars = cast(DecisionBars, material.source.bars)
        embargo, reach = material.config.cpcv.embargo_sessions, cast(BarsSleeve, material.sleeve).reach + own.view.sessions
        rows.append(horizon_rows(material.rows, bars, horizon=horizon, embargo=embargo, reach=reach))
        ends += [str(bars.sessions[rows[-1].decisions.moment[rows[-1].test[place]]].astype("datetime64[D]")) for place in (0, -1)]
        judged = days_of(bars, rows[-1].decisions.at(rows[-1].validation))
        for kind in kinds:
            learned = material.config.model_copy(update={"learner": kind})
            data = {**data_of(recipe, material.source, material.rows), "last": str(judged[-1])}
            device = recipe.task.learner(learned, seed, FitDevice.AUTO).device
            asked_of[cell_name(kind, horizon)] = asked(COMPARE, data, learned, seed=seed, device=device), judged
    for question, _ in asked_of.values():
        begin(span.data, question)
    record = _record(recipe, span, material, {name: question for name, (question, _) in asked_of.items()}, (min(ends), max(ends)))

    def learner(kind: str) -> Learner:
        return recipe.task.learner(config.model_copy(update={"learner": kind}), seed, FitDevice.AUTO)

    found = compare_learners(
        tuple(rows),
        {kind: learner(kind) for kind in kinds},
        reference=Numbered(learner_named(CLOCK_LEARNER, config, seed, FitDevice.CPU, head=CLASSES)),
        cost_bps=config.label.cost_bps,
        seed=seed,
        step=step,
        record=record,
    )
    for cell in found.cells:
        question, judged = asked_of[cell.name]
        series, there = cell.figures.by_session, np.isfinite(cell.figures.by_session)
        end(span.data, question, Series(judged[there], series[there]))
    return found


def _record(recipe: Recipe, span: Range, material: Material, questions: Mapping[str, OneTrial], test: tuple[str, str]) -> ComparisonRecord:
    """Return what is on record of comparisons of this instrument; `test` are the ends of the sealed part, ISO dates."""
    sleeve, symbol, keys = recipe.sleeve.name, material.rows.symbols[0], {question.key for question in questions.values()}
    spans = [(str(question.identity["first"]), str(question.identity["last"])) for question in questions.values()]
    first, last = min(begins for begins, _ in spans), max(ends for _, ends in spans)

    def cells() -> Counted:
        return cells_on_record(trial_log.known(span.data), sleeve, symbol, first, last, keys)

    def opened(name: str) -> int:
        look = looks.Look("compare", sleeve, f"{name} {questions[name].key}", *test, symbol=symbol)
        looks.record(span.data, look)
        return looks.seen(span.data, sleeve, *test, own=(look.model,), symbol=symbol)

    return ComparisonRecord(session_days(cast(DecisionBars, material.source.bars)), cells, opened)


def every_learner(config: BarsRecipe) -> tuple[str, ...]:
    """Learners that give classes of the recipe's view, and whose libraries are here."""
    return tuple(
        name
        for name, row in LEARNERS.items()
        if "classes" in row.capabilities.heads
        and config.view.kind in row.capabilities.views
        and (name not in NETWORKS or find_spec("torch") is not None)
    )


SEALED = "The sealed holdout is not shown: only a promotion opens it. Train is in-sample: its gap to out-of-fold is "
SEALED += "what was memorised; the gap from out-of-fold to walk-forward is what hindsight was worth."
HEADINGS = (
    "learner",
    "device",
    "train IC",
    "out-of-fold IC",
    "t",
    "walk-forward IC",
    "t",
    "train - oof",
    "oof - forward",
    "Sharpe, net",
    "turnover",
)


@dataclass(frozen=True, eq=False)
class ComparisonRow:
    """One learner's figures: in-sample, out of fold, walking forward, and its decile book's annual Sharpe ratio."""

    kind: str
    device: FitDevice
    train: Mean
    worth: ProofFigures
    sharpe: float


def steps(config: RecipeConfig, learners: tuple[str, ...]) -> int:
    """How often `compare` calls `step`."""
    return (fits(config.cpcv) + 1) * len(learners)


def compare(
    recipe: Recipe, config: RecipeConfig, material: Material, learners: tuple[str, ...], run: TrialRun, step: Step
) -> tuple[ComparisonRow, ...]:
    """Prove each learner on the material's open rows; each is a trial on record."""
    trial_log.known(run.data).require(config.study)
    following = next_opens(material.source.bars, material.source.actions)
    open_rows, _ = seal_holdout(material.rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
    rows = []
    for kind in learners:
        learner = learner_named(kind, config, run.seed, run.device)
        chosen = config.model_copy(update={"learner": kind})
        question = asked(COMPARE, data_of(recipe, material.source, open_rows), chosen, seed=run.seed, device=learner.device)
        begin(run.data, question)
        proof = prove(material.rows, learner, config.cpcv, workers=run.workers, step=step)
        worth = figures(proof, material.source.bars, config.label.k)
        model = fit(proof.rows, learner, np.arange(len(proof.rows)))
        step(f"{kind} in sample")
        own = rank_ic(proof.rows.dense(scored(model, proof.rows.inputs())), proof.rows.dense(proof.rows.label))
        train = overlapping_mean(own, config.label.k)
        book = book_returns(proof.rows.dense(proof.walk_forward), following, config.label.k)
        end(run.data, question, Series(proof.rows.sessions[book.rows], book.net))
        sharpe = sharpe_of(book.net) * float(np.sqrt(SESSIONS_PER_YEAR))
        rows.append(ComparisonRow(kind, learner.device, train, worth, sharpe))
    return tuple(rows)


def document(rows: tuple[ComparisonRow, ...], config: RecipeConfig, identity: Mapping[str, object]) -> dict[str, object]:
    """Return the comparison as a JSON document."""
    return {
        **identity,
        "config_hash": config.fingerprint(),
        "holdout": SEALED,
        "learners": [
            {
                "learner": row.kind,
                "device": str(row.device),
                "train_ic": vars(row.train),
                "out_of_fold_ic": vars(row.worth.ic),
                "walk_forward_ic": vars(row.worth.ic_walk_forward),
                "gap_train_out_of_fold": row.train.mean - row.worth.ic.mean,
                "gap_out_of_fold_walk_forward": row.worth.ic.mean - row.worth.ic_walk_forward.mean,
                "sharpe_net_annual": row.sharpe,
                "turnover_annual": row.worth.turnover.annual,
            }
            for row in rows
        ],
    }


def table(rows: tuple[ComparisonRow, ...]) -> str:
    """Return the comparison as a Markdown table."""
    lines = [" | ".join(HEADINGS), "|".join(["---"] * len(HEADINGS))]
    for row in rows:
        ic, forward = row.worth.ic, row.worth.ic_walk_forward
        cells = (
            str(row.kind),
            str(row.device),
            f"{row.train.mean:+.4f}",
            f"{ic.mean:+.4f} ± {ic.standard_error:.4f}",
            f"{ic.t:+.2f}",
            f"{forward.mean:+.4f} ± {forward.standard_error:.4f}",
            f"{forward.t:+.2f}",
            f"{row.train.mean - ic.mean:+.4f}",
            f"{ic.mean - forward.mean:+.4f}",
            f"{row.sharpe:+.2f}",
            f"{row.worth.turnover.annual:.1f}x",
        )
        lines.append(" | ".join(cells))
    return "\n".join([*(f"| {line} |" if "---" not in line else f"|{line}|" for line in lines), "", SEALED])
