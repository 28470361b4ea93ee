"""The definition of a sleeve: its features, horizon and output, as a frozen value."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from signals.errors import DataNotUsable
from signals.features import build
from signals.features.panel import Feature, FeaturePanel, FeatureSpec, spec_hash
from signals.features.treatment import Treatment, declared_in
from signals.indicators.regimes import WILD, WILD_FEATURE, TwoStates, states_of, with_wild
from signals.market.bars import Bars


@dataclass(frozen=True)
class Sleeve:
    """One alpha source: the scoring half, shared by trainer and device.

    Attributes
    ----------
    inputs : tuple of str
        Datasets that must be usable at `asof`.
    table : tuple of Feature
        Base features in order; the ranks of the ranked ones follow them in the same order.
    horizon_sessions : int
        k: the label of `asof` runs from the open of D to the open of D + k.
    joined : tuple of str
        Figures of other datasets that the features read (`Bars.joined`); a name without the first of them is not scored.
    optional : tuple of Feature
        Features of the sleeve where the bars are classified, or a recipe asks for the regime (`Feature.reads`), and none of it elsewhere.
    regime : TwoStates or None
        By which the regime's feature is computed where the bars do not bring it; of a bundle.
    treatment : Treatment or None
        How features are winsorised and smoothed, where a recipe declares it; `treated` writes it into the table too.
    """

    name: str
    inputs: tuple[str, ...]
    table: tuple[Feature, ...]
    horizon_sessions: int
    joined: tuple[str, ...] = ()
    optional: tuple[Feature, ...] = (WILD_FEATURE,)
    regime: TwoStates | None = None
    treatment: Treatment | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Feature names in the model's order."""
        return tuple(name for name, _, _ in self.spec)

    @cached_property
    def spec(self) -> tuple[tuple[str, str, int], ...]:
        """Ordered (name, units, look-back in sessions)."""
        base = [(f.name, f.units, f.lookback_sessions) for f in self.table]
        ranks = [(f"rank_{f.name}", "rank", f.lookback_sessions) for f in self.table if f.is_ranked]
        return (*base, *ranks)

    @property
    def lookback_sessions(self) -> int:
        """Sessions of bars that the newest feature row needs."""
        return max(lookback for _, _, lookback in self.spec)

    @property
    def spec_hash(self) -> str:
        """SHA-256 of the ordered feature specification."""
        return spec_hash(list(self.spec))

    def given(self, figures: Collection[str]) -> Sleeve:
        """Return the sleeve with the optional features that read nothing but `figures`."""
        more = tuple(feature for feature in self.optional if feature.reads in figures)
        return replace(self, table=(*self.table, *more), optional=()) if more else self

    def treated(self, treatment: Treatment | None) -> Sleeve:
        """Return the sleeve with its features winsorised and smoothed.

        Itself where none of them differs between names, or where its class computes panels its own way, which would treat
        nothing: such a class says by a `treated` of its own that it does.
        """
        own = type(self)
        is_computed_here = own.panel is Sleeve.panel and own.features is Sleeve.features
        if treatment is None or not is_computed_here or all(feature.is_calendar for feature in self.table):
            return self
        table, optional = (tuple(treatment.of(feature) for feature in rows) for rows in (self.table, self.optional))
        return replace(self, table=table, optional=optional, treatment=treatment)

    @cached_property
    def variants(self) -> tuple[Sleeve, ...]:
        """The sleeve as it is with some of its optional features."""
        figures = dict.fromkeys(feature.reads for feature in self.optional)
        return tuple(self.given(some) for n in range(1, len(figures) + 1) for some in combinations(figures, n))

    def shaped_as(self, spec: FeatureSpec) -> Sleeve:
        """Return the sleeve in the shape that has this specification; the sleeve itself where none has it."""
        shape = self.treated(declared_in(spec))
        return next((one for one in (shape, *shape.variants) if one.spec == spec), self)

    def spec_as(self, spec: FeatureSpec) -> FeatureSpec:
        """Return the specification of the shape that has this one; the sleeve's own where none has it."""
        return self.shaped_as(spec).spec

    def knowing(self, parameters: Mapping[str, NDArray[np.floating]]) -> Sleeve:
        """Return the sleeve with what its features need of a bundle's parameters; raise `DataNotUsable` where they lack it."""
        return replace(self, regime=states_of(parameters)) if WILD in self.names else self

    def panel(self, bars: Bars) -> FeaturePanel:
        """Features of every session of `bars`."""
        return build.panel(self._computed, self._with_joined(bars))

    def features(self, bars: Bars, asof: date, sessions: int = 1) -> FeaturePanel:
        """Features of the `sessions` that end at `asof`: those rows of `panel`, to the bit, for a fraction of the work.

        Reads the `lookback_sessions` rows of `bars` that end at each of them; nothing after `asof`.

        Raises
        ------
        NotASession
            `asof` is not a session of `bars`.
        DataNotUsable
            The bars lack what the sleeve reads beside them.
        """
        return build.newest(self._computed, self._with_joined(bars), asof, self.lookback_sessions, sessions)

    @property
    def _computed(self) -> build.Computed:
        return build.Computed(self.table, self.names, self.treatment)

    def _with_joined(self, bars: Bars) -> Bars:
        """Return the bars with the names eligible that the other datasets know.

        Raises
        ------
        DataNotUsable
            The bars are not classified as the features ask, or the other datasets are not here: so on a device, which
            takes such a sleeve's scores as they are delivered.
        """
        if WILD in self.names and WILD not in bars.joined and self.regime is not None:
            bars = with_wild(bars, self.regime)
        if lost := sorted({feature.reads for feature in self.table if feature.reads} - set(bars.joined)):
            fix = "Ingest the classification table again, or train without it and without the regime"
            raise DataNotUsable(f"the sleeve {self.name} reads {', '.join(lost)}, which these bars do not have", fix=fix)
        if not self.joined:
            return bars
        if any(name not in bars.joined for name in self.joined):
            lacking = ", ".join(name for name in self.inputs if name != "daily_bars")
            raise DataNotUsable(f"the sleeve {self.name} reads {lacking}, which are not here", fix="Give the sleeve `scoring: pulled`")
        return replace(bars, eligible=bars.eligible & np.isfinite(bars.joined[self.joined[0]]))
