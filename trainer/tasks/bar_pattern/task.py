"""Learner, evaluator and bars of the task `bar_pattern`.

The label of a bar is the shape that the rules of the detectors find at it: no outcome enters. Classes weigh alike, unless the loss is
focal, and what a first net is sure of teaches a second one. Such a net is overconfident of the rare classes in the mix that there is: its
outputs are divided by a temperature, and the logarithms of the natural mix are added (Saerens et al. 2002), both fitted on pictures that it
did not learn from, and judged, against the rules, on later ones.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score

from signals.bundle.calibration import AppliedCalibration, TemperatureMap, inside
from signals.events.images import NAME
from signals.files import sha256_of_file
from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from signals.models.heads import ClassesHead, Head, PatternHead
from signals.scoring.evidence import NAN
from signals.scoring.scores import rank_ic
from signals.sleeves.patterns import FIGURES
from signals.text.documents import to_json
from trainer.labels.horizon import Labels
from trainer.learners.base import Around, FitDevice, HasHead, Inputs, Learner, Matrix, Model, Rows
from trainer.learners.networks.parameters import BarCnnConfig
from trainer.learners.pictures import class_and_pole, target_of
from trainer.recipes.base import RecipeConfig
from trainer.runs.artefacts import BANK, FORM, arrays, form_of_graph
from trainer.runs.evidence import Evidence, EvidenceFields, OutOfFoldIc, WalkForward, at_least, at_most
from trainer.runs.picture_bank import bank_of, outputs_of_graph, seen_events
from trainer.samples.samples import Material, Samples
from trainer.search.arena import SearchMetric, log_loss
from trainer.search.trial_log import Series
from trainer.tasks.bar_pattern.labels import CLASSES, PatternLabel, PatternRecipe, Shapes, require_enough, shapes_of
from trainer.tasks.base import TaskFindings, TrainingCase, on_figure, plain_report, without_ratios
from trainer.tasks.events import EventTask
from trainer.validation.calibration import expected_calibration_error
from trainer.validation.ic import persistent_mean
from trainer.validation.splits.oof import Parts, fit, parts

CHUNK, OF_CLASSES = 512, ClassesHead(CLASSES)


@dataclass(frozen=True)
class PatternLearner(Around):
    """A learner of pictures; `pseudo` is the probability from which a first net's word is learned, 0 for none."""

    pseudo: float = 0.0
    is_balanced: bool = True

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> Model:
        """Fit on pictures float32 (n, 3, 64, 64); the weights are those of the classes or all alike, whatever was given."""
        weigh = balanced if self.is_balanced else np.ones_like
        model = self.learner.fit(features, target, weigh(target), names, sessions)
        if not self.pseudo:
            return model
        plain = np.flatnonzero(class_and_pole(target)[0] == 0)
        said = OF_CLASSES.probabilities(outputs_of(model, features, plain)[:, : len(CLASSES)])
        named, is_sure = said.argmax(axis=1), said.max(axis=1) >= self.pseudo
        sure = (named > 0) & is_sure
        counts = dict(zip(CLASSES[1:], np.bincount(named[sure], minlength=len(CLASSES))[1:].tolist(), strict=True))
        if sure.any():
            taught = target.copy()
            taught[plain[sure]] = named[sure]
            model = self.learner.fit(features, taught, weigh(taught), names, sessions)
        return cast(Model, replace(cast(Any, model), pseudo=counts))


def balanced(target: Floats) -> Floats:
    """Weights, with mean 1, by which every class that there is weighs the same."""
    number = class_and_pole(target)[0]
    counts = np.bincount(number)
    weight = 1.0 / counts[number]
    return np.asarray(weight / weight.mean(), dtype=np.float64)


def outputs_of(model: Model, inputs: Inputs, rows: Rows) -> Floats:
    """Outputs of the rows numbered `rows`, float64 (n, width), gathered a few at a time."""
    given = cast(HasHead, model)
    parts = [given.outputs(inputs[rows[first : first + CHUNK]]) for first in range(0, len(rows), CHUNK)]
    return np.concatenate(parts or [np.zeros((0, given.head.width))])


LOG_TEMPERATURES, LEAST_SHARE = (-3.0, 3.0), 1e-4


