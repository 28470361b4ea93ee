"""Backtests several published sleeves in one book, blended as a device blends them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from portfolio.policy.blend import MOST_MISSING, SizedScores, blended
from portfolio.risk.kelly import SizingCoefficient
from signals.errors import DataNotUsable
from signals.scoring.scores import Scores
from trainer.backtest.archive import Archive
from trainer.backtest.bundled import BundleScored
from trainer.backtest.scored import Origin


@dataclass(frozen=True, eq=False)
class SleeveInBook:
    """One sleeve's bundle on the evenings of an archive, what sizes it, and its weight."""

    evenings: BundleScored
    ic: SizingCoefficient
    weight: float

    @property
    def name(self) -> str:
        """The sleeve."""
        return self.evenings.bundle.manifest.sleeve


@dataclass(frozen=True, eq=False)
class BlendedEvenings:
    """Blended scores of several sleeves; an evening on which more than half of the weight has none has no scores.

    Attributes
    ----------
    sleeves : tuple of SleeveInBook
        In the configured order.
    fixed_ic : float or None
        Of the portfolio's settings.
    """

    archive: Archive
    sleeves: tuple[SleeveInBook, ...]
    fixed_ic: float | None

    def origin(self, asof: date) -> Origin:
        """Say who scores the evening of `asof`: in-sample where any sleeve with scores had learned from it."""
        origins = {sleeve.name: sleeve.evenings.origin(asof) for sleeve in self.sleeves}
        lost = sum(sleeve.weight for sleeve in self.sleeves if origins[sleeve.name] is Origin.NONE)
        if lost > MOST_MISSING * sum(sleeve.weight for sleeve in self.sleeves):
            return Origin.NONE
        return Origin.IN_SAMPLE if Origin.IN_SAMPLE in origins.values() else Origin.MODEL

    def on(self, asof: date) -> Scores | None:
        """Return the blend of `asof`; None where a device would have none."""
        said = {sleeve.name: sleeve.evenings.on(asof) for sleeve in self.sleeves}
        parts, missing = [], dict[str, float]()
        for sleeve in self.sleeves:
            scores = said[sleeve.name]
            if scores is None:
                missing[sleeve.name] = sleeve.weight
            else:
                parts.append(SizedScores(scores, sleeve.ic, sleeve.evenings.bundle.manifest.horizon_sessions, sleeve.weight))
        try:
            return blended(parts, missing, self.fixed_ic)
        except DataNotUsable:
            return None

    def where(self) -> str:
        """Which sessions are scored, in a few words."""
        return "; ".join(f"{sleeve.name}: {sleeve.evenings.where()}" for sleeve in self.sleeves)

    def sources(self) -> Mapping[str, str]:
        """SHA-256 of each sleeve's bundle."""
        return {sleeve.name: sleeve.evenings.bundle.sha256 for sleeve in self.sleeves}
