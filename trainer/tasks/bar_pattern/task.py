"""Labels, evaluator and bars of the task `bar_pattern`.

The label of a bar is the shape that the rules of the detectors find at it; no outcome enters, so that what the net has seen of
later bars tells nothing of returns. It is judged against the rules on later bars, in the mix that there is, and never traded.
"""

from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from signals.bundle.calibration import AppliedCalibration, TemperatureMap
from signals.events.images import NAME
from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from signals.models.heads import Head, PatternHead
from signals.scoring.scores import rank_ic
from signals.sleeves.patterns import FIGURES
from signals.text.documents import to_json
from trainer.labels.horizon import Labels
from trainer.learners.base import FitDevice, Learner, Rows
from trainer.learners.networks.parameters import BarCnnConfig
from trainer.learners.pictures import class_and_pole, target_of
from trainer.recipes.base import RecipeConfig
from trainer.runs.artefacts import BANK, FORM, arrays, form_of_graph
from trainer.runs.evidence import Evidence, EvidenceFields, OutOfFoldIc, WalkForward, at_least, at_most
from trainer.runs.picture_bank import PictureNet, bank_of, seen_events
from trainer.runs.run_folder import canonical_json
from trainer.samples.samples import Gathered, Material, Samples
from trainer.search.trial_log import Series
from trainer.tasks.bar_pattern.config import PatternLabel, PatternRecipe
from trainer.tasks.bar_pattern.figures import PatternFigures, fit_map, pattern_figures
from trainer.tasks.bar_pattern.labels import CLASSES, Shapes, digest_of, require_enough, shapes_of
from trainer.tasks.bar_pattern.learner import OF_CLASSES, PatternLearner, outputs_of
from trainer.tasks.base import TaskFindings, TrainingCase, on_figure, plain_report, without_ratios
from trainer.tasks.events import EventTask
from trainer.validation.ic import persistent_mean
from trainer.validation.splits.oof import Parts, fit, parts

EVENT = "the shape of the class ends at this bar"
LAG = 5  # sessions; a shape holds for some
MOST_ECE, LEAST_F1 = 0.03, 0.4  # twice the F1 of saying the commonest class of five


shape_bar = on_figure(at_least, "shapes", LEAST_F1, "macro-F1 against the rules, on later bars", lambda known: figures_of(known).macro_f1)
probability_bar = on_figure(at_most, "probabilities", MOST_ECE, "calibration error, on later bars", lambda known: figures_of(known).ece)


class BarPattern(EventTask):
    """Which shape of bars, if any, ends at a bar."""

    name = kind = "bar_pattern"
    config = PatternRecipe
    head = PatternHead(CLASSES, BarCnnConfig().embedding)
    needs = tuple(FIGURES)
    wanted_rows = 200_000
    leaves_doubted_out = False
    bars = (shape_bar, probability_bar)

    def head_of(self, config: RecipeConfig) -> Head:
        """Return classes, pole and an embedding of the recipe's length."""
        return PatternHead(CLASSES, cast(BarCnnConfig, config.of("bar_cnn")).embedding)

    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label the chosen bars by their shape; the next session ends it, as a label ends after its bar."""
        own = _own(config)
        found = shapes_of(bars, own)
        require_enough(found, own.least)
        chosen = found.chosen.copy()
        chosen[-1:] = False
        ends = np.where(chosen, np.arange(len(bars.sessions))[:, None] + 1, -1)
        values = np.where(chosen, found.number.astype(np.float64), np.nan)
        return Labels(bars.sessions, bars.symbols, values, ends, target_of(found.number, found.pole))

    def learner(self, config: RecipeConfig, seed: int, device: FitDevice, checkpoints: Path | None = None) -> Learner:
        """Return the net, whose classes weigh alike unless its loss is focal."""
        return PatternLearner(super().learner(config, seed, device, checkpoints), _own(config).pseudo, is_balanced=not _is_focal(config))

    def steps(self, config: RecipeConfig) -> int:
        """One fit, of the part before those that the map is fitted on and judged on."""
        return 1

    def judge(self, case: TrainingCase) -> TaskFindings:
        """Judge a net of the earlier bars on later ones: confusion with the rules, probabilities, poles."""
        rows, forward = case.proof.rows, case.proof.walk_forward
        walked = _session_figures(rows, forward)
        tried = case.recorded(_series(rows, walked))
        own, head = _own(case.config), cast(PatternHead, case.recipe.task.head_of(case.config))
        shapes = shapes_of(case.material.source.bars, own)
        found = parts(rows.t0, rows.t1, embargo=case.config.cpcv.embargo_sessions)
        net = fit(rows, case.learner, found.train)
        case.step("model of the training part")
        outputs = {name: outputs_of(net, rows.inputs(), getattr(found, name)) for name in ("validation", "test")}
        weight = natural(rows, shapes, own)
        taught = _mix(rows, found, np.ones(len(rows))) if _is_focal(case.config) else None
        known = fit_map(outputs["validation"][:, : len(CLASSES)], _number(rows, found.validation), _mix(rows, found, weight), taught)
        figures = pattern_figures(head, known, outputs["test"], rows.target[found.test], weight[found.test])
        series, ahead = _session_figures(rows, case.proof.oof.scores.mean(axis=0)), persistent_mean(walked, LAG)
        ic = persistent_mean(series, LAG)
        pseudo = dict(getattr(case.fitted.model, "pseudo", {}))
        labels = {"pictures": shapes.counts(), "checked": int(shapes.is_checked.sum()), "changed": shapes.changed, "pseudo": pseudo}
        fields: EvidenceFields = {
            "ic": OutOfFoldIc(mean=ic.mean, standard_error=ic.standard_error, t_newey_west=ic.t, lag=LAG, sessions=ic.sessions),
            "walk_forward": WalkForward(ahead, case.config.cpcv.groups - 1),
            "trials": without_ratios(tried),
            "others": {
                "pattern": to_json(figures),
                "labels": {**labels, "checked_sha256": digest_of(own)},
                "metrics": metrics(rows, case.recipe.sleeve.spec_hash, known),
            },
        }
        files = _files(case, head, known)
        return TaskFindings(fields, tuple(warnings(figures)), partial(plain_report, task=self), case.proof.oof.scores[0], files)

    def sealed(self, material: Material, config: RecipeConfig, scores: Floats) -> Series:
        """Return the figure of each sealed session: how its shapes rank among its bars."""
        return _series(material.rows, _session_figures(material.rows, scores))

    def lines(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the figures."""
        return lines(figures_of(known))


