"""Scores a feature panel with a bundle's models, with the same function on both hosts."""

from __future__ import annotations

from signals.bundle.verification import Bundle
from signals.errors import DataNotUsable, ScoresInvalid
from signals.features.panel import FeaturePanel
from signals.inference import predict
from signals.scoring.scores import Scores


def score(bundle: Bundle, features: FeaturePanel) -> Scores:
    """Score the eligible names of the panel's newest session.

    Parameters
    ----------
    bundle : Bundle
        Verified; its models are loaded from the verified bytes.
    features : FeaturePanel
        Its newest session is `asof`; earlier ones are not read.

    Returns
    -------
    Scores
        One finite float64 per eligible symbol; `source` is the bundle's sha256.

    Raises
    ------
    ScoresInvalid
        The panel's features are not the bundle's, in its order, or a score is not finite.
    DataNotUsable
        No name is eligible.
    """
    check_names(bundle.manifest.feature_names, features.names)
    asof = features.sessions[-1].astype(object)
    symbols, rows = features.at(asof)
    if not symbols:
        raise DataNotUsable("no eligible name to score", where=str(asof), fix="Look at the audit of this session")
    return Scores(asof, bundle.manifest.sleeve, symbols, predict(bundle.models, rows), bundle.sha256)


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
