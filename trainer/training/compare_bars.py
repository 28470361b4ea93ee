"""Compares learners and horizons on one instrument's minutes: reads each horizon's material, and records trials and looks.

Each learner at each horizon is a trial on record before it is fitted, with its series on validation before anybody sees it; of the
sealed part, who opens it is on record.
"""

from importlib.util import find_spec
from typing import cast

import numpy as np

from signals.market.bars import Days
from signals.minutes.decisions import DecisionBars
from signals.sleeves.bars import BarsSleeve
from trainer.learners.base import FitDevice, Learner
from trainer.learners.networks.rows import NETWORKS
from trainer.learners.numbered import Numbered
from trainer.learners.table import LEARNERS, learner_named
from trainer.recipes.base import Recipe
from trainer.runs import looks
from trainer.samples.prepare import Range, prepare
from trainer.search.question import COMPARE, OneTrial, Series, asked, begin, data_of, end
from trainer.tasks.barrier_classes.comparison import Comparison, HorizonRows, cell_name, compare_learners
from trainer.tasks.barrier_classes.config import BarsRecipe
from trainer.tasks.barrier_classes.horizons import days_of, horizon_rows
from trainer.tasks.barrier_classes.task import CLASSES, CLOCK_LEARNER
from trainer.tasks.recipes import agreed
from trainer.validation.splits.oof import Step


def compared(
    recipe: Recipe, config: BarsRecipe, kinds: tuple[str, ...], horizons: tuple[int, ...], span: Range, seed: int, step: Step
) -> Comparison:
    """Compare learners at every horizon; on record before the sealed part is opened is which days are seen."""
    rows, days, asked_of = list[HorizonRows](), list[str](), dict[str, tuple[OneTrial, Days]]()
    for horizon in horizons:
        own = config.model_copy(update={"label": config.label.model_copy(update={"k": horizon})})
        material = prepare(agreed(recipe, own), own, span)
        bars = cast(DecisionBars, material.source.bars)
        embargo, reach = material.config.cpcv.embargo_sessions, cast(BarsSleeve, material.sleeve).reach + own.view.sessions
        rows.append(horizon_rows(material.rows, bars, horizon=horizon, embargo=embargo, reach=reach))
        days += [str(bars.sessions[rows[-1].decisions.moment[rows[-1].test[place]]].astype("datetime64[D]")) for place in (0, -1)]
        judged = days_of(bars, rows[-1].decisions.at(rows[-1].validation))
        for kind in kinds:
            learned = material.config.model_copy(update={"learner": kind})
            data = {**data_of(recipe, material.source, material.rows), "last": str(judged[-1])}
            device = recipe.task.learner(learned, seed, FitDevice.AUTO).device
            asked_of[cell_name(kind, horizon)] = asked(COMPARE, data, learned, seed=seed, device=device), judged
    for question, _ in asked_of.values():
        begin(span.data, question)

    def learner(kind: str) -> Learner:
        return recipe.task.learner(config.model_copy(update={"learner": kind}), seed, FitDevice.AUTO)

    def opened(name: str) -> None:
        looks.record(span.data, looks.Look("compare", recipe.sleeve.name, f"{name} {config.fingerprint()}", min(days), max(days)))

    found = compare_learners(
        tuple(rows),
        {kind: learner(kind) for kind in kinds},
        reference=Numbered(learner_named(CLOCK_LEARNER, config, seed, FitDevice.CPU, head=CLASSES)),
        cost_bps=config.label.cost_bps,
        seed=seed,
        step=step,
        opened=opened,
    )
    for cell in found.cells:
        question, judged = asked_of[cell.name]
        series, there = cell.figures.by_session, np.isfinite(cell.figures.by_session)
        end(span.data, question, Series(judged[there], series[there]))
    return found


def every_learner(config: BarsRecipe) -> tuple[str, ...]:
    """Learners that give classes of the recipe's view, and whose libraries are here."""
    return tuple(
        name
        for name, row in LEARNERS.items()
        if "classes" in row.capabilities.heads
        and config.view.kind in row.capabilities.views
        and (name not in NETWORKS or find_spec("torch") is not None)
    )
