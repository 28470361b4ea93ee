"""Figures of what a net says of pictures that it did not learn from: classes, probabilities, poles.

A net that is taught balanced classes is overconfident of the rare ones in the mix that there is. Its outputs are divided by a
temperature, fitted on balanced classes, and the logarithms of the natural mix are added (Saerens et al. 2002): both are
fitted on pictures that the net did not learn from, and judged on later ones.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score

from signals.bundle.calibration import TemperatureMap, inside
from signals.market.bars import Floats
from signals.models.heads import ClassesHead, PatternHead
from signals.scoring.evidence import NAN
from trainer.learners.base import Rows
from trainer.learners.pictures import class_and_pole

BINS, LOG_TEMPERATURES, LEAST_SHARE = 10, (-3.0, 3.0), 1e-4


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
    """Fit the temperature on classes that weigh alike, and take the shift to the natural mix from the mix that the net was taught.

    Parameters
    ----------
    outputs : float64, shape (n, classes)
    number : int64, shape (n,)
    shares : float64, shape (classes,)
        Of the natural mix.
    taught : float64, shape (classes,), optional
        Of the mix that the net was taught; balanced unless given.
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
        ece=_calibration_error(said, number, share),
        raw_ece=_calibration_error(classes.probabilities(outputs[:, :width]), number, share),
        pole_error=float(missed.mean()) if has.any() else NAN,
        constant_error=float(np.abs(pole[has] - np.median(pole[has])).mean()) if has.any() else NAN,
    )


def _calibration_error(said: Floats, number: Rows, share: Floats) -> float:
    """Expected calibration error of the highest probability, over tenths of the mass."""
    top = said.max(axis=1)
    right = (said.argmax(axis=1) == number).astype(np.float64)
    order = np.argsort(top, kind="stable")
    tenth = np.minimum((BINS * (np.cumsum(share[order]) - share[order] / 2.0)).astype(np.int64), BINS - 1)
    gap = np.bincount(tenth, (share * (top - right))[order], BINS)
    return float(np.abs(gap).sum())