def natural(rows: Samples, shapes: Shapes, label: PatternLabel) -> Floats:
    """Weights by which the rows are the mix that there is: a drawn plain bar stands for those that were left out."""
    is_plain = (rows.label == 0.0) & ~shapes.is_checked[rows.t0, rows.column]
    return np.where(is_plain, 1.0 / label.plain_share, 1.0)


def metrics(rows: Samples, schema_version: str, known: TemperatureMap) -> dict[str, object]:
    """Return what a user of the outputs must know: classes by number, their map, the ranges of the features, their schema."""
    low, high = np.nanquantile(rows.features, (0.01, 0.99), axis=0)
    return {
        "schema_version": schema_version,
        "picture": NAME,
        "classes": dict(enumerate(CLASSES)),
        "calibration": known.model_dump(mode="json"),
        "ranges": {name: [float(a), float(b)] for name, a, b in zip(rows.names, low, high, strict=True)},
    }


def figures_of(known: Evidence) -> PatternFigures:
    """Return the task's own part of the evidence."""
    return known.part("pattern", PatternFigures, PatternFigures())


def lines(found: PatternFigures) -> list[tuple[str, str]]:
    """(what, figure) lines of the figures."""
    by_class = zip(found.classes, found.f1, found.precision_recall, found.base_rates, strict=True)
    named = [
        (
            f"Of {row} by the rules, said",
            ", ".join(f"{name} {x / max(sum(shares), 1e-12):.1%}" for name, x in zip(found.classes, shares, strict=True)),
        )
        for row, shares in zip(found.classes, found.confusion, strict=True)
    ]
    return [
        ("Macro-F1 against the rules, later bars", f"{found.macro_f1:.3f} of {found.pictures} pictures"),
        *((f"F1 of {name}", f"{f1:.3f}, precision and recall {area:.3f} (chance {base:.4f})") for name, f1, area, base in by_class),
        ("Calibration error", f"{found.ece:.4f} (before the map {found.raw_ece:.4f}), temperature {found.temperature:.2f}"),
        ("Error of the log of a pole", f"{found.pole_error:.3f} (constant {found.constant_error:.3f})"),
        *named,
    ]


def warnings(found: PatternFigures) -> list[str]:
    """Say what the net does not do."""
    told = []
    if not found.macro_f1 >= LEAST_F1:
        told.append(f"the net does not see what the rules see: macro-F1 {found.macro_f1:.3f} on later bars")
    if not found.ece <= MOST_ECE:
        told.append(f"its probabilities are off by {found.ece:.3f} in the mean on later bars")
    return told


def _files(case: TrainingCase, head: PatternHead, known: TemperatureMap) -> dict[str, bytes]:
    """Return the form with its map, the bank where any event's trade is over, and the metrics as a file of their own."""
    source, rows = case.material.source, case.proof.rows

    def outputs(row: Rows, column: Rows) -> Floats:
        return outputs_of(case.fitted.model, Gathered(case.material.panel, rows.view, row, column), np.arange(len(row)))

    seen = seen_events(PictureNet(outputs, OF_CLASSES, known), source.bars)
    bank = bank_of(seen, source.bars, source.actions, _own(case.config).rules)
    has_bank = len(bank["vectors"]) > 0
    form = form_of_graph(rows.view, head, AppliedCalibration(event=EVENT, map=known), "embedding" if has_bank else None)
    made = {FORM: form.to_bytes(), "metrics.json": canonical_json(metrics(rows, case.recipe.sleeve.spec_hash, known))}
    return {**made, **({BANK: arrays(bank)} if has_bank else {})}


def _own(config: RecipeConfig) -> PatternLabel:
    return cast(PatternRecipe, config).label


def _is_focal(config: RecipeConfig) -> bool:
    return cast(BarCnnConfig, config.of("bar_cnn")).focal > 0.0


def _number(rows: Samples, chosen: np.ndarray) -> np.ndarray:
    return class_and_pole(rows.target[chosen])[0]


def _mix(rows: Samples, found: Parts, weight: Floats) -> Floats:
    """Shares of the classes before the later part, in the natural mix."""
    earlier = np.concatenate([found.train, found.validation])
    shares = np.bincount(_number(rows, earlier), weight[earlier], len(CLASSES))
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _session_figures(rows: Samples, scores: Floats) -> Floats:
    """Rank correlation, session by session, of the probability of a shape with there being one."""
    return rank_ic(rows.dense(scores), rows.dense((rows.label > 0.0).astype(np.float64)))


def _series(rows: Samples, by_session: Floats) -> Series:
    there = np.isfinite(by_session)
    return Series(rows.sessions[there], by_session[there])


BAR_PATTERN = BarPattern()