@dataclass(frozen=True)
class PatternFigures:
    """Of later pictures, in the natural mix; tuples are by class.

    Attributes
    ----------
    shares : tuple of float
        The natural mix, where the map was fitted.
    confusion : tuple of tuple of float
        Shares of all pictures: what they show by the rules, and what the net says.
    f1, precision_recall, base_rates : tuple of float
        F1, area under precision and recall, and what the latter is by chance.
    ece, raw_ece : float
        Mean distance of the highest probability and how often it is right, in tenths; and before the map.
    pole_error, constant_error : float
        Mean absolute error of the logarithm of a flag's pole, and that of saying their median.
    """

    classes: tuple[str, ...] = ()
    pictures: int = 0
    temperature: float = NAN
    shares: tuple[float, ...] = ()
    confusion: tuple[tuple[float, ...], ...] = ()
    f1: tuple[float, ...] = ()
    macro_f1: float = NAN
    precision_recall: tuple[float, ...] = ()
    base_rates: tuple[float, ...] = ()
    ece: float = NAN
    raw_ece: float = NAN
    pole_error: float = NAN
    constant_error: float = NAN


def fit_map(outputs: Floats, number: Rows, shares: Floats, taught: Floats | None = None) -> TemperatureMap:
    """Fit the temperature on classes that weigh alike; the shift leads from the mix that the net was `taught` to the natural one, `shares`.

    Outputs are float64 (n, classes), numbers of the class int64 (n,), both mixes float64 (classes,), the former balanced unless given.
    """
    even = np.full(len(shares), 1.0 / len(shares))
    before = np.log(even / np.maximum(even if taught is None else taught, LEAST_SHARE))
    counts = np.bincount(number, minlength=outputs.shape[1])
    weight = 1.0 / counts[number]

    def loss(log_temperature: float) -> float:
        said = log_softmax(outputs / np.exp(log_temperature) + before, axis=1)
        return float(-(weight * said[np.arange(len(number)), number]).sum())

    found = minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-8})
    shift = np.log(np.maximum(shares, LEAST_SHARE) / even) + before
    return TemperatureMap(temperature=float(np.exp(found.x)), shift=tuple(shift.tolist()))


def pattern_figures(head: PatternHead, known: TemperatureMap, outputs: Floats, target: Floats, weight: Floats) -> PatternFigures:
    """Judge outputs, float64 (n, width), of pictures whose weights, float64 (n,), make the natural mix of them."""
    classes = head.parts["score"]
    assert isinstance(classes, ClassesHead)
    width = classes.width
    number, pole = class_and_pole(target)
    said = inside(classes.probabilities(known.logits(outputs[:, :width])))
    named, share = said.argmax(axis=1), weight / weight.sum()
    confusion: Floats = confusion_matrix(number, named, labels=range(width), sample_weight=share)
    f1 = f1_score(number, named, labels=range(width), average=None, sample_weight=weight, zero_division=np.nan)  # of one that never occurs
    shares = np.exp(np.array(known.shift or (0.0,) * width))
    rated = [
        float(average_precision_score(number == one, said[:, one], sample_weight=weight)) if (number == one).any() else NAN
        for one in range(width)
    ]

    def error_of(said: Floats) -> float:
        return expected_calibration_error((said.argmax(axis=1) == number).astype(np.float64), said.max(axis=1), share=share)

    has = np.isfinite(pole)
    missed = np.abs(outputs[has, width] - pole[has])
    return PatternFigures(
        classes=head.classes,
        pictures=len(number),
        temperature=known.temperature,
        shares=tuple((shares / shares.sum()).tolist()),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        f1=tuple(f1.tolist()),
        macro_f1=float(np.nanmean(f1)),
        precision_recall=tuple(rated),
        base_rates=tuple(confusion.sum(axis=1).tolist()),
        ece=error_of(said),
        raw_ece=error_of(classes.probabilities(outputs[:, :width])),
        pole_error=float(missed.mean()) if has.any() else NAN,
        constant_error=float(np.abs(pole[has] - np.median(pole[has])).mean()) if has.any() else NAN,
    )


EVENT = "the shape of the class ends at this bar"
LAG = 5  # sessions; a shape holds for some
MOST_ECE, LEAST_F1 = 0.03, 0.4  # twice the F1 of saying the commonest class of five


