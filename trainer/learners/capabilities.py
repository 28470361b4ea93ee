"""Capabilities of a learner: views, heads, missing values and devices; recipes are checked against them before data are read."""

from dataclasses import dataclass

from trainer.learners.base import FitDevice


@dataclass(frozen=True)
class Capabilities:
    """Capabilities of a learner.

    Attributes
    ----------
    views, heads : frozenset of str
        Kinds (`signals.views.VIEWS`, `signals.models.heads.HEADS`).
    takes_missing : bool
        Whether a missing feature means something to it; one that does not imputes the mean.
    devices : frozenset of FitDevice
        Where it can fit.
    """

    views: frozenset[str] = frozenset({"table"})
    heads: frozenset[str] = frozenset({"score"})
    takes_missing: bool = True
    devices: frozenset[FitDevice] = frozenset({FitDevice.CPU})
