"""Scores a feature panel with a bundle's models, with the same functions on both hosts.

Entry points: `newest_features` computes what the bundle's view reads, `outputs` runs its models, `score` ranks by its
first head.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from math import prod

import numpy as np
from numpy.typing import NDArray

from signals.bundle.calibration import probabilities, ranked
from signals.bundle.manifest import FEATURES
from signals.bundle.verification import Bundle, Infer
from signals.errors import DataNotUsable, ScoresInvalid
from signals.features.panel import FeaturePanel
from signals.market.bars import Bars, Floats
from signals.models.heads import ScoreHead
from signals.models.inference import Outputs, infer
from signals.scoring.scores import Scores
from signals.sleeves import SLEEVES
from signals.sleeves.base import Sleeve

Places = NDArray[np.int64]
BLOCK_VALUES = 2**23
"""Numbers that are gathered at once: an evening's table is one block, its windows or images several."""


@dataclass(frozen=True, eq=False)
class HeadOutputs:
    """Outputs of every head of a bundle for the eligible names of one session.

    Attributes
    ----------
    symbols : tuple of str, length n
    raw : mapping of head to float64, shape (n, width)
    probabilities : mapping of head to float64, shape (n, 1) or (n, width)
        By the head's own map; only of heads that have probabilities.
    """

    asof: date
    symbols: tuple[str, ...]
    raw: Outputs
    probabilities: Outputs


def newest_features(bundle: Bundle, trailing: Callable[[date, int], Bars], asof: date) -> FeaturePanel:
    """Features of the sessions that the bundle's view reads, the last one `asof`.

    Parameters
    ----------
    trailing : callable
        (asof, sessions) -> the bars of so many sessions that end there.
    """
    manifest = bundle.manifest
    sleeve, reach = sleeve_of(bundle), manifest.view.sessions
    return sleeve.features(trailing(asof, sleeve.lookback_sessions + reach - 1), asof, reach)


def sleeve_of(bundle: Bundle) -> Sleeve:
    """Return the sleeve in the shape that the bundle learned from, with what the bundle carries for its features."""
    return SLEEVES[bundle.manifest.sleeve].shaped_as(bundle.manifest.feature_spec).knowing(bundle.parameters)


def outputs(bundle: Bundle, features: FeaturePanel, *, run: Infer = infer) -> HeadOutputs:
    """Run the models on the eligible names of the panel's newest session.

    Parameters
    ----------
    bundle : Bundle
        Verified; its models are loaded from the verified bytes.
    features : FeaturePanel
        Its newest session is `asof`; the earlier ones that the view reads are missing where the panel does not hold
        them.
    run : callable, optional
        `infer` in this process, `infer_in_child` in a limited one.

    Raises
    ------
    ScoresInvalid
        The panel's features are not the bundle's, in its order, or an output is not finite, or the models read more than
        features.
    DataNotUsable
        No name is eligible.
    """
    asof = features.sessions[-1].astype(object)
    chosen = np.flatnonzero(features.eligible[-1])
    if not chosen.size:
        raise DataNotUsable("no eligible name to score", where=str(asof), fix="Look at the audit of this session")
    raw, said = outputs_at(bundle, features, np.full(len(chosen), len(features.sessions) - 1), chosen, run=run)
    return HeadOutputs(asof, tuple(features.symbols[c] for c in chosen), raw, said)


def outputs_at(bundle: Bundle, features: FeaturePanel, t: Places, column: Places, *, run: Infer) -> tuple[Outputs, Outputs]:
    """Run the models on the samples at rows `t` and columns `column`, one or more; raw outputs and probabilities by head, as `outputs`."""
    manifest = bundle.manifest
    check_names(manifest.feature_names, features.names)
    if manifest.inputs:
        raise ScoresInvalid(f"the models read {manifest.inputs[0].name!r}, which features do not give", fix="Update the device")
    size = max(1, BLOCK_VALUES // prod(manifest.view.shape(len(features.names))))
    parts = [
        run(bundle.members, {FEATURES: manifest.view.rows(features, t[start : start + size], column[start : start + size])})
        for start in range(0, len(t), size)
    ]
    raw = {line.name: np.concatenate([part[line.name] for part in parts]) for line in manifest.heads}
    said = {line.name: probabilities(line.head, line.calibration, raw[line.name]) for line in manifest.heads}
    return raw, {name: values for name, values in said.items() if values is not None}


def score(bundle: Bundle, features: FeaturePanel, *, run: Infer = infer) -> Scores:
    """Score the eligible names of the panel's newest session by the bundle's first head; raises as `outputs`."""
    return scores_of(bundle, outputs(bundle, features, run=run))


def scores_of(bundle: Bundle, found: HeadOutputs) -> Scores:
    """Return what the bundle's first head says: one finite float64 per eligible symbol; `source` is the bundle's sha256."""
    line = bundle.manifest.heads[0]
    values = ranked(line.head, line.calibration, found.raw[line.name])
    return Scores(found.asof, bundle.manifest.sleeve, found.symbols, values, bundle.sha256, _of_event(found, line.name))


def with_probabilities(bundle: Bundle, scores: Scores) -> Scores:
    """Return delivered scores of the bundle with the probabilities of its map, where it is one of scores."""
    line = bundle.manifest.heads[0]
    is_of_scores = isinstance(line.head, ScoreHead) and line.calibration is not None
    said = probabilities(line.head, line.calibration, scores.values) if is_of_scores else None
    return replace(scores, probabilities=said)


def _of_event(found: HeadOutputs, head: str) -> Floats | None:
    """Return the probability of the event, or of the best class; None of a head that has none."""
    said = found.probabilities.get(head)
    return None if said is None else said[:, -1].copy()


def check_names(listed: tuple[str, ...], computed: tuple[str, ...]) -> None:
    """Raise `ScoresInvalid` naming the first feature that the bundle lists and the panel does not have there."""
    fix = "Update the device, or publish a bundle for this version"
    for position, (ours, theirs) in enumerate(zip(listed, computed, strict=False)):
        if ours != theirs:
            raise ScoresInvalid(f"feature {position} is {theirs!r}, the bundle was trained with {ours!r}", fix=fix)
    if len(listed) > len(computed):
        raise ScoresInvalid(f"feature {listed[len(computed)]!r} of the bundle is missing", fix=fix)
    if len(computed) > len(listed):
        raise ScoresInvalid(f"feature {computed[len(listed)]!r} is unknown to the bundle", fix=fix)