shape_bar = on_figure(
    at_least, "shapes", LEAST_F1, "macro-F1 against the rules, on later bars", lambda known: known.part("pattern", PatternFigures).macro_f1
)
probability_bar = on_figure(
    at_most, "probabilities", MOST_ECE, "calibration error, on later bars", lambda known: known.part("pattern", PatternFigures).ece
)


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
        tried = case.recorded(Series.known(rows.sessions, walked))
        own, head = _own(case.config), cast(PatternHead, case.recipe.task.head_of(case.config))
        shapes = shapes_of(case.material.source.bars, own)
        found = parts(rows.t0, rows.t1, embargo=case.config.cpcv.embargo_sessions)
        net = fit(rows, case.learner, found.train)
        case.step("model of the training part")
        outputs = {name: outputs_of(net, rows.inputs(), getattr(found, name)) for name in ("validation", "test")}
        weight = natural(rows, shapes, own)
        taught = _mix(rows, found, np.ones(len(rows))) if _is_focal(case.config) else None
        number, _ = class_and_pole(rows.target[found.validation])
        known = fit_map(outputs["validation"][:, : len(CLASSES)], number, _mix(rows, found, weight), taught)
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
                "labels": {**labels, "checked_sha256": sha256_of_file(Path(own.checked)) if own.checked else None},
                "metrics": {"picture": NAME, "calibration": known.model_dump(mode="json")},
            },
        }
        files = _files(case, head, known)
        return TaskFindings(fields, tuple(warnings(figures)), partial(plain_report, task=self), case.proof.oof.scores[0], files)

    def metric(self, material: Material, config: RecipeConfig, rows: Samples) -> SearchMetric:
        """Return the log loss of the classes that is saved, every class weighing alike, as a net learns them."""
        return log_loss("log loss of the shapes saved, alike in weight", rows, class_and_pole(rows.target)[0], balanced(rows.target))

    def sealed(self, material: Material, config: RecipeConfig, scores: Floats) -> Series:
        """Return the figure of each sealed session: how its shapes rank among its bars."""
        return Series.known(material.rows.sessions, _session_figures(material.rows, scores))

    def lines(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the figures."""
        found = known.part("pattern", PatternFigures)
        by_class = zip(found.classes, found.f1, found.precision_recall, found.base_rates, strict=True)
        named = []
        for row, shares in zip(found.classes, found.confusion, strict=True):
            said = (f"{name} {x / max(sum(shares), 1e-12):.1%}" for name, x in zip(found.classes, shares, strict=True))
            named.append((f"Of {row} by the rules, said", ", ".join(said)))
        return [
            ("Macro-F1 against the rules, later bars", f"{found.macro_f1:.3f} of {found.pictures} pictures"),
            *((f"F1 of {name}", f"{f1:.3f}, precision and recall {area:.3f} (chance {base:.4f})") for name, f1, area, base in by_class),
            ("Calibration error", f"{found.ece:.4f} (before the map {found.raw_ece:.4f}), temperature {found.temperature:.2f}"),
            ("Error of the log of a pole", f"{found.pole_error:.3f} (constant {found.constant_error:.3f})"),
            *named,
        ]


def natural(rows: Samples, shapes: Shapes, label: PatternLabel) -> Floats:
    """Weights by which the rows are the mix that there is: a drawn plain bar stands for those that were left out."""
    is_plain = (rows.label == 0.0) & ~shapes.is_checked[rows.t0, rows.column]
    return np.where(is_plain, 1.0 / label.plain_share, 1.0)


def warnings(found: PatternFigures) -> list[str]:
    """Say what the net does not do."""
    told = []
    if not found.macro_f1 >= LEAST_F1:
        told.append(f"the net does not see what the rules see: macro-F1 {found.macro_f1:.3f} on later bars")
    if not found.ece <= MOST_ECE:
        told.append(f"its probabilities are off by {found.ece:.3f} in the mean on later bars")
    return told


def _files(case: TrainingCase, head: PatternHead, known: TemperatureMap) -> dict[str, bytes]:
    """Return the form with its map, and the bank where any event's trade is over."""
    source, rows = case.material.source, case.proof.rows
    form = form_of_graph(rows.view, head, AppliedCalibration(event=EVENT, map=known))
    if case.config.minutes is not None:  # a bank is of the trades that devices record, on daily bars
        return {FORM: form.to_bytes()}
    seen = seen_events(source.bars, outputs_of_graph(case.fitted.exported.onnx, form, source.bars), OF_CLASSES, known)
    bank = bank_of(seen, source.bars, source.actions)
    if has_bank := len(bank["vectors"]) > 0:
        form = form.model_copy(update={"bank_head": "embedding"})
    return {FORM: form.to_bytes(), **({BANK: arrays(bank)} if has_bank else {})}


def _own(config: RecipeConfig) -> PatternLabel:
    return cast(PatternRecipe, config).label


def _is_focal(config: RecipeConfig) -> bool:
    return cast(BarCnnConfig, config.of("bar_cnn")).focal > 0.0


def _mix(rows: Samples, found: Parts, weight: Floats) -> Floats:
    """Shares of the classes before the later part, in the natural mix."""
    earlier = np.concatenate([found.train, found.validation])
    shares = np.bincount(class_and_pole(rows.target[earlier])[0], weight[earlier], len(CLASSES))
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _session_figures(rows: Samples, scores: Floats) -> Floats:
    """Rank correlation, session by session, of the probability of a shape with there being one."""
    return rank_ic(rows.dense(scores), rows.dense((rows.label > 0.0).astype(np.float64)))


BAR_PATTERN = BarPattern()
