"""Compares learners on the same rows, splits, seed and figures.

The sealed holdout is no column of it: comparing learners on it would be choosing by it. What is in its place is the
walk-forward IC, which no hindsight helps.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainer.learners.base import FitDevice
from trainer.learners.table import learner_named
from trainer.recipes.base import Recipe, RecipeConfig
from trainer.samples.prepare import Material
from trainer.samples.samples import seal_holdout
from trainer.search import store
from trainer.search.question import COMPARE, Series, asked, begin, data_of, end
from trainer.search.trial import sharpe_of
from trainer.search.tried import TrialRun
from trainer.validation.book import book_returns, next_opens
from trainer.validation.deciles import SESSIONS_PER_YEAR
from trainer.validation.ic import Mean, overlapping_mean, rank_ic
from trainer.validation.proof import ProofFigures, figures, fits, prove
from trainer.validation.splits.oof import Step, fit, scored

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
    store.known(run.data).require(config.study)
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
