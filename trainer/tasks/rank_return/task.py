"""Labels, evaluator and report of the task `rank_return`."""

from collections.abc import Mapping
from functools import partial

from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from signals.market.dataset import load_bars, read_manifest
from signals.scoring.evidence import Deciles
from trainer.backtest.policy_book import policy_book
from trainer.labels.horizon import Labels, horizon_labels
from trainer.leaks import checks
from trainer.leaks.checks import Fitting, LeakSubject
from trainer.recipes.base import HORIZON, RecipeConfig
from trainer.reports.training import Lines, ReportSubject, report_files, rows_of
from trainer.runs.evidence import Evidence, EvidenceFields, LeakFindings, WalkForward
from trainer.samples.joined_datasets import inputs_of, with_other_datasets
from trainer.search.trial_log import Series
from trainer.tasks.base import Task, TaskFindings, TrainingCase, calibration_of, importance_of
from trainer.tasks.rank_return.evidence import by_regime, embargoes_of, expectation, ic_of, warnings
from trainer.validation.deciles import BookReturns, book_returns, next_opens, trading_conditions
from trainer.validation.likeness import null_of
from trainer.validation.probabilities import EVENT
from trainer.validation.proof import ProofFigures, figures


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
